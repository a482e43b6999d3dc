"""The shipped defences in the order in which a user meets them; each says what it found, or nothing.

A refusal counts only as a `LesionError`: a traceback of any other kind is a crash, and no defence.
"""

import contextlib
import io
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from lesion.cli import app
from lesion.cli.app import SCREEN
from lesion.cli.common.recorded import replay_call
from lesion.device import cache_folder
from lesion.engine.batch import batches
from lesion.engine.proof.prove import examine
from lesion.engine.reference import run as run_reference
from lesion.engine.select_engine import choose
from lesion.errors import InterventionError, LesionError
from lesion.identity import generator
from lesion.interventions.intervention import Scale
from lesion.interventions.site import head
from lesion.models.model import open_model
from lesion.runs.check.recompute_stats import recount
from lesion.runs.check.replay import replay, reproduced
from lesion.runs.check.verify import verify
from lesion.runs.execute.finish import Order
from lesion.runs.execute.run import start
from lesion.runs.folder.run_folder import RunFolder
from lesion.runs.index.ledger import check_seal, enter
from lesion.runs.index.registrations import read_chain
from lesion.runs.manifest.command import read_call
from lesion.runs.manifest.run import Manifest, read_manifest
from lesion.runs.measure import worker_state as worker
from lesion.study.format.load import parse_document
from lesion.study.selftest.selftest import WRONGLY, trial
from lesion.study.study import Study
from lesion.tasks.tokenizers.prompt_contract import Compiled
from tests.faults.fault import Caught, Finished

STUDY = """\
name: faults
question: Does a fault go unseen?
models: [tiny:llama]
tasks:
  tier1: {task: arithmetic, low: 10, high: 49, shots: 1}
block: 64
baseline: {items: 64, spread: 0.9}
sweep: {target: {kind: sites, sites: [L0H1]}, items: 64, alphas: [0.0], best: 1, controls: 1}
claims: {prefixes: 4}
verdict: {margin: 0.5, effect: 0.5, spread: 0.9}
"""


MEASURE = ("measure", "tiny:llama", "--do", "scale L0H1 0.5", "--task", "arithmetic high=9 shots=0", "--items", "12")
"""The command whose record is spoiled."""


def order(text: str = STUDY) -> Order:
    """The small study that every fault of a run is put into."""
    return Order(study=parse_document(text, "faults.yaml", Study), text=text, status="exploratory")


def quiet(*_: object) -> None:
    """Progress that nobody watches, and a run without its pictures."""


def forget() -> None:
    """What a process and its cache keep: opened models, proofs, engines, and that gates and tests were tried."""
    shutil.rmtree(cache_folder() / "proofs", ignore_errors=True)
    for kept in (worker.opened, worker.chosen, worker.plain, trial):
        kept.cache_clear()


def ask_model(name: str, *, run: bool = True) -> Iterator[Caught]:
    """Receipts, identities and the engines' agreement on a model; then a whole run, where that is wanted."""
    model = open_model(name)
    rng = generator("faults")
    rows = [tuple(map(int, rng.integers(2, model.sizes.vocab_size, 9))) for _ in range(3)]
    (batch,) = batches([Compiled(ids, {}, ids[7:], ids[7:], 7, None) for ids in rows], 3)
    try:
        run_reference(model, batch, Scale(sites=(head(0, 1),), alpha=0.0))
    except InterventionError as refused:
        yield Caught("receipt and hook count", str(refused))
    try:
        failed = [identity for identity in examine(model) if not identity.holds]
    except InterventionError as refused:
        yield Caught("identity", str(refused))
    else:
        for identity in failed[:1]:
            yield Caught("identity", f"'{identity.name}' fails: {identity.note or f'error {identity.error:.2g}'}")
    choice = choose(model).choice
    if choice.engine != "fast":
        yield Caught("agreement of the engines", choice.note)
    if run:
        yield from ask_run()


