"""Runs the registered studies on real language models, repeats them, and publishes what came out.

    make publication        from a clean checkout; a step that is done is not done again

The studies and their registrations lie in publications/real-models. Each model is fetched first, with `lesion get`. A
step is a command that anyone can type; they are printed as they run. Home of the runs is build/real-models (out of
version control). A run of a registered study takes one to three hours of one core, and its replay as long again.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lesion.errors import LesionError
from lesion.runs.check.certificate import read_certificate
from lesion.runs.manifest.run import REPRODUCED, Match, read_manifest
from publications import below_floor, buckets, discovery_sets, other_answers, set_heads, set_sizes

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / "build" / "real-models"
OUT = ROOT / "publications" / "real-models"
LATER = ("qwen-larger",)
STUDIES = (
    "real-sums",
    "real-repeats",
    "gemma-sums",
    "gemma-repeats",
    "qwen-sums",
    "qwen-repeats",
    "sum-heads",
    "sum-pattern",
    "single-heads",
    "qwen-induction",
    "operand-heads",
    "sum-rescue",
    "sum-neurons",
    "qwen-operands",
    *LATER,
)
WAITING = dict.fromkeys(LATER, "registered on 30 November 2026, not run to its end yet")
"""Registered studies that are not run yet, and why."""
BEGIN, END = "<!-- publication: written by make publication -->", "<!-- end of publication -->"
WORKERS = "2"
STOPPED = 3
"""Exit code of a run that a gate stopped: it is sealed and published as it is."""


def lesion(*arguments: str, allowed: tuple[int, ...] = (0,)) -> dict[str, Any]:
    """A command of ours and its JSON document; what it takes is told."""
    started = time.monotonic()
    print("lesion", *arguments, flush=True)
    command = [str(Path(sys.executable).parent / "lesion"), *arguments, "--json"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in allowed:
        raise SystemExit(f"lesion {arguments[0]} ended with {done.returncode}: {done.stdout[-500:]}")
    print(f"    {time.monotonic() - started:.0f} s", flush=True)
    return json.loads(done.stdout)


def registered() -> None:
    """Bring the published registrations into the home, so that runs count as confirmatory."""
    shutil.copytree(OUT / "registrations", HOME / "registrations", dirs_exist_ok=True)


def published_run(study: str) -> Path | None:
    """The published confirmatory run of a study, if there is one."""
    for path in sorted(OUT.glob(f"*_{study}_*/manifest.json")):
        if json.loads(path.read_text(encoding="utf-8"))["status"] == "confirmatory":
            return path.parent
    return None


def run_of(study: str) -> Path:
    """The sealed confirmatory run of a study in the home, made or resumed; a run from before an amendment is none."""
    file = f"{OUT.relative_to(ROOT)}/studies/{study}.yaml"
    wanted = ("run", "confirmatory", (ROOT / file).read_text(encoding="utf-8"))
    for path in sorted((HOME / "runs").glob(f"*_{study}_*/manifest.json")):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if (manifest["command"], manifest["status"], manifest["study_text"]) == wanted:
            return path.parent
    made = lesion("run", file, "--home", str(HOME), "--workers", WORKERS, allowed=(0, STOPPED))
    return Path(made["run"])


def published(study: str) -> None:
    """A study's run in the published folder, with its statistics; the run is last, for it says that this is done."""
    if published_run(study) is not None:
        return
    if study in WAITING:
        print(f"{study}: {WAITING[study]}", flush=True)
        return
    run = run_of(study)
    lesion("stats", str(run), "--home", str(HOME))
    for ending in ("stats.json", "stats.md"):
        shutil.copy2(run.with_name(f"{run.name}.{ending}"), OUT / f"{run.name}.{ending}")
    lesion("publish", str(run), "--to", str(OUT))


def repeated(run: Path) -> None:
    """A published run repeated from its manifest in a fresh environment, once; its certificate stands beside it."""
    if repetition(run) is not None:
        return
    lesion("replay", str(run / "manifest.json"), "--fresh", "--trust", "--home", str(HOME), "--workers", WORKERS)
    made = HOME / "runs" / f"{run.name}.certificate.json"
    shutil.copy2(made, OUT / made.name)


def repetition(run: Path) -> Match | None:
    """How a published run came out again in a fresh environment, by the certificate beside it; none without one."""
    try:
        found = read_certificate(run.with_name(f"{run.name}.certificate.json"))
    except LesionError:
        return None
    return found.match if found.run_seal == read_manifest(run).seal else None


def is_repeated(run: Path) -> bool:
    """Whether a published run came out again, within the noise of its machine."""
    return repetition(run) in REPRODUCED


