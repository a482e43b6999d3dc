"""Layers × heads of a recorded `lesion heads`: one map of scores per detector, as shapes for the template. No model."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lesion.report.figures.parts.palette import SEQUENTIAL

SPELLED = 12
"""Named heads that the summary spells out."""
STEP, MARGIN = 34, 44
"""Width and height of a cell, and of the space for the numbers of layers and heads."""
BRIGHT = 0.18
"""Above this relative luminance black text has a contrast of 4.5 or more, below it white text."""


class Cell(NamedTuple):
    """One head."""

    site: str
    """`L5H1`."""
    x: int
    y: int
    fill: str
    ink: str
    score: str
    """To two digits, without the zero before the point."""
    told: str
    """The head, its score and interval, and whether it is named: shown on hovering."""
    named: bool


class HeadMap(NamedTuple):
    """One detector's map."""

    detector: str
    """`induction`, `previous-token`, …"""
    summary: str
    """The named heads in a sentence, for readers who don't see the map."""
    cells: tuple[Cell, ...]
    columns: tuple[tuple[int, int], ...]
    """(head, x of its middle)."""
    rows: tuple[tuple[int, int], ...]
    """(layer, y of its middle), the highest layer on top."""
    width: int
    height: int


def head_maps(result: Mapping[str, Any]) -> tuple[HeadMap, ...]:
    """The maps of a result of `lesion heads`; none of another kind of result, such as heads over training."""
    layers, heads = result.get("layers"), result.get("heads_per_layer")
    if not isinstance(layers, int) or not isinstance(heads, int):
        return ()
    return tuple(_map(found, layers, heads) for found in result.get("detectors", ()))


def _map(found: Mapping[str, Any], layers: int, heads: int) -> HeadMap:
    every: Sequence[Mapping[str, Any]] = found["heads"]
    named = [f"L{one['layer']}H{one['head']}" for one in every if one["named"]]
    kind = str(found["detector"]).replace("_", "-")
    more = f" and {len(named) - SPELLED} more" if len(named) > SPELLED else ""
    middle = MARGIN + STEP // 2
    return HeadMap(
        detector=kind,
        summary=f"{len(named)} named {kind} heads{': ' if named else ''}{', '.join(named[:SPELLED])}{more}.",
        cells=tuple(_cell(one, layers) for one in every),
        columns=tuple((head, middle + STEP * head) for head in range(heads)),
        rows=tuple((layer, middle + STEP * (layers - 1 - layer)) for layer in range(layers)),
        width=MARGIN + STEP * heads + 2,
        height=MARGIN + STEP * layers + 2,
    )


def _cell(one: Mapping[str, Any], layers: int) -> Cell:
    score = min(1.0, max(0.0, float(one["score"])))
    fill = [round(low + score * (high - low)) for low, high in zip(*map(_parts, SEQUENTIAL), strict=True)]
    name = f"L{one['layer']}H{one['head']}"
    return Cell(
        site=name,
        x=MARGIN + STEP * int(one["head"]),
        y=MARGIN + STEP * (layers - 1 - int(one["layer"])),
        fill="#" + "".join(f"{part:02x}" for part in fill),
        ink="#000000" if _luminance(fill) > BRIGHT else "#ffffff",
        score=f"{score:.2f}".removeprefix("0"),
        told=f"{name}: {one['score']:.3f} ({one['low']:.3f} to {one['high']:.3f}){', named' if one['named'] else ''}",
        named=bool(one["named"]),
    )


def _parts(colour: str) -> list[int]:
    """`#f2f6fa` -> red, green and blue, 0 to 255."""
    return [int(colour[place : place + 2], 16) for place in (1, 3, 5)]


def _luminance(parts: Sequence[int]) -> float:
    """Relative luminance of a colour, 0 to 1 (WCAG 2.1)."""
    red, green, blue = (
        part / 255 / 12.92 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in parts
    )  # the threshold 0.03928 of the standard, in 255ths
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