def ask_run() -> Iterator[Caught]:
    """A whole run, and what is asked of its folder afterwards."""
    with tempfile.TemporaryDirectory() as home:
        forget()
        try:
            ran = start(order(), Path(home), 1, quiet, quiet)
        except LesionError as refused:
            yield _refusal(refused)
            return
        finally:
            forget()
        yield from _said_by(ran.folder, ran.manifest)
        yield from ask_record(Finished(Path(home), ran.folder, ran.manifest, ran.folder))


def _said_by(folder: Path, manifest: Manifest) -> Iterator[Caught]:
    """What the run itself says of a fault."""
    if manifest.outcome == "stopped":
        stage = manifest.gates[-1].stage if manifest.gates else "budget"
        yield Caught(f"gate of the {stage} stage", manifest.ending.reason)
    for unit in RunFolder(folder).units():
        error = unit.engine.get("sample_error", 0.0)
        if unit.engine.get("engine") == "reference":
            yield Caught("sample of a cell against the reference", f"differs by {error:.2g} nats; the cell went plain")
    for cell in manifest.results.cells.values():
        if cell.verdict == "Invalid":
            yield Caught("cell's rows (Invalid)", cell.reason)


def ask_record(run: Finished) -> Iterator[Caught]:
    """Verify, ledger, registrations, the statistics once more, and a replay of a finished run."""
    try:
        for what, fault in verify(run.folder):
            yield Caught("verify", f"{what} {fault}")
        manifest = read_manifest(run.folder)
        yield from _refused("ledger", lambda: check_seal(run.home, manifest))
        yield from _refused("chain of registrations", lambda: read_chain(run.home))
        document = recount(run.folder).document
        if not document["agrees"]:
            yield Caught("recount", f"differs in {', '.join(document['differing'])}")
        with tempfile.TemporaryDirectory() as home:
            forget()
            again = replay(run.folder, Path(home), 1, quiet, quiet)
            if not reproduced(again.manifest):
                yield Caught("replay", f"the rows are {again.manifest.match}")
    except LesionError as refused:
        yield _refusal(refused)


def ask_call(run: Finished) -> Iterator[Caught]:
    """Verify, ledger and a replay of the record of a command."""
    try:
        for what, fault in verify(run.call):
            yield Caught("verify", f"{what} {fault}")
        yield from _refused("ledger", lambda: check_seal(run.home, read_call(run.call)))
        with contextlib.redirect_stdout(io.StringIO()) as said:
            code = replay_call(run.call, run.home, as_json=False)
        if code:
            yield Caught("replay", said.getvalue().partition(": ")[2])
    except LesionError as refused:
        yield _refusal(refused)


def _refusal(refused: LesionError) -> Caught:
    """What ended the run or the question; the trial before a run has a name of its own."""
    words = str(refused)
    if words.startswith(WRONGLY):
        return Caught("trial of gates and tests", words.removeprefix(WRONGLY).partition(". Install")[0])
    return Caught(f"refusal ({type(refused).__name__})", words)


def _refused(defence: str, ask) -> Iterator[Caught]:
    try:
        ask()
    except LesionError as refused:
        yield Caught(defence, str(refused))


def prepare() -> None:
    """What a process that runs a study fixes, once."""
    torch.set_num_threads(1)
    worker.prepare()


def finished() -> Finished:
    """A sound run with its ledger entry, to be copied for every fault of a record; the caller removes its home."""
    home = Path(tempfile.mkdtemp())
    ran = start(order(), home, 1, quiet, quiet)
    enter(home, ran.manifest)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        app(["-q", *MEASURE, f"--home={home}"], standalone_mode=False)
    SCREEN.quiet = False
    (call,) = (home / "runs").glob("*_measure_*")
    return Finished(home, ran.folder, ran.manifest, call)


@contextlib.contextmanager
def copied(run: Finished) -> Iterator[Finished]:
    """A copy that a fault may spoil."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        home = Path(folder) / "home"
        shutil.copytree(run.home, home)
        runs = home / "runs"
        yield Finished(home, runs / run.folder.name, run.manifest, runs / run.call.name)
