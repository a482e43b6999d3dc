"""Writes docs/paris.md: where SmolLM2 holds that the Eiffel Tower is in Paris, beside nnterp's published map.

    python docs/paris.py measure    # every block and position, into docs/paris.json (a minute of one core)
    python docs/paris.py write      # makes the page and its picture from docs/paris.json

The design is that of nnterp's documentation ("Activation patching", layer × position map on SmolLM2): the stream after
a block, at one position, is taken from the clean prompt's run into the corrupted one's. Fixed before the measurement:
`THEIRS`, and that a published number agrees where ours rounds to within `NEAR` of it. Their weights are in bfloat16,
ours in four bits, so digits may differ; what the page says is counted from the rows.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import altair as alt
import polars as pl
import vl_convert

from lesion.engine.batch import Batch
from lesion.engine.replacement_activations import Library
from lesion.engine.select_engine import Engine, choose
from lesion.interventions.intervention import Intervention, Patch, Scale
from lesion.interventions.site import Site, stream
from lesion.measures.prompt_set import of
from lesion.models.model import Model, open_model
from lesion.report.figures.figures import VEGA_LITE, themed
from lesion.report.figures.parts.charts import data, finished
from lesion.report.figures.parts.palette import SEQUENTIAL
from lesion.tasks.tokenizers.prompt_contract import Compiled

HERE = Path(__file__).parent
FILE, PAGE, PICTURE = HERE / "paris.json", HERE / "paris.md", HERE / "images" / "paris.svg"
MODEL = "pretrained:smollm2-135m-instruct"
CLEAN, CORRUPTED = "The Eiffel Tower is in the city of", "The Colosseum is in the city of"
ANSWERS = {"paris": " Paris", "rome": " Rome"}
SUBJECT, MOVE = 2, 23
"""Position of the subject's second token, and the block at which the published map moves."""
NEAR = 0.05
"""Largest difference from a published probability that is called agreement."""
Found = Mapping[str, Any]


class Claim(NamedTuple):
    """A published statement: its words, what of ours it is about, and whether that agrees."""

    words: str
    theirs: str
    ours: Callable[[Found], Sequence[float]]
    holds: Callable[[float], bool]


def at(position: int, first: int, last: int) -> Callable[[Found], list[float]]:
    """P(" Paris") with the stream after blocks first … last put in at a position."""
    return lambda found: [row[position] for row in found["patched"]["paris"][first : last + 1]]


def over(limit: float) -> Callable[[float], bool]:
    """Above a limit."""
    return lambda value: value > limit


def under(limit: float) -> Callable[[float], bool]:
    """Below a limit."""
    return lambda value: value < limit


def near(published: float) -> Callable[[float], bool]:
    """Within `NEAR` of a published number; both have two digits."""
    return lambda value: round(abs(round(value, 2) - published), 2) <= NEAR


def number(words: str, position: int, block: int, published: float) -> Claim:
    """A number of their printed map."""
    return Claim(words, f"{published:.2f}", at(position, block, block), near(published))


THEIRS = (
    Claim("subject, blocks 1–22", "> 0.5", at(SUBJECT, 1, 22), over(0.5)),
    Claim("subject, blocks 23–29", "< 0.05", at(SUBJECT, 23, 29), under(0.05)),
    Claim("last position, blocks 0–22", "< 0.05", at(-1, 0, 22), under(0.05)),
    Claim("last position, blocks 23–29", "> 0.5", at(-1, 23, 29), over(0.5)),
    number("subject, block 0", SUBJECT, 0, 0.34),
    number("subject, block 10", SUBJECT, 10, 0.96),
    number("subject, block 22", SUBJECT, 22, 0.89),
    number("last position, block 23", -1, 23, 0.95),
    number("last position, block 29 (the clean prompt itself)", -1, 29, 0.95),
    Claim("clean prompt, block 23's attention output zeroed", "0.37", lambda f: [f["zeroed"][MOVE]], near(0.37)),
)
PRINTED = (0, 10, 22, 23, 29)
"""Blocks whose whole row they print: all other positions are 0.00 there."""


