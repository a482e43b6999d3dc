"""One line in a notebook, and `lesion measure`: known answers, nulls for what has no number, and the receipt."""

import doctest
import json
import math
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from lesion import cli
from lesion.engine.select_engine import choose
from lesion.errors import InputError, InterventionError
from lesion.identity import generator
from lesion.interventions.intervention import Scale
from lesion.interventions.parse import parse_intervention
from lesion.interventions.site import head
from lesion.lab import Lab, scale
from lesion.measures.effects.effect import effect
from lesion.measures.heads.repeated_sequences import repeats
from lesion.measures.prompt_set import of
from lesion.models.model import open_model
from lesion.progress import shown_by
from lesion.report.terminal import text_pictures
from lesion.tasks.tokenizers.prompt_contract import Compiled
from lesion.training.hand_model import write_hand_model


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab("zoo:abacus-llama")


@pytest.fixture(scope="module")
def hand(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("hand")
    write_hand_model(folder)
    return open_model(str(folder))


@pytest.fixture(scope="module")
def repeated() -> list[Compiled]:
    group = repeats(np.arange(1, 33), 0, 16, 0, 8, generator("lab"))
    rows = [tuple(row[:26]) for row in group.ids.tolist()]
    return [Compiled(row, {}, (row[25],), (row[24],), 25, None) for row in rows]


@pytest.mark.parametrize("alpha", [0.05, 0.25, 0.5])
def test_scaling_the_induction_head_gives_the_known_loss_and_entropy(hand, repeated, alpha: float):
    found = effect(choose(hand), of(repeated), scale("L1H1", alpha)).effect
    assert found.change("correct").baseline == 1
    known = -math.log1p(32 * math.exp(-20 * alpha))
    assert found.change("answer_logprob").edited == pytest.approx(known, abs=1e-3)
    assert found.change("logit_diff").edited == pytest.approx(20 * alpha, abs=1e-2)
    assert found.change("entropy").edited > found.change("entropy").baseline
    p = math.exp(known)
    uniform_rest = -(p * known + (1 - p) * math.log((1 - p) / 32))
    assert found.change("entropy").edited == pytest.approx(uniform_rest, abs=1e-3)


def test_zeroing_it_leaves_the_uniform_distribution(hand, repeated):
    found = effect(choose(hand), of(repeated), scale("L1H1", 0.0)).effect
    assert found.change("entropy_share").edited == pytest.approx(1, abs=1e-6)
    assert found.change("answer_logprob").edited == pytest.approx(-math.log(33), abs=1e-5)
    assert found.change("ties").edited == 1
    assert found.change("correct").high < 0
    assert found.change("neutral_loss").delta == pytest.approx(0, abs=1e-4), "without a pattern the head writes nothing"


def test_a_placebo_changes_nothing_at_all(lab: Lab):
    found = lab.run("arithmetic high=9 shots=1", "scale L1H0 1", items=28)
    for change in found.effect.changes:
        assert change.delta == pytest.approx(0, abs=1e-5), "the batched engine differs in the last bits only"
        assert change.low <= change.delta <= change.high
    assert found.change("top1_flip").edited == 0
    assert found.receipt.l2_change == 0
    assert found.receipt.firings == found.receipt.forwards > 0


def test_one_line_gives_table_interval_and_receipt(lab: Lab):
    found = lab.run(task="symbolic", do=scale("L1H0+L1H1", 0.0), items=40)
    assert found.table.height == 40
    assert {"index", "correct", "correct_edited", "kl", "top1_flip", "text", "text_edited"} <= set(found.table.columns)
    low, high = found.interval("correct")
    assert high < 0
    assert low <= found.change().delta <= high
    assert found.receipt.max_logit_change > 1
    assert found.summary.filter(pl.col("measure") == "kl")["delta"].item() > 0
    assert found.effect == lab.run(task="symbolic", do=scale("L1H0+L1H1", 0.0), items=40).effect
    assert found.effect != lab.run(task="symbolic", do=scale("L1H0+L1H1", 0.0), items=40, seed=1).effect


def test_digits_and_carries_are_told_apart_and_agree_with_the_rows(lab: Lab):
    found = lab.run("arithmetic", "zero L1H7", items=60)
    assert [d.place for d in found.effect.digits] == [0, 1, 2]
    assert sum(s.items for s in found.effect.strata if s.bucket.startswith("carry=")) == 60
    rows = found.table
    worst = max(digit.edited for digit in found.effect.digits)
    assert 1 - rows["correct_edited"].mean() >= worst - 1e-9
    change = found.change()
    assert change.delta == pytest.approx((rows["correct_edited"] - rows["correct"]).mean())


def test_what_cannot_be_scored_is_null_and_counted(hand, repeated, monkeypatch: pytest.MonkeyPatch):
    same = [Compiled(c.ids, c.roles, c.answer_ids, c.answer_ids, c.prompt_length, None) for c in repeated[:3]]
    engine = choose(hand)
    measured = effect(engine, of([*same, *repeated[3:]]), scale("L1H1", 0.5))
    change = measured.effect.change("logit_diff")
    assert change.floor == engine.choice.floor == pytest.approx(0, abs=1e-4), "rounding stands beside the difference"
    assert measured.effect.change("correct").floor is None
    assert (change.scored, change.unscored) == (5, 3)
    assert measured.rows["logit_diff"].count(None) == 3
    assert change.baseline == pytest.approx(20, abs=1e-2), "the mean is over scored items only"
    nothing = effect(choose(hand), of(same), scale("L1H1", 0.5)).effect.change("logit_diff")
    assert (nothing.baseline, nothing.delta, nothing.low, nothing.unscored) == (None, None, None, 3)


def test_interventions_are_read_in_either_order():
    wanted = Scale(sites=(head(5, 1), head(6, 9)), alpha=0.5, positions="last")
    for text in ("scale L5H1+L6H9 0.5 @last", "scale 0.5 L5H1+L6H9 @last", "scale 0.5 L6H9 L5H1 @last"):
        assert parse_intervention(text) == wanted
    assert parse_intervention("zero L5H1") == scale("L5H1", 0.0)
    assert parse_intervention(str(wanted)) == wanted


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("scalle L5H1 0.5", "did you mean 'scale'"),
        ("", "is not an intervention"),
        ("scale L5H1", "write 'scale SITES FACTOR'"),
        ("scale 0.5", "write 'scale SITES FACTOR'"),
        ("scale L5Q1 0.5", "is not a site"),
        ("scale L5H1+L5H1 0.5", "named twice"),
        ("scale L5H1 0.5 @nowhere", "String should match"),
    ],
)
def test_what_is_no_intervention_is_refused(text: str, told: str):
    with pytest.raises(InputError, match=told):
        parse_intervention(text)


