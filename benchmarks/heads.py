"""`lesion heads` beside a plain script that makes the same forward passes once: processor seconds, and every score.

    python benchmarks/heads.py pretrained:smollm2-135m-instruct [--page docs/benchmarks.md]

The plain script knows only transformers with eager attention; it takes the tokens from the probe. Exit code 1 when a
score differs by more than 1e-4. The ratio of times judges nothing: it depends on what else runs. `--page` writes it
into a page, in place of the section that was there.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from results import with_section

from lesion.identity import generator
from lesion.measures.heads.detection import Detection, _halves, _other, detections
from lesion.measures.heads.repeated_sequences import fitted, ordinary_tokens, standard, unrepeated
from lesion.measures.heads.robustness import VARIATIONS, readable, varied_groups
from lesion.models.model import open_model
from lesion.models.obtain.pretrained import is_there

ALLOWED = 1e-4


def plain_scores(network: Any, ids: torch.Tensor, block: int, rows: int = 5) -> dict[str, np.ndarray]:
    """Mean scores by layer and head, written down once more: two copies of a block behind one token or none."""
    start = ids.shape[1] - 2 * block
    query = np.arange(start + block, ids.shape[1])
    every = np.arange(1, ids.shape[1])
    keys = {
        "induction": (query, query - block + 1),
        "previous_token": (every, every - 1),
        "duplicate_token": (query, query - block),
        "first_token": (every, np.zeros_like(every)),
    }
    sums: dict[str, Any] = {}
    with torch.no_grad():
        for some in ids.split(rows):
            attention = network.base_model(input_ids=some, output_attentions=True, use_cache=False).attentions
            for name, (q, k) in keys.items():
                found = torch.stack([layer[:, :, q, k].mean(-1).sum(0) for layer in attention]).double()
                sums[name] = sums.get(name, 0) + found
    return {name: (total / len(ids)).numpy() for name, total in sums.items()}


def plain_passes(network: Any, ids: torch.Tensor, rows: int) -> None:
    """Forward passes whose attention is thrown away."""
    with torch.no_grad():
        for some in ids.split(rows):
            network.base_model(input_ids=some, output_attentions=True, use_cache=False)


def section(name: str, ours: float, plain: float, worst: float) -> str:
    """The section of a page of benchmarks."""
    day, load = time.strftime("%Y-%m-%d"), os.getloadavg()[0]
    return (
        f"## Diagnostics: all heads of {name}\n\n"
        "`lesion heads` (four detectors, control, second set, other lengths and gaps, intervals, permutations) beside\n"
        "a plain script that makes the same forward passes once, with transformers' eager attention. One thread.\n\n"
        "| | processor s |\n|---|--:|\n"
        f"| lesion | {ours:.1f} |\n| plain script | {plain:.1f} |\n\n"
        f"**Ratio {ours / plain:.2f}** (wanted: at most 1.5). Largest difference of a score: {worst:.1e} (allowed "
        f"{ALLOWED:.0e}).\nMeasured on {day}, load average {load:.1f}, by `benchmarks/heads.py`.\n"
    )


def _read(path: Path) -> tuple[Detection, ...]:
    found = json.loads(path.read_text(encoding="utf-8"))["detectors"]
    return tuple(Detection.model_validate({k: v for k, v in one.items() if k != "verdict"}) for one in found)


def main() -> int:
    """Measure both and compare."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--result", type=Path, help="what `lesion heads MODEL --json` printed; else it runs here")
    parser.add_argument("--page", type=Path, default=None, help="page of benchmarks that gets the section")
    given = parser.parse_args()
    name = given.model.removeprefix("pretrained:")
    if name != given.model and not is_there(name):
        print(f"{given.model} is not on this machine, so nothing was measured: lesion get {name}")
        return 0
    model = open_model(given.model)
    torch.set_num_threads(1)
    begin = time.process_time()
    found = detections(model).detections if given.result is None else _read(given.result)
    ours = time.process_time() - begin

    ordinary = ordinary_tokens(model.tokenizer)
    probe = fitted(model, len(ordinary), None, 0)
    here, there, _ = _halves(ordinary, probe)
    first, again = standard(here, model.bos, probe), standard(there, model.bos, _other(probe))
    control = unrepeated(first, here, generator("head control", 0, first.block))
    varied = readable(model, len(here), VARIATIONS)
    network = model.module
    network.set_attn_implementation("eager")
    begin = time.process_time()
    scores = [plain_scores(network, group.ids, probe.block) for group in (first, again, control)]
    for groups in varied_groups(here, model.bos, varied):
        for group in groups:
            plain_passes(network, group.ids, 20)
    plain = time.process_time() - begin

    worst = 0.0
    for detection in found:
        for head in detection.heads:
            place = (head.layer, head.head)
            worst = max(worst, abs(head.score - scores[0][detection.detector][place]))
            worst = max(worst, abs(head.again - scores[1][detection.detector][place]))
            if detection.detector in ("induction", "duplicate_token"):
                worst = max(worst, abs(head.control - scores[2][detection.detector][place]))
    if given.result is None:
        times = f"lesion {ours:.1f} s, plain script {plain:.1f} s of processor time, ratio {ours / plain:.2f}"
        print(f"{model.name}: {times}")
        if given.page is not None:
            said = section(model.name, ours, plain, worst)
            given.page.write_text(
                with_section(given.page.read_text(encoding="utf-8"), "diagnostics", said), encoding="utf-8"
            )
    print(f"largest difference of a score, control or second score: {worst:.1e} (allowed {ALLOWED:.0e})")
    return int(worst > ALLOWED)


if __name__ == "__main__":
    sys.exit(main())
