"""The prompt contract on a per-character tokenizer, on GPT-2's own, and broken in each way."""

from dataclasses import replace
from hashlib import sha256

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors

from lesion.tasks.catalogue import make_task
from lesion.tasks.config import ArithmeticConfig, SymbolicConfig, TaskConfig
from lesion.tasks.task import Draw, Item, Segment
from lesion.tasks.tokenizers.prompt_contract import Compiled, Refused, compile_item, contradiction, dataset_hash

PATTERNS = ("repeat", "copy", "reverse", "abab", "aab")
LANE = Draw("confirm", "k", 0, 3)


def item(prompt: str, answer: str, wrong: str) -> Item:
    segments = tuple(Segment(part, f"part_{i}") for i, part in enumerate(prompt.split("¦")))
    return Item(0, segments, answer, wrong, {})


def compiled(item: Item, tokenizer: Tokenizer, bos: int | None) -> Compiled:
    made = compile_item(item, tokenizer, bos)
    assert isinstance(made, Compiled), made
    return made


def refused(item: Item, tokenizer: Tokenizer, bos: int | None = None) -> Refused:
    made = compile_item(item, tokenizer, bos)
    assert isinstance(made, Refused)
    return made


@pytest.mark.parametrize(
    "config", [ArithmeticConfig(), ArithmeticConfig(beyond=199), SymbolicConfig(patterns=PATTERNS)]
)
@pytest.mark.parametrize("bos", [1, None])
def test_every_character_tokenises_to_its_role(config: TaskConfig, bos: int | None, characters: Tokenizer):
    for question in make_task(config).items(LANE, 0, 200):
        made = compiled(question, characters, bos)
        shift = int(bos is not None)
        assert made.ids[:shift] == ((1,) if bos else ())
        assert made.ids.count(1) == shift
        text = "".join(characters.id_to_token(i) for i in made.ids[shift:])
        assert text == question.prompt + question.answer
        assert made.prompt_length == shift + len(question.prompt)
        assert made.ids[made.prompt_length :] == made.answer_ids
        spoken = [text[a - shift : b - shift] for role, spans in made.roles.items() if role != "bos" for a, b in spans]
        assert sorted(spoken) == sorted([*(text for text, _ in question.segments), question.answer])
        assert made.twin_ids is not None
        assert len(made.twin_ids) == len(made.ids)
        twin = "".join(characters.id_to_token(i) for i in made.twin_ids[shift:])
        assert twin == "".join(text for text, _ in question.twin) + question.wrong


def test_roles_on_gpt2_cover_the_tokens_that_spell_them(gpt2: Tokenizer):
    for question in make_task(ArithmeticConfig(format="equation", beyond=4999)).items(LANE, 0, 200):
        made = compile_item(question, gpt2, 50256)
        if isinstance(made, Refused):
            assert made.reason == "wrong_length_differs"
            continue
        for role in ("operand_1", "operator", "operand_2", "equals"):
            ((start, stop),) = made.roles[role]
            (text,) = [text for text, own in question.segments if own == role]
            assert gpt2.decode(made.ids[start:stop]) == text
        assert len(made.roles["shot"]) == 2
        assert made.roles["bos"] == ((0, 1),)


def test_gpt2_numbers_of_several_tokens_are_one_role(gpt2: Tokenizer):
    made = compiled(item("12345¦ +¦ 7¦ =", " 12352\n", " 12353\n"), gpt2, None)
    assert made.roles["part_0"] == ((0, 2),)
    assert gpt2.decode(made.answer_ids) == " 12352\n"


def test_a_letter_of_several_tokens_stays_whole(gpt2: Tokenizer):
    made = compiled(item("Łż¦ =¦ ł¦ =", " 1", " 2"), gpt2, None)
    spans = [made.roles[f"part_{i}"][0] for i in range(4)]
    assert [gpt2.decode(made.ids[a:b]) for a, b in spans] == ["Łż", " =", " ł", " ="]


def test_a_role_that_ends_inside_a_token_is_refused(gpt2: Tokenizer):
    why = refused(item("1¦2¦ =", " 9\n", " 8\n"), gpt2)
    assert why.reason == "role_crosses_token"
    assert "part_0 '1'" in why.detail


def test_an_answer_that_shares_a_token_with_an_operand_is_refused(gpt2: Tokenizer):
    why = refused(item("1 2", "3", "4"), gpt2)
    assert why == ("answer_merges_with_prompt", "' 2' and the answer '3' share a token")


