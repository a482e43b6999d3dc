"""Commands that carry a study: run, register and replay."""

# ruff: noqa: PLC0415  (commands import what they need)

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lesion.cli.app import SCREEN, WORKERS, Cluster, Home, Json, Memory, RunPath, StudyFile, Workers, app, out, say
from lesion.cli.common.recorded import replay_call
from lesion.errors import BudgetSpent, GateStop, InputError, NotReproduced
from lesion.outside.files import MOST_TEXT_BYTES, read_text

if TYPE_CHECKING:
    from lesion.runs.execute.run import Ran


@app.command()
def run(
    study: StudyFile,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Run every stage with the smallest numbers of items, to try the study.")
    ] = False,
    home: Home = Path(),
    workers: Workers = WORKERS,
    memory: Memory = None,
    cluster: Cluster = "",
    as_json: Json = False,
) -> int:
    """Run a study. The same command resumes an interrupted run."""
    from lesion.study.format.load import runnable_study

    given, text = runnable_study(study), read_text(study, MOST_TEXT_BYTES)

    from lesion.report.page.write import write_report
    from lesion.report.terminal.run import print_run, progress_bar
    from lesion.runs.execute.explore import exploring
    from lesion.runs.execute.finish import Order
    from lesion.runs.execute.prepare import prepare_plan
    from lesion.runs.execute.run import finished, start
    from lesion.runs.index.ledger import missed
    from lesion.runs.index.registrations import standing
    from lesion.study.dry_run import rehearse
    from lesion.study.forecast.feasibility import foreseen

    unentered = missed(home)  # before the ledger is opened, which enters them
    parameters = {"study": study.name, "dry_run": dry_run, "workers": workers, "memory": memory, "cluster": cluster}
    if dry_run:
        order = Order(study=rehearse(given), text=text, status="dry-run", parameters=parameters)
    else:
        counts = standing(home, given)
        order = Order(given, text, counts.status, "run", counts.key, counts.registration, counts.deviations)
        order = order._replace(parameters=parameters)
        if not as_json:
            for line in foreseen(prepare_plan(given, order.key or "any")):
                SCREEN.print(line, markup=False, soft_wrap=not SCREEN.is_terminal)
    ran = finished(order, home, unentered)
    if ran is not None:
        SCREEN.print(
            f"{ran.folder.name} was finished by a command that ended before the ledger had it, and is entered now; "
            "run the same command again for another run",
            markup=False, soft_wrap=True,
        )  # fmt: skip
    else:
        with progress_bar(SCREEN, quiet=as_json) as progress:
            most = None if memory is None else int(memory * 2**30)
            ran = start(order, home, workers, progress, exploring(write_report), most, cluster)
    keep(ran, home, as_json)
    if not as_json:
        print_run(out(), ran.folder, ran.manifest)
    if ran.budget_spent:
        return BudgetSpent.exit_code
    return GateStop.exit_code if ran.manifest.outcome == "stopped" else 0


@app.command()
def register(
    study: StudyFile,
    seen: Annotated[str, typer.Option(help="What you have already seen of these models and tasks. Required.")] = "",
    reason: Annotated[str, typer.Option(help="Reason for amending a registered study.")] = "",
    ledger: Annotated[
        list[Path] | None, typer.Option(help="Further home folder to search for earlier runs. Can be repeated.")
    ] = None,
    witness: Annotated[
        bool, typer.Option("--witness", help="Also write a digest that you can commit, post or time-stamp.")
    ] = False,
    home: Home = Path(),
    as_json: Json = False,
) -> int:
    """Preregister a study: freeze it before its data. Its hash then draws the confirmation items."""
    from lesion.runs.execute.coverage import references_ahead
    from lesion.runs.execute.prepare import prepare_plan
    from lesion.runs.index.registrations import register as freeze
    from lesion.runs.index.timestamp import write_witness
    from lesion.study.forecast.feasibility import foreseen
    from lesion.study.format.load import runnable_study
    from lesion.study.selftest.selftest import trial

    trial()
    given = runnable_study(study)
    told = foreseen(prepare_plan(given, "any")) + references_ahead(given)
    text = read_text(study, MOST_TEXT_BYTES)
    registration, path = freeze(home, given, text, reason, seen=seen, ledgers=ledger or ())
    document: dict[str, Any] = {"registration": registration.hash(), "file": str(path), "clean": registration.clean}
    document |= {"earlier": list(registration.earlier), "ledgers": registration.ledgers, "foreseen": told}
    words = "\n".join([str(path), f"registered as {registration.hash()}", *told])
    words += f"\n{len(registration.earlier)} earlier run(s) on these models in {registration.ledgers} ledger(s)"
    if witness:
        document["witness"] = str(write_witness(registration, path))
        words += f"\nGive {document['witness']} to an outside witness before the run: see docs/registration.md."
    if not registration.clean:
        words += "\nThe tree is dirty (or no checkout): a run of it will be exploratory. Commit, then amend."
    say(document, as_json, words)
    return 0