def measure() -> dict[str, Any]:
    """The two prompts unedited, every block and position patched, every block's attention output zeroed."""
    model = open_model(MODEL)
    engine = choose(model, "reference")
    texts = {"clean": CLEAN, "corrupted": CORRUPTED}
    tokens = {name: encoded(model, text) for name, text in texts.items()}
    if len(tokens["clean"]) != len(tokens["corrupted"]):
        sys.exit("the prompts differ in length, so positions do not correspond")
    ids = {name: encoded(model, text)[0] for name, text in ANSWERS.items()}
    answer, wrong = (ids["paris"],), (ids["rome"],)
    items = {
        name: Compiled(here + answer, {}, answer, wrong, len(here), tokens["clean"] + answer)
        for name, here in tokens.items()
    }
    clean, corrupted = (of([items[name]]).batches[0] for name in texts)
    blocks, places = range(model.sizes.n_layers), range(len(tokens["clean"]))
    patches = [Patch(sites=(stream(block + 1),), positions=f"index:{place}") for block in blocks for place in places]
    zeroes = [Scale(sites=(Site(kind="attn_out", layer=block),), alpha=0.0) for block in blocks]
    patched = probabilities(engine, corrupted, patches, ids)
    return {
        "model": MODEL, "weights_hash": model.weights_hash, "engine": engine.choice.engine,
        "day": time.strftime("%Y-%m-%d"), "prompts": texts,
        "tokens": {name: [model.tokenizer.decode([each]) for each in here] for name, here in tokens.items()},
        "unedited": {
            name: {answer: round(engine.clean(batch)[0, 0].double().softmax(-1)[at].item(), 6)
                   for answer, at in ids.items()}
            for name, batch in zip(texts, (clean, corrupted), strict=True)
        },
        "patched": {
            name: [values[block * len(places) : (block + 1) * len(places)] for block in blocks]
            for name, values in patched.items()
        },
        "zeroed": probabilities(engine, clean, zeroes, ids)["paris"],
    }  # fmt: skip


def encoded(model: Model, text: str) -> tuple[int, ...]:
    """A text's tokens, with the model's first token where it has one; answers are one token long."""
    found = tuple(model.tokenizer.encode(text, add_special_tokens=False).ids)
    return found if text in ANSWERS.values() or model.bos is None else (model.bos, *found)


def probabilities(
    engine: Engine, batch: Batch, edits: Sequence[Intervention], ids: Mapping[str, int]
) -> dict[str, list[float]]:
    """Of each answer behind the prompt, under every edit."""
    found = {name: [float("nan")] * len(edits) for name in ids}
    sources = Library(engine.model).sources(batch, edits)
    for place, outcome in engine.run(batch, edits, None, sources):
        shares = outcome.logits[0, 0].double().softmax(-1)
        for name, token in ids.items():
            found[name][place] = round(float(shares[token]), 6)
    return found


OPENING = """<!-- made from docs/paris.json: python docs/paris.py write -->

# The Paris sweep: a fact on its way through SmolLM2

{answer}

![P(" Paris") by block and position](images/paris.svg)

- **Clean prompt**: "{clean}". Tokens:
  {clean_tokens}.
- **Corrupted prompt**: "{corrupted}". Tokens:
  {corrupted_tokens}.
  The bare name makes both {length} tokens long: " Colosseum" is three tokens, as " Eiffel Tower" is. "The Roman
  Colosseum" is four, so positions would not correspond.
- **Edit**: the stream that leaves one block, at one position, is taken from the clean prompt's run and put into the
  corrupted one's (`Patch` at `stream(block + 1)`). All {cells} pairs of block and position were measured.
- **Unedited**: P(" Paris") is {paris:.3f} after the clean prompt and {none:.4f} after the corrupted one, where
  P(" Rome") is {rome:.3f}.

One pair of prompts gives no interval: the numbers describe this pair, not facts in general. Blocks and positions count
from 0. Reference engine, float32 arithmetic on four-bit weights; measured on {day}; weights SHA-256 `{weights}`.

## Theirs and ours

Theirs are the numbers of nnterp's documentation (github.com/Butanium/nnterp, "Activation patching and attention
patterns", layer × position map on SmolLM2), with the full weights in bfloat16. We did not run them. A single
number agrees within {near}, fixed beforehand; a statement about several blocks agrees where each of them does.

| P(" Paris") | Theirs, bf16 | Ours, 4 bit | | Ours as a share of the clean prompt's |
|---|--:|--:|---|--:|
"""


