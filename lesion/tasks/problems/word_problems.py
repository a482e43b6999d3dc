"""Tier 5: word problems from templates of our own, answered at once or worked step by step.

A stratum holds the problems of one template; items take the templates in turn, and the `template` bucket is the
cluster of the analysis. Names and things follow from the numbers, so no two items differ in names alone.
"""

from string import Formatter

from lesion.tasks.config import Template, WordProblemsConfig
from lesion.tasks.drawing.numbering import Place, Stratum, chosen
from lesion.tasks.drawing.stratified import FewShotTask
from lesion.tasks.problems.counterfactual import Change, twin
from lesion.tasks.problems.expression import Grid, steps
from lesion.tasks.problems.multistep import signs_of
from lesion.tasks.problems.word_templates import DISTRACTORS, NAMES, STORIES, THINGS
from lesion.tasks.task import Draw, Item, Segment

_GROUPS = (2, 9)


def worked(form: str, operands: tuple[int, ...]) -> str:
    """A solution step by step: `12 + 30 = 42, 42 - 5 = 37 #### 37`."""
    taken = steps(form, operands)
    return ", ".join(f"{s.left} {s.sign} {s.right} = {s.result}" for s in taken) + f" #### {taken[-1].result}"


def told(text: str, values: dict[str, str]) -> tuple[Segment, ...]:
    """The segments of a text: numbers have roles, with the space before them."""
    segments: list[Segment] = []
    plain = ""
    for literal, field, _, _ in Formatter().parse(text):
        plain += literal
        if field in ("name", "other", "thing"):
            plain += values[field]
        elif field:
            space = " " if plain.endswith(" ") else ""
            role = "distractor" if field == "x" else f"operand_{'abcd'.index(field) + 1}"
            segments += [Segment(plain.removesuffix(" "), ""), Segment(space + values[field], role)]
            plain = ""
    return (*segments, Segment(plain, ""), Segment("\nAnswer:", "cue"))


class WordProblemsTask(FewShotTask):
    """Problems of a `WordProblemsConfig`, in lanes."""

    def __init__(self, config: WordProblemsConfig) -> None:
        self.config = config
        self._grids = tuple(self._grid(template) for template in config.templates)
        self._strata = tuple(
            Stratum(f"word problem {template} {grid.ranges}", grid.size)
            for template, grid in zip(config.templates, self._grids, strict=True)
        )

    def examples(self, draw: Draw, prefix: int = 0) -> tuple[Segment, ...]:
        """The few-shot examples of one prefix of a draw: its own order of the *shots* part, the templates in turn."""
        places = self._shots(draw, prefix, self.config.shots)
        return tuple(self._example(self.config.templates[p.stratum], p.stratum, p.number) for p in places)

    def _example(self, template: Template, stratum: int, number: int) -> Segment:
        operands = self._grids[stratum].operands(number)
        asked = "".join(segment.text for segment in self._question(template, operands, operands))
        return Segment(asked + self._reply(STORIES[template].form, operands), "shot")

    def _grid(self, template: Template) -> Grid:
        story = STORIES[template]
        letters = sorted(filter(str.isalpha, story.form))
        quantities = (self.config.low, self.config.high)
        return Grid(story.form, [_GROUPS if letter in story.groups else quantities for letter in letters], least=1)

    def _question(self, template: Template, surface: tuple[int, ...], operands: tuple[int, ...]) -> tuple[Segment, ...]:
        """The text of a problem; `surface` decides on the names, so that a twin keeps them."""
        name = chosen(len(NAMES), "name", template, *surface)
        other = (name + 1 + chosen(len(NAMES) - 1, "other", template, *surface)) % len(NAMES)
        values = {
            "name": NAMES[name],
            "other": NAMES[other],
            "thing": THINGS[chosen(len(THINGS), "thing", template, *surface)],
            "x": str(self.config.low + chosen(self.config.high - self.config.low + 1, "x", template, *surface)),
            **{"abcd"[place]: str(operand) for place, operand in enumerate(operands)},
        }
        story = STORIES[template]
        extra = DISTRACTORS[chosen(len(DISTRACTORS), "distractor", template, *surface)] + " "
        return told(f"Question: {story.text} {extra if self.config.distractor else ''}{story.ask}", values)

    def _reply(self, form: str, operands: tuple[int, ...]) -> str:
        direct = self.config.solution == "direct"
        return f" {steps(form, operands)[-1].result if direct else worked(form, operands)}\n"

    def _item(self, place: Place, examples: tuple[Segment, ...]) -> Item:
        template, grid = self.config.templates[place.stratum], self._grids[place.stratum]
        operands = grid.operands(place.number)
        result, answer = steps(grid.form, operands)[-1].result, self._reply(grid.form, operands)

        def changed(change: Change) -> tuple[int, ...]:
            return (*operands[: change.operand], change.value, *operands[change.operand + 1 :])

        def cost(change: Change) -> int:
            return abs(len(self._reply(grid.form, changed(change))) - len(answer))

        other = changed(twin(grid.described(operands), result, template, *operands, cost=cost))
        return Item(
            index=place.item,
            segments=examples + self._question(template, operands, operands),
            answer=answer,
            wrong=self._reply(grid.form, other),
            buckets={
                "template": template,
                "operator": signs_of(grid.form),
                "steps": str(len(steps(grid.form, operands))),
                "digits": str(len(str(result))),
            },
            twin=examples + self._question(template, operands, other),
        )
