"""`lesion doctor`: passes on sound models, and each of its checks is seen to fail on a broken one."""

import json
from pathlib import Path

import pytest
import torch

from lesion import cli
from lesion.interventions.site import head
from lesion.measures.sanity import model_checks, noise_floor, positive_control
from lesion.models.families import FAMILIES
from lesion.models.model import open_model
from lesion.training.hand_model import write_hand_model


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict]:
    with pytest.raises(SystemExit) as ended:
        cli.main([*arguments, "--json"])
    return int(ended.value.code or 0), json.loads(capsys.readouterr().out)


@pytest.fixture
def hand(tmp_path: Path):
    write_hand_model(tmp_path)
    return open_model(str(tmp_path))


@pytest.mark.parametrize("family", list(FAMILIES))
def test_every_family_passes_the_checks_on_a_model(family: str):
    checks = list(model_checks(open_model(f"tiny:{family}")))
    assert all(check.holds for check in checks), [c for c in checks if not c.holds]
    assert len(checks) == 4


def test_the_full_suite_passes_and_says_so(capsys: pytest.CaptureFixture[str]):
    code, document = call(capsys, "doctor", "tiny:llama", "--full")
    assert code == 0
    assert document["healthy"]
    assert len(document["checks"]) == 10
    found = {check["name"]: check for check in document["checks"]}
    assert found["reference fixture on cpu, nats"]["value"] < 1e-5
    assert found["L1H1 is found"]["value"] > 0.99
    assert found["no other head is"]["value"] < 0.05
    assert found["repeated blocks are answered"]["value"] > 0.99
    silent = next(check for name, check in found.items() if "answered by chance" in name)
    assert silent["value"] == pytest.approx(1 / 33, abs=1e-6)
    assert document["noise_floor"] < 1e-4
    assert document["engine"]["engine"] in ("fast", "reference")


def test_a_hook_that_does_nothing_would_be_seen(monkeypatch: pytest.MonkeyPatch, hand):
    from contextlib import nullcontext

    import lesion.measures.sanity as module

    monkeypatch.setattr(module, "applied", lambda *_: nullcontext())
    checks = [*model_checks(open_model("tiny:gpt2")), *positive_control(hand, head(1, 1))]
    bad = [place for place, check in enumerate(checks) if not check.holds]
    assert bad == [0, 1, len(checks) - 1], "silent heads, silent model, silent planted head"


def test_a_model_without_the_planted_head_fails_the_control(hand):
    with torch.no_grad():
        hand.module.transformer.h[1].attn.c_proj.weight.zero_()
    bad = [check.name for check in positive_control(hand, head(1, 1)) if not check.holds]
    assert "repeated blocks are answered" in bad
    wrong = [check.name for check in positive_control(hand, head(0, 1)) if not check.holds]
    assert "L0H1 is found" in wrong
    assert "no other head is" in wrong


def test_a_broken_row_of_the_table_ends_with_1_and_names_what_failed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    from dataclasses import replace

    import lesion.models.model as module

    real = module.open_model

    def wrong(name: str, **options):
        model = real(name, **options)
        return replace(model, residual="parallel")

    monkeypatch.setattr(module, "open_model", wrong)
    code, document = call(capsys, "doctor", "tiny:gpt2")
    assert code == 1
    assert not document["healthy"]
    assert any("residual rule" in one["name"] and not one["holds"] for one in document["identities"])


def test_rows_together_and_alone_are_nearly_the_same():
    assert noise_floor(open_model("tiny:gemma2")) < 1e-4


def test_the_noise_floor_of_bfloat16_is_its_rounding_and_the_document_says_the_dtype(
    capsys: pytest.CaptureFixture[str],
):
    code, document = call(capsys, "doctor", "tiny:llama", "--dtype", "bfloat16")
    assert (code, document["dtype"]) == (0, "bfloat16")
    assert document["noise_floor"] > 1e-3, (
        "rows alone and together are bit-equal, so the copy in float32 is what counts"
    )
    code, document = call(capsys, "measure", "tiny:llama", "--do", "zero L1H0", "--items", "8", "--dtype", "bfloat16")
    assert (code, document["dtype"]) == (0, "bfloat16")
    assert document["noise_floor"] > 1e-3


def test_a_dtype_that_is_not_known_is_refused(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        cli.main(["doctor", "tiny:llama", "--dtype", "float16"])
    assert ended.value.code
    assert "'float16' is not one of" in capsys.readouterr().err