@app.command()
def replay(
    manifest: RunPath,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Run the recorded commit with its packages in a new environment.")
    ] = False,
    trust: Annotated[
        bool, typer.Option("--trust", help="With --fresh: allow running the code that the manifest names.")
    ] = False,
    repository: Annotated[Path | None, typer.Option(help="With --fresh: a checkout that contains the commit.")] = None,
    home: Home = Path(),
    workers: Workers = WORKERS,
    as_json: Json = False,
) -> int:
    """Repeat a run from its manifest alone, and compare every row."""
    from lesion.runs.manifest.base import kind_of, raw_manifest

    if kind_of(raw_manifest(manifest)) == "call" and not fresh:
        return replay_call(manifest, home, as_json)

    from lesion.report.page.write import write_report
    from lesion.report.terminal.run import print_replay, progress_bar
    from lesion.runs.check.replay import replay as repeat
    from lesion.runs.check.replay import reproduced
    from lesion.runs.execute.explore import exploring
    from lesion.runs.index.ledger import check_seal
    from lesion.runs.manifest.run import read_manifest

    check_seal(home, read_manifest(manifest))
    if fresh:
        return _replay_fresh(manifest, repository, home, workers, trust=trust, as_json=as_json)
    if trust or repository is not None:
        raise InputError("--trust and --repository belong to --fresh")
    with progress_bar(SCREEN, quiet=as_json) as progress:
        ran = repeat(manifest, home, workers, progress, exploring(write_report))
    keep(ran, home, as_json)
    if not as_json:
        print_replay(out(), manifest, ran.folder, ran.manifest)
    return 0 if reproduced(ran.manifest) else NotReproduced.exit_code


def _replay_fresh(path: Path, repository: Path | None, home: Path, workers: int, *, trust: bool, as_json: bool) -> int:
    from lesion.report.terminal.records import dossier_words
    from lesion.runs.check.clean_replay import dossier, replay_fresh
    from lesion.runs.manifest.environment import PACKAGE
    from lesion.runs.manifest.run import REPRODUCED, read_manifest

    where = repository or PACKAGE.parent
    shown = dossier(read_manifest(path), where)
    if not as_json:
        print(dossier_words(shown.model_dump(mode="json")), flush=True)
    if not trust:
        raise InputError("nothing was run: a fresh replay runs what this manifest names; look at it, then add --trust")

    def tell(text: str) -> None:
        SCREEN.print(text, markup=False)

    found = replay_fresh(path, home, where, workers, None if as_json else tell)
    words = f"{found.replay} repeats {found.run}: {found.match}"
    if found.other_packages:
        words += f"\nother packages: {', '.join(found.other_packages)}"
    say(found.model_dump(mode="json"), as_json, words)
    return 0 if found.match in REPRODUCED else NotReproduced.exit_code


def keep(ran: "Ran", home: Path, as_json: bool) -> None:
    """Enter a finished run into the ledger, and print it for programs."""
    from lesion.runs.index.ledger import finish

    manifest = ran.manifest
    finish(home, manifest)
    if as_json:
        document = {
            "run": str(ran.folder),
            "rows_hash": manifest.rows_hash,
            "status": manifest.status,
            "outcome": manifest.outcome,
            "reason": manifest.ending.reason,
            "scenario": manifest.results.scenario,
            "verdicts": {name: cell.verdict for name, cell in manifest.results.cells.items()},
            "match": manifest.match,
            "report": str(ran.folder / "report.html"),
        }
        print(json.dumps(document))
