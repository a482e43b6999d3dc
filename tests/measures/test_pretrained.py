"""Known answers on a real language model: its heads, where a fact stands in the stream, what its induction heads do."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from lesion.engine.replacement_activations import Library
from lesion.engine.select_engine import choose
from lesion.interventions.intervention import Patch
from lesion.interventions.parse import scale
from lesion.interventions.site import stream
from lesion.measures.heads.detection import detections
from lesion.measures.heads.pattern_scores import DETECTORS
from lesion.measures.heads.repeated_sequences import Probe, StandardProbe, ordinary_tokens, standard
from lesion.measures.heads.standard_scores import standard_scores
from lesion.measures.prompt_set import of
from lesion.models.model import Model
from lesion.tasks.tokenizers.prompt_contract import Compiled

pytestmark = pytest.mark.pretrained
FEW = StandardProbe(sequences=3)
INDUCTION = ["L18H6", "L17H3", "L17H4", "L17H5", "L18H7", "L23H2", "L23H7", "L20H6"]


@pytest.fixture(scope="module")
def plain(smollm2_model: Model) -> Any:
    """The same weights, opened by transformers alone."""
    return AutoModelForCausalLM.from_pretrained(
        smollm2_model.folder, attn_implementation="eager", dtype=torch.float32
    ).eval()


def test_head_scores_are_those_of_a_plain_script(smollm2_model: Model, plain: Any):
    ids = standard(ordinary_tokens(smollm2_model.tokenizer), smollm2_model.bos, FEW).ids
    with torch.no_grad():
        patterns = torch.stack(plain(ids, output_attentions=True).attentions)
    start, length = ids.shape[1] - 100, ids.shape[1]
    second, every = torch.arange(start + 50, length), torch.arange(1, length)
    wanted = {
        "induction": patterns[..., second, second - 49],
        "previous_token": patterns[..., every, every - 1],
        "duplicate_token": patterns[..., second, second - 50],
        "first_token": patterns[..., every, 0],
    }
    for name, found in standard_scores(smollm2_model, list(DETECTORS), probe=FEW).items():
        assert float((found - wanted[name].mean((1, -1))).abs().max()) < 1e-4


def test_the_standard_probe_names_the_heads_that_short_blocks_drown(smollm2_model: Model):
    found = detections(
        smollm2_model, ["induction", "duplicate_token"], probe=FEW, variations=Probe(blocks=(6,), sequences=2)
    )
    induction, duplicate = found.detections
    assert set(INDUCTION) <= {str(head) for head in induction.named}  # three sequences let some at the threshold pass
    assert "L8H0" in map(str, duplicate.named)
    drowned = {str(head): head for head in induction.named}["L18H7"]
    assert drowned.robust is not None
    assert drowned.robust < 0.3 < drowned.score
    assert drowned.holds != "robust"
    assert found.in_context.second < found.in_context.first - 5


def test_a_fact_moves_from_the_subject_to_the_last_token_at_block_23(smollm2_model: Model):
    """P(" Paris") with the Eiffel Tower's stream put into the Colosseum's run, block by block (nnterp's example).

    With these four-bit weights the Eiffel prompt itself gives .656 and the Colosseum's .0001.
    """

    def tokens(text: str) -> tuple[int, ...]:
        return tuple(smollm2_model.tokenizer.encode(text, add_special_tokens=False).ids)

    clean, corrupted = (tokens(f"The {name} is in the city of") for name in ("Eiffel Tower", "Colosseum"))
    paris, rome = tokens(" Paris"), tokens(" Rome")
    item = Compiled(corrupted + paris, {}, paris, rome, len(corrupted), clean + paris)
    (batch,) = of([item]).batches
    subject, last = "index:2", "index:8"
    places = [(subject, block) for block in (1, 5, 10, 16, 22, 23, 29)] + [
        (last, block) for block in (0, 10, 22, 23, 29)
    ]
    edits = [Patch(sites=(stream(block + 1),), positions=where) for where, block in places]
    sources = Library(smollm2_model).sources(batch, edits)
    outcomes = choose(smollm2_model, "reference").run(batch, edits, None, sources)
    found = {places[number]: float(outcome.logits[0, 0].softmax(-1)[paris[0]]) for number, outcome in outcomes}
    assert all(found[subject, block] > 0.2 for block in (1, 5, 10, 16, 22))
    assert all(found[subject, block] < 0.05 for block in (23, 29))
    assert all(found[last, block] < 0.05 for block in (0, 10, 22))
    assert all(found[last, block] > 0.35 for block in (23, 29))
    assert found[last, 29] == pytest.approx(0.656, abs=0.01)
    page = json.loads((Path(__file__).parents[2] / "docs" / "paris.json").read_text(encoding="utf-8"))["patched"][
        "paris"
    ]
    assert found == {
        (where, block): pytest.approx(page[block][int(where.removeprefix("index:"))], abs=0.005)
        for where, block in found
    }


def test_without_its_induction_heads_it_copies_worse_by_what_plain_hooks_measure(smollm2_model: Model, plain: Any):
    group = standard(ordinary_tokens(smollm2_model.tokenizer), smollm2_model.bos, StandardProbe(sequences=2))
    start = group.second.start
    rows = [tuple(row) for row in group.ids.tolist()]
    items = [Compiled(row, {}, row[start:], row[start:][::-1], start, None) for row in rows]
    (batch,) = of(items).batches
    silent = scale("+".join(INDUCTION), 0.0)
    ((_, outcome),) = choose(smollm2_model, "reference").run(batch, [silent])
    ours = -outcome.logits.double().log_softmax(-1).gather(2, batch.answer[..., None]).mean()
    with zeroed(plain, [(site.layer, site.index or 0) for site in silent.sites]), torch.no_grad():
        logits = plain(group.ids[:, :-1]).logits[:, start - 1 :].double()
    theirs = -logits.log_softmax(-1).gather(2, group.ids[:, start:, None]).mean()
    with torch.no_grad():
        logits = plain(group.ids[:, :-1]).logits[:, start - 1 :].double()
    intact = -logits.log_softmax(-1).gather(2, group.ids[:, start:, None]).mean()
    assert float(ours) == pytest.approx(float(theirs), abs=1e-4)
    assert float(theirs - intact) > 1


@contextmanager
def zeroed(network: Any, heads: list[tuple[int, int]]) -> Iterator[None]:
    """Heads of a Llama set to 0 in front of the output projection, by hooks of torch alone."""
    width = network.config.hidden_size // network.config.num_attention_heads
    handles = []
    for layer in {layer for layer, _ in heads}:
        columns = np.concatenate([np.arange(i * width, (i + 1) * width) for at, i in heads if at == layer])

        def silence(_: Any, args: tuple[torch.Tensor], columns: np.ndarray = columns) -> tuple[torch.Tensor]:
            z = args[0].clone()
            z[..., columns] = 0
            return (z,)

        handles.append(network.model.layers[layer].self_attn.o_proj.register_forward_pre_hook(silence))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
