"""Writes the published paper and its review again, in any clone, when what writes them has been mended.

    .venv/bin/python publications/rewrite.py

The runs stay as they are sealed. Their rows, which are not published whole, are brought back by replaying each manifest
(some minutes); the paper accepts them only with the recorded hashes. Home of the rewriting is build/rewriting.
"""

import shutil
from pathlib import Path

import make

HOME = make.ROOT / "build" / "rewriting"
BROUGHT_BACK = ("items", "prompts", "units")


def laid_out() -> list[Path]:
    """A home that holds the published runs, their certificates, registrations and notes."""
    for each in make.OUT.glob("2*_*"):
        there = HOME / "runs" / each.name
        if each.is_dir() and not there.exists():
            shutil.copytree(each, there)
        elif each.is_file():
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(each, there)
    for name in ("registrations", "notes"):
        shutil.copytree(make.OUT / name, HOME / name, dirs_exist_ok=True)
    return [next((HOME / "runs").glob(f"*_{study}_*/manifest.json")).parent for study in make.STUDIES]


def bring_back(run: Path) -> None:
    """A published run's tables of every row, by a replay that must give the same rows."""
    if (run / BROUGHT_BACK[0]).is_dir():
        return
    replays = HOME / "replays"
    again = Path(make.lesion("replay", str(run), "--home", str(replays), "--workers", make.WORKERS)["run"])
    for part in BROUGHT_BACK:
        shutil.copytree(again / part, run / part)


def main() -> None:
    """All of it."""
    runs = laid_out()
    for run in runs:
        bring_back(run)
    written = HOME / "paper"
    make.lesion("paper", *(run.name for run in runs), "--home", str(HOME), "--out", str(written))
    shutil.rmtree(make.OUT / "paper")
    shutil.copytree(written, make.OUT / "paper")
    shutil.copytree(HOME / "notes", make.OUT / "notes", dirs_exist_ok=True)
    make.HOME = HOME
    make.reviewed()


if __name__ == "__main__":
    main()
