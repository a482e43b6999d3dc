"""`lesion memo PHASE`: gathers the evidence by running the checks themselves, and writes the decision memo."""

# ruff: noqa: PLC0415  (commands import what they need)

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lesion.cli.app import SCREEN, Json, app, say
from lesion.cli.common.recorded import recorded, wrote
from lesion.errors import GateStop, InputError, nearest

if TYPE_CHECKING:
    from lesion.report.memos.memo import Audited, Criterion, PhaseOneFacts, PhaseZeroFacts
    from lesion.study.gates.model_answers import InstrumentAnswer

PHASES = ("phase0", "phase1", "phase2", "phase3")
PUBLICATION = Path("publications/induction-arithmetic")
CHECKS = (("ruff", "format", "--check", "."), ("ruff", "check", "."), ("pyright", "--pythonpath", sys.executable))


@app.command()
@recorded("memo", outputs=("out",))
def memo(
    phase: Annotated[str, typer.Argument(help="Phase: phase0, phase1, phase2 or phase3.")],
    out: Annotated[Path, typer.Option(help="Folder to write the memo to.")] = Path("docs/memos"),
    publication: Annotated[Path, typer.Option(help="Folder of the published study (phases 2 and 3).")] = PUBLICATION,
    as_json: Json = False,
) -> int:
    """Check a phase's exit criteria and write its decision memo. Run it in the repository."""
    from lesion.report.memos.memo import phase0_criteria, phase0_memo, phase1_criteria, phase1_memo
    from lesion.runs.folder.atomic_io import write_text

    if phase not in PHASES:
        raise InputError(f"there is no memo '{phase}'; {nearest(phase, PHASES)}")
    if not Path("main.py").exists() or not Path("tests").is_dir():
        raise InputError("a memo is made in the root of a checkout: main.py and tests/ are not here")
    if phase == "phase0":
        facts = _gather(quiet=as_json)
        text, criteria = phase0_memo(facts), phase0_criteria(facts)
    elif phase == "phase1":
        seen = _audit(quiet=as_json)
        text, criteria = phase1_memo(seen), phase1_criteria(seen)
    else:
        text, criteria = _published(phase, publication)
    path = out / f"{phase}.md"
    write_text(path, text)
    wrote(path)
    unmet = [criterion.name for criterion in criteria if not criterion.met]
    words = f"{path}: {'Ready' if not unmet else 'Not ready: ' + '; '.join(unmet)}"
    say({"memo": str(path), "ready": not unmet, "unmet": unmet}, as_json, words)
    return GateStop.exit_code if unmet else 0


def _published(phase: str, folder: Path) -> "tuple[str, tuple[Criterion, ...]]":
    """Memo and criteria of a published study."""
    from lesion.report.memos.publication import phase2_criteria, phase3_criteria, publication_memo, read_publication
    from lesion.runs.check.verify import verify
    from lesion.runs.folder.clock import now
    from lesion.runs.manifest.environment import read_code

    code, publication = read_code(), read_publication(folder, verify)
    stamp = f"{now().date().isoformat()}, commit `{code.commit or 'none'}`{' with changes' if code.dirty else ''}"
    criteria = phase2_criteria if phase == "phase2" else phase3_criteria
    return publication_memo(phase, publication, stamp), criteria(publication)


def _gather(*, quiet: bool) -> "PhaseZeroFacts":
    """Everything that the memo's criteria ask for, seen just now."""
    from lesion.report.memos.memo import PhaseZeroFacts
    from lesion.runs.folder.clock import now
    from lesion.runs.manifest.environment import read_code

    def tell(text: str) -> None:
        if not quiet:
            SCREEN.print(text, markup=False)

    code = read_code()
    tell("formatter, linter, type checker …")
    checked = all(_run(str(Path(sys.executable).parent / check[0]), *check[1:]).returncode == 0 for check in CHECKS)
    tell("tests …")
    passed, failed, skipped = _tests()
    tell("dry run and replay …")
    with tempfile.TemporaryDirectory() as home:
        dry = _lesion("main.py", "--dry-run", "--home", home)
        rehearsed = _lesion("main.py", "studies/arithmetic.yaml", "--dry-run", "--home", home)
        again = _lesion("main.py", "replay", dry["run"], "--home", home) if "run" in dry else {}
        answers = [answer for ran in (dry, rehearsed) for answer in _proofs(ran)]
    identities = [identity.holds for _, answer in answers for identity in answer.identities]
    return PhaseZeroFacts(
        date=now().date().isoformat(),
        commit=code.commit,
        dirty=code.dirty,
        tests_passed=passed,
        tests_failed=failed,
        tests_skipped=skipped,
        checks_passed=checked,
        dry_run_outcome=dry.get("outcome", dry.get("error")),
        dry_run=Path(dry["run"]).name if "run" in dry else None,
        identities_held=sum(identities),
        identities_tried=len(identities),
        models_proved=tuple(name for name, _ in answers),
        placebo_bit_equal=all(answer.placebo_bit_equal for _, answer in answers) if answers else None,
        replay_of=Path(dry["run"]).name if again else None,
        replay_match=again.get("match"),
    )


