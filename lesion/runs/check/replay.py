"""Replay: the run again, from its manifest alone, in another folder, and every row compared.

The grades stand in compare.py.
"""

from functools import partial
from pathlib import Path

from lesion.errors import Tampered
from lesion.runs.check.compare import compare_rows, grade_of, noise_floor
from lesion.runs.check.verify import verify, weights
from lesion.runs.execute.conduct import Progress, Reading
from lesion.runs.execute.finish import Order, WriteReport
from lesion.runs.execute.run import Ran, start
from lesion.runs.folder.published import is_published
from lesion.runs.folder.run_folder import RunFolder
from lesion.runs.manifest.run import REPRODUCED, Manifest, Match, read_manifest
from lesion.study.plan import Plan
from lesion.study.results import Results
from lesion.study.rows import rows_hash
from lesion.study.stages.overrun import as_before


def replay(path: Path, home: Path, workers: int, progress: Progress, report: WriteReport) -> Ran:
    """Repeat the run of a manifest and compare. The result's manifest holds `match`.

    Raises:
        InputError: when there is no manifest.
        Tampered: when the manifest, the rows beside it or a model's weights are not those of the run.
    """
    manifest = read_manifest(path)
    folder = path if path.is_dir() else path.parent
    beside = (folder / "units").is_dir()
    if faults := (verify(path) if beside or is_published(folder) else weights(manifest)):
        listed = "; ".join(f"{what} {fault}" for what, fault in faults[:5])
        raise Tampered(f"{folder.name}: not replayed, for the run is not what it was: {listed}")
    order = Order(
        study=manifest.study,
        text=manifest.study_text,
        status=manifest.status,
        command="replay",
        key=manifest.key,
        registration=manifest.registration,
        deviations=manifest.deviations,
        replay_of=manifest.seal,
        parameters={"manifest": manifest.run, "workers": workers},
        afford=partial(_put_off_again, manifest.plan),
        compare=partial(grade, manifest, folder if beside else None),
    )
    return start(order, home, workers, progress, report)


def _put_off_again(old: Plan, plan: Plan, reading: Reading) -> Plan:  # noqa: ARG001
    """What its run put off, a replay puts off."""
    return as_before(old, plan)


def grade(manifest: Manifest, original: Path | None, again: RunFolder, results: Results) -> Match:
    """How the rows and results of a replay compare with those of its run.

    Args:
        manifest: of the run.
        original: its folder, when its rows are at hand; without them only equal hashes can be told from other rows.
        again: the replay's folder.
        results: the replay's findings.
    """
    items = again.items()
    same = rows_hash(items) == manifest.rows_hash
    found = None if same or original is None else compare_rows(RunFolder(original).items(), items)
    alike = results.words() == manifest.results.words()
    return grade_of(found, noise_floor(manifest), same_hash=same, same_verdicts=alike)


def reproduced(manifest: Manifest) -> bool:
    """Whether a replay is bit-equal to its run, or within the noise floor."""
    return manifest.match in REPRODUCED
