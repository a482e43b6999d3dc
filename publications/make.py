"""Runs the published study from registration to paper, and puts what a reader needs into publications/.

    make publication        from a clean checkout; a step that is done is not done again

Every step is a command that anyone can type; they are printed as they run. Home of the runs is build/publication (out
of version control); the published folder holds slim runs, certificates, statistics, paper, registrations, notes.
"""

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
HOME, TIMING = ROOT / "build" / "publication", ROOT / "build" / "timing"
OUT = ROOT / "publications" / "induction-arithmetic"
STUDIES = ("induction-arithmetic", "induction-neurons")
RECIPES = ("recipes/two-layers.yaml", "recipes/one-layer.yaml")
BEGIN, END = "<!-- publication: written by make publication -->", "<!-- end of publication -->"
LIMIT_MINUTES = 60
WORKERS = "2"


def lesion(*arguments: str) -> dict[str, Any]:
    """A command of ours and its JSON document; what it takes is told."""
    started = time.monotonic()
    print("lesion", *arguments, flush=True)
    command = [str(Path(sys.executable).parent / "lesion"), *arguments, "--json"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"lesion {arguments[0]} ended with {done.returncode}: {done.stdout[-500:]}")
    print(f"    {time.monotonic() - started:.0f} s", flush=True)
    return json.loads(done.stdout)


def predicted() -> float:
    """Minutes that the planner predicts for runs and fresh replays together, at the rate of a timing run here.

    That run is the quick default study, in a home of its own.
    """
    if not list((TIMING / "runs").glob("*/manifest.json")):
        lesion("run", "studies/arithmetic.yaml", "--home", str(TIMING), "--workers", WORKERS)
    plans = [lesion("plan", f"studies/{name}.yaml", "--home", str(TIMING), "--workers", WORKERS) for name in STUDIES]
    minutes = sum(plan["budget"]["wall_minutes"]["expected"] for plan in plans)
    print(f"predicted: {minutes:.0f} minutes for the runs ({plans[0]['rate']['source']}) and as long again for their")
    print("fresh replays, on otherwise idle cores", flush=True)
    return 2 * minutes


def registered(study: str) -> None:
    """Freeze a study, unless it is frozen."""
    if not list((HOME / "registrations").glob(f"*_{study}_*.json")):
        lesion("register", f"studies/{study}.yaml", "--home", str(HOME))


def run_of(study: str) -> Path:
    """The confirmatory run of a study's newest registration, made or resumed."""
    registration = sorted((HOME / "registrations").glob(f"*_{study}_*.json"))[-1]
    for path in sorted((HOME / "runs").glob(f"*_{study}_*/manifest.json")):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        first = (manifest["kind"], manifest["command"], manifest["status"]) == ("run", "run", "confirmatory")
        if first and registration.stem.endswith(manifest["key"][:12]):
            return path.parent
    made = lesion("run", f"studies/{study}.yaml", "--home", str(HOME), "--workers", WORKERS)
    return Path(made["run"])


def repeated(run: Path) -> None:
    """The certificate of a fresh replay, made once."""
    if not run.with_name(f"{run.name}.certificate.json").exists():
        lesion("replay", str(run), "--fresh", "--trust", "--home", str(HOME), "--workers", WORKERS)


def formed() -> None:
    """Watch heads form: do induction heads come in a phase change, and only with two layers (Olsson et al. 2022)?"""
    if not list((HOME / "runs").glob("*_heads_*")):
        picture = str(HOME / "forming.svg")
        lesion(
            "heads", "--over-training", RECIPES[0], "--against", RECIPES[1], "--picture", picture, "--home", str(HOME)
        )


def published(runs: list[Path]) -> None:
    """The folder that goes into version control, made anew around the published runs."""
    OUT.mkdir(parents=True, exist_ok=True)
    keep = {run.name for run in runs} | {record.name for record in (HOME / "runs").glob("*_heads_*")}
    for old in OUT.glob("2*_*"):  # of an earlier publication
        if old.name.partition(".")[0] not in keep:
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    fresh = [run for run in runs if not (OUT / run.name).exists()]
    if fresh:
        lesion("publish", *map(str, fresh), "--to", str(OUT))
    for run in runs:
        for ending in ("stats.json", "stats.md"):
            shutil.copy2(run.with_name(f"{run.name}.{ending}"), OUT / f"{run.name}.{ending}")
    for name in ("registrations", "notes"):
        shutil.copytree(HOME / name, OUT / name, dirs_exist_ok=True)
    for record in (HOME / "runs").glob("*_heads_*"):
        shutil.copytree(record, OUT / record.name, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".lock"))
    shutil.copy2(HOME / "forming.svg", OUT / "forming.svg")


def written(runs: list[Path]) -> None:
    """Paper and page over all runs."""
    names = [run.name for run in runs]
    lesion("paper", *names, "--home", str(HOME), "--out", str(OUT / "paper"))
    lesion("report", *names, "--home", str(HOME), "--out", str(OUT / "across.html"))


