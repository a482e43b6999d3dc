"""The memos of phases 2 and 3: exit criteria read off a publication's folder, and the decision that follows from them.

Nothing is taken on trust: every run is verified, its statistics and certificate are read, and the review's comparisons
are counted. A criterion whose evidence is not in the folder is not met.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lesion.errors import InputError
from lesion.outside.documents import read_json, read_object
from lesion.outside.files import read_text
from lesion.outside.tables import read_table
from lesion.report.wording.checks import edit_name
from lesion.report.wording.words import Unit, model_name, unit_of
from lesion.runs.check.certificate import is_certified, read_certificate
from lesion.runs.folder.published import is_published
from lesion.runs.manifest.run import Manifest, read_manifest
from lesion.study.gates.gate_verdict import BaselineEvidence
from lesion.study.plan import Chosen
from publications.memos.memo import Criterion, decision_memo

SPREAD = 0.03
"""The roadmap's limit for the baseline: accuracies of three seeds within so much (share)."""
SEEDS = 3
FAMILIES = 2
"""So many other model families a finding must be tried on."""

MOST_BYTES = 10_000_000
"""Of a paper, a review or statistics."""


class Publication(NamedTuple):
    """A publication's folder and its runs."""

    folder: Path
    runs: tuple[tuple[Path, Manifest], ...]
    faults: tuple[str, ...]
    """What `lesion verify` finds in them."""

    @property
    def manifests(self) -> list[Manifest]:
        """Of every run."""
        return [manifest for _, manifest in self.runs]


def read_publication(folder: Path, check: Callable[[Path], Iterable[Sequence[str]]]) -> Publication:
    """A publication.

    Args:
        folder: of the publication.
        check: names what is not as it was in a run, as `lesion.runs.check.verify.verify` does, which this room may not
        reach.

    Raises:
        InputError: when no run is published there.
    """
    runs = tuple((path, read_manifest(path)) for path in sorted(folder.glob("*")) if is_published(path))
    if not runs:
        raise InputError(f"{folder}: no published run is here; lesion publish makes one")
    faults = tuple(f"{path.name}: {' '.join(fault)}" for path, _ in runs for fault in check(path))
    return Publication(folder, runs, faults)


def phase2_criteria(publication: Publication) -> tuple[Criterion, ...]:
    """Core experiments: the roadmap's exit criteria of phase 2."""
    return (
        _every(publication, "The runs were registered before their data", _confirmatory),
        _every(
            publication,
            f"Baselines of {SEEDS} seeds lie within {100 * SPREAD:g} points, or the nats that the study fixed",
            _stable,
        ),
        _every(publication, "Interventions came after the baseline had passed", _in_order),
        _every(publication, "Runs name model, data and commit", _complete),
        _every(publication, "The scenario is decided, and a picture shows it", _decided, files=True),
        _statistics(publication),
        _intact(publication),
    )


def phase3_criteria(publication: Publication) -> tuple[Criterion, ...]:
    """Extension and publication: the roadmap's exit criteria of phase 3."""
    return (
        Criterion(f"Findings were tried on {FAMILIES} other model families", *_elsewhere(publication)),
        Criterion("Problems of several steps are among the tiers", *_multistep(publication)),
        _every(publication, "Every figure has its rows and its query", _linked, files=True),
        _statistics(publication),
        Criterion("A paper with labelled open questions and an audit of every run is there", *_paper(publication)),
        Criterion("Every run was repeated in a fresh environment", *_repeated(publication)),
        Criterion("A review by other code found every compared number as printed", *_reviewed(publication)),
        _intact(publication),
    )