def written(runs: list[Path]) -> None:
    """The paper over all published runs; one whose full rows are not in the home is read as it is published."""
    for run in runs:
        if not (HOME / "runs" / run.name).is_dir():
            shutil.copytree(run, HOME / "runs" / run.name)
    for certificate in OUT.glob("*.certificate.json"):
        shutil.copy2(certificate, HOME / "runs" / certificate.name)
    lesion("runs", "--rebuild", "--home", str(HOME))
    lesion("paper", *(run.name for run in runs), "--home", str(HOME), "--out", str(OUT / "paper"))


def explored() -> None:
    """The exploratory pages over all published runs."""
    for page in (buckets, set_heads, set_sizes, other_answers, below_floor, discovery_sets):
        page.main()


def reviewed() -> None:
    """Everything again, by other code."""
    done = subprocess.run([sys.executable, "-m", "publications.referee", str(OUT)], check=False, cwd=ROOT)
    if done.returncode:
        raise SystemExit(
            f"the review ended with {done.returncode}; 4 means that numbers differ, and review.md has them"
        )


def told(study: str, manifest: dict[str, Any]) -> Iterator[str]:
    """A line for each cell of a run."""
    results = manifest["results"]
    unit = "points" if manifest["study"]["claims"]["outcome"] == "accuracy" else "nats"
    scale = 100 if unit == "points" else 1
    for name, cell in results["cells"].items():
        model, tier, arm = name.rsplit("|", 2)
        who, _, edit = arm.partition("@")
        heads, edit = who.partition(":")[2] or "target", f"×{edit}" if edit[0].isdigit() else edit
        rank = (results.get("specific") or {}).get(name)
        words = cell["verdict"] + (", ablations disagree" if "ablation_dependent" in cell["tags"] else "")
        change = "not judged" if cell["delta"] is None else _span(cell, scale)
        place = (
            f"{rank['status']}, rank {rank['rank']} of {rank['sets'] + 1}" if rank and rank["effects"] else "not asked"
        )
        cells = (study, model.partition(":")[2], f"{heads}, {edit}", tier, words, f"{change} {unit}", place)
        yield f"| {' | '.join(cells)} |"


def _span(cell: dict[str, Any], scale: float) -> str:
    low, middle, high = (scale * cell[key] for key in ("ci_low", "delta", "ci_high"))
    return f"{middle:+.2f} ({low:+.2f} to {high:+.2f})".replace("-", "−")


def ended() -> dict[str, Path]:
    """Studies that have a published run, in their order."""
    return {study: run for study in STUDIES if (run := published_run(study)) is not None}


def listing() -> str:
    """A table of all cells and links to all runs: the publication's page has it."""
    names = ("study", "model", "edit", "task", "verdict", "change", "specific")
    lines = [f"| {' | '.join(names)} |", f"|{' --- |' * len(names)}"]
    runs = {study: f"- {study}: registered, not ended." for study in STUDIES}
    for study, run in ended().items():
        lines += told(study, json.loads((run / "manifest.json").read_text(encoding="utf-8")))
        match = repetition(run)
        repeat = "not yet repeated" if match is None else f"{match} when repeated"
        runs[study] = f"- {study}: [`{run.name}`]({run.name}/README.md), {repeat} in a fresh environment."
    return "\n".join([BEGIN, *lines, "", *runs.values(), END])


def front() -> str:
    """How far the studies are: the project's front page has it."""
    done = ended()
    repeats = [study for study, run in done.items() if is_repeated(run)]
    verdicts = [study for study, run in done.items() if repetition(run) == "verdict-equal"]
    waiting = [study for study in STUDIES if study not in done]
    lines = [
        f"{len(done)} of {len(STUDIES)} registered studies have ended: {', '.join(done)}.",
        f"Repeated in a fresh environment: {', '.join(repeats) or 'none yet'}.",
        *([f"Repeated, with equal verdicts and not all answers equal: {', '.join(verdicts)}."] if verdicts else []),
        *([f"Not ended: {', '.join(waiting)}."] if waiting else []),
    ]
    return "\n".join([BEGIN, *lines, END])


def pages() -> None:
    """What the README of the publication and that of the project say of the runs."""
    for path, text in ((OUT / "README.md", listing()), (ROOT / "README.md", front())):
        before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
        path.write_text(before + text + rest.partition(END)[2], encoding="utf-8")


def main() -> None:
    """All steps in order: new runs, repeats, exploratory pages, paper, review, what the front pages say."""
    registered()
    for study in STUDIES:
        published(study)
    runs = [*ended().values()]
    for run in runs:
        repeated(run)
    explored()
    written(runs)
    reviewed()
    pages()
    print(f"published: {OUT}")


if __name__ == "__main__":
    main()
