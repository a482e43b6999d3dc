"""The prompt contract: an item's text becomes token ids and roles, or is refused with a reason.

Prompt and answer are tokenised as one text, as a reader would meet it; roles come from character offsets. Nothing is
repaired: an item that breaks the contract for a model is excluded, counted and listed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from tokenizers import Encoding, Tokenizer

from lesion.identity import content_hash
from lesion.tasks.task import Item, Segment

Reason = Literal[
    "unknown_token",
    "lost_text",
    "double_bos",
    "answer_merges_with_prompt",
    "role_crosses_token",
    "wrong_length_differs",
]

Span = tuple[int, int]
"""First position, and one past the last."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """An item in a model's tokens."""

    ids: tuple[int, ...]
    """BOS if the model wants one, the prompt, and the right answer."""
    roles: Mapping[str, tuple[Span, ...]]
    """Spans of positions in `ids`: the item's roles, `answer`, and `bos` where there is one."""
    answer_ids: tuple[int, ...]
    """The last tokens of `ids`, all of which must be right."""
    wrong_ids: tuple[int, ...]
    """The twin's answer after the same prompt: as many tokens, not the same."""
    prompt_length: int
    """Tokens before the answer, BOS among them."""
    twin_ids: tuple[int, ...] | None
    """The twin's prompt and answer, position by position in the same roles; None when they do not align, so that the
    item can be measured but not patched."""

    @property
    def prompt_hash(self) -> str:
        """Content hash of the prompt's ids, 64 hexadecimal digits."""
        return content_hash(self.ids[: self.prompt_length])


class Refused(NamedTuple):
    """Why an item cannot be asked of a model."""

    reason: Reason
    detail: str


def dataset_hash(prompts: Iterable[str]) -> str:
    """Content hash of item ids or prompt hashes in their order: another order is another dataset."""
    return content_hash(list(prompts))


def compile_item(item: Item, tokenizer: Tokenizer, bos: int | None) -> Compiled | Refused:
    """An item's ids and roles, with exactly one BOS in front when `bos` is given."""
    prompt = item.prompt
    whole = encode(tokenizer, prompt + item.answer, bos)
    if isinstance(whole, Refused):
        return whole
    wrong = encode(tokenizer, prompt + item.wrong, bos)
    if isinstance(wrong, Refused):
        return wrong
    alone = tokenizer.encode(prompt, add_special_tokens=False).ids
    for encoding in (whole, wrong):
        if encoding.ids[: len(alone)] != alone or len(encoding.ids) == len(alone):
            return Refused("answer_merges_with_prompt", f"{prompt[-20:]!r} has other tokens when an answer follows it")
    answer_ids, wrong_ids = tuple(whole.ids[len(alone) :]), tuple(wrong.ids[len(alone) :])
    if len(answer_ids) != len(wrong_ids):
        return Refused(
            "wrong_length_differs",
            f"{item.answer!r} is {len(answer_ids)} tokens long and the twin's {item.wrong!r} {len(wrong_ids)}",
        )
    shift = int(bos is not None)
    roles = _roles(item.segments, _edges(whole), shift)
    if isinstance(roles, Refused):
        return roles
    head = () if bos is None else (bos,)
    length = shift + len(alone)
    marked = {**({} if bos is None else {"bos": ((0, 1),)}), **roles, "answer": ((length, length + len(answer_ids)),)}
    ids = (*head, *whole.ids)
    return Compiled(ids, marked, answer_ids, wrong_ids, length, _twin(item, tokenizer, head, roles, len(ids)))