def test_a_negative_answer_begins_with_the_token_that_joins_the_equals_sign_to_its_minus(gpt2: Tokenizer):
    question = item("3¦-¦5¦=", "-2;", "-3;")
    made = compiled(question, gpt2, None)
    assert [gpt2.decode([token]) for token in made.answer_ids] == ["=-", "2", ";"]
    assert [gpt2.decode([token]) for token in made.wrong_ids] == ["=-", "3", ";"]
    assert gpt2.decode(made.ids[: made.prompt_length]) == "3-5"
    assert made.roles == {"part_0": ((0, 1),), "part_1": ((1, 2),), "part_2": ((2, 3),), "answer": ((3, 6),)}
    assert contradiction(question, made, gpt2, None) == ""
    assert "answer" in contradiction(question, replace(made, answer_ids=made.answer_ids[1:]), gpt2, None)
    assert "'part_2'" in contradiction(
        question, replace(made, roles={"part_0": ((0, 1),), "part_1": ((1, 2),), "part_3": ((2, 3),)}), gpt2, None
    )


def test_negative_answers_are_asked_in_every_format(gpt2: Tokenizer):
    for written in ("compact", "equation", "question", "words"):
        task = make_task(ArithmeticConfig(operators=("-",), format=written))
        below = [
            question for question in task.items(LANE, 0, 200) if question.answer.strip().startswith(("-", "minus"))
        ]
        made = [compile_item(question, gpt2, None) for question in below]
        assert len(below) > 60
        assert not [one for one in made if isinstance(one, Refused) and one.reason != "wrong_length_differs"]
        kept = [(question, one) for question, one in zip(below, made, strict=True) if isinstance(one, Compiled)]
        assert len(kept) > 40
        assert not any(contradiction(question, one, gpt2, None) for question, one in kept)
        for question, one in kept:
            whole = gpt2.encode(question.prompt + question.answer, add_special_tokens=False).ids
            assert list(one.ids) == whole


