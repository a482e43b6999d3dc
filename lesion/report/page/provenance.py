"""Where the numbers come from: what was asked, the edits' receipts, origins and files, as words for the template."""

from collections.abc import Iterable
from typing import NamedTuple, get_args

import polars as pl

from lesion.report.page.gates import Table
from lesion.report.record import Record
from lesion.report.wording.words import model_name, task_words
from lesion.runs.manifest.base import ExecutorName
from lesion.runs.manifest.run import Manifest
from lesion.study.arms.condition import Condition
from lesion.study.plan import StageName


def receipts(record: Record) -> Table:
    """Proof that every edit acted: firings expected and counted, and the size of the change, by kind of arm."""
    seen = [
        {
            "model": model_name(unit.cell.model), "tier": unit.cell.tier, "arm": named(conditions[each.arm]),
            "expected": each.receipt.forwards * each.receipt.modules, "firings": each.receipt.firings,
            "elements": each.receipt.elements, "l2": each.receipt.l2_change**2,
            "logit": each.receipt.max_logit_change,
        }
        for unit in record.units
        for conditions in [{arm.name: arm.condition for arm in unit.cell.arms}]
        for each in unit.receipts
    ]  # fmt: skip
    columns = (
        "model",
        "tier",
        "edit",
        "hook firings, expected",
        "counted",
        "elements written",
        "L2 change",
        "largest logit change",
    )
    if not seen:
        return Table("Receipts", columns, [])
    sums = [pl.col(name).sum() for name in ("expected", "firings", "elements", "l2")]
    table = pl.DataFrame(seen).group_by("model", "tier", "arm", maintain_order=True).agg(*sums, pl.col("logit").max())
    return Table("Receipts", columns, [_receipt(*row) for row in table.sort("model", "tier", "arm").iter_rows()])


def _receipt(
    model: str, tier: str, arm: str, expected: int, firings: int, elements: int, squares: float, logit: float | None
) -> tuple[str, ...]:
    change = f"{logit:.3g}" if logit is not None else "–"
    return model, tier, arm, f"{expected:,}", f"{firings:,}", f"{elements:,}", f"{squares**0.5:.4g}", change


_ORDERS = {"staged": "by score", "random": "in a random order"}


def named(condition: Condition) -> str:
    """A condition in words: `target ×0`, `random set ×0`, `each head alone ×0`, `heads by score, together ×0`."""
    what = condition.edit if condition.amount is None else f"×{condition.amount:g}"
    if condition.role == "baseline":
        return "baseline"
    if condition.role in ("set", "within"):
        where = "matched sets" if condition.role == "set" else "matched sets of its own layers"
        return f"{where}, {what.removeprefix('×')}"
    if condition.role in _ORDERS:
        return f"heads {_ORDERS[condition.role]}, together {what}"
    who = {"control": "random set", "single": "each head alone"}.get(condition.role, condition.role)
    return f"{who} {what}" if condition.amount is not None else f"{who}, {what}"


def questions(record: Record) -> Table:
    """What each tier asks: an example, its tokens, how many items were used and excluded."""
    used: dict[tuple[str, str], list[int]] = {}
    for facts in record.manifest.datasets:
        total = used.setdefault((facts.model, facts.tier), [0, 0])
        total[0], total[1] = total[0] + facts.items, total[1] + facts.excluded
    firsts = record.prompts.unique(["model", "tier"], keep="first", maintain_order=True)
    rows = [
        (
            model_name(row["model"]), row["tier"], task_words(record.manifest.study.tasks[row["tier"]]), row["prompt"],
            row["answer"], f"{row['prompt_tokens']} + {row['answer_tokens']}",
            *(f"{number:,}" for number in used.get((row["model"], row["tier"]), [0, 0])),
        )
        for row in firsts.to_dicts()
    ]  # fmt: skip
    return Table(
        "What was asked", ("model", "tier", "kind", "an example", "its answer", "tokens", "items", "excluded"), rows
    )


def provenance(record: Record) -> list[tuple[str, str]]:
    """Name and value of everything that says where the numbers come from."""
    manifest = record.manifest
    code, machine, cost, budget = manifest.code, manifest.environment, manifest.cost, manifest.study.budget
    packages = ", ".join(
        f"{name} {machine.packages[name]}" for name in ("torch", "transformers", "polars") if name in machine.packages
    )
    told = [
        ("run", manifest.run),
        ("status", f"{manifest.status}, {manifest.outcome}: {manifest.ending.reason}"),
        ("study hash", manifest.study_hash),
        ("registration", _registered(manifest)),
        *_elsewhere(manifest),
        ("rows hash", manifest.rows_hash),
        ("seal of the manifest", manifest.seal or "stands in manifest.json; it covers the hash of this page"),
        ("code", f"version {code.version}, commit {code.commit or 'none'}{', with changes' if code.dirty else ''}"),
        ("source hash", code.source_hash),
        ("software", f"Python {machine.python}, {packages}"),
        ("machine", f"{machine.processor}, {machine.cores} cores; {machine.system}"),
        ("workers", f"{machine.workers}, each of {machine.threads} threads{_handed(machine.executor)}"),
        ("numerics", ", ".join(f"{name} {value}" for name, value in machine.determinism.items())),
        ("time", f"{cost.started} to {cost.ended}, {cost.wall_seconds / 60:.1f} of {budget.wall_minutes:g} minutes"),
        ("processor time", f"{cost.cpu_seconds / 3600:.3f} of {budget.cpu_hours:g} hours"),
    ]  # fmt: skip
    return [*told, *_models(record)]


def _handed(executor: ExecutorName | None) -> str:
    """Who handed out their work, where that was recorded."""
    words: dict[ExecutorName | None, str] = {None: "", "local": ", of one machine", "ray": ", of a Ray cluster"}
    return words[executor]


def _registered(manifest: Manifest) -> str:
    if manifest.registration is None:
        return "none: the study was not registered"
    return f"number {manifest.registration.number}, {manifest.registration.time}, {manifest.registration.hash()}"


def _elsewhere(manifest: Manifest) -> list[tuple[str, str]]:
    """What the registrant wrote of data seen before; the program never says that there were none."""
    if manifest.registration is None:
        return []
    said = manifest.registration.seen_elsewhere or "not asked (registered before this was required)"
    return [("seen elsewhere, by the registrant", said)]


def _models(record: Record) -> Iterable[tuple[str, str]]:
    for model in record.manifest.models:
        revision = f", revision {model.revision}" if model.revision else ""
        yield f"model {model_name(model.name)}", f"family {model.family}, {model.dtype}{revision}"
        yield f"weights of {model_name(model.name)}", f"SHA-256 {model.weights_hash}"
        yield f"tokenizer of {model_name(model.name)}", f"SHA-256 {model.tokenizer_hash}"


class UnitView(NamedTuple):
    """One finished unit of work and where its rows are."""

    stage: str
    what: str
    key: str
    has_rows: bool


def unit_views(record: Record) -> list[UnitView]:
    """Every unit, in the order of the stages."""
    order = get_args(StageName)
    units = sorted(
        record.units, key=lambda u: (order.index(u.cell.stage), u.cell.model, u.cell.tier, u.cell.seed, u.cell.start)
    )
    return [
        UnitView(
            unit.cell.stage,
            f"{model_name(unit.cell.model)}"
            + (
                f", {unit.cell.tier}, seed {unit.cell.seed}, items {unit.cell.start:,}–{unit.cell.stop - 1:,}"
                if unit.file_hash
                else ""
            ),
            unit.cell.hash()[:24],
            unit.file_hash is not None,
        )
        for unit in units
    ]