def contradiction(item: Item, compiled: Compiled, tokenizer: Tokenizer, bos: int | None) -> str:
    """What in a compiled item is not what the item says, found by reading the tokens back; empty when all is well.

    Exactly one BOS in front where the model wants one, and none elsewhere; the ids spell prompt and answer; the
    answer's ids and each role's spell what they stand for. `compile_item` is not asked.
    """
    ids, front = compiled.ids, () if bos is None else (bos,)
    if ids[: len(front)] != front or (bos is not None and ids.count(bos) != 1):
        return f"{ids.count(bos) if bos is not None else 0} BOS stand in the prompt, where one must stand in front"
    parts = {
        "the prompt": (ids[len(front) : compiled.prompt_length], item.prompt),
        "the answer": (ids[compiled.prompt_length :], item.answer),
        "the answer's tokens": (compiled.answer_ids, item.answer),
        "the wrong answer's tokens": (compiled.wrong_ids, item.wrong),
    }
    for role in sorted({segment.role for segment in item.segments} - {""}):
        said = "".join(segment.text for segment in item.segments if segment.role == role)
        spans = compiled.roles.get(role, ())
        parts[f"the role '{role}'"] = (tuple(i for start, stop in spans for i in ids[start:stop]), said)
    for what, (tokens, text) in parts.items():
        read = spelled(tokenizer, tokens)
        if "".join(read.split()) != "".join(text.split()):
            # a decoder may drop or add a space where a stretch begins, so spaces alone are no contradiction
            return f"{what} spells {read[-40:]!r}, not {text[-40:]!r}"
    return ""


def spelled(tokenizer: Tokenizer, ids: tuple[int, ...]) -> str:
    """The text that some tokens spell, special ones included."""
    if tokenizer.decoder is None:
        return "".join(tokenizer.id_to_token(i) or "" for i in ids)
    return tokenizer.decode(list(ids), skip_special_tokens=False)


def encode(tokenizer: Tokenizer, text: str, bos: int | None) -> Encoding | Refused:
    """A text's tokens, or why the tokenizer cannot write it so that it reads back the same."""
    try:
        encoding = tokenizer.encode(text, add_special_tokens=False)
    except Exception as error:  # noqa: BLE001  (a vocabulary without an unknown token raises nothing more specific)
        return Refused("unknown_token", f"the tokenizer cannot read {text[-20:]!r}: {error}")
    unknown = getattr(tokenizer.model, "unk_token", None)
    if unknown is not None and unknown in encoding.tokens:
        start, stop = encoding.offsets[encoding.tokens.index(unknown)]
        return Refused("unknown_token", f"the vocabulary has no token for {text[start:stop]!r}")
    if bos is not None and bos in encoding.ids:
        return Refused("double_bos", "the tokenizer puts a BOS into the text, and the model's own stands before it")
    if tokenizer.decoder is None:
        decoded = "".join(encoding.tokens)
    else:
        decoded = tokenizer.decode(encoding.ids, skip_special_tokens=False)
    if decoded != text:
        return Refused("lost_text", f"the tokens spell {decoded[-60:]!r}, not {text[-60:]!r}")
    return encoding


def _edges(encoding: Encoding) -> list[int]:
    """The character at which each token ends. A space that offsets leave out belongs to the token that follows it."""
    edges = [0]
    for _, stop in encoding.offsets:
        edges.append(max(stop, edges[-1]))
    return edges


def _roles(segments: tuple[Segment, ...], edges: list[int], shift: int) -> dict[str, tuple[Span, ...]] | Refused:
    """Token spans of the segments' roles; the segments must begin and end where tokens do."""
    token_after = {edge: place + shift for place, edge in enumerate(edges)}  # tokens without a character join the last
    token_after[0] = shift
    spans: dict[str, list[Span]] = {}
    start = 0
    for text, role in segments:
        stop = start + len(text)
        if role:
            if start not in token_after or stop not in token_after:
                return Refused("role_crosses_token", f"{role} {text!r} does not begin and end where tokens do")
            spans.setdefault(role, []).append((token_after[start], token_after[stop]))
        start = stop
    return {role: tuple(found) for role, found in spans.items()}


def _twin(
    item: Item, tokenizer: Tokenizer, head: tuple[int, ...], roles: Mapping[str, tuple[Span, ...]], length: int
) -> tuple[int, ...] | None:
    if not item.twin:
        return None
    encoding = tokenizer.encode("".join(segment.text for segment in item.twin) + item.wrong, add_special_tokens=False)
    aligned = _roles(item.twin, _edges(encoding), len(head)) == roles and len(head) + len(encoding.ids) == length
    return (*head, *encoding.ids) if aligned else None