@pytest.fixture
def digit_by_digit() -> Tokenizer:
    """As Qwen, Gemma and SmolLM2 write numbers: a token a digit, and one for the space before them."""
    vocabulary = {piece: i for i, piece in enumerate([*"0123456789?A:Q=-+", " ", "\n", " =", " -", " +", "?\n"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r" ?[-+=]|\?\n|[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def test_a_space_belongs_to_the_prompt_unless_it_says_that_the_answer_is_not_negative(digit_by_digit: Tokenizer):
    sums, both = (ArithmeticConfig(operators=signs, format="equation") for signs in (("+",), ("+", "-")))
    for question in make_task(sums).items(LANE, 0, 20):
        made = compiled(question, digit_by_digit, None)
        assert digit_by_digit.decode(list(made.ids[: made.prompt_length])).endswith("= ")
        assert digit_by_digit.decode(list(made.answer_ids)) == question.answer[1:]
        assert made.twin_ids is not None
        assert contradiction(question, made, digit_by_digit, None) == ""
    first = {
        digit_by_digit.decode([compiled(question, digit_by_digit, None).answer_ids[0]])
        for question in make_task(both).items(LANE, 0, 100)
    }
    assert first == {" ", " -"}


def test_a_role_that_shares_white_space_alone_with_a_token_keeps_its_span(digit_by_digit: Tokenizer):
    made = compiled(item("Q:1?¦\nA:", " 2\n", " 3\n"), digit_by_digit, None)
    spoken = {role: digit_by_digit.decode(list(made.ids[a:b])) for role, ((a, b),) in made.roles.items()}
    assert spoken == {"part_0": "Q:1?\n", "part_1": "A:", "answer": "2\n"}


def test_an_answer_without_a_token_is_refused(gpt2: Tokenizer):
    assert refused(item("1 + 1 =", "", ""), gpt2).reason == "answer_merges_with_prompt"


def test_a_bos_in_the_text_is_refused(gpt2: Tokenizer):
    assert refused(item("<|endoftext|>¦1 + 1 =", " 2\n", " 3\n"), gpt2, 50256).reason == "double_bos"
    assert isinstance(compile_item(item("<|endoftext|>¦1 + 1 =", " 2\n", " 3\n"), gpt2, None), Compiled)


def test_special_tokens_of_the_tokenizer_itself_are_not_added(characters: Tokenizer):
    adds = Tokenizer.from_str(characters.to_str())
    adds.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    assert compiled(item("1+1=", "2;", "3;"), adds, 1).ids.count(1) == 1


def test_a_character_without_a_token_is_refused(characters: Tokenizer):
    why = refused(item("1?1=", "2;", "3;"), characters)
    assert (why.reason, why.detail) == ("unknown_token", "the vocabulary has no token for '?'")


def test_lost_spaces_are_refused():
    words = Tokenizer(models.WordLevel({"1": 0, "+": 1, "=": 2, "2": 3, "3": 4}, unk_token="="))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.model.unk_token = "3"
    assert refused(item("1 + 1 =", " 2", " 2"), words).reason == "lost_text"


def test_a_tokenizer_without_a_decoder_is_read_token_by_token(characters: Tokenizer):
    bare = Tokenizer.from_str(characters.to_str())
    bare.decoder = None
    assert isinstance(compile_item(item("1+1=", "2;", "3;"), bare, 1), Compiled)


def test_answer_and_wrong_of_unequal_token_length_are_refused(gpt2: Tokenizer):
    why = refused(item("500¦ +¦ 21¦ =", " 521\n", " 520\n"), gpt2)
    assert isinstance(why, Refused)
    assert why.reason == "wrong_length_differs"


def test_a_twin_that_does_not_align_leaves_the_item_measurable_but_not_patchable(gpt2: Tokenizer):
    question = Item(
        0, (Segment("361", "a"), Segment(" =", "")), " 1\n", " 2\n", {}, (Segment("3613", "a"), Segment(" =", ""))
    )
    made = compiled(question, gpt2, None)
    assert made.twin_ids is None
    same = Item(
        0, (Segment("361", "a"), Segment(" =", "")), " 1\n", " 2\n", {}, (Segment("362", "a"), Segment(" =", ""))
    )
    assert compiled(same, gpt2, None).twin_ids is not None


def test_another_order_is_another_dataset(characters: Tokenizer):
    hashes = [compiled(q, characters, 1).prompt_hash for q in make_task(ArithmeticConfig()).items(LANE, 0, 5)]
    assert len(set(hashes)) == 5
    assert dataset_hash(hashes) != dataset_hash(sorted(hashes))
    assert dataset_hash(hashes) == dataset_hash(iter(hashes))


def test_a_prompt_hash_is_of_the_prompts_ids_alone(characters: Tokenizer):
    one, other = (compiled(item("1+1=", answer, "4;"), characters, 1) for answer in ("2;", "3;"))
    assert one.prompt_hash == other.prompt_hash
    assert one.prompt_hash != compiled(item("1+1=", "2;", "4;"), characters, None).prompt_hash
    ids = ",".join(map(str, one.ids[: one.prompt_length]))
    assert one.prompt_hash == sha256(f"[{ids}]".encode()).hexdigest()


def test_a_vocabulary_without_an_unknown_token_refuses_what_it_cannot_read():
    bare = Tokenizer(models.WordLevel({"a": 0, "b": 1}))
    (item,) = make_task(ArithmeticConfig()).items(LANE, 0, 1)
    refused = compile_item(item, bare, None)
    assert isinstance(refused, Refused)
    assert refused.reason == "unknown_token"


@pytest.mark.parametrize("bos", [1, None])
def test_compiled_items_are_read_back_without_contradiction(bos: int | None, characters: Tokenizer, gpt2: Tokenizer):
    for tokenizer in (characters, gpt2):
        for question in make_task(ArithmeticConfig()).items(LANE, 0, 40):
            made = compile_item(question, tokenizer, bos)
            assert isinstance(made, Refused) or contradiction(question, made, tokenizer, bos) == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda made: {"ids": (1, *made.ids), "prompt_length": made.prompt_length + 1}, "2 BOS"),
        (lambda made: {"ids": made.ids[:-1]}, "the answer spells"),
        (lambda made: {"wrong_ids": made.answer_ids}, "the wrong answer's tokens"),
        (lambda made: {"roles": {**made.roles, "operand_1": ((2, 3),)}}, "operand_1"),
    ],
)
def test_tokens_that_are_not_the_item_contradict_it(change, said: str, characters: Tokenizer):
    question = next(iter(make_task(ArithmeticConfig()).items(LANE, 0, 1)))
    made = compiled(question, characters, 1)
    assert said in contradiction(question, replace(made, **change(made)), characters, 1)
