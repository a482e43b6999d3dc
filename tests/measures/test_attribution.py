"""Shares add up to the model's own logit in every family, and the hand model's known shares come out."""

from contextlib import ExitStack

import numpy as np
import pytest
import torch

from lesion.engine.hooks import applied, recorded
from lesion.engine.reference import run
from lesion.engine.select_engine import choose
from lesion.errors import InputError
from lesion.interventions.intervention import Scale
from lesion.interventions.site import head, neuron
from lesion.measures.attribution import direct_logit as module
from lesion.measures.attribution.direct_logit import attribute, attribution, heads_of, total_effects
from lesion.measures.attribution.frozen_norm import freeze
from lesion.measures.attribution.target import values
from lesion.measures.heads.qk_ov_circuits import unembedding
from lesion.measures.prompt_set import ask, of
from lesion.models.families import FAMILIES
from lesion.models.model import open_model
from lesion.tasks.tokenizers.prompt_contract import Compiled


def random_items(vocabulary: int = 66, count: int = 5) -> list[Compiled]:
    rng = np.random.default_rng(3)
    rows = [tuple(map(int, rng.integers(2, vocabulary, 9))) for _ in range(count)]
    return [Compiled(ids, {}, ids[7:], (ids[7], (ids[8] + 1) % vocabulary), 7, None) for ids in rows]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("target", ["logit_diff", "answer"])
def test_the_parts_add_up_to_the_logit(family: str, target: str, dtype: str):
    model = open_model(f"tiny:{family}", dtype=dtype)
    for shares in attribute(model, of(random_items()).batches, target):
        exact = "rms" not in type(model.submodule(model.family.final_norm)).__name__.lower()  # RMSNorm: in float32
        assert shares.error < (1e-4 if dtype == "float32" else 1e-9 if exact else 1e-6)
        assert float(shares.heads.abs().max()) > 1e-3
        assert float(shares.neurons.abs().max()) > 1e-3


@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_neox", "opt", "gemma"])
def test_a_share_is_what_zeroing_takes_away_when_the_norm_is_held(family: str):
    """Zeroing a last-layer neuron, its final norm's denominator put back, changes the raw logit by its share."""
    model = open_model(f"tiny:{family}", dtype="float64")
    (batch,) = of(random_items()).batches
    (shares,) = attribute(model, [batch], "answer")
    last, norm = model.sizes.n_layers - 1, model.submodule(model.family.final_norm)
    streams = []
    for edits in ([], [applied(model, Scale(sites=(neuron(last, 3),), alpha=0.0), batch.mask("all"))]):
        with ExitStack() as stack:
            for edit in edits:
                stack.enter_context(edit)
            seen = stack.enter_context(recorded(model, [model.family.final_norm]))
            run(model, batch)
            streams.append(seen[model.family.final_norm].input[:, batch.first])
    frozen = freeze(norm, streams[0], norm(streams[0]))
    change = frozen.apply((streams[0] - streams[1]).double())
    row = torch.arange(len(batch.rows))
    taken = (change @ unembedding(model))[row, batch.answer[row, 0]]
    assert torch.allclose(taken, shares.neurons[:, last, 3], atol=1e-6)


def test_the_hand_models_logit_is_its_induction_heads(hand_model, repeated):
    found = attribution(choose(hand_model), of(repeated))
    direct = {part.site: part.direct for part in found.heads}
    total = {part.site: part.total for part in found.heads}
    assert found.complete
    assert found.mean == pytest.approx(20, abs=1e-2)
    assert direct.pop("L1H1") == pytest.approx(20, abs=1e-2)
    assert max(map(abs, direct.values())) < 1e-3
    assert total.pop("L1H1") == pytest.approx(20, abs=1e-2)
    assert total.pop("L0H2") == pytest.approx(20, abs=1e-2), "all of the previous-token head's effect is indirect"
    assert max(map(abs, total.values())) < 1e-6
    assert found.layers[1][0] == pytest.approx(20, abs=1e-2)
    assert found.layers[0][0] == pytest.approx(0, abs=1e-3)


def test_a_forgotten_bias_would_be_seen(monkeypatch: pytest.MonkeyPatch):
    real = module.weight_and_bias
    monkeypatch.setattr(module, "weight_and_bias", lambda projection: (real(projection)[0], None))
    (shares,) = attribute(open_model("tiny:gpt2"), of(random_items()).batches, "answer")
    assert shares.error > 1e-2


def test_total_effects_are_what_the_reference_gives():
    model = open_model("tiny:llama")
    asked = of(random_items())
    sites = [head(0, 1), head(2, 3)]
    found = total_effects(choose(model), asked, sites, "logit_diff")
    for batch in asked.batches:
        for site in sites:
            base = values(run(model, batch).logits, batch, "logit_diff")
            edited = values(run(model, batch, Scale(sites=(site,), alpha=0)).logits, batch, "logit_diff")
            assert np.allclose(found[str(site)][list(batch.rows)], base - edited, atol=1e-4)


def test_it_runs_on_a_task_and_says_what_is_capped():
    model = open_model("tiny:gemma2")
    found = attribution(choose(model, "reference"), ask(model, "arithmetic high=9 shots=1", 12), neurons=3, totals=())
    assert found.items == 12
    assert found.capped
    assert found.complete
    assert len(found.heads) == len(heads_of(model))
    assert all(part.total is None for part in found.heads)
    assert len(found.neurons) == 3
    parts = [*found.heads, *found.others]
    neurons = sum(mlp for _, mlp in found.layers)
    attention = sum(a for a, _ in found.layers)
    names = {part.site: part.direct for part in parts}
    assert attention + neurons + names["embedding"] + names["shift"] == pytest.approx(found.mean, abs=1e-4)


def test_what_cannot_be_attributed_is_refused(hand_model, repeated):
    with pytest.raises(InputError, match="did you mean 'logit_diff'"):
        attribution(choose(hand_model), of(repeated), "logit_dif")
    with pytest.raises(InputError, match="at least two"):
        attribution(choose(hand_model), of(repeated[:1]))
    with pytest.raises(InputError, match="no item of this task can be asked"):
        ask(hand_model, "arithmetic", 5)