def publication_memo(phase: str, publication: Publication, stamp: str) -> str:
    """The memo of a phase as Markdown."""
    criteria = phase2_criteria(publication) if phase == "phase2" else phase3_criteria(publication)
    how = "\n".join(
        [
            *(f"lesion verify {path}" for path, _ in publication.runs),
            *(f"lesion replay {path}/manifest.json --fresh --trust" for path, _ in publication.runs),
            f"python -m publications.referee {publication.folder}",
            f"python -m publications.memos {phase} --publication {publication.folder}",
        ]
    )
    title, purpose = {
        "phase2": ("phase 2, core experiments (the scenario decision)", "extension and publication"),
        "phase3": ("phase 3, extension and publication", "internal circulation"),
    }[phase]
    return decision_memo(title, purpose, stamp, criteria, how, [_scenarios(publication), *_record(phase, publication)])


Said = tuple[bool, str]


def _every(publication: Publication, name: str, ask: Callable[..., Said], *, files: bool = False) -> Criterion:
    """A criterion that every run must meet."""
    told = [(m.study.name, *(ask(path, m) if files else ask(m))) for path, m in publication.runs]
    return Criterion(name, "; ".join(f"{study}: {said}" for study, _, said in told), all(met for _, met, _ in told))


def _confirmatory(manifest: Manifest) -> Said:
    number = manifest.registration.number if manifest.registration else None
    return manifest.status == "confirmatory", f"{manifest.status}, registration {number or 'none'}"


def _stable(manifest: Manifest) -> Said:
    gates = [gate for gate in manifest.gates if gate.stage == "baseline"]
    cells = gates[-1].saw(BaselineEvidence).cells if gates else {}
    if not cells:
        return False, "no baseline"
    widest = max(cell.spread for cell in cells.values())
    seeds = min(len(cell.accuracies) for cell in cells.values())
    unit = unit_of(manifest.study)
    limit = manifest.study.baseline.spread if manifest.study.continuous else SPREAD
    met = gates[-1].outcome == "Pass" and widest < limit and seeds >= SEEDS
    return met, f"widest spread {unit.said(widest).lstrip('+')} {unit.name} over {seeds} seeds, {len(cells)} cells"


def _in_order(manifest: Manifest) -> Said:
    stages = [(gate.stage, gate.outcome) for gate in manifest.gates]
    if ("baseline", "Pass") not in stages:
        return False, "the baseline did not pass"
    passed = stages.index(("baseline", "Pass"))
    early = [stage for stage, _ in stages[:passed] if stage in ("discovery", "confirm", "transfer", "replicate")]
    return not early, "baseline passed first" if not early else f"{early[0]} came before"


def _complete(manifest: Manifest) -> Said:
    hashes = [model.weights_hash for model in manifest.models] + [data.dataset_hash for data in manifest.datasets]
    met = all(hashes) and manifest.code.commit is not None and not manifest.code.dirty
    state = "dirty" if manifest.code.dirty else "clean"
    said = f"{len(manifest.models)} models, {len(manifest.datasets)} data sets, commit"
    return met, f"{said} {(manifest.code.commit or 'none')[:12]} ({state})"


def _decided(path: Path, manifest: Manifest) -> Said:
    picture = (path / "figures" / "verdicts.svg").is_file()
    met = manifest.outcome == "complete" and bool(manifest.results.cells) and picture
    return met, f"{manifest.results.scenario}, {len(manifest.results.cells)} cells"


def _elsewhere(publication: Publication) -> tuple[str, bool]:
    """Families of all models that any run examined or replicated on: one, and as many others as are asked."""
    families = dict.fromkeys(model.family for manifest in publication.manifests for model in manifest.models)
    return ", ".join(families), len(families) > FAMILIES


def _multistep(publication: Publication) -> tuple[str, bool]:
    kinds = {task.task for manifest in publication.manifests for task in manifest.study.tasks.values()}
    return ", ".join(sorted(kinds)), "multistep" in kinds


def _linked(path: Path, manifest: Manifest) -> Said:
    drawn = sorted(picture.stem for picture in (path / "figures").glob("*.svg"))
    bare = [n for n in drawn if not all((path / "figures" / f"{n}.{end}").is_file() for end in ("csv", "sql"))]
    met = bool(drawn) and not bare and manifest.rows_hash != ""
    return met, f"{len(drawn)} figures" + (f", without rows: {', '.join(bare)}" if bare else "")


