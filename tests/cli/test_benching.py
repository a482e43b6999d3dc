"""`lesion bench` as programs read it: keys, machine and numbers that agree; never how fast it was."""

import json

import pytest

from lesion import cli
from lesion.engine.bench import growth, workload
from lesion.engine.bench.workload import Shape


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    shapes = dict.fromkeys(("W1", "W2", "W3"), Shape(2, 4, 32, 70, 3, prompt=10, shared=6))
    monkeypatch.setattr(workload, "SHAPES", shapes)
    monkeypatch.setattr(growth, "SHAPES", shapes)


@pytest.fixture
def said(capsys):
    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main(["bench", *arguments])
        return ended.value.code or 0, capsys.readouterr().out

    return call


def test_bench_prints_ratios_error_share_of_the_floor_and_the_machine(said):
    code, text = said("--family", "llama", "--work", "W2", "--quick", "--json")
    found = json.loads(text)
    assert code == 0
    assert found["max_abs_error"] <= 1e-4
    for key in ("ratio_plain", "ratio_expert", "share_of_floor", "seconds", "gflops"):
        assert found[key] > 0
    assert found["share_of_prefix"] == 0.6
    assert {"processor", "threads", "torch", "kernel", "fast_peak_bytes", "plain_peak_bytes", "looped"} <= set(found)


def test_an_unshared_prompt_and_late_positions_can_be_asked_for(said):
    code, text = said("--work", "W3", "--shared", "0", "--positions", "last", "--quick", "--json")
    assert code == 0
    assert json.loads(text)["max_abs_error"] <= 1e-4


def test_tune_says_whether_the_kernel_rule_is_right(said):
    code, text = said("--tune", "--json")
    assert code == 0
    assert {"rule", "quicker", "right", "products", "processor"} <= set(json.loads(text))


def test_growth_gives_an_exponent_for_prompts_and_one_for_interventions(said):
    code, text = said("--growth", "--work", "W2", "--quick", "--json")
    found = json.loads(text)
    assert code == 0
    assert len(found["by_prompts"]) == 4
    assert {"exponent_prompts", "exponent_interventions"} <= set(found)


def test_without_json_a_person_reads_a_table(said):
    code, text = said("--tune")
    assert code == 0
    assert "quicker" in text


def test_an_unknown_family_is_refused_with_the_nearest_name(said):
    code, text = said("--family", "lama", "--quick", "--json")
    assert code == 2
    assert "llama" in json.loads(text)["error"]
