"""The one tree of errors. Each kind carries the exit code that the command line ends with.

Use the most specific kind. A message says what was asked, what there is, the nearest valid name, and the fix.
"""

import difflib
from collections.abc import Iterable


class LesionError(Exception):
    """Anything that this laboratory refuses or finds wrong."""

    exit_code = 1


class InputError(LesionError):
    """A study, a name, a file or an argument that cannot be used as given."""

    exit_code = 2


class InterventionError(InputError):
    """A site that does not exist, or an intervention that did not act as it must."""


class GateStop(LesionError):
    """A gate stopped the study; the note in the run folder says why."""

    exit_code = 3


class NotReproduced(LesionError):
    """A replay whose rows differ beyond the noise floor."""

    exit_code = 4


class Tampered(LesionError):
    """An artefact whose hash is not the recorded one."""

    exit_code = 5


class BudgetSpent(LesionError):
    """The preregistered budget is used up."""

    exit_code = 6


INTERRUPTED_EXIT_CODE = 130


def nearest(asked: str, allowed: Iterable[str]) -> str:
    """The tail of an error message: the nearest valid name, then what is allowed.

    >>> nearest("inducton", ["induction", "previous_token"])
    "did you mean 'induction'? allowed: induction, previous_token"
    """
    names = sorted(allowed)
    close = difflib.get_close_matches(asked, names, n=1, cutoff=0.5)
    listed = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    return (f"did you mean '{close[0]}'? " if close else "") + f"allowed: {listed}"
