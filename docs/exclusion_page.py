"""Writes docs/exclusion.md and its picture from docs/exclusion.jsonl; what was fixed beforehand stands in exclusion.py.

Run: python docs/exclusion_page.py
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import altair as alt
import numpy as np
import polars as pl
import vl_convert
from exclusion import DRAWS, KINDS, PROMPTS, REFERENCE, SEQUENCES, SHARE, WIDER, read
from numpy.typing import NDArray

from lesion.measures.attribution.target import mean_interval
from lesion.report.figures.figures import VEGA_LITE, themed
from lesion.report.figures.parts.charts import constants, data, finished
from lesion.report.figures.parts.palette import CONTROL, TARGET
from lesion.report.wording.words import signed
from lesion.stats.intervals import wilson

HERE = Path(__file__).parent
PAGE, PICTURE = HERE / "exclusion.md", HERE / "images" / "exclusion.svg"
FLOOR = 0.25
"""Share of right answers up to which the unedited model is at its floor in a word map."""
MEASURES = ("few_shot", "repeats")
Numbers = NDArray[np.float64]


class Change(NamedTuple):
    """A paired difference with its interval."""

    delta: float
    low: float
    high: float

    def said(self, digits: int = 2, scale: float = 1.0) -> str:
        """For a table."""
        mean, *ends = (signed(scale * each, digits) for each in self)
        return f"{mean} ({ends[0]} to {ends[1]})"


class Measured(NamedTuple):
    """What was measured of one model."""

    name: str
    rows: Sequence[Mapping[str, Any]]

    @property
    def design(self) -> Mapping[str, Any]:
        """Heads, weights and day."""
        return next(row for row in self.rows if row["measure"] == "design")

    @property
    def maps(self) -> list[str]:
        """Word maps that were asked."""
        return [row["map"] for row in self.rows if row["measure"] == "few_shot" and row["arm"] == "full"]

    def draws(self, kind: str) -> list[str]:
        """The random sets beside one list."""
        return [name for name in self.design["arms"] if name.startswith("random") and name.endswith(f"for {kind}")]

    def few(self, arm: str, metric: str) -> Numbers:
        """A metric of every prompt, map by map; of the random sets beside a list, the mean over the sets."""
        if arm.startswith("random for "):
            return np.mean([self.few(name, metric) for name in self.draws(arm.removeprefix("random for "))], 0)
        rows = {row["map"]: row[metric] for row in self.rows if row["measure"] == "few_shot" and row["arm"] == arm}
        return np.concatenate([np.array(rows[name], dtype=np.float64) for name in self.maps])

    def clusters(self) -> NDArray[Any]:
        """The map of every prompt."""
        rows = {row["map"]: row["right"] for row in self.rows if row["measure"] == "few_shot" and row["arm"] == "full"}
        return np.concatenate([[name] * len(rows[name]) for name in self.maps])

    def copies(self, arm: str) -> Numbers:
        """Mean loss in both copies, (2, sequences)."""
        if arm.startswith("random for "):
            return np.mean([self.copies(name) for name in self.draws(arm.removeprefix("random for "))], 0)
        row = next(row for row in self.rows if row["measure"] == "repeats" and row["arm"] == arm)
        return np.array([row["first"], row["second"]])

    def change(self, measure: str, one: str, other: str, metric: str = "nats") -> Change:
        """One condition minus another: over maps in few-shot, over sequences in repeated tokens."""
        if measure == "few_shot":
            return Change(*mean_interval(self.few(one, metric) - self.few(other, metric), self.clusters()))
        mine, theirs = (each[1] - each[0] for each in (self.copies(one), self.copies(other)))
        return Change(*mean_interval(mine - theirs))

    def tested(self, measure: str) -> tuple[Change, Change]:
        """What decides on their claim: one list against the other, and against its random heads."""
        mine, other = KINDS[::-1] if measure == "few_shot" else KINDS
        return self.change(measure, mine, other), self.change(measure, mine, f"random for {mine}")

    def verdict(self, measure: str) -> str:
        """Their claim, as fixed before the measurement."""
        side = -1 if measure == "few_shot" else 1
        lists, control = ((side * each.low, side * each.high) for each in self.tested(measure))
        if min(*lists, *control) > 0:
            return "as they claim"
        return "against their claim" if max(lists) < 0 else "not shown"

    def floors(self) -> list[str]:
        """Maps of which the unedited model answers almost nothing."""
        right, maps = self.few("full", "right"), self.clusters()
        return [name for name in self.maps if right[maps == name].mean() <= FLOOR]


def models(rows: Sequence[Mapping[str, Any]]) -> list[Measured]:
    """By model, in the order in which they are listed."""
    found = [Measured(name, [row for row in rows if row["model"] == name]) for name in SEQUENCES]
    return [each for each in found if each.rows]


OPENING = """<!-- made from docs/exclusion.jsonl: python docs/exclusion_page.py -->