def page(found: Found) -> str:
    """The page's text."""
    text = OPENING.format(
        answer=_answer(found), clean=found["prompts"]["clean"], corrupted=found["prompts"]["corrupted"],
        clean_tokens=_tokens(found, "clean"), corrupted_tokens=_tokens(found, "corrupted"),
        length=len(found["tokens"]["clean"]), cells=sum(map(len, found["patched"]["paris"])),
        paris=found["unedited"]["clean"]["paris"], none=found["unedited"]["corrupted"]["paris"],
        rome=found["unedited"]["corrupted"]["rome"], day=found["day"], weights=found["weights_hash"], near=f"{NEAR:g}",
    )  # fmt: skip
    return text + "\n".join([*(_row(found, claim) for claim in THEIRS), "", *_elsewhere(found), ""])


def agrees(found: Found, claim: Claim) -> bool:
    """Whether every number that a published statement is about is as it says."""
    return all(map(claim.holds, claim.ours(found)))


def shares(found: Found, values: Sequence[float]) -> list[float]:
    """Probabilities as shares of what the unedited clean prompt gives."""
    return [value / found["unedited"]["clean"]["paris"] for value in values]


def moves(found: Found) -> int | None:
    """The first block after which the last position gives more than the subject, for good; None where none does."""
    later = [row[-1] > row[SUBJECT] for row in found["patched"]["paris"]]
    return next((block for block in range(len(later)) if all(later[block:])), None)


def _answer(found: Found) -> str:
    block, right = moves(found), sum(agrees(found, claim) for claim in THEIRS)
    where = "never moves" if block is None else f"moves at block {block}"
    same = "as" if block == MOVE else f"not at block {MOVE}, as"
    clean = found["unedited"]["clean"]["paris"]
    subject, last = (shares(found, at(*which)(found)) for which in ((SUBJECT, 1, MOVE - 1), (-1, MOVE, 29)))
    half = [f"{sum(value > 0.5 for value in values)} of {len(values)}" for values in (subject, last)]
    return (
        f'**What makes the model answer " Paris" {where} from the subject to the last position, {same} in nnterp\'s'
        f" published map. The levels differ: {right} of {len(THEIRS)} published statements agree as they stand.**\n\n"
        f'With our four-bit weights the clean prompt itself gives " Paris" {clean:.2f}, and theirs 0.95. As a share of'
        f" that, the subject gives more than half in {half[0]} blocks from 1 to {MOVE - 1}, and the last"
        f" position in {half[1]} from {MOVE} on. Whether"
        " the four bits alone lower the levels was not measured: the full weights were not run here."
    )


def _tokens(found: Found, name: str) -> str:
    return " ".join(f"`{token}`" for token in found["tokens"][name])


def _row(found: Found, claim: Claim) -> str:
    values = claim.ours(found)
    word = "agrees" if agrees(found, claim) else f"**differs**{_where(claim, values)}"
    return f"| {claim.words} | {claim.theirs} | {_span(values)} | {word} | {_span(shares(found, values))} |"


def _where(claim: Claim, values: Sequence[float]) -> str:
    """In how many of several blocks."""
    wrong = sum(not claim.holds(value) for value in values)
    return f" in {wrong} of {len(values)} blocks" if len(values) > 1 else ""