def _statistics(publication: Publication) -> Criterion:
    told: list[Said] = []
    for path, manifest in publication.runs:
        file = path.with_name(f"{manifest.run}.stats.json")
        document: Any = read_object(file, MOST_BYTES) if file.is_file() else {}
        agrees = document.get("seal") == manifest.seal and document.get("agrees") is True
        said = "recomputed from the rows, agrees" if agrees else "no agreeing statistics here"
        told.append((agrees, f"{manifest.study.name}: {said}"))
    name = "Statistics were recomputed from the rows and archived"
    return Criterion(name, "; ".join(said for _, said in told), all(met for met, _ in told))


def _intact(publication: Publication) -> Criterion:
    intact = f"{len(publication.runs)} runs intact, verdicts counted again from their rows"
    return Criterion("lesion verify finds nothing", "; ".join(publication.faults[:3]) or intact, not publication.faults)


def _paper(publication: Publication) -> tuple[str, bool]:
    folder = publication.folder / "paper"
    there = all((folder / name).is_file() for name in ("paper.pdf", "paper.md", "claims.json", "audit.parquet"))
    if not there:
        return "no paper here", False
    text = read_text(folder / "paper.md", MOST_BYTES)
    listed: list[str] = read_table(folder / "audit.parquet")["run"].to_list()
    missing = [manifest.run for manifest in publication.manifests if manifest.run not in listed]
    said = f"{text.count('Open question')} labelled open questions, {len(listed)} runs in the audit"
    return said, "Open question" in text and not missing


def _repeated(publication: Publication) -> tuple[str, bool]:
    told: list[tuple[bool, str]] = []
    for path, manifest in publication.runs:
        file = path.with_name(f"{manifest.run}.certificate.json")
        found = read_certificate(file) if file.is_file() else None
        told.append(
            (is_certified(file, manifest), f"{manifest.study.name}: {found.match if found else 'no certificate'}")
        )
    return "; ".join(said for _, said in told), all(good for good, _ in told)


def _reviewed(publication: Publication) -> tuple[str, bool]:
    file = publication.folder / "review.json"
    if not file.is_file():
        return "no review here", False
    found: Any = read_json(file, MOST_BYTES)
    every: Sequence[Any] = [*found["findings"], *found["claims"]]
    right = sum(bool(each["agrees"]) for each in every)
    return f"{right} of {len(every)} numbers and words agree", 0 < right == len(every)


def _scenarios(publication: Publication) -> str:
    lines = [f"- `{m.run}` ({m.status}): **{m.results.scenario}**" for m in publication.manifests]
    for manifest in publication.manifests:
        unit, cells = unit_of(manifest.study), manifest.results.cells
        for chosen in manifest.plan.family:
            if cell := cells.get(chosen.id):
                where = f"{model_name(chosen.model)}, {chosen.tier}, {edit_name(chosen.edit)}"
                said = f"  - {where}: {cell.verdict}, {unit.said(cell.delta)} {unit.name}"
                lines.append(said + _beside(manifest, chosen, unit))
    return "## Scenario\n\nBy the preregistered rule; cells in the family's order.\n\n" + "\n".join(lines)


def _beside(manifest: Manifest, chosen: Chosen, unit: Unit) -> str:
    """The other ablations of a cell of format 2, and its rank."""
    others = manifest.results.ablations.get(chosen.id, {})
    told = [f"{kind} {unit.said(each.delta)}" for kind, each in others.items() if kind != chosen.ablation]
    rank = manifest.results.ranks.get(chosen.id)
    told += [f"{rank.status}, rank {rank.rank} of {rank.sets + 1}"] if rank else []
    return f" ({'; '.join(told)})" if told else ""


def _record(phase: str, publication: Publication) -> Iterable[str]:
    """The review record of the publication."""
    file = publication.folder / "review.md"
    if phase == "phase3" and file.is_file():
        yield "## Review record\n\n" + read_text(file, MOST_BYTES).partition("\n\n")[2].split("| what")[0].strip()
