"""Writes docs/calibration.md from lesion/report/calibrated.json, the answer of `lesion calibrate --json`.

Run: python docs/calibration.py
"""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ANSWER = ROOT / "lesion" / "report" / "calibrated.json"
PAGE = ROOT / "docs" / "calibration.md"
OPENING = """# Calibration

**{holds} of {asked} promises about error rates, coverage and power hold**, each at its worst setting, with {studies:,}
simulated studies a setting (seed {seed}). The code that judges real studies judges the simulated ones. A promise holds
if the exact one-sided 95 % bound is on the right side of the limit.

```sh
lesion calibrate --quick --json                           # a smaller grid, under a minute of one free core
lesion calibrate --picture docs/images/calibration.svg    # this page's grid, some minutes
lesion calibrate --quick --run runs/RUN                   # permute the conditions of your own run
lesion calibrate --study study.yaml                       # test another rule
```

![Error rates as shares of their limits, and verdicts by true difference](images/calibration.svg)

| promise | found | bound | limit | worst setting |
|---|---|---|---|---|
"""
MIDDLE = """
| Promise | Simulated setting |
|---|---|
| (i)–(ix) | independent items and templates |
| (x) | 36 prefixes whose true differences vary by 0 to 3 points; 1, 10 or 30 cells that drift together; no seed gate |
| (xi) | one template in twelve carries the whole difference |
| (xii) | skewed, heavy-tailed, heteroscedastic and uneven clusters, few discordant items |
| (xiii) | the target is one of 15, 40 or 199 matched sets; 0 to 40 points apart, uniform or as first published |
| (xiv) | **controls of the simulation itself**: it must detect a leak |
| (xv) | three ablations, one of which has another effect |
| (xvi) | baselines that guess |
| (xvii) | log-probabilities: normal, heavy-tailed, skewed, mostly 0 |
| (xviii) | two edits weaken one mechanism by unequal strength; tasks differ in headroom and curve; clusters differ |
| (xix) | one lead is the margin, one target harms nothing or harms both tasks alike; 1 or 6 questions |
| (xx), (xxi) | both leads are the margin, or 10 points with the planned items |

If effects of sets go either way, (xiii) is .04 by counting with 199 sets, .02 in each direction. Clusters are the
same at both looks, as prefixes are.

## Power

"""


def page(found: dict[str, Any]) -> str:
    """The page that belongs to an answer of `lesion calibrate --json`."""
    rates = [each for each in found.values() if isinstance(each, dict) and "promise" in each] + found["others"]
    opening = OPENING.format(
        holds=sum(rate["holds"] for rate in rates), asked=len(rates), studies=found["studies"], seed=found["seed"]
    )
    rows = "".join(
        f"| {rate['promise']} | {rate['rate']:.4f} | {rate['bound']:.4f} | {rate['side']} {rate['limit']:g} |"
        f" {rate['worst']} |\n"
        for rate in rates
    )
    return opening + rows + MIDDLE + "\n".join(_costs(found)) + "\n"


def _costs(found: dict[str, Any]) -> list[str]:
    """Power, as tables."""
    points = found["power"]
    lines = [
        "Share of each verdict by true difference: one cell, ψ = .2, the planned number of items.",
        "",
        "| points | " + " | ".join(f"{100 * point['delta']:g}" for point in points) + " |",
        "|---" * (1 + len(points)) + "|",
    ]
    for name in ("improvement", "null", "second_look"):
        shares = " | ".join(f"{point[name]:.3f}" for point in points)
        lines.append(f"| {name.replace('_', ' ')} | {shares} |")
    lines += [
        "",
        "36 prefixes, by the standard deviation of their differences. Items are per seed and look.",
        "",
        "| standard deviation, points | items planned | Improvement at 5 points | Null at 0 |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {100 * each['sd']:g} | {each['items']:,} | {each['improvement']:.3f} | {each['null']:.3f} |"
        for each in found["prefix_power"]
    ]
    lines += [
        "",
        "Share called specific, by the target's distance from the sets' mean (sets vary by 10 points; 256 items each).",
        "",
        "| standard deviations | sets | specific |",
        "|---|---|---|",
    ]
    lines += [f"| {each['apart']:g} | {each['sets']} | {each['specific']:.3f} |" for each in found["rank_power"]]
    lines += [
        "",
        "Share of [double dissociations](dissociation.md) found, by the lead of each target on its own task.",
        "",
        "| items of each task | " + " | ".join(f"{100 * lead:g} points" for lead in _leads(found)) + " |",
        "|---" * (1 + len(_leads(found))) + "|",
    ]
    for items in sorted({each["items"] for each in found["dissociation_power"]}):
        shares = [f"{each['double']:.3f}" for each in found["dissociation_power"] if each["items"] == items]
        lines.append(f"| {items:,} | " + " | ".join(shares) + " |")
    lines += [
        "",
        "Items for equal power (80 %, one look) with accuracy and with continuous outcomes. The simulated lead over",
        "the best wrong answer is normal (sd 2 nats). *Gain*: items for accuracy over items for log-probability. One",
        "pass gives all three outcomes, so the gain is also that of power per processor hour.",
        "",
        "| baseline | logit lost, nats | points lost | items: accuracy | log-probability | logit difference | gain |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {each['accuracy']:.0%} | {each['shift']:g} | {-100 * each['delta']:.1f} | {each['items_accuracy']:,} |"
        f" {each['items_logprob']:,} | {each['items_logit_diff']:,} | {each['gain']:.1f}× |"
        for each in found["efficiency"]
    ]
    return lines


def _leads(found: dict[str, Any]) -> list[float]:
    return sorted({each["lead"] for each in found["dissociation_power"]})


if __name__ == "__main__":
    PAGE.write_text(page(json.loads(ANSWER.read_text(encoding="utf-8"))), encoding="utf-8")
