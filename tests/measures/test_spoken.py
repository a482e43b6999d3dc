"""Written text against teacher forcing: they agree on what is right; only the text tells what is written instead."""

import pytest

from lesion.engine.replacement_activations import Library, reference_hash
from lesion.engine.select_engine import choose
from lesion.interventions.intervention import Mean, Scale
from lesion.interventions.site import head
from lesion.measures.effects import effect as module
from lesion.measures.effects.effect import effect
from lesion.measures.greedy_answers import parsed, spoken_many
from lesion.measures.prompt_set import ask
from lesion.models.model import open_model
from lesion.tasks.answers import extract, plain

LESS = Scale(sites=(head(1, 0), head(1, 1)), alpha=0.7)
TASK = "arithmetic low=0 high=119 beyond=199 shots=2"
"""Near-OOD: some answers are right, some are wrong."""


@pytest.fixture(scope="module")
def engine():
    return choose(open_model("zoo:abacus-llama"))


@pytest.fixture(scope="module")
def asked(engine):
    return ask(engine.model, TASK, 60, 3)


def alone(engine, asked, do=None):
    (texts,) = spoken_many(engine.model, asked, [(do, None)])
    return texts


@pytest.mark.parametrize("do", [None, LESS], ids=["unedited", "less"])
def test_a_text_is_the_answer_exactly_where_teacher_forcing_says_it_is_right(engine, asked, do) -> None:
    placebo = do or Scale(sites=(head(1, 0),), alpha=1.0)
    rows = effect(engine, asked, placebo, collateral=False).rows
    texts = alone(engine, asked, do)
    sure = [place for place, margin in enumerate(rows["margin_edited"]) if abs(margin) > 1e-3]
    end = asked.items[0].answer[-1]
    for place in sure:
        right = texts[place] == asked.items[place].answer.removesuffix(end)
        assert right == bool(rows["correct_edited"][place]), (texts[place], asked.items[place].answer)
    assert len(sure) > 50
    assert len(set(rows["correct_edited"])) == 2, "both right and wrong answers are among them"


def test_several_interventions_together_write_what_each_writes_alone(engine, asked) -> None:
    together = spoken_many(engine.model, asked, [(None, None), (LESS, None)])
    assert together == [alone(engine, asked), alone(engine, asked, LESS)]
    by_batch = spoken_many(engine.model, asked, [(None, lambda batch: None), (LESS, None)])
    assert by_batch == together
    assert together[0] != together[1]


def test_behind_a_wrong_token_the_text_is_not_what_teacher_forcing_would_show(engine, asked) -> None:
    texts = alone(engine, asked, LESS)
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


def test_a_task_whose_answers_are_no_numbers_has_no_parse_rate(engine) -> None:
    asked = ask(engine.model, "symbolic patterns=repeat shortest=6 longest=8", 6, 0)
    found = effect(engine, asked, LESS, collateral=False).effect
    assert (found.change("parsed").scored, found.change("parsed").baseline) == (0, None)
    assert found.carries is None


def test_wrong_numbers_are_split_into_those_by_one_carry_and_others(engine, asked, monkeypatch) -> None:
    wanted = [extract(item.answer) for item in asked.items]
    told = {None: [str(n) for n in wanted], LESS: [str(n + (10, 7, 20, 110)[row % 4]) for row, n in enumerate(wanted)]}
    monkeypatch.setattr(module, "spoken_many", lambda model, given, arms: [told[do] for do, _ in arms])
    carries = effect(engine, asked, LESS, collateral=False).effect.carries
    assert (carries.items, carries.baseline, carries.baseline_wrong) == (60, 0, 0)
    assert (carries.edited, carries.edited_wrong) == (15, 60)


@pytest.mark.parametrize("written", ["compact", "reversed_digits"])
def test_the_lowest_digit_is_the_lowest_however_a_task_writes_it(engine, monkeypatch, written) -> None:
    asked = ask(engine.model, f"arithmetic low=20 high=99 shots=0 format={written}", 20, 0)
    end = asked.items[0].answer[-1]

    def wrong_units(text: str) -> str:
        number = plain(text.removesuffix(end), written)
        return plain(number[:-1] + str((int(number[-1]) + 1) % 10), written)

    told = {None: [i.answer.removesuffix(end) for i in asked.items], LESS: [wrong_units(i.answer) for i in asked.items]}
    monkeypatch.setattr(module, "spoken_many", lambda model, given, arms: [told[do] for do, _ in arms])
    digits = effect(engine, asked, LESS, collateral=False).effect.digits
    assert {place.edited for place in digits if place.place == 0} == {1.0}
    assert {place.edited for place in digits if place.place > 0} == {0.0}
