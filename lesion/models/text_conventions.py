"""How a model's texts begin and end: one rule for teacher forcing, `generate`, lm-eval and Inspect AI.

- **BOS**: the token that the tokenizer itself puts before a text (`lesion.models.vocabulary.read_bos`), and no other.
- **Ends**: every token that generation_config.json, config.json or the tokenizer names as `eos`, one or several.
- **Text** is greedy. Other settings of generation_config.json (a repetition penalty, sampling) are set aside and named.
- **Padding**: rows under teacher forcing are of equal length. Generation pads on the left, with a mask.
- **Chat templates** are used only where a study or a format asks for them; a system prompt that one adds is named.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

from lesion.errors import InputError
from lesion.identity import Document
from lesion.models.chat_template import open_frame
from lesion.models.vocabulary import MOST_SETTINGS_BYTES, Vocabulary, saved_with
from lesion.outside.documents import read_object
from lesion.tasks.tokenizers.chat_turn import Chat

if TYPE_CHECKING:
    from lesion.models.model import Model

_NO_PROCESSING = frozenset({
    "bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id", "transformers_version", "use_cache",
    "_from_model_config", "output_attentions", "output_hidden_states", "output_scores", "return_dict_in_generate",
})  # fmt: skip
"""Settings of a generation config that change no token of a greedy text."""


class Conventions(Document):
    """What was decided about a model's texts."""

    bos: int | None
    """Token before every prompt; null where the tokenizer adds none."""
    bos_unused: str = ""
    """A BOS token that the tokenizer names and does not add; none is put before a prompt."""
    ends: tuple[int, ...]
    """Tokens that end a text."""
    set_aside: dict[str, Any] = {}
    """Settings of the generation config that a greedy text does not use."""
    taken_off: tuple[str, ...] = ()
    """What tokenizer.json was saved with and is taken off: `truncation`, `padding`."""
    system: str = ""
    """The system prompt that the chat template adds by itself; it stands in prompts of the format `chat` only."""

    @property
    def words(self) -> list[str]:
        """What a user should know, a sentence each."""
        begins = "Prompts begin without BOS" if self.bos is None else f"Prompts begin with BOS token {self.bos}"
        unused = f"; the tokenizer names {self.bos_unused} and does not add it" if self.bos_unused else ""
        ends = ", ".join(map(str, self.ends))
        said = [f"{begins}{unused}.", f"A text ends with token {ends}." if ends else "No token ends a text."]
        if self.set_aside:
            named = ", ".join(f"{name} {value}" for name, value in self.set_aside.items())
            said.append(f"Text is greedy: {named} of the generation config is not used.")
        if self.taken_off:
            said.append(f"The tokenizer was saved with {' and '.join(self.taken_off)}: taken off.")
        if self.system:
            said.append(f"The chat template adds a system prompt: {self.system!r}.")
        return said


def conventions(model: "Model") -> Conventions:
    """What is decided about an opened model's texts."""
    told = getattr(model.module, "generation_config", None)
    generation: dict[str, Any] = {} if told is None else told.to_diff_dict()
    return _decided(model.name, model.folder, Vocabulary(model.tokenizer, model.bos), generation, _config_of(model))


def read_conventions(name: str, folder: Path | None, vocabulary: Vocabulary) -> Conventions:
    """The same from a model's files, without its weights; of a tokenizer alone, what can be known."""
    read = {file: _read(folder, file) for file in ("generation_config.json", "config.json")}
    return _decided(name, folder, vocabulary, *read.values())


def ends_of(model: "Model") -> frozenset[int]:
    """The tokens that end a text."""
    generation = getattr(model.module, "generation_config", None)
    said = [getattr(generation, "eos_token_id", None), _config_of(model).get("eos_token_id")]
    return frozenset(_ends(said, model.folder, model.tokenizer))


@contextmanager
def greedily(model: "Model") -> Generator[None]:
    """Have the module's own `generate` follow the conventions while another program calls it."""
    from transformers import GenerationConfig  # noqa: PLC0415  (reading conventions from files needs no transformers)

    kept, ends = model.module.generation_config, sorted(ends_of(model))
    plain: Any = GenerationConfig(bos_token_id=model.bos, eos_token_id=ends or None, pad_token_id=kept.pad_token_id)
    model.module.generation_config = plain
    try:
        yield
    finally:
        model.module.generation_config = kept


def _decided(
    name: str,
    folder: Path | None,
    vocabulary: Vocabulary,
    generation: Mapping[str, Any],
    config: Mapping[str, Any],
) -> Conventions:
    named = _text(_read(folder, "tokenizer_config.json").get("bos_token"))
    aside = {
        key: value for key, value in generation.items() if key not in _NO_PROCESSING and value not in (None, False)
    }
    return Conventions(
        bos=vocabulary.bos,
        bos_unused=named if named and vocabulary.bos is None else "",
        ends=_ends([generation.get("eos_token_id"), config.get("eos_token_id")], folder, vocabulary.tokenizer),
        set_aside=aside,
        taken_off=() if folder is None else saved_with(folder),
        system=_system(name, folder),
    )


def _ends(said: list[Any], folder: Path | None, tokenizer: Tokenizer) -> tuple[int, ...]:
    listed = [end for one in said for end in (one if isinstance(one, list | tuple) else [one])]
    token = _text(_read(folder, "tokenizer_config.json").get("eos_token"))
    if token:
        listed.append(tokenizer.token_to_id(token))
    size = tokenizer.get_vocab_size()
    return tuple(sorted({end for end in listed if isinstance(end, int) and 0 <= end < size}))


def _config_of(model: "Model") -> dict[str, Any]:
    return {"eos_token_id": getattr(model.module.config, "eos_token_id", None)}


def _system(name: str, folder: Path | None) -> str:
    """The chat template's own system prompt; empty without a template that can be used."""
    if folder is None:
        return ""
    try:
        return open_frame(name, Chat()).system
    except InputError:  # no template, or one that is refused where it is asked for
        return ""


def _read(folder: Path | None, file: str) -> dict[str, Any]:
    path = None if folder is None else folder / file
    return read_object(path, MOST_SETTINGS_BYTES) if path is not None and path.exists() else {}


def _text(token: Any) -> str:
    return str(token["content"] if isinstance(token, dict) else token or "")
