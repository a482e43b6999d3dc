"""The picture of a calibration comes from its JSON alone."""

import json

from lesion.report.calibration import calibration_chart


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
