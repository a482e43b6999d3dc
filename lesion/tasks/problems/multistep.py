"""Tier 4: arithmetic of several operations, answered at once or worked step by step.

A stratum holds the problems of one form; items take the forms in turn. A worked answer writes what is left of the
expression after each step: `(12+3)*4=` -> `15*4=60;`.
"""

from lesion.tasks.config import Form, MultistepConfig
from lesion.tasks.drawing.heldout import held_out
from lesion.tasks.drawing.numbering import Place, Stratum
from lesion.tasks.drawing.stratified import FewShotTask
from lesion.tasks.formats import STYLES, begun, example, question, reply, working
from lesion.tasks.problems.arithmetic import count_carries
from lesion.tasks.problems.counterfactual import Change, twin
from lesion.tasks.problems.expression import Grid, Step, filled, is_factor, steps, value
from lesion.tasks.task import Draw, Item, Segment


def signs_of(form: str) -> str:
    """The signs of a form in order, `+-` of `a+b-c`: with the operands, what `held_out` asks for."""
    return "".join(sign for sign in form if sign in "+-*")


def kind_of(form: str) -> str:
    """`brackets`, `precedence` (products and sums mixed) or `chain`."""
    if "(" in form:
        return "brackets"
    return "precedence" if "*" in form and set(form) & set("+-") else "chain"


def carrying(taken: list[Step]) -> str:
    """Carries and borrows over all steps: `none`, `one`, `cascading` (two or more), or `negative` on the way."""
    if any(step.result < 0 for step in taken):
        return "negative"
    sums = [(step.left, step.right) if step.sign == "+" else (step.result, step.right) for step in taken]
    count = sum(count_carries(*pair) for pair, step in zip(sums, taken, strict=True) if step.sign != "*")
    return ("none", "one", "cascading")[min(count, 2)]


class MultistepTask(FewShotTask):
    """Problems of a `MultistepConfig`, in lanes."""

    def __init__(self, config: MultistepConfig) -> None:
        self.config = config
        self._style = STYLES[config.format]
        self._grids = tuple(Grid(form, self._ranges(form)) for form in config.forms)
        self._strata = tuple(
            Stratum(f"multistep {grid.form} {grid.ranges} {grid.least}", grid.size) for grid in self._grids
        )

    def examples(self, draw: Draw, prefix: int = 0) -> tuple[Segment, ...]:
        """The few-shot examples of one prefix of a draw: its own order of the *shots* part, the forms in turn."""
        places = self._shots(draw, prefix, self.config.shots)
        problems = [(self._grids[p.stratum].form, self._grids[p.stratum].operands(p.number)) for p in places]
        shown = (example(self._question(*p), self._reply(*p), self._style) for p in problems)
        return tuple(segment for one in shown for segment in one)

    def _ranges(self, form: Form) -> list[tuple[int, int]]:
        config = self.config
        spans = {True: (config.factor_low, config.factor_high), False: (config.low, config.high)}
        return [spans[is_factor(form, letter)] for letter in sorted(filter(str.isalpha, form))]

    def _question(self, form: str, operands: tuple[int, ...]) -> tuple[Segment, ...]:
        names = iter(f"operand_{place}" for place in range(1, len(operands) + 1))
        roles = [next(names) if sign.isalpha() else "bracket" if sign in "()" else "operator" for sign in form]
        parts = list(zip(filled(form, operands), roles, strict=True))
        return question([*parts, ("=", "equals")], self._style)

    def _reply(self, form: str, operands: tuple[int, ...]) -> str:
        taken = steps(form, operands)
        if self.config.solution == "direct":
            return reply(taken[-1].result, self._style)
        left = [token for step in taken[:-1] for token in (*step.rest, "=")]
        worked = begun(self._style) + working(left, self._style)
        return worked + self._style.gap + self._style.answer(taken[-1].result) + self._style.end

    def _item(self, place: Place, examples: tuple[Segment, ...]) -> Item:
        grid = self._grids[place.stratum]
        operands = grid.operands(place.number)
        answer = self._reply(grid.form, operands)

        def changed(change: Change) -> tuple[int, ...]:
            return (*operands[: change.operand], change.value, *operands[change.operand + 1 :])

        def cost(change: Change) -> int:
            return abs(len(self._reply(grid.form, changed(change))) - len(answer))

        written = cost if self.config.solution == "worked" or self.config.format == "words" else None
        known = value(grid.form, operands)
        other = changed(twin(grid.described(operands), known, grid.form, *operands, cost=written))
        return Item(
            index=place.item,
            segments=examples + self._question(grid.form, operands),
            answer=answer,
            wrong=self._reply(grid.form, other),
            buckets=self._buckets(grid.form, operands),
            twin=examples + self._question(grid.form, other),
        )

    def _buckets(self, form: str, operands: tuple[int, ...]) -> dict[str, str]:
        return {
            "operator": signs_of(form),
            "form": form,
            "kind": kind_of(form),
            "carry": carrying(steps(form, operands)),
            "pair": "unseen" if held_out(signs_of(form), *operands) else "seen",
            "digits": "+".join(str(len(str(operand))) for operand in operands),
        }
