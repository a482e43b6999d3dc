"""The condition under which a row was measured: its role, the edit, how much of it, and which of several.

The arm's printable name is made from them, here and nowhere else; `condition_columns` has them as columns of tables.
"""

from typing import Literal, NamedTuple, get_args

Role = Literal["baseline", "placebo", "target", "control", "set", "within", "single", "staged", "random"]
"""Who is edited. `control` are the random sets of discovery, `set` the matched sets of specificity, `within` those of
the target's own layers; `single` is one head alone; `staged` and `random` are heads ablated cumulatively, in the order
of their scores and in a random order."""
Edit = Literal[
    "none", "scale", "zero", "mean", "median", "resample", "noising", "denoising", "knock_out", "steer"
]  # fmt: skip
ROLES: tuple[Role, ...] = get_args(Role)
EDITS: tuple[Edit, ...] = get_args(Edit)


class Condition(NamedTuple):
    """What is done to whom."""

    role: Role
    edit: Edit = "none"
    amount: float | None = None
    """Factor of a scaling; nothing for other edits."""
    member: str = ""
    """Number of a set, number of heads ablated cumulatively, or the name of a single head; else empty. In a study of
    several targets also the target's name: `early`, and `early:7` of its set 7."""

    @property
    def name(self) -> str:
        """Printable name of the arm: `baseline`, `target@0.5`, `set7@mean`, `L1H3@0`, `target:early@mean`."""
        colon = ":" if self.target else ""
        who = self.member if self.role == "single" else f"{self.role}{colon}{self.member}"
        if self.role in ("baseline", "placebo"):
            return who
        return f"{who}@{self.amount:g}" if self.amount is not None else f"{who}@{self.edit}"

    @property
    def target(self) -> str:
        """Name of the target that is edited, or that the set belongs to; empty where a study has one target."""
        name = self.member.partition(":")[0]
        return "" if self.role == "single" or not name or name.isdigit() else name


UNEDITED = Condition("baseline")


def placebo_of(target: str = "") -> Condition:
    """A target scaled by 1."""
    return Condition("placebo", "scale", 1.0, target)


def target(edit: Edit | float, name: str = "") -> Condition:
    """The target of this name under a factor or an ablation."""
    return condition("target", edit, name)


def member_of(target: str, member: object = "") -> str:
    """A member of a target's, as a condition has it: `7`, or `early:7` where the target has a name."""
    return ":".join(part for part in (target, str(member)) if part)


def condition(role: Role, edit: Edit | float, member: object = "") -> Condition:
    """A condition with a factor, or with an ablation by its name."""
    if isinstance(edit, str):
        return Condition(role, edit, None, str(member))
    return Condition(role, "scale", float(edit), str(member))
