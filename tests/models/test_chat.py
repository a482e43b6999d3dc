import json

import pytest
from transformers import PreTrainedTokenizerFast

from lesion.errors import InputError
from lesion.models.chat_template import open_frame
from lesion.models.model import open_model
from lesion.models.tiny import character_tokenizer
from lesion.tasks.catalogue import make_task
from lesion.tasks.config import ArithmeticConfig
from lesion.tasks.task import Draw
from lesion.tasks.tokenizers.chat_turn import Chat, framed
from lesion.tasks.tokenizers.prompt_contract import Compiled, compile_item, contradiction

PLAIN = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}S({{ m['content'] }})"
    "{% else %}Q({{ m['content'] }}){% endif %}{% endfor %}{% if add_generation_prompt %}A{% endif %}"
)
STORED = ["tokenizer_config.json", "chat_template.jinja"]


@pytest.fixture
def folder(tmp_path):
    """Makes a model's folder with a chat template."""

    def make(template=PLAIN, stored=STORED[0], **said):
        made = tmp_path / "model"
        model = open_model("tiny:llama")
        model.module.save_pretrained(made)
        tokenizer = character_tokenizer()
        tokenizer.add_special_tokens(["<bos>"])
        tokenizer.save(str(made / "tokenizer.json"))
        said = {"bos_token": "<bos>", **said}
        if stored == STORED[1]:
            (made / stored).write_text(template, encoding="utf-8")
        elif template is not None:
            said["chat_template"] = template
        (made / STORED[0]).write_text(json.dumps(said), encoding="utf-8")
        return str(made)

    return make


@pytest.fixture
def item():
    (one,) = make_task(ArithmeticConfig(shots=1)).items(Draw("discovery", "k", 0, 1), 0, 1)
    return one


def _compiled(model, item, frame):
    return compile_item(framed(item, frame), model.tokenizer, frame.bos_id(model.tokenizer))


@pytest.mark.parametrize("system", [None, "add"])
@pytest.mark.parametrize("stored", STORED)
def test_a_framed_question_is_what_transformers_makes_of_the_conversation(folder, item, stored, system):
    name = folder(stored=stored)
    frame = open_frame(name, Chat(system=system))
    model = open_model(name)
    compiled = _compiled(model, item, frame)
    assert isinstance(compiled, Compiled)
    messages = [*([{"role": "system", "content": system}] if system else []), {"role": "user", "content": item.prompt}]
    theirs = PreTrainedTokenizerFast(tokenizer_object=character_tokenizer(), bos_token="<bos>")
    text = theirs.apply_chat_template(messages, chat_template=PLAIN, add_generation_prompt=True, tokenize=False)
    assert list(compiled.ids[: compiled.prompt_length]) == theirs.encode(text, add_special_tokens=False)
    assert compiled.ids.count(1) == 1
    assert contradiction(framed(item, frame), compiled, model.tokenizer, 1) == ""
    assert set(compiled.roles) == {"bos", "answer", *({part.role for part in item.segments} - {""})}
    assert compiled.twin_ids is not None


def test_the_template_and_not_only_its_text_around_a_question_is_named_by_its_hash(folder):
    first = open_frame(folder(), Chat())
    second = open_frame(folder(PLAIN + "{# a remark #}"), Chat())
    assert first[:-1] == second[:-1]
    assert first.template_hash != second.template_hash


def test_no_bos_is_put_where_the_template_puts_none(folder, item):
    name = folder(PLAIN.removeprefix("{{ bos_token }}"))
    model, frame = open_model(name), open_frame(name, Chat())
    assert not frame.begins
    assert 1 not in _compiled(model, item, frame).ids


def test_a_bos_token_that_begins_every_turn_stands_where_the_template_puts_it(folder, item):
    begun = "{{ bos_token }}{{ {'user': 'Q', 'assistant': 'A'}[m['role']] }}({{ m['content'] }})"
    asks = "{% if add_generation_prompt %}{{ bos_token }}A({% endif %}"
    name = folder("{% for m in messages %}" + begun + "{% endfor %}" + asks)
    frame = open_frame(name, Chat())
    compiled = _compiled(open_model(name), item, frame)
    assert not frame.begins
    assert compiled.ids[0] == 1
    assert "bos" not in compiled.roles