def test_a_head_that_the_model_lacks_is_refused(lab: Lab):
    with pytest.raises(InterventionError, match="layers of this model are 0"):
        lab.run("arithmetic", "zero L9H0", items=4)


def test_the_command_gives_one_document_and_the_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["measure", "tiny:llama", "--task", "arithmetic high=9 shots=0", "--do", "scale L1H1 0.5"]
    with pytest.raises(SystemExit) as ended:
        cli.main([*arguments, "--items", "20", "--rows", str(tmp_path / "rows.parquet"), "--json"])
    assert not ended.value.code
    document = json.loads(capsys.readouterr().out)
    assert document["intervention"] == "scale 0.5 L1H1"
    assert document["receipt"]["firings"] >= 1
    assert pl.read_parquet(tmp_path / "rows.parquet").height == document["items"]


def test_a_look_shows_patterns_and_logits_of_the_model_itself(lab):
    seen = lab.look("12+34=46;50+7=", do="scale L1H0+L1H1 0", versus=("5", "4"))
    ids = torch.tensor([[lab.model.bos, *lab.model.tokenizer.encode("12+34=46;50+7=", add_special_tokens=False).ids]])
    logits = lab.module(ids).logits[0]
    five, four = (lab.model.tokenizer.token_to_id(text) for text in "54")
    assert seen.table["logit_diff"].to_list() == pytest.approx((logits[:, five] - logits[:, four]).tolist(), abs=1e-4)
    follows = logits.log_softmax(-1)[:-1].gather(1, ids[0, 1:, None])[:, 0]
    assert seen.table["next_logprob"].to_list()[:-1] == pytest.approx(follows.tolist(), abs=1e-4)
    assert seen.table["next_logprob"][-1] is None
    with lab.intervene("scale L1H0+L1H1 0"):
        edited = lab.module(ids).logits[0]
    assert seen.table["logit_diff_edited"].to_list() == pytest.approx(
        (edited[:, five] - edited[:, four]).tolist(), abs=1e-4
    )
    pattern = seen.patterns["unedited"]
    assert pattern.shape == (lab.model.sizes.n_layers, lab.model.sizes.n_heads, ids.shape[1], ids.shape[1])
    assert pattern.sum(-1) == pytest.approx(1, abs=1e-4)


def test_pictures_of_a_look_hold_every_pair_of_tokens_and_refuse_what_is_not_there(lab, tmp_path):
    seen = lab.look("1+2=3;", do="scale L1H0 0")
    spec = seen.plot("L1H0").spec
    (first, second) = spec["concat"]
    rows = spec["datasets"][first["data"]["name"]]
    assert len(rows) == 7 * 8 // 2
    assert {row["from"] for row in rows} == {"[BOS]", "1", "+", "2", "=", "3", ";"}
    assert first["title"] == "L1H0, unedited"
    assert second["title"] == "L1H0, edited"
    page = seen.plot("L1H0").save(tmp_path / "look.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    assert seen.plot_tokens().save(tmp_path / "look.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match="L0H0 to L2H7"):
        seen.plot("L9H0")
    with pytest.raises(InputError, match="versus"):
        seen.plot_tokens("logit_diff")
    with pytest.raises(InputError, match="saved as"):
        seen.plot("L1H0").save("look.gif")
    with pytest.raises(InputError, match="single tokens"):
        lab.look("1+2=3;", versus=("12", "3"))
    with pytest.raises(InputError, match="needs other items"):
        lab.look("1+2=3;", do="mean L1H0")
    with pytest.raises(InputError, match="at most 512"):
        lab.look("1" * 600)


def test_tokens_are_seen_whole():
    assert doctest.testmod(text_pictures).failed == 0


def test_a_notebook_is_shown_how_far_it_is_unless_somebody_shows_it_already(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lesion.report.terminal.progress.EVERY", 0.0)
    lab = Lab("tiny:llama")
    lab.scores("induction")
    assert "%" in capfd.readouterr().err
    with shown_by(lambda what, total: nullcontext(lambda units: None)):
        lab.scores("induction")
    assert capfd.readouterr().err == ""
