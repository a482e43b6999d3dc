"""The device of a process: refused where it is not there, held against the processor where it is make-believe."""

import json
from pathlib import Path

import pytest
import torch

from lesion.device import VARIABLE, wanted
from lesion.engine.batch import batches
from lesion.engine.proof import device_fixture as fixture
from lesion.engine.proof.device_fixture import fixture_error, require_fixture
from lesion.engine.reference import run
from lesion.engine.select_engine import choose
from lesion.errors import InputError, InterventionError
from lesion.identity import generator
from lesion.interventions.parse import scale
from lesion.lab import Lab
from lesion.measures.sanity import noise_floor
from lesion.models.device import described, settle, whole_copy
from lesion.models.families import FAMILIES
from lesion.models.model import Dtype, open_model
from lesion.tasks.tokenizers.prompt_contract import Compiled
from tests import faraway
from tests.faraway import NAME, far_away


@pytest.mark.parametrize("device", ["cuda:1", "mps", "auto", "CPU"])
def test_a_device_that_was_never_tested_is_refused_by_name(device: str) -> None:
    with pytest.raises(InputError, match=rf"device {device}: this version computes on the processor, or on one CUDA"):
        open_model("tiny:gpt2", device=device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has what the test wants to be missing")
def test_cuda_is_refused_where_torch_sees_none() -> None:
    with pytest.raises(InputError, match=r"device cuda: torch .* sees none here"):
        open_model("tiny:gpt2", device="cuda")
    assert torch.get_default_device().type == "cpu"


def test_a_process_is_asked_by_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wanted() == "cpu"
    monkeypatch.setenv(VARIABLE, "tpu")
    with pytest.raises(InputError, match="device tpu"):
        open_model("tiny:gpt2")


def test_the_stored_numbers_come_out_on_a_processor() -> None:
    assert fixture_error() < 1e-5


def test_the_fixtures_edits_change_its_numbers() -> None:
    stored = json.loads(fixture.FILE.read_text(encoding="utf-8"))
    for model in fixture.MODELS:
        for name in fixture.EDITS:
            gaps = [abs(a - b) for a, b in zip(stored[model][name], stored[model]["clean"], strict=True)]
            assert name == "clean" or max(gaps) > 100 * fixture.TOLERANCE


def _batch(vocab_size: int):
    rows = generator("far", "batch").integers(1, vocab_size, size=(6, 11))
    rows[:, :5] = rows[0, :5]
    made = [tuple(map(int, row)) for row in rows]
    return batches([Compiled(ids, {}, ids[9:], ids[9:], 9, None) for ids in made], 6)[0]


WANTED = [scale("L0H1", 0.0), scale("L1H0+L0H2", 1.5), scale("L1N3", 2.0, "last"), scale("L1.resid_pre", 0.5)]


RUNNING = sorted(set(FAMILIES) - {"opt", "falcon"})
"""OPT adds up a mask of ones in floats for its positions, which CUDA does not do deterministically. Falcon's attention
is reached through torch's own function, which the make-believe device does not stand in for: there it runs plainly."""


@pytest.mark.parametrize(
    "family",
    [pytest.param(name, marks=() if name in ("gpt2", "llama", "gemma2") else pytest.mark.slow) for name in RUNNING],
)
def test_both_engines_give_the_processors_numbers_far_away(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    here = open_model(f"tiny:{family}")
    expected = [run(here, _batch(here.sizes.vocab_size), one).logits for one in WANTED]
    with far_away(monkeypatch):
        model = open_model(f"tiny:{family}")
        assert {parameter.device.type for parameter in model.module.parameters()} == {NAME}
        batch, engine = _batch(model.sizes.vocab_size), choose(model)
        assert (engine.choice.engine, engine.choice.kernel) == ("fast", "default")
        outcomes = dict(engine.run(batch, WANTED))
        plain = [run(model, batch, one) for one in WANTED]
        for index, wish in enumerate(expected):
            for outcome in (outcomes[index], plain[index]):
                assert outcome.logits.device.type == NAME
                assert (outcome.logits.cpu() - wish).abs().max() < 1e-5
                assert outcome.receipt is not None
                assert outcome.receipt.firings > 0


def test_a_family_without_a_deterministic_way_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        far_away(monkeypatch),
        pytest.raises(InputError, match=r"device far: the model does not run there: .* deterministic"),
    ):
        open_model("tiny:opt")


def test_a_notebook_opens_a_second_lab_where_the_first_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with far_away(monkeypatch):
        monkeypatch.setenv(VARIABLE, "cpu")
        Lab("tiny:gpt2", device=NAME)
        assert wanted() == NAME
        assert described().startswith("far: make-believe")
        assert {part.device.type for part in Lab("tiny:llama").model.module.parameters()} == {NAME}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_the_noise_floor_holds_no_second_model_on_the_device(dtype: Dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    here = noise_floor(open_model("tiny:llama", dtype=dtype))
    with far_away(monkeypatch):
        model = open_model("tiny:llama", dtype=dtype)
        copied = whole_copy(model.module)
        assert {(part.device.type, part.dtype) for part in copied.parameters()} == {("cpu", torch.float32)}
        assert here / 3 - 1e-5 < noise_floor(model) < 3 * here + 1e-5, "rounding by another attention kernel"


def test_a_device_that_computes_something_else_gets_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(faraway.FAULTS, "aten::gelu", 1.01)
    with far_away(monkeypatch), pytest.raises(InputError, match="its logits differ from the processor's by"):
        open_model("tiny:gpt_neox")


def test_a_device_on_which_an_edit_does_nothing_fails_the_fixture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with far_away(monkeypatch):
        require_fixture()
        stored = json.loads(fixture.FILE.read_text(encoding="utf-8"))
        stored["tiny:gpt2"]["neuron doubled"] = stored["tiny:gpt2"]["clean"]
        monkeypatch.setattr(fixture, "FILE", tmp_path / "fixture.json")
        fixture.FILE.write_text(json.dumps(stored), encoding="utf-8")
        with pytest.raises(InterventionError, match=r"device far: the reference fixture comes out .* nats from"):
            require_fixture()


def test_a_process_keeps_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    with far_away(monkeypatch):
        settle(NAME)
        assert described() == "far: make-believe, compute capability 0.1, CUDA None"
        with pytest.raises(InputError, match="device cpu: this process computes on far:0"):
            settle("cpu")
