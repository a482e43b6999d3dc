"""Circuits against written-down weights, closed forms and the model's own attention."""

import math

import pytest
import torch

from lesion.engine.hooks import edited, recorded
from lesion.errors import InterventionError
from lesion.measures.attribution.frozen_norm import freeze
from lesion.measures.heads.copy_scores import circuit_report, copy_scores, copying
from lesion.measures.heads.in_context_score import in_context
from lesion.measures.heads.qk_ov_circuits import (
    Circuits,
    _gaussian,
    _values,
    circuits,
    composition,
    ends,
    positivity,
    run,
)
from lesion.models.families import FAMILIES
from lesion.models.model import open_model


@pytest.mark.parametrize("family", list(FAMILIES))
def test_measured_values_times_the_pattern_are_z_in_every_family(family: str):
    model = open_model(f"tiny:{family}", dtype="float64")
    read = circuits(model)
    assert read.queries is not None, "the layout of this family is known"
    ids = torch.arange(3, 4)[None]
    path = f"{model.block_path(1)}.{model.family.attention_out}"
    attention = f"{model.block_path(1)}.{model.family.attention_out.rpartition('.')[0]}"
    with recorded(model, [path, attention]) as seen:
        run(model, ids)
    reads = seen[attention].input.reshape(-1).double()
    z = seen[path].input.reshape(model.sizes.n_heads, -1).double()
    with recorded(model, [path]) as silent, edited(model.submodule(attention), torch.zeros_like):
        run(model, ids)
    bias = silent[path].input.reshape(z.shape).double()
    assert torch.allclose(torch.einsum("d,hde->he", reads, _values(model)[1]) + bias, z, atol=1e-9)


def test_the_hand_models_induction_head_copies_and_no_other_writes_a_logit(hand_model):
    for found in copying(hand_model):
        numbers = (found.positivity, found.top5, found.score)
        if (found.layer, found.head) == (1, 1):
            assert numbers == (pytest.approx(1), 1.0, pytest.approx(1))
        else:
            assert numbers == (None, None, None), "a circuit of zero has no score, not 0"


def test_positivity_of_copy_anti_copy_and_nothing():
    wide = torch.eye(12, dtype=torch.float64)
    v, o = wide[:, :4], wide[:4]
    assert positivity(v, o, wide) == pytest.approx(1)
    assert positivity(v, -o, wide) == pytest.approx(-1)
    assert positivity(v, torch.zeros_like(o), wide) is None
    turned = torch.eye(4, dtype=torch.float64).roll(1, 0) @ o
    assert positivity(v, turned, wide) == pytest.approx(0, abs=1e-9)  # a cycle's eigenvalues cancel


def test_the_small_matrix_has_the_full_circuits_eigenvalues(hand_model):
    read, given = circuits(hand_model), ends(hand_model)
    full = given.embedding @ read.values[1, 1] @ read.outputs[1, 1] @ given.unembedding
    eigen = torch.linalg.eigvals(full)
    wanted = float(eigen.real.sum() / eigen.abs().sum())
    between = given.unembedding @ given.embedding
    assert positivity(read.values[1, 1], read.outputs[1, 1], between) == pytest.approx(wanted, abs=1e-6)


def test_composition_of_the_hand_model_is_k_between_its_two_heads_and_nothing_else(hand_model):
    scores = composition(circuits(hand_model))
    base = _gaussian(520, 130, 8)
    for kind, table in scores.items():
        raw = (table + base)[0, :, 1]
        planted = torch.zeros(4, 4, dtype=torch.float64)
        if kind == "k":
            # Of the 32 copied letters' norm, half lies in the mirrored slots that keys do not read; the later head's
            # own circuit has 33 entries of 1 for tokens and 97 of 1/2 for the first position.
            planted[2, 1] = 1 / math.sqrt(2 * (33 + 97 / 4))
        assert torch.allclose(raw, planted, atol=2e-4), kind
        assert table[1].isnan().all(), "composition is defined from earlier to later layers only"


def test_a_perfect_pair_of_rank_r_gives_one_over_root_r():
    r, d = 4, 16
    slots = torch.eye(d, dtype=torch.float64)
    make = lambda start: slots[:, start : start + r]  # noqa: E731
    read = Circuits(
        values=torch.stack([make(0), make(0)])[:, None],
        outputs=torch.stack([make(4).T, make(8).T])[:, None],
        queries=torch.stack([make(0), make(0)])[:, None],
        keys=torch.stack([make(0), make(4)])[:, None],
        note="",
    )
    raw = composition(read)["k"][0, 0, 1, 0] + _gaussian(d, r, 8)
    assert float(raw) == pytest.approx(1 / math.sqrt(r))


def test_the_in_context_score_of_the_hand_model_is_exact(hand_model):
    found = in_context(hand_model)
    assert found.score == pytest.approx(-3.4965, abs=1e-4)
    assert found.first == pytest.approx(math.log(33), abs=1e-5)
    random = in_context(open_model("tiny:llama"))
    assert random.low < 0 < random.high or abs(random.score) < 0.2


def test_copy_scores_stay_in_range_and_repeat(hand_model):
    model = open_model("tiny:gemma2")
    scores = copy_scores(model)
    assert (abs(scores) <= 1).all()
    assert (scores == copy_scores(model)).all()


def test_a_report_lists_the_strongest_pairs(hand_model):
    report = circuit_report(hand_model)
    assert [(p.left, p.right) for p in report.composition["k"]] == [("L0H2", "L1H1")]
    assert report.composition["q"] == report.composition["v"] == ()
    assert report.note == ""
    assert "rotation" in circuit_report(open_model("tiny:qwen3")).note


def test_a_norm_of_no_known_form_is_refused():
    x = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    norm = torch.nn.LayerNorm(8)
    frozen = freeze(norm, x, norm(x))
    assert frozen.centred
    assert torch.allclose(frozen.apply(x.double()), norm(x).detach().double(), atol=1e-6)
    reader = torch.ones(3, 8, dtype=torch.float64).cumsum(1)
    assert torch.allclose((frozen.apply(x.double()) * reader).sum(-1), (x.double() * frozen.adjoint(reader)).sum(-1))
    with pytest.raises(InterventionError, match="neither LayerNorm nor RMSNorm"):
        freeze(norm, x, torch.tanh(x))
