"""Written text against teacher forcing: they agree on what is right; only the text tells what is written instead."""

import pytest

from lesion.engine.choose import choose
from lesion.engine.sources import Library, reference_hash
from lesion.interventions.intervention import Mean, Scale
from lesion.interventions.site import head
from lesion.measures.asked import ask
from lesion.measures.effect import effect
from lesion.measures.spoken import parsed, spoken
from lesion.models.model import open_model

LESS = Scale(sites=(head(1, 0), head(1, 1)), alpha=0.7)
TASK = "arithmetic low=0 high=119 beyond=199 shots=2"
"""Near-OOD: some answers are right, some are wrong."""


@pytest.fixture(scope="module")
def engine():
    return choose(open_model("zoo:abacus-llama"))


@pytest.fixture(scope="module")
def asked(engine):
    return ask(engine.model, TASK, 60, 3)


@pytest.mark.parametrize("do", [None, LESS], ids=["unedited", "less"])
def test_a_text_is_the_answer_exactly_where_teacher_forcing_says_it_is_right(engine, asked, do) -> None:
    placebo = do or Scale(sites=(head(1, 0),), alpha=1.0)
    rows = effect(engine, asked, placebo, collateral=False).rows
    texts = spoken(engine.model, asked, do)
    sure = [place for place, margin in enumerate(rows["margin_edited"]) if abs(margin) > 1e-3]
    end = asked.items[0].answer[-1]
    for place in sure:
        right = texts[place] == asked.items[place].answer.removesuffix(end)
        assert right == bool(rows["correct_edited"][place]), (texts[place], asked.items[place].answer)
    assert len(sure) > 50
    assert len(set(rows["correct_edited"])) == 2, "both right and wrong answers are among them"


def test_behind_a_wrong_token_the_text_is_not_what_teacher_forcing_would_show(engine, asked) -> None:
    texts = spoken(engine.model, asked, LESS)
    forced: list[str] = []
    for batch in asked.batches:
        ((_, outcome),) = engine.run(batch, [LESS])
        forced += [engine.model.tokenizer.decode(row[:-1]) for row in outcome.logits.argmax(-1).tolist()]
    order = [row for batch in asked.batches for row in batch.rows]
    assert any(texts[row] != guess for row, guess in zip(order, forced, strict=True))


def test_an_edit_that_has_no_value_for_new_tokens_is_unscored_and_never_zero(engine, asked) -> None:
    mean = Mean(sites=(head(1, 0),), reference=reference_hash(asked.compiled))
    library = Library(engine.model, list(asked.compiled))
    found = effect(engine, asked, mean, library, collateral=False)
    assert set(found.rows["text_edited"]) == {None}
    assert found.effect.change("parsed").scored == 0
    assert found.effect.change("parsed").delta is None
    assert found.effect.change("correct").scored == len(asked.items)
    assert found.effect.digits == ()


def test_a_text_without_a_number_is_unparsed_and_no_text_has_no_rate() -> None:
    assert parsed("12") == 1.0
    assert parsed("abc") == 0.0
    assert parsed(None) != parsed(None)