INDEX = """\
# Induction heads, neurons and arithmetic in four small transformers

**Superseded: read [errata.md](errata.md) first.** The numbers of this study can be counted again; its conclusions
do not follow from them. "Specific" does not hold, the neurons' ablations do not agree, and the Nulls of tier 5
could not fail. Runs, pages, paper and memos are kept as they were sealed. A new study under an amended rule will
replace them.

{block}

| Here | What it is |
| --- | --- |
| `paper/` | the paper (PDF, Markdown, Typst) with its audit appendix; `claims.json` leads each number to its rows |
| `across.html` | one page over both runs, offline |
| `RUN/` | a run: `report.html`, `manifest.json`, `verdicts.json`, `figures/`; `rows.parquet` has every row |
| `RUN.certificate.json` | the run repeated from its manifest alone, in a new environment at its commit |
| `RUN.stats.md`, `.json` | gates and verdicts judged again from the rows, and nine other tests and intervals |
| `registrations/` | what was frozen before the data, as a chain |
| `notes/` | what was noticed; anomalies and rationales, by time |
| `*_heads_*/`, `forming.svg` | induction heads forming in two layers and not in one |
| `review.md`, `.json` | the paper's numbers once more, by other code |
| `errata.md`, `errata-tables.md` | what was found wrong after publication, and its numbers from the published rows |
| `phase2.md`, `phase3.md` | the decision memos: they checked the bookkeeping, not the conclusions |

## Two results of the literature

{literature}

## How to check

Before the registration a timing run of the quick default study measured this machine's speed.

```sh
lesion verify publications/induction-arithmetic/RUN
lesion replay publications/induction-arithmetic/RUN/manifest.json --fresh --trust
python publications/review.py publications/induction-arithmetic
```
"""


def index() -> None:
    """The folder's own README."""
    links = readme_block().replace("publications/induction-arithmetic/", "")
    (OUT / "README.md").write_text(INDEX.format(block=links, literature=literature()), encoding="utf-8")


def literature() -> str:
    """Two results of others that were looked for here; of the second nothing can be said."""
    record = json.loads(next(OUT.glob("*_heads_*/result.json")).read_text(encoding="utf-8"))
    forming = [f"  - {each['verdicts']['induction']}" for each in record["trainings"]]
    return "\n".join(
        [
            "- Two-layer models form induction heads in a phase change, one-layer models cannot (Olsson et al. 2022):",
            *forming,
            "- Ablating induction heads hurts arithmetic, amplifying them hardly helps (reported of larger models): not"
            " shown here. Random pairs of heads of the same layer hurt as much or more (errata.md).",
        ]
    )


def reviewed() -> None:
    """The paper's numbers by other code, and the memos of phases 2 and 3."""
    done = subprocess.run([sys.executable, str(ROOT / "publications" / "review.py"), str(OUT)], check=False, cwd=ROOT)
    if done.returncode:
        raise SystemExit("the review found numbers that differ; see review.md")
    for phase in ("phase2", "phase3"):
        command = [sys.executable, "-m", "publications.memos", phase]
        subprocess.run([*command, "--publication", str(OUT.relative_to(ROOT)), "--out", str(OUT)], check=True, cwd=ROOT)


def counted(kinds: list[str]) -> str:
    """How many there are of each."""
    return ", ".join(f"{many} {kind}" for kind, many in sorted(Counter(kinds).items()))


def readme_block() -> str:
    """What the README says of the publication: every number from its manifests, with run ids."""
    told: list[str] = []
    for study in STUDIES:
        path = next(OUT.glob(f"*_{study}_*/manifest.json"))
        manifest = json.loads(path.read_text(encoding="utf-8"))
        results, run = manifest["results"], manifest["run"]
        verdicts = counted([cell["verdict"] for cell in results["cells"].values()])
        others = counted([each["answer"] or "not tried" for each in results["replication"]["configurations"]])
        told.append(
            f"- [`{run}`](publications/induction-arithmetic/{run}/README.md): under the rule then used, since"
            f" withdrawn: {verdicts} of {len(results['cells'])} cells; on other models {others}."
        )
    return "\n".join([BEGIN, *told, END])


def readme() -> None:
    """The README's numbers, from the publication."""
    path = ROOT / "README.md"
    text = path.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    path.write_text(before + readme_block() + rest.partition(END)[2], encoding="utf-8")


def main() -> None:
    """All steps in order."""
    if predicted() > LIMIT_MINUTES:
        raise SystemExit(f"the planner predicts more than {LIMIT_MINUTES} minutes; nothing was begun")
    for study in STUDIES:
        registered(study)
    runs = [run_of(study) for study in STUDIES]
    steps: list[Callable[[], object]] = [
        formed,
        *(lambda run=run: lesion("stats", str(run), "--home", str(HOME)) for run in runs),
        *(lambda run=run: repeated(run) for run in runs),
        lambda: published(runs),
        lambda: written(runs),
        lambda: [lesion("verify", str(OUT / run.name), "--home", str(HOME)) for run in runs],
        reviewed,
        index,
        readme,
    ]
    for step in steps:
        step()
    print(f"published: {OUT}")


if __name__ == "__main__":
    main()
