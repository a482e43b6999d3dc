"""The provider for Inspect AI: answers and refusals; with the real package in its own environment (make inspect)."""

from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import pytest

from lesion.errors import InputError
from lesion.interventions.parse import parse_intervention, scale
from lesion.measures.interop.inspect import answered, asked
from lesion.models.model import open_model

BLOCKS = ["eximdt", "fCxJdiR", "pKoNuJld"]
real = pytest.mark.skipif(
    find_spec("inspect_ai") is None,
    reason="inspect-ai wants an older fsspec than the pinned one; `make inspect` runs this in its own environment",
)


@pytest.fixture(scope="module")
def planted():
    return open_model("zoo:abacus-planted")


def test_an_answer_ends_at_the_end_mark_a_stop_text_the_limit_or_the_last_position():
    llama = open_model("zoo:abacus-llama")
    assert answered(llama, "12+30=", None, 8, [])["words"] == "42"
    assert answered(llama, "12+30=", None, 8, [])["why"] == "stop"
    assert answered(llama, "12+30=", None, 8, ["2"])["words"] == "4"
    assert answered(llama, "12+30=", None, 1, [])["why"] == "max_tokens"
    long = answered(llama, "abcdefgh" * 5, None, 100, [])
    assert (long["why"], long["tokens"]) == ("model_length", 48 - 41 + 1)


def test_an_answer_under_an_intervention_brings_its_receipt(planted):
    plain = answered(planted, "eximdtex", None, 4, [])
    edited = answered(planted, "eximdtex", parse_intervention("zero L1H0+L1H1"), 4, [])
    assert plain["words"] == "imdt" != edited["words"]
    assert plain["receipt"] is None
    assert edited["receipt"]["firings"] > 0


@pytest.mark.parametrize(
    ("roles", "tools", "config", "said"),
    [
        (["system", "user"], [], {}, "one user message"),
        (["user"], ["python"], {}, "call no tools"),
        (["user"], [], {"temperature": 0.7}, "greedily, not at temperature 0.7"),
        (["user"], [], {"num_choices": 3}, "leave out num_choices"),
        (["user"], [], {"logprobs": True}, "leave out logprobs"),
    ],
)
def test_what_greedy_text_cannot_do_is_refused_by_name(roles, tools, config, said):
    names = ["temperature", "top_k", "top_p", "num_choices", "best_of", "logprobs", "prompt_logprobs", "logit_bias"]
    settings = SimpleNamespace(**{**dict.fromkeys(names), **config})
    settings.logprobs = config.get("logprobs")
    with pytest.raises(InputError, match=said):
        asked([SimpleNamespace(role=role, text="1+1=") for role in roles], tools, settings)


def test_a_text_that_the_tokenizer_cannot_say_is_refused(planted):
    with pytest.raises(InputError, match="cannot be asked"):
        answered(planted, "ü", None, 4, [])


def _evaluated(folder: Any, **arguments: Any) -> Any:
    from inspect_ai import Task, eval
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.scorer import exact
    from inspect_ai.solver import generate

    samples = [Sample(input=block + block[:-4], target=block[-4:]) for block in BLOCKS]
    task = Task(dataset=MemoryDataset(samples), solver=generate(max_tokens=4), scorer=exact())
    (log,) = eval(task, model="lesion/zoo:abacus-planted", model_args=arguments, log_dir=str(folder), display="none")
    return log


@real
@pytest.mark.filterwarnings("default")  # what inspect-ai warns of is not ours
def test_an_evaluation_of_inspect_ai_runs_under_an_intervention(tmp_path):
    plain = _evaluated(tmp_path)
    edited = _evaluated(tmp_path, do="zero L1H0+L1H1")
    assert (plain.status, edited.status) == ("success", "success")
    numbers = [log.results.scores[0].metrics["mean"].value for log in (plain, edited)]
    assert numbers == [1.0, 0.0]
    for sample in edited.samples:
        told = sample.output.metadata
        assert told["intervention"] == str(scale("L1H0+L1H1", 0.0))
        assert told["receipt"]["firings"] > 0
    assert all(sample.output.metadata["receipt"] is None for sample in plain.samples)


@real
@pytest.mark.filterwarnings("default")
def test_an_intervention_that_cannot_be_fails_and_gives_no_number(tmp_path):
    from lesion.errors import InterventionError

    with pytest.raises(InterventionError, match="L9H0"):
        _evaluated(tmp_path, do="zero L9H0")
