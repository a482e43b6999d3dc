"""Greater-than (Hanna et al. 2023, "How does GPT-2 compute greater-than?", arXiv 2305.00586).

`The war lasted from the year 1732 to the year 17` must go on with a year above 32. Every greater year is right, so an
item has one of them as its answer and one that is not greater as its wrong answer, both drawn by the item's hash: the
mean logit difference over items estimates (mean logit of the greater years) - (mean logit of the others). The paper's
own metric is the difference of the summed probabilities; it is not computed here, and accuracy says little. The
corrupted prompt has the year 01, below all that is asked.

The paper's centuries and years: 11 … 17, 02 … 98. A tokenizer must write the century and the year apart, as GPT-2 does
in most years, or digit by digit; the prompt contract leaves other years out and counts them.
"""

from lesion.tasks.config import GreaterThanConfig
from lesion.tasks.drawing.numbering import Place, Stratum, chosen
from lesion.tasks.drawing.stratified import PlainTask
from lesion.tasks.literature.words import EVENTS
from lesion.tasks.task import Item, Segment

YEARS = range(2, 99)
"""Last two digits of the first year."""


class GreaterThanTask(PlainTask):
    """Problems of a `GreaterThanConfig`, in lanes."""

    def __init__(self, config: GreaterThanConfig) -> None:
        self.config = config
        self._centuries = range(config.first_century, config.last_century + 1)
        self._strata = tuple(
            Stratum(f"greater than {century}", len(EVENTS) * len(YEARS)) for century in self._centuries
        )

    def _item(self, place: Place) -> Item:
        century = self._centuries[place.stratum]
        noun, after = divmod(place.number, len(YEARS))
        event, year = EVENTS[noun], YEARS[after]
        greater = year + 1 + chosen(99 - year, "greater", event, century, year)
        other = chosen(year + 1, "not greater", event, century, year)
        return Item(
            index=place.item,
            segments=_asked(event, century, year),
            answer=f"{greater:02d}",
            wrong=f"{other:02d}",
            buckets={"template": event, "century": str(century), "decade": str(year // 10)},
            twin=_asked(event, century, 1),
        )


def _asked(event: str, century: int, year: int) -> tuple[Segment, ...]:
    return (
        Segment("The", ""),
        Segment(f" {event}", "event"),
        Segment(" lasted from the year", ""),
        Segment(f" {century}", "century"),
        Segment(f"{year:02d}", "year"),
        Segment(" to the year", ""),
        Segment(f" {century}", "century_again"),
    )