# Induction heads and function-vector heads without each other

{answer}

![What each ablation changes, by model and measure](images/exclusion.svg)

Yin and Steinhardt ([arXiv 2502.14010](https://arxiv.org/abs/2502.14010)) report for twelve models of 70M to 7B
parameters: few-shot accuracy is carried by function-vector heads, the token-loss difference by induction heads. Some
heads are both, so they ablate the top of each list without the top of the other. This is a small version of that.

| Claim | {columns} |
|---|{rules}|
{claims}

- **Heads**: the top {share} of one list that are not among the top {wider} of the other, by the scores of
  publications/real-models/heads.json. Random heads: as many of the same layers that are in neither top {wider}, in
  up to {draws} different sets. Where a layer has few such heads, the sets share most of theirs.
- **Ablation**: at every token, the mean over all tokens of reference prompts takes the place of a head's output. For a
  word map these are {reference} prompts of each *other* map, so the mean keeps the format of the prompts and no map.
- **Few-shot**: {prompts} prompts of each of {maps} word maps, with ten examples. The prompts are new; the words,
  the maps and the form are those that ranked the function-vector heads. Accuracy: the answer's first token is the
  likeliest of all.
- **Token-loss difference**: mean loss in the second copy of fifty random tokens minus that in the first; more negative
  is better. {sequences}.
  Theirs is between late and early tokens of natural text, which was not measured here.
- **Intervals** (95 %, in brackets): Wilson for an accuracy; for a difference Student's t over word maps, or over
  sequences. Random sets are averaged first. Not corrected for their number.
- **Reading**, fixed beforehand: a claim holds where its list does more than the other list and more than its random
  heads, with both intervals beyond 0. It is contradicted where the other list does more. Few-shot is judged by the
  log-probability.

## What is not shown

- Heads in the top {wider} of both lists stay as they are ({both}).
  What is left of a list may be its weaker part. A list has {each} heads: one head is no class of heads.
- {few} prompts a model from {maps} maps: an effect that differs between maps has a wide interval. "Not shown" is not
  "none".
- Random tokens repeated are what induction heads were found on, and these word maps are what function-vector heads
  were found on: both favour the claim about them.
- One kind of ablation, four-bit weights, two small models: nothing here speaks about larger ones.

`python docs/exclusion.py measure MODEL` repeats a model's measurement.
"""
CLAIMS = {
    "few_shot": "few-shot is carried by function-vector heads",
    "repeats": "the token-loss difference is carried by induction heads",
}
WORDS = {"induction": "induction heads", "function-vector": "function-vector heads"}


def page(rows: Sequence[Mapping[str, Any]]) -> str:
    """The page's text."""
    found = models(rows)
    claims = [f"| {words} | {' | '.join(each.verdict(key) for each in found)} |" for key, words in CLAIMS.items()]
    both = "; ".join(f"{each.name}: {_sites(each.design['both'])}" for each in found)
    sequences = ", ".join(f"{each.name} {SEQUENCES[each.name]}" for each in found)
    text = OPENING.format(
        answer=_answer(found),
        columns=" | ".join(each.name for each in found),
        rules="|".join("---" for _ in found),
        claims="\n".join(claims),
        share=f"{100 * SHARE:.0f} %",
        wider=f"{100 * WIDER:.0f} %",
        draws=DRAWS,
        reference=REFERENCE,
        prompts=PROMPTS,
        sequences=f"Sequences: {sequences}",
        both=both,
        each=" and ".join(str(len(each.design["arms"][KINDS[0]])) for each in found),
        maps=" or ".join(sorted({str(len(each.maps)) for each in found})),
        few=" and ".join(str(len(each.clusters())) for each in found),
    )
    return text + "".join("\n".join(_section(each)) + "\n" for each in found)


def _others(one: Measured) -> str:
    """A control that does more than the heads which the claim is about: heads of neither list carry few-shot, too."""
    vector = one.change("few_shot", "function-vector", "full")
    larger = [kind for kind in KINDS if one.change("few_shot", f"random for {kind}", "full").delta < vector.delta]
    return "".join(
        f"\n- **{one.name}, heads of neither list**: random heads beside the {WORDS[kind]} change the log-probability"
        f" by {one.change('few_shot', f'random for {kind}', 'full').said()} nats, function-vector heads by"
        f" {vector.said()}. So function-vector heads are not shown to matter most here."
        for kind in larger
    )


def _answer(found: Sequence[Measured]) -> str:
    told = [f"{words}: {_count(found, key)}" for key, words in CLAIMS.items()]
    return f"**{'. '.join(each[0].upper() + each[1:] for each in told)}.**\n\n" + "\n".join(map(_numbers, found))


def _count(found: Sequence[Measured], measure: str) -> str:
    """In how many models a claim holds; where it is not shown, on which side the estimates lie."""
    verdicts = [each.verdict(measure) for each in found]
    side = -1 if measure == "few_shot" else 1
    open_ = [each for each, verdict in zip(found, verdicts, strict=True) if verdict == "not shown"]
    leaning = sum(all(side * test.delta > 0 for test in each.tested(measure)) for each in open_)
    against = verdicts.count("against their claim")
    return (
        f"shown in {verdicts.count('as they claim')} of {len(found)} models"
        + (f", contradicted in {against}" if against else "")
        + (f", not shown in {len(open_)} (estimates on that side in {leaning}, intervals too wide)" if open_ else "")
    )


def _numbers(one: Measured) -> str:
    few, random = one.tested("few_shot")
    loss, control = one.tested("repeats")
    accuracy = one.change("few_shot", "function-vector", "induction", "right").said(1, 100)
    return (
        f"- **{one.name}, few-shot**: log-probability with function-vector heads ablated, minus that with induction"
        f" heads ablated: {few.said()} nats. Minus that with random heads ablated: {random.said()}."
        f" The same for accuracy, which does not decide: {accuracy} points.\n"
        f"- **{one.name}, token-loss difference**: with induction heads ablated, minus that with function-vector heads"
        f" ablated: {loss.said()} nats. Minus that with random heads ablated: {control.said()}." + _others(one)
    )


def _sites(heads: Sequence[Sequence[int]]) -> str:
    return ", ".join(f"L{layer}H{index}" for layer, index in heads) or "none"


def _section(one: Measured) -> Iterator[str]:
    design = one.design
    yield f"\n## {one.name}\n"
    for kind in KINDS:
        sets = "; ".join(_sites(design["arms"][name]) for name in one.draws(kind))
        yield f"- {WORDS[kind].capitalize()}: {_sites(design['arms'][kind])}. Random: {sets}."
    yield f"\n{design['heads']} heads; weights SHA-256 `{design['weights_hash']}`; measured on {design['day']}."
    yield f"\n### Few-shot in {one.name}\n"
    yield from _few(one)
    yield f"\n### Word maps in {one.name}\n"
    yield from _maps(one)
    yield f"\n### Repeated tokens in {one.name}\n"
    yield from _repeats(one)


def _conditions() -> Iterator[tuple[str, str]]:
    """Arms and their words, each list before its random heads."""
    for kind, words in WORDS.items():
        yield kind, words
        yield f"random for {kind}", f"random heads of their layers ({words})"


def _few(one: Measured) -> Iterator[str]:
    yield "| Condition | Accuracy, % | Change, points | Log-probability, nats | Change, nats | Beyond random, nats |"
    yield "|---|--:|--:|--:|--:|--:|"
    yield f"| unedited | {_percent(one, 'full')} | | {_nats(one, 'full')} | | |"
    for arm, words in _conditions():
        points = one.change("few_shot", arm, "full", "right").said(1, 100)
        beyond = "" if arm not in KINDS else one.change("few_shot", arm, f"random for {arm}").said()
        change = one.change("few_shot", arm, "full").said()
        yield f"| {words} | {_percent(one, arm)} | {points} | {_nats(one, arm)} | {change} | {beyond} |"


def _nats(one: Measured, arm: str) -> str:
    return signed(float(one.few(arm, "nats").mean()), 2)


def _percent(one: Measured, arm: str) -> str:
    """Accuracy with Wilson's interval; of random sets, the mean and that of each set."""
    right = one.few(arm, "right")
    if arm.startswith("random for "):
        each = (100 * one.few(name, "right").mean() for name in one.draws(arm.removeprefix("random for ")))
        return f"{100 * right.mean():.1f} (sets: {', '.join(f'{value:.1f}' for value in each)})"
    low, high = wilson(right.sum(), right.size)
    return f"{100 * right.mean():.1f} ({100 * float(low):.1f} to {100 * float(high):.1f})"


def _maps(one: Measured) -> Iterator[str]:
    maps, floors = one.clusters(), one.floors()
    yield "Right answers unedited, and the mean change of log-probability in nats; too few prompts for intervals.\n"
    yield "| Map | Right | Induction heads | Function-vector heads |"
    yield "|---|--:|--:|--:|"
    for name in one.maps:
        here = maps == name
        right = one.few("full", "right")[here]
        changes = ((one.few(kind, "nats") - one.few("full", "nats"))[here].mean() for kind in KINDS)
        mark = " (**at its floor**)" if name in floors else ""
        told = " | ".join(signed(each, 2) for each in changes)
        yield f"| {name}{mark} | {right.sum():.0f} of {right.size} | {told} |"
    yield f"\nAt its floor (at most a quarter right, so accuracy has little to lose): {', '.join(floors) or 'none'}."


def _repeats(one: Measured) -> Iterator[str]:
    yield "| Condition | Loss, first copy | Second copy | Difference, nats | Change, nats | Beyond random, nats |"
    yield "|---|--:|--:|--:|--:|--:|"
    for arm, words in (("full", "unedited"), *_conditions()):
        first, second = one.copies(arm).mean(1)
        change = "" if arm == "full" else one.change("repeats", arm, "full").said()
        beyond = "" if arm not in KINDS else one.change("repeats", arm, f"random for {arm}").said()
        yield f"| {words} | {first:.2f} | {second:.2f} | {signed(second - first, 2)} | {change} | {beyond} |"


TITLES = {
    "few_shot": "few-shot: change of log-probability, nats",
    "repeats": "repeated tokens: change of loss difference, nats",
}


def picture(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A panel for each model and measure: what each ablation changes."""
    panels = [[_panel(one, measure) for one in models(rows)] for measure in MEASURES]
    return finished(alt.vconcat(*(alt.hconcat(*line, spacing=30) for line in panels), spacing=24), "panels")


def _panel(one: Measured, measure: str) -> Any:
    order = [
        words.replace("random heads of their layers (", "random, beside ").removesuffix(")")
        for _, words in _conditions()
    ]
    rows = pl.DataFrame(
        [
            {"label": label, "series": arm in KINDS, **one.change(measure, arm, "full")._asdict()}
            for label, (arm, _) in zip(order, _conditions(), strict=True)
        ]
    )
    y = alt.Y("label:N", title=None, sort=order, axis=alt.Axis(domain=False, ticks=False, labelLimit=240))
    colour = alt.Color("series:N", legend=None, scale=alt.Scale(domain=[True, False], range=[TARGET, CONTROL]))
    base = alt.Chart(data(rows)).encode(y=y, color=colour)
    layers = [
        alt.Chart(constants(zero=0)).mark_rule(color=CONTROL).encode(x="zero:Q"),
        base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=TITLES[measure]), x2="high:Q"),
        base.mark_point(filled=True, size=90, opacity=1).encode(x="delta:Q"),
    ]
    step: Any = alt.Step(24)
    return alt.layer(*layers).properties(width=250, height=step, title=one.name)


def draw(rows: Sequence[Mapping[str, Any]]) -> str:
    """The picture as SVG."""
    return vl_convert.vegalite_to_svg(themed(picture(rows)), vl_version=VEGA_LITE)


if __name__ == "__main__":
    PAGE.write_text(page(read()), encoding="utf-8")
    PICTURE.write_text(draw(read()), encoding="utf-8")
