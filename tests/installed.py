"""What an installed package must do in an environment that holds nothing else; `make package` runs it with its Python.

Run it isolated (`python -I tests/installed.py`) and outside the repository, else its source would be found in place of
the installed one. It prints what each step took: a newcomer's first minutes, from the command line to a plot. Names of
steps as arguments leave the others out.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import distribution, distributions
from pathlib import Path

EXTRAS = ("ray", "lm-eval", "accelerate", "datasets", "rocrate", "pandas", "pytest", "mkdocs", "inspect-ai")


def lesion(*words: str) -> str:
    """Standard output of the installed command."""
    command = [str(Path(sys.executable).parent / "lesion"), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def is_whole() -> None:
    """The package is the installed one, with all that its record lists, and without what only extras need."""
    import lesion as package

    place = Path(package.__file__).parent
    assert "site-packages" in place.parts, f"{place} is no installed package: run with -I, outside the repository"
    files = distribution("lesion").files or []
    assert all(Path(str(file.locate())).exists() for file in files)
    assert (place / "py.typed").exists()
    assert list((place / "models" / "zoo").glob("*/model.safetensors"))
    there = {each.metadata["Name"].lower().replace("_", "-") for each in distributions()}
    assert not there & set(EXTRAS), f"an extra came along: {there & set(EXTRAS)}"


def answers() -> None:
    """Help, version, schemas and the shipped studies, without torch."""
    assert lesion("--version").strip() == distribution("lesion").version
    assert "heads" in lesion("--help")
    assert '"$defs"' in lesion("schema", "study")
    assert "arithmetic: zoo:abacus-llama" in lesion("new")


def proves() -> None:
    """An embedded model is opened and proved."""
    lesion("doctor", "zoo:abacus-llama")


def runs() -> None:
    """A copy of a shipped study, its dry run, report, replay and seal."""
    lesion("new", "arithmetic", "--out", "first.yaml")
    lesion("run", "first.yaml", "--dry-run", "--workers", "1")
    (folder,) = Path("runs").glob("*_first_*/manifest.json")
    assert (folder.parent / "report.html").stat().st_size > 100_000
    assert list((folder.parent / "figures").glob("*.svg"))
    lesion("verify", str(folder.parent))
    lesion("replay", str(folder.parent), "--workers", "1")


def plots() -> None:
    """One line measures an intervention, another draws it."""
    from lesion.lab import Lab, scale

    result = Lab("zoo:abacus-llama").run("arithmetic", do=scale("L1H0+L1H1", 0.0), items=100)
    assert result.receipt.firings > 0
    assert result.plot().save("plot.svg").read_text(encoding="utf-8").startswith("<svg")


STEPS: tuple[Callable[[], None], ...] = (is_whole, answers, proves, plots, runs)


def main() -> None:
    """Every step, or those that are named, in an empty folder; an assertion ends it."""
    import os

    steps = [step for step in STEPS if step.__name__ in (sys.argv[1:] or [each.__name__ for each in STEPS])]
    assert steps, f"the steps are {', '.join(step.__name__ for step in STEPS)}"
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for step in steps:
            begun = time.monotonic()
            step()
            print(f"{step.__name__:10} {time.monotonic() - begun:6.1f} s  {(step.__doc__ or '').strip()}")
        os.chdir("/")
    version = ".".join(map(str, sys.version_info[:3]))
    told = ", ".join(f"{name} {distribution(name).version}" for name in ("lesion", "torch", "transformers"))
    print(f"Python {version}, {told}: {', '.join(step.__name__ for step in steps)} work")


if __name__ == "__main__":
    main()
