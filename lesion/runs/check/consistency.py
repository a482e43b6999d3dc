"""Whether a manifest's parts agree with each other, and with the files beside it: what a forger who seals anew forgets.

A seal shows a change by someone who does not seal again. These show one by someone who does, as long as a part is left
that tells the same fact a second time. That the rows give the gates and verdicts is
`lesion.runs.check.recompute_stats`'s to say.
"""

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from lesion.errors import InputError
from lesion.identity import content_hash
from lesion.outside.documents import read_json
from lesion.outside.files import read_text
from lesion.outside.tables import read_table
from lesion.runs.execute.conduct import same_weights
from lesion.runs.folder.find import MOST_MANIFEST_BYTES
from lesion.runs.folder.run_folder import RunFolder
from lesion.runs.manifest.run import Manifest
from lesion.study.format.load import parse_document
from lesion.study.gates.evidence.model_answers import InstrumentAnswer
from lesion.study.results import Results
from lesion.study.study import Study

ORDER = ["model", "tier", "split", "seed", "index"]
CELL = ("model", "stage", "tier", "split", "seed", "start", "stop")
"""What a row of receipts says of its unit's cell."""
TOLD = ("arm", "firings", "elements", "l2_change")
"""What it says at least."""


def contradictions(folder: Path, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """What contradicts what: part and words. Reads the files; they must be those of the manifest."""
    yield from _study(manifest)
    if (folder / "units").is_dir():
        yield from _questions(folder, manifest)
        yield from _units(folder, manifest)
        yield from _files(folder, manifest)


def _study(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """The study is told four times."""
    if manifest.study.hash() != manifest.study_hash:
        yield "study", "does not give the recorded study_hash"
    if manifest.plan.study.hash() != manifest.study_hash:
        yield "plan", "is of another study"
    if manifest.seeds != {"study": manifest.study.seed}:
        yield "seeds", "are not the study's"
    if manifest.plan_hashes and manifest.plan_hashes[-1] != manifest.plan.hash():
        yield "plan", "does not give the last of the recorded plan_hashes"
    if manifest.status == "confirmatory" and (
        manifest.registration is None or manifest.registration.hash() != manifest.key
    ):
        yield "status", "is confirmatory, and the items were not drawn by the hash of a registration"
    try:
        written = parse_document(manifest.study_text, "study.yaml", Study, {"lesion": manifest.study.lesion})
    except InputError:
        yield "study_text", "is not a study any more"
        return
    if written.hash() != manifest.study_hash and manifest.status != "dry-run":
        yield "study_text", "is another study than the one that was run"


def _questions(folder: Path, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """The ordered questions give the recorded dataset hashes."""
    prompts = RunFolder(folder).prompts()
    kinds = {(fact.model, fact.tier, fact.split, fact.seed) for fact in manifest.datasets}
    if kinds != {*prompts.select("model", "tier", "split", "seed").unique().rows()}:
        yield "datasets", "are not those of the questions that were asked"
    for fact in manifest.datasets:
        asked = prompts.filter(
            (prompts["model"] == fact.model)
            & (prompts["tier"] == fact.tier)
            & (prompts["split"] == fact.split)
            & (prompts["seed"] == fact.seed)
        ).sort(ORDER)
        if content_hash([asked["item_id"].to_list(), asked["prompt_hash"].to_list()]) != fact.dataset_hash:
            yield (
                "prompts",
                f"of {fact.model}, {fact.tier}, {fact.split}, seed {fact.seed} are not the recorded dataset",
            )


def _units(folder: Path, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """The units are those that the manifest lists, with their rows; what the model's proof said stands in both."""
    run = RunFolder(folder)
    units = list(run.units())
    if {run.key(unit.cell): unit.rows_hash for unit in units} != {fact.key: fact.rows_hash for fact in manifest.units}:
        yield "units", "are not those that the manifest lists"
    if abs(sum(unit.cpu_seconds for unit in units) - manifest.cost.cpu_seconds) > 1e-6:
        yield "cost", "has another number of processor seconds than the units"
    weights: dict[str, str] = {}
    for unit in units:
        if not same_weights(weights, unit.cell.model, unit.engine):
            yield unit.cell.model, "was measured with other weights in one unit than in another"
    proofs = {u.cell.model: u for u in sorted(units, key=lambda u: u.cell.seed) if u.cell.stage == "instrument"}
    if {facts.name for facts in manifest.models} != {*proofs}:
        yield "models", "are not those that were proved"
    for facts in manifest.models:
        proof = proofs.get(facts.name)
        answer = proof.answer if proof is not None else None
        if not isinstance(answer, InstrumentAnswer):
            yield facts.name, "has no proof"
            continue
        if (facts.weights_hash, facts.tokenizer_hash) != (answer.weights_hash, answer.tokenizer_hash):
            yield facts.name, "has another weights or tokenizer hash than its proof"
        copied = content_hash(facts.answer) if facts.answer else answer.recorded_hash()
        if copied != answer.recorded_hash() or manifest.proofs().get(facts.name, answer) != answer:
            yield facts.name, "is described otherwise than in the proof of the instrument stage"


def _files(folder: Path, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """The verdicts and the study beside the manifest are its own."""
    path = folder / "verdicts.json"
    if path.is_file() and _results(path) != manifest.results:
        yield "verdicts.json", "does not tell the manifest's results"
    path = folder / "receipts.parquet"
    if path.is_file():
        written = read_table(path).to_dicts()
        given = [
            {name: getattr(unit.cell, name) for name in CELL} | {"arm": each.arm} | each.receipt.model_dump()
            for unit in RunFolder(folder).units()
            for each in unit.receipts
        ]
        told = [{name: row.get(name) for name in wrote} for row, wrote in zip(given, written, strict=False)]
        if len(written) != len(given) or told != written or any(not {*TOLD} <= {*row} for row in written):
            yield "receipts.parquet", "does not hold the receipts of the units"
    path = folder / "study.yaml"
    if path.is_file() and read_text(path, MOST_MANIFEST_BYTES) != manifest.study_text:
        yield "study.yaml", "is not the manifest's study_text"


def _results(path: Path) -> Results | None:
    """The results in `verdicts.json`; nothing where the file holds something else."""
    try:
        return Results.model_validate(read_json(path, MOST_MANIFEST_BYTES))
    except ValidationError:
        return None
