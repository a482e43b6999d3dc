"""The reference fixture: numbers of small models under edits, as a processor gave them, kept beside this file.

A backend that quietly computes something else (TransformerLens issue 1178: an effect upside down on MPS) is seen here
before it gives numbers of its own. `python -m lesion.engine.proof.device_fixture` writes the file; the weights are made
from seeds by numpy, so every machine has the same.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
from pathlib import Path

from torch import Tensor

from lesion.device import wanted
from lesion.engine import reference
from lesion.engine.batch import Batch, batches
from lesion.engine.batched.engine import Fast
from lesion.errors import InterventionError
from lesion.identity import generator
from lesion.interventions.parse import scale
from lesion.models.model import open_model
from lesion.tasks.tokenizers.prompt_contract import Compiled

FILE = Path(__file__).with_name("device_fixture.json")
MODELS = ("tiny:gpt2", "tiny:gpt_neox", "tiny:llama", "tiny:gemma2")
EDITS = {
    "clean": None,
    "head silent": scale("L1H1", 0.0),
    "neuron doubled": scale("L0N3", 2.0),
    "late stream halved": scale("L1.resid_pre", 0.5, "last"),
}
QUICK = "quick engine: "
"""Before the name of an edit that the quick engine made; its numbers are held against the reference's stored ones."""
TOLERANCE = 1e-4
"""Nats. Processors differ from one another by about 1e-6."""
PROMPT, ANSWER = 7, 2
"""Tokens."""


def measured(model: str) -> dict[str, list[float]]:
    """Log-probabilities of the answer tokens of two fixed rows, nats, by edit and engine; on this process's device."""
    opened = open_model(model)
    rows = generator("fixture", model).integers(1, opened.sizes.vocab_size, size=(2, PROMPT + ANSWER)).tolist()
    items = [Compiled(tuple(row), {}, tuple(row[PROMPT:]), tuple(row[PROMPT:]), PROMPT, None) for row in rows]
    (batch,) = batches(items, len(items))
    found: dict[str, list[float]] = {}
    for name, edit in EDITS.items():
        found[name] = _answers(reference.run(opened, batch, edit).logits, batch)
    edited = {name: edit for name, edit in EDITS.items() if edit is not None}
    for index, outcome in Fast(opened).run(batch, list(edited.values())):
        found[f"{QUICK}{list(edited)[index]}"] = _answers(outcome.logits, batch)
    return found


def _answers(logits: Tensor, batch: Batch) -> list[float]:
    return logits.double().log_softmax(-1).gather(2, batch.answer[..., None]).flatten().tolist()


def fixture_error() -> float:
    """Largest difference of this device's numbers from the stored ones, nats."""
    stored: dict[str, dict[str, list[float]]] = json.loads(FILE.read_text(encoding="utf-8"))
    worst = 0.0
    for model in MODELS:
        for edit, numbers in measured(model).items():
            pairs = zip(numbers, stored[model][edit.removeprefix(QUICK)], strict=True)
            worst = max(worst, *(abs(here - there) for here, there in pairs))
    return worst


def require_fixture() -> None:
    """Make sure that this device gives the stored numbers.

    Raises:
        InterventionError: when it does not.
    """
    if not (error := fixture_error()) <= TOLERANCE:
        raise InterventionError(
            f"device {wanted()}: the reference fixture comes out {error:.2g} nats from a processor's numbers, more "
            f"than {TOLERANCE:g}: nothing that this device computes can be trusted"
        )


if __name__ == "__main__":
    every = {name: measured(name) for name in MODELS}
    plain = {name: {edit: found[edit] for edit in EDITS} for name, found in every.items()}
    FILE.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
