"""The picture of a calibration comes from its JSON alone."""

import json
import runpy
from pathlib import Path

from lesion.report.figures.calibration import calibration_chart
from lesion.report.wording.error_rates import calibrated


def rate(promise: str, side: str = "at most") -> dict[str, object]:
    return {"promise": promise, "rate": 0.02, "bound": 0.03, "limit": 0.05, "side": side}


def test_every_promised_rate_and_the_power_curve_are_drawn() -> None:
    document = {
        "studies": 10_000,
        "false_positive": rate("(i)"),
        "false_null": rate("(ii)"),
        "others": [rate("(iii)"), rate("(vi)", "at least")],
        "power": [{"delta": 0.01 * i, "improvement": 0.1 * i, "null": 0.5, "inconclusive": 0.1} for i in range(5)],
    }
    drawn = json.dumps(calibration_chart(document).to_dict())
    assert all(f'"({name})"' in drawn for name in ("i", "ii", "iii"))
    assert '"(vi)"' not in drawn, "a rate that must be high is no error rate"
    assert "10,000 simulated studies" in drawn


def test_the_page_is_what_the_shipped_calibration_says() -> None:
    page = Path(__file__).parents[2] / "docs" / "calibration.py"
    written = runpy.run_path(str(page))
    assert written["PAGE"].read_text(encoding="utf-8") == written["page"](calibrated())
