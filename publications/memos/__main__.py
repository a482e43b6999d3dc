"""`python -m publications.memos PHASE`: makes the checks of a phase's exit criteria and writes the decision memo.

It belongs to this repository, runs in its root, and ends with 3 while a criterion is not met.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from lesion.errors import GateStop
from lesion.runs.check.verify import verify
from lesion.runs.folder.atomic_io import write_text
from lesion.runs.folder.clock import now
from lesion.runs.manifest.environment import read_code
from lesion.runs.manifest.run import read_manifest
from lesion.study.gates.evidence.model_answers import InstrumentAnswer
from publications.memos.memo import (
    Audited,
    Criterion,
    PhaseOneFacts,
    PhaseZeroFacts,
    phase0_criteria,
    phase0_memo,
    phase1_criteria,
    phase1_memo,
)
from publications.memos.publication import phase2_criteria, phase3_criteria, publication_memo, read_publication

PHASES = ("phase0", "phase1", "phase2", "phase3")
PUBLICATION = Path("publications/real-models")
CHECKS = (("ruff", "format", "--check", "."), ("ruff", "check", "."), ("pyright", "--pythonpath", sys.executable))


def main(arguments: list[str] | None = None) -> int:
    """Write the memo of a phase; 0 where it says Ready, else 3."""
    parser = argparse.ArgumentParser(prog="python -m publications.memos", description=__doc__)
    parser.add_argument("phase", choices=PHASES)
    parser.add_argument("--out", type=Path, default=Path("docs/memos"), help="Folder to write the memo to.")
    parser.add_argument("--publication", type=Path, default=PUBLICATION, help="Published study (phases 2 and 3).")
    given = parser.parse_args(arguments)
    if not Path("main.py").exists() or not Path("tests").is_dir():
        parser.error("a memo is made in the root of a checkout: main.py and tests/ are not here")
    text, criteria = _memo(given.phase, given.publication)
    path: Path = given.out / f"{given.phase}.md"
    write_text(path, text)
    unmet = [criterion.name for criterion in criteria if not criterion.met]
    print(f"{path}: {'Ready' if not unmet else 'Not ready: ' + '; '.join(unmet)}")
    return GateStop.exit_code if unmet else 0


def _memo(phase: str, publication: Path) -> tuple[str, tuple[Criterion, ...]]:
    """Text and criteria of a phase."""
    if phase == "phase0":
        facts = _gather()
        return phase0_memo(facts), phase0_criteria(facts)
    if phase == "phase1":
        seen = _audit()
        return phase1_memo(seen), phase1_criteria(seen)
    return _published(phase, publication)


def _published(phase: str, folder: Path) -> tuple[str, tuple[Criterion, ...]]:
    """Memo and criteria of a published study."""
    code, publication = read_code(), read_publication(folder, verify)
    stamp = f"{now().date().isoformat()}, commit `{code.commit or 'none'}`{' with changes' if code.dirty else ''}"
    criteria = phase2_criteria if phase == "phase2" else phase3_criteria
    return publication_memo(phase, publication, stamp), criteria(publication)


def _gather() -> PhaseZeroFacts:
    """Everything that the memo's criteria ask for, seen just now."""
    code = read_code()
    _tell("formatter, linter, type checker …")
    checked = all(_run(str(Path(sys.executable).parent / check[0]), *check[1:]).returncode == 0 for check in CHECKS)
    _tell("tests …")
    passed, failed, skipped = _tests()
    _tell("dry run and replay …")
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


def _audit() -> PhaseOneFacts:
    """Everything that the first audit asks for, seen just now, each by the command that anybody can repeat."""
    code = read_code()
    _tell("tests …")
    passed, failed, skipped = _tests()
    said = f"{passed} passed, {failed} failed, {skipped} skipped"
    checks = [Audited(name="Every test passes", command="make test", result=said, met=bool(passed) and failed == 0)]
    for name in AUDITED:
        _tell(f"doctor {name} …")
        checks.append(_doctored(name))
    _tell("the same diagnosis twice, dry run …")
    checks += [_repeated(), _wrong_head(), _rehearsed()]
    return PhaseOneFacts(
        date=now().date().isoformat(), commit=code.commit, dirty=code.dirty, checks=tuple(checks), limits=LIMITS
    )


def _doctored(name: str) -> Audited:
    """The sanity suite on one model, positive control included."""
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


def _repeated() -> Audited:
    """Diagnostics of synthetic prompts, twice."""
    command = ("measure", "zoo:abacus-llama", "--task", "symbolic", "--do", "zero L1H0+L1H1", "--items", "100")
    first, again = (_lesion("main.py", *command) for _ in range(2))
    same = first == again and "changes" in first
    result = f"identical documents, {len(first['changes'])} measures" if same else "the two documents differ"
    text = 'lesion measure zoo:abacus-llama --task symbolic --do "zero L1H0+L1H1" --items 100 --json'
    return Audited(name="The same diagnosis twice gives the same numbers", command=text, result=result, met=same)


def _wrong_head() -> Audited:
    """A head that there is not must be refused."""
    found = _lesion("main.py", "measure", "zoo:abacus-llama", "--do", "zero L9H99")
    refused = found.get("exit_code") == 2
    result = str(found.get("error", "it was accepted"))[:120]
    command = 'lesion measure zoo:abacus-llama --do "zero L9H99" --json'
    return Audited(
        name="An ablation of a head that there is not is refused", command=command, result=result, met=refused
    )


def _rehearsed() -> Audited:
    """The default study's interventions, in a dry run."""
    with tempfile.TemporaryDirectory() as home:
        ran = _lesion("main.py", "studies/arithmetic.yaml", "--dry-run", "--home", home)
    outcome = str(ran.get("outcome", ran.get("error")))
    command = "lesion run studies/arithmetic.yaml --dry-run"
    return Audited(
        name="Ablations of the default study pass a dry run", command=command, result=outcome, met=outcome == "complete"
    )


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _lesion(*arguments: str) -> dict[str, Any]:
    """The one JSON document of a command of ours."""
    done = _run(sys.executable, *arguments, "--json")
    try:
        return json.loads(done.stdout)
    except ValueError:
        return {"error": (done.stderr or done.stdout)[-300:]}


def _proofs(ran: dict[str, Any]) -> list[tuple[str, InstrumentAnswer]]:
    """What the instrument stage of a run measured, by model."""
    if "run" not in ran:
        return []

    return [*read_manifest(Path(ran["run"])).proofs().items()]


def _tests() -> tuple[int, int, int]:
    """Passed, failed (errors too) and skipped tests, as pytest counts them."""
    selection = ("-n", "2", "--dist", "loadfile", "-m", "not slow")
    done = _run(sys.executable, "-m", "pytest", "-q", "--no-header", *selection)
    counts = {kind: int(number) for number, kind in re.findall(r"(\d+) (passed|failed|errors?|skipped)", done.stdout)}
    failed = counts.get("failed", 0) + counts.get("error", 0) + counts.get("errors", 0)
    return counts.get("passed", 0), failed or int(done.returncode != 0), counts.get("skipped", 0)


if __name__ == "__main__":
    sys.exit(main())
