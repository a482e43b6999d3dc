"""A model's chat template, rendered as transformers renders it, and cut at the question; without torch or weights.

A template is a program of the checkpoint's authors: it runs in jinja's sandbox, and one that asks for the date is
refused, because the prompt would be another one tomorrow.
"""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from lesion.errors import InputError
from lesion.models.vocabulary import tokenizer_settings, vocabulary_folder
from lesion.outside.files import read_text
from lesion.tasks.tokenizers.chat_turn import Chat, Frame

MOST_TEMPLATE_BYTES = 1_000_000
_MARK = "THE#QUESTION"
_TOKENS = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token")


def open_frame(name: str, chat: Chat) -> Frame:
    """What a model's chat template puts around a question.

    Args:
        name: `zoo:…`, `tiny:…`, a folder, or a pinned hub name.
        chat: the system message, if any.

    Raises:
        InputError: when the model has no template, or one that cannot be used, saying why.
    """
    folder = None if name.startswith("memory:") else vocabulary_folder(name)
    template, said = _read(name, folder)
    if "strftime_now" in template:
        raise InputError(
            f"{name}: its chat template writes today's date, so a run could not be repeated; no rule for that"
        )
    tokens = {key: _text(said[key]) for key in _TOKENS if said.get(key) is not None}
    render = _Render(name, template, tokens)
    spoken = [] if chat.system is None else [_turn("system", chat.system)]
    whole = render([*spoken, _turn("user", _MARK)])
    if whole.count(_MARK) != 1:
        raise InputError(f"{name}: its chat template writes the question {whole.count(_MARK)} times, not once")
    before, _, after = whole.partition(_MARK)
    if chat.system is not None and chat.system.strip() not in before:
        raise InputError(f"{name}: its chat template leaves the system message out; ask without one")
    bos = tokens.get("bos_token", "")
    close, turn = _turns(render, spoken, before, after)
    begins = bool(bos) and before.startswith(bos) and bos not in before[len(bos) :] + after + turn
    return Frame(
        before=before[len(bos) * begins :],
        after=after,
        begins=begins,
        trims=f" {_MARK} " not in render([*spoken, _turn("user", f" {_MARK} ")]),
        bos=bos,
        close=close,
        turn=turn,
        system=_added_system(render, before) if chat.system is None else chat.system,
        template_hash=sha256(template.encode()).hexdigest(),
    )


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _turns(render: "_Render", spoken: list[dict[str, str]], before: str, after: str) -> tuple[str, str]:
    """The end of an answer's turn, and all up to the next question; empty where turns do not follow one another."""
    first, reply, second = f"{_MARK}1", f"{_MARK}2", f"{_MARK}3"
    talk = [*spoken, _turn("user", first), _turn("assistant", reply)]
    try:
        ended, whole = render(talk, asks=False), render([*talk, _turn("user", second)])
    except InputError:  # e.g. a template for one question only
        return "", ""
    if whole.count(_MARK) != 3:
        return "", ""
    start, rest = whole.split(first)
    between, rest = rest.split(reply)
    turn, end = rest.split(second)
    close = ended.partition(reply)[2].rstrip()
    fits = (start, between, end) == (before, after, after) and turn.startswith(close)
    return (close, turn) if fits else ("", "")


def _added_system(render: "_Render", before: str) -> str:
    """The system prompt that a template adds to a conversation without one, found beside one that has one."""
    try:
        given = render([_turn("system", f"{_MARK}0"), _turn("user", _MARK)])
    except InputError:  # a template that knows no system message adds none
        return ""
    front, mark, rest = given.partition(f"{_MARK}0")
    back = rest.partition(_MARK)[0]
    if not mark or not (before.startswith(front) and before.endswith(back)) or len(before) < len(front) + len(back):
        return ""
    return before[len(front) : len(before) - len(back)]


def _read(name: str, folder: Path | None) -> tuple[str, dict[str, Any]]:
    """The template's text, and the tokenizer's configuration."""
    if folder is not None:
        said: dict[str, Any] = tokenizer_settings(folder)
        alone = folder / "chat_template.jinja"
        found: Any = read_text(alone, MOST_TEMPLATE_BYTES) if alone.exists() else said.get("chat_template")
        if isinstance(found, list):  # several by name
            several = cast("list[dict[str, str]]", found)
            found = {one["name"]: one["template"] for one in several}.get("default")
        if isinstance(found, str):
            return found, said
    raise InputError(
        f"{name}: its tokenizer has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json); "
        "take `chat` out of the study, or open a model that was trained on conversations"
    )


def _text(token: Any) -> str:
    return str(cast("dict[str, str]", token)["content"] if isinstance(token, dict) else token)


def _to_json(value: Any, indent: int | None = None) -> str:
    """JSON as templates expect it: nothing escaped for HTML."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


class _Render:
    """A template, ready to write conversations."""

    def __init__(self, name: str, template: str, tokens: dict[str, str]) -> None:
        self.name, self.template, self.tokens = name, template, tokens

    def __call__(self, messages: list[dict[str, str]], *, asks: bool = True) -> str:
        """A conversation; up to where the next answer begins, if it asks for one.

        Raises:
            InputError: when the template fails or refuses.
        """

        def refuse(message: str) -> None:
            raise TemplateError(message)

        world: Any = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        world.filters["tojson"], world.globals["raise_exception"] = _to_json, refuse
        try:
            made = world.from_string(self.template)
            return made.render(messages=messages, add_generation_prompt=asks, **self.tokens)
        except TemplateError as error:
            raise InputError(f"{self.name}: its chat template cannot be used: {error}") from error
