"""The roadmap's entry point: translates its arguments and calls the command line, nothing else.

`python main.py study.yaml …` is `lesion run study.yaml …`; `python main.py --dry-run …` without a study walks the tiny
study `studies/dry-run.yaml` down the whole line; everything else (`replay …`, `--help`) goes through as it is.
"""

import sys
from pathlib import Path

from lesion.cli import main

DRY_RUN_STUDY = Path(__file__).resolve().parent / "studies" / "dry-run.yaml"


def translate(arguments: list[str]) -> list[str]:
    """The arguments of `lesion` that these arguments of `main.py` mean.

    >>> translate(["my.yaml", "--json"])
    ['run', 'my.yaml', '--json']
    >>> translate(["verify", "RUN"])
    ['verify', 'RUN']
    >>> translate(["--dry-run", "--json"])[::2], translate(["--json", "my.yaml"]), translate(["--help"])
    (['run', '--dry-run'], ['run', '--json', 'my.yaml'], ['--help'])
    """
    if not arguments or is_command(arguments[0]):
        return arguments
    if not arguments[0].startswith("-") or any(argument.endswith((".yaml", ".yml")) for argument in arguments):
        return ["run", *arguments]
    return ["run", str(DRY_RUN_STUDY), *arguments] if "--dry-run" in arguments else arguments


def is_command(argument: str) -> bool:
    """Whether the argument is a word such as `run` or `replay`, neither an option nor a file."""
    return argument.isidentifier()


if __name__ == "__main__":
    main(translate(sys.argv[1:]))