TURNS = (
    "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}S(be kind)E{% endif %}"
    "{{ {'user': 'Q', 'system': 'S', 'assistant': 'A'}[m['role']] }}({{ m['content'] }})E{% endfor %}"
    "{% if add_generation_prompt %}A({% endif %}"
)


def test_the_format_chat_makes_each_example_a_turn_of_its_own(folder):
    name = folder(TURNS)
    frame = open_frame(name, Chat())
    assert (frame.system, frame.close, frame.turn) == ("be kind", ")E", ")EQ(")
    assert open_frame(name, Chat(system="hurry")).system == "hurry"
    assert open_frame(folder(PLAIN), Chat()).system == ""
    (chat,) = make_task(ArithmeticConfig(shots=2, format="chat")).items(Draw("discovery", "k", 0, 1), 0, 1)
    (a, ra, b, rb), asked = [part.text for part in chat.segments[:4]], "".join(s.text for s in chat.segments[4:])
    framed_item = framed(chat, frame, turns=True)
    assert framed_item.prompt == f"S(be kind)EQ({a})EA({ra})EQ({b})EA({rb})EQ({asked})EA("
    assert framed_item.answer == chat.answer + ")E"
    turns = [("user", a), ("assistant", ra), ("user", b), ("assistant", rb), ("user", asked)]
    theirs = PreTrainedTokenizerFast(tokenizer_object=character_tokenizer(), bos_token="<bos>")
    conversation = [{"role": role, "content": content} for role, content in turns]
    told = theirs.apply_chat_template(conversation, chat_template=TURNS, add_generation_prompt=True, tokenize=False)
    assert told == framed_item.prompt


def test_the_format_chat_refuses_a_template_whose_turns_do_not_follow_one_another(folder):
    (chat,) = make_task(ArithmeticConfig(shots=2, format="chat")).items(Draw("discovery", "k", 0, 1), 0, 1)
    for template in ("{{ messages[-1]['content'] }}", PLAIN + "{% if messages|length > 1 %}more{% endif %}"):
        frame = open_frame(folder(template), Chat())
        assert frame.close == ""
        with pytest.raises(InputError, match="does not write several turns"):
            framed(chat, frame, turns=True)


@pytest.mark.parametrize(
    ("template", "system", "said"),
    [
        (None, None, "has no chat template"),
        (PLAIN + "{{ strftime_now('%d') }}", None, "today's date"),
        ("{% for m in messages %}{{ m['content'] }}{{ m['content'] }}{% endfor %}", None, "2 times, not once"),
        ("{{ messages[-1]['content'] }}", "add", "leaves the system message out"),
        ("{{ raise_exception('no system here') }}", "add", "no system here"),
        ("{% for", None, "cannot be used"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused_by_name(folder, template, system, said):
    with pytest.raises(InputError, match=said):
        open_frame(folder(template), Chat(system=system))


def test_a_model_without_a_folder_is_refused_by_name():
    with pytest.raises(InputError, match="tiny:llama: its tokenizer has no chat template"):
        open_frame("tiny:llama", Chat())


def test_a_template_that_trims_questions_refuses_those_with_white_space_at_their_ends(folder, item):
    trims = open_frame(folder(PLAIN.replace("{{ m['content'] }}", "{{ m['content'] | trim }}")), Chat())
    assert trims.trims
    framed(item, trims)
    (spaced,) = make_task(ArithmeticConfig(shots=1, format="equation")).items(Draw("discovery", "k", 0, 1), 0, 1)
    ragged = type(item)(
        0, (*spaced.segments, type(item.segments[0])(" ", "")), spaced.answer, spaced.wrong, spaced.buckets
    )
    with pytest.raises(InputError, match="white space"):
        framed(ragged, trims)
