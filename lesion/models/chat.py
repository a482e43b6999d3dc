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
from lesion.models.vocabulary import vocabulary_folder
from lesion.tasks.chat import Chat, Frame

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
    folder = vocabulary_folder(name)
    template, said = _read(name, folder)
    if "strftime_now" in template:
        raise InputError(
            f"{name}: its chat template writes today's date, so a run could not be repeated; no rule for that"
        )
    tokens = {key: _text(said[key]) for key in _TOKENS if said.get(key) is not None}
    whole = _rendered(name, template, tokens, chat, _MARK)
    if whole.count(_MARK) != 1:
        raise InputError(f"{name}: its chat template writes the question {whole.count(_MARK)} times, not once")
    before, _, after = whole.partition(_MARK)
    if chat.system is not None and chat.system.strip() not in before:
        raise InputError(f"{name}: its chat template leaves the system message out; ask without one")
    bos = tokens.get("bos_token", "")
    begins = bool(bos) and before.startswith(bos)
    trims = f" {_MARK} " not in _rendered(name, template, tokens, chat, f" {_MARK} ")
    return Frame(before[len(bos) * begins :], after, begins, trims, sha256(template.encode()).hexdigest())


def _read(name: str, folder: Path | None) -> tuple[str, dict[str, Any]]:
    """The template's text, and the tokenizer's configuration."""
    if folder is not None:
        config = folder / "tokenizer_config.json"
        said: dict[str, Any] = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}
        alone = folder / "chat_template.jinja"
        found: Any = alone.read_text(encoding="utf-8") if alone.is_file() else said.get("chat_template")
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


def _rendered(name: str, template: str, tokens: dict[str, str], chat: Chat, question: str) -> str:
    """The conversation up to where the answer begins."""

    def refuse(message: str) -> None:
        raise TemplateError(message)

    world: Any = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    world.filters["tojson"], world.globals["raise_exception"] = _to_json, refuse
    system = [] if chat.system is None else [{"role": "system", "content": chat.system}]
    messages = [*system, {"role": "user", "content": question}]
    try:
        return world.from_string(template).render(messages=messages, add_generation_prompt=True, **tokens)
    except TemplateError as error:
        raise InputError(f"{name}: its chat template cannot be used: {error}") from error
