"""The strongest edges, estimated, exact, or both; and how many of the best an estimate finds."""

from collections.abc import Sequence

from lesion.engine.edges.graph import Edge
from lesion.identity import Document
from lesion.measures.attribution.target import mean_interval
from lesion.measures.edges.effects import Effects, recall_at
from lesion.measures.prompt_set import Asked, templates_of


class EdgeRow(Document):
    """One edge."""

    edge: str
    """Sender and reader, such as `L0H2->L1G1.k`."""
    estimate: float | None
    """Estimated change of the mean target, logits; null where all edges were measured."""
    exact: float | None
    """Exact change; null where it was not measured."""
    low: float | None
    """Lower end of the exact change's 95 % t interval over items, or templates."""
    high: float | None
    """Upper end."""


class EdgeTable(Document):
    """The strongest edges of a model on a task."""

    method: str
    """What ranked them: `exact`, or an estimate."""
    target: str
    """What is read."""
    items: int
    """Items."""
    of: int
    """Edges of the model."""
    still: int
    """Edges whose sender writes the same in both prompts, which have effect 0."""
    clean: float
    """Mean target of the clean prompts, logits."""
    corrupted: float
    """Mean target of the corrupted prompts, with the clean prompt's answer."""
    rows: tuple[EdgeRow, ...]
    """Largest first."""
    recall: float | None
    """Share of the edges with the largest exact effects, as many as rows, that the estimate ranks among its own first
    as many; null unless all edges were measured exactly, too."""


def edge_table(ranked: Effects, asked: Asked, top: int, exact: Effects | None = None) -> EdgeTable:
    """The `top` edges of a ranking.

    Args:
        ranked: what ranks them.
        asked: the items.
        top: how many are listed.
        exact: exact effects of these edges, or of all of them.
    """
    measured = ranked if ranked.method == "exact" else exact
    chosen = ranked.ranked()[:top]
    every = exact is not None and len(exact.ranked()) == ranked.graph.size
    return EdgeTable(
        method=ranked.method,
        target=ranked.target,
        items=len(ranked.each),
        of=ranked.graph.size,
        still=int((ranked.mean[ranked.graph.there] == 0).sum()) if ranked.method == "exact" else 0,
        clean=float(ranked.clean.mean()),
        corrupted=float(ranked.corrupted.mean()),
        rows=tuple(_rows(ranked, measured, chosen, asked)),
        recall=recall_at(ranked, exact, top) if exact is not None and every else None,
    )


def _rows(ranked: Effects, measured: Effects | None, chosen: Sequence[Edge], asked: Asked) -> list[EdgeRow]:
    made: list[EdgeRow] = []
    for edge in chosen:
        ends = (None, None, None)
        if measured is not None:
            ends = mean_interval(measured.of(edge), templates_of(asked))
        estimate = None if ranked.method == "exact" else float(ranked.mean[edge])
        made.append(EdgeRow(edge=ranked.graph.name(edge), estimate=estimate, exact=ends[0], low=ends[1], high=ends[2]))
    return made