AUDITED = ("zoo:abacus-llama", "tiny:gpt2", "tiny:gpt_neox", "tiny:gemma2", "tiny:qwen3")
"""Models that the audit goes through: the trained one, and one for each way a block can be built."""
LIMITS = (
    "the path to a CUDA device was tested on a make-believe one: nothing is known of a real one",
    "the diagnostics were tried on models of up to some million parameters; memory and time beyond are forecasts",
    "zero ablation is off-distribution: a claim needs mean and resample ablation beside it",
)


def _audit(*, quiet: bool) -> "PhaseOneFacts":
    """Everything that the first audit asks for, seen just now, each by the command that anybody can repeat."""
    from lesion.report.memos.memo import Audited, PhaseOneFacts
    from lesion.runs.folder.clock import now
    from lesion.runs.manifest.environment import read_code

    def tell(text: str) -> None:
        if not quiet:
            SCREEN.print(text, markup=False)

    code = read_code()
    tell("tests …")
    passed, failed, skipped = _tests()
    said = f"{passed} passed, {failed} failed, {skipped} skipped"
    checks = [Audited(name="Every test passes", command="make test", result=said, met=bool(passed) and failed == 0)]
    for name in AUDITED:
        tell(f"doctor {name} …")
        checks.append(_doctored(name))
    tell("the same diagnosis twice, dry run …")
    checks += [_repeated(), _wrong_head(), _rehearsed()]
    return PhaseOneFacts(
        date=now().date().isoformat(), commit=code.commit, dirty=code.dirty, checks=tuple(checks), limits=LIMITS
    )


def _doctored(name: str) -> "Audited":
    """The sanity suite on one model, positive control included."""
    from lesion.report.memos.memo import Audited

    found = _lesion("main.py", "doctor", name, "--full")
    result = found.get("error")
    if "checks" in found:
        every = [*found["identities"], *found["checks"]]
        held = sum(one["holds"] for one in every)
        result = (
            f"{held} of {len(every)} hold, noise {found['noise_floor']:.0e} nats, engine {found['engine']['engine']}"
        )
    command = f"lesion doctor {name} --full"
    return Audited(
        name=f"The instrument holds on {name}", command=command, result=result, met=bool(found.get("healthy"))
    )


def _repeated() -> "Audited":
    """Diagnostics of synthetic prompts, twice."""
    from lesion.report.memos.memo import Audited

    command = ("measure", "zoo:abacus-llama", "--task", "symbolic", "--do", "zero L1H0+L1H1", "--items", "100")
    first, again = (_lesion("main.py", *command) for _ in range(2))
    same = first == again and "changes" in first
    result = f"identical documents, {len(first['changes'])} measures" if same else "the two documents differ"
    text = 'lesion measure zoo:abacus-llama --task symbolic --do "zero L1H0+L1H1" --items 100 --json'
    return Audited(name="The same diagnosis twice gives the same numbers", command=text, result=result, met=same)


def _wrong_head() -> "Audited":
    """A head that there is not must be refused."""
    from lesion.report.memos.memo import Audited

    found = _lesion("main.py", "measure", "zoo:abacus-llama", "--do", "zero L9H99")
    refused = found.get("exit_code") == 2
    result = str(found.get("error", "it was accepted"))[:120]
    command = 'lesion measure zoo:abacus-llama --do "zero L9H99" --json'
    return Audited(
        name="An ablation of a head that there is not is refused", command=command, result=result, met=refused
    )


def _rehearsed() -> "Audited":
    """The default study's interventions, in a dry run."""
    from lesion.report.memos.memo import Audited

    with tempfile.TemporaryDirectory() as home:
        ran = _lesion("main.py", "studies/arithmetic.yaml", "--dry-run", "--home", home)
    outcome = str(ran.get("outcome", ran.get("error")))
    command = "lesion run studies/arithmetic.yaml --dry-run"
    return Audited(
        name="Ablations of the default study pass a dry run", command=command, result=outcome, met=outcome == "complete"
    )


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _lesion(*arguments: str) -> dict[str, Any]:
    """The one JSON document of a command of ours."""
    done = _run(sys.executable, *arguments, "--json")
    try:
        return json.loads(done.stdout)
    except ValueError:
        return {"error": (done.stderr or done.stdout)[-300:]}


def _proofs(ran: dict[str, Any]) -> "list[tuple[str, InstrumentAnswer]]":
    """What the instrument stage of a run measured, by model."""
    if "run" not in ran:
        return []
    from lesion.runs.manifest.run import read_manifest

    return [*read_manifest(Path(ran["run"])).proofs().items()]


def _tests() -> tuple[int, int, int]:
    """Passed, failed (errors too) and skipped tests, as pytest counts them."""
    selection = ("-n", "2", "--dist", "loadfile", "-m", "not slow")
    done = _run(sys.executable, "-m", "pytest", "-q", "--no-header", *selection)
    counts = {kind: int(number) for number, kind in re.findall(r"(\d+) (passed|failed|errors?|skipped)", done.stdout)}
    failed = counts.get("failed", 0) + counts.get("error", 0) + counts.get("errors", 0)
    return counts.get("passed", 0), failed or int(done.returncode != 0), counts.get("skipped", 0)