def _span(values: Sequence[float]) -> str:
    return f"{min(values):.2f}" if len(values) == 1 else f"{min(values):.2f} to {max(values):.2f}"


def _elsewhere(found: Found) -> Iterator[str]:
    """The other positions, and the other blocks' attention."""
    grid = found["patched"]["paris"]
    others = [place for place in range(len(grid[0])) if place not in (SUBJECT, len(grid[0]) - 1)]
    printed = max(grid[block][place] for block in PRINTED for place in others)
    top, block, place = max((grid[block][place], block, place) for block in range(len(grid)) for place in others)
    token = found["tokens"]["corrupted"][place]
    yield (
        f"- **Other positions**: theirs are 0.00 in the five blocks that they print ({', '.join(map(str, PRINTED))});"
        f" ours are at most {printed:.2f} there. The largest of all blocks is {top:.2f} (after block {block}, at"
        f" `{token}`)."
    )
    zeroed = found["zeroed"]
    order = sorted(range(len(zeroed)), key=lambda block: zeroed[block])
    yield (
        f"- **Attention zeroed at every token of the clean prompt**: block {MOVE} gives {zeroed[MOVE]:.2f}; it is"
        f" number {order.index(MOVE) + 1} of {len(zeroed)} by damage. Lowest: "
        f"{', '.join(f'block {block} {zeroed[block]:.2f}' for block in order[:5])}. Zeroing early blocks breaks more"
        " than this fact. Theirs is one number; their example of such an ablation zeroes every token, too."
    )


CELL, ROW = 62, 15


def picture(found: Found) -> dict[str, Any]:
    """The map: blocks upwards, positions to the right, each with both prompts' tokens."""
    clean, corrupted = (found["tokens"][name] for name in ("clean", "corrupted"))
    names = [
        f"{place} {other.strip()}" + ("" if one == other else f" /{one.strip()}")
        for place, (other, one) in enumerate(zip(clean, corrupted, strict=True))
    ]
    rows = pl.DataFrame(
        [
            {"position": names[place], "block": block, "paris": value, "text": f"{value:.2f}"}
            for block, row in enumerate(found["patched"]["paris"])
            for place, value in enumerate(row)
        ]
    )
    axis = alt.Axis(labelAngle=0, domain=False, ticks=False, labelExpr="split(datum.label, ' /')")
    cells = alt.Chart(data(rows)).encode(
        x=alt.X(
            "position:N", title="position and token: both prompts, or clean above corrupted", sort=names, axis=axis
        ),
        y=alt.Y("block:O", title="block", sort="descending", axis=alt.Axis(domain=False, ticks=False)),
    )
    colour = alt.Color("paris:Q", scale=alt.Scale(domain=[0, 1], range=SEQUENTIAL), legend=None)
    ink = alt.condition("datum.paris > 0.75", alt.value("#ffffff"), alt.value("#1b1f24"))
    drawn = alt.layer(
        cells.mark_rect(stroke="#d5d9de", strokeWidth=0.5).encode(color=colour),
        cells.transform_filter("datum.paris >= 0.05").mark_text(fontSize=11).encode(text="text:N", color=ink),
    )
    width, height = alt.Step(CELL), alt.Step(ROW)
    return finished(drawn.properties(width=width, height=height), "maps")


def draw(found: Found) -> str:
    """The picture as SVG."""
    return vl_convert.vegalite_to_svg(themed(picture(found)), vl_version=VEGA_LITE)


def read() -> dict[str, Any]:
    """What was measured."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def main() -> None:
    """Measure or write."""
    if sys.argv[1:] == ["measure"]:
        FILE.write_text(json.dumps(measure(), indent=1) + "\n", encoding="utf-8")
    elif sys.argv[1:] == ["write"]:
        PAGE.write_text(page(read()), encoding="utf-8")
        PICTURE.write_text(draw(read()), encoding="utf-8")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
