"""The prompt contract: an item's text becomes token ids and roles, or is refused with a reason.

Prompt and answer are tokenised as one text, as a reader would meet it; roles come from character offsets. The answer
begins at the first token of this text that the prompt alone does not have:

- `5-9=` and `-4;` give the tokens 5, -, 9, =-, 4, ;. The answer is =-, 4, ; and decides the sign. The role `equals` has
  no token of its own and is left out. A token that joins the answer to a letter or digit of the prompt is refused.
- `23 + 45 =` and ` 68` may give a token for the space alone. Where no answer of the task is negative, this token says
  nothing and belongs to the prompt. Where one may be, it says that this one is not, and belongs to the answer.

Nothing is repaired: an item that breaks the contract for a model is excluded, counted and listed.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from tokenizers import Encoding, Tokenizer

from lesion.identity import content_hash
from lesion.tasks.task import Item, Segment
from lesion.tasks.tokenizers.digits import digit_rivals

Reason = Literal[
    "unknown_token",
    "lost_text",
    "double_bos",
    "answer_merges_with_prompt",
    "role_crosses_token",
    "wrong_length_differs",
    "too_long",
    "no_twin",
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
    digits: tuple[tuple[int, ...], ...] = ()
    """For each token of the answer the ten ids that stand for 0 … 9 in its place, or nothing where it is no digit.
    Empty where the answer has no digit, or a token with several (`lesion.tasks.tokenizers.digits`)."""

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
    start = _start(item, whole, wrong, tokenizer.encode(prompt, add_special_tokens=False).ids)
    if isinstance(start, Refused):
        return start
    answer_ids, wrong_ids = tuple(whole.ids[start:]), tuple(wrong.ids[start:])
    if len(answer_ids) != len(wrong_ids):
        return Refused(
            "wrong_length_differs",
            f"{item.answer!r} is {len(answer_ids)} tokens long and the twin's {item.wrong!r} {len(wrong_ids)}",
        )
    shift, edges = int(bos is not None), _edges(whole)
    roles = _roles(item.segments, edges, shift, min(edges[start], len(prompt)))
    if isinstance(roles, Refused):
        return roles
    head = () if bos is None else (bos,)
    length = shift + start
    marked = {**({} if bos is None else {"bos": ((0, 1),)}), **roles, "answer": ((length, length + len(answer_ids)),)}
    ids = (*head, *whole.ids)
    twin = _twin(item, tokenizer, head, roles, (len(ids), start, edges[start] - len(prompt)))
    return Compiled(ids, marked, answer_ids, wrong_ids, length, twin, digit_rivals(tokenizer, answer_ids))


def _start(item: Item, whole: Encoding, wrong: Encoding, alone: list[int]) -> int | Refused:
    """The place of the answer's first token in the text's tokens, BOS apart."""
    prompt, edges = item.prompt, _edges(whole)
    start = _shared(_shared(len(alone), whole.ids, alone), wrong.ids, alone)
    joined = prompt[edges[start] :]
    if start < len(alone) and any(map(str.isalnum, joined)):
        return Refused("answer_merges_with_prompt", f"{joined!r} and the answer {item.answer!r} share a token")
    if min(len(whole.ids), len(wrong.ids)) == start:
        return Refused("answer_merges_with_prompt", f"the answer {item.answer!r} has no token of its own")
    text = prompt + item.answer
    while (
        not item.signed
        and start + 1 < min(len(whole.ids), len(wrong.ids))
        and whole.ids[start] == wrong.ids[start]
        and text[edges[start] : edges[start + 1]].isspace()
    ):
        start += 1
    return start


def _shared(most: int, one: list[int], other: list[int]) -> int:
    """How many of the first `most` tokens two lists share."""
    return next((i for i in range(most) if one[i : i + 1] != other[i : i + 1]), most)


def contradiction(item: Item, compiled: Compiled, tokenizer: Tokenizer, bos: int | None) -> str:
    """What in a compiled item is not what the item says, found by reading the tokens back; empty when all is well.

    Exactly one BOS in front where the model wants one, and none elsewhere; the ids spell prompt and answer; the
    answer's ids and each role's spell what they stand for. The answer's first token may hold signs that end the prompt.
    `compile_item` is not asked.
    """
    ids, front = compiled.ids, () if bos is None else (bos,)
    if ids[: len(front)] != front or (bos is not None and ids.count(bos) != 1):
        return f"{ids.count(bos) if bos is not None else 0} BOS stand in the prompt, where one must stand in front"
    read, prompt = _bare(spelled(tokenizer, ids[len(front) : compiled.prompt_length])), _bare(item.prompt)
    joined = prompt[len(read) :] if prompt.startswith(read) else ""
    if any(map(str.isalnum, joined)):
        joined = ""
    parts = {
        "the prompt": (ids[len(front) : compiled.prompt_length], prompt.removesuffix(joined) if joined else prompt),
        "the answer": (ids[compiled.prompt_length :], joined + item.answer),
        "the answer's tokens": (compiled.answer_ids, joined + item.answer),
        "the wrong answer's tokens": (compiled.wrong_ids, joined + item.wrong),
    }
    for role in sorted({segment.role for segment in item.segments} - {""}):
        said = "".join(segment.text for segment in item.segments if segment.role == role)
        spans = compiled.roles.get(role, ())
        if spans or not joined.endswith(_bare(said)):
            parts[f"the role '{role}'"] = (tuple(i for start, stop in spans for i in ids[start:stop]), said)
    for what, (tokens, text) in parts.items():
        found = spelled(tokenizer, tokens)
        if _bare(found) != _bare(text):
            return f"{what} spells {found[-40:]!r}, not {text[-40:]!r}"
    return ""


def _bare(text: str) -> str:
    """A text without its spaces: a decoder may drop or add one where a stretch begins."""
    return "".join(text.split())


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


def has_space(tokenizer: Tokenizer) -> bool:
    """Whether a vocabulary can write a space, which those of the embedded models cannot."""
    return not isinstance(encode(tokenizer, "1 + 1", None), Refused)


def _edges(encoding: Encoding) -> list[int]:
    """The character at which each token ends. A space that offsets leave out belongs to the token that follows it."""
    edges = [0]
    for _, stop in encoding.offsets:
        edges.append(max(stop, edges[-1]))
    return edges


def _roles(
    segments: tuple[Segment, ...], edges: list[int], shift: int, end: int
) -> dict[str, tuple[Span, ...]] | Refused:
    """Token spans of the segments' roles; the segments must begin and end where tokens do, white space apart.

    Args:
        segments: of the prompt.
        edges: the character at which each token ends.
        shift: tokens before the text.
        end: the character at which the answer's first token begins, where it begins inside the prompt; what stands
            behind it has no token of its own.
    """
    token_after = {edge: place + shift for place, edge in enumerate(edges)}  # tokens without a character join the last
    token_after[0] = shift
    text = "".join(segment.text for segment in segments)
    spans: dict[str, list[Span]] = {}
    start = 0
    for said, role in segments:
        stop = start + len(said)
        if role and (start < end or stop == start):
            first, last = (_edge(edges, text, at) for at in (start, stop))
            if first is None or last is None or stop > end:
                return Refused("role_crosses_token", f"{role} {said!r} does not begin and end where tokens do")
            spans.setdefault(role, []).append((token_after[first], token_after[last]))
        start = stop
    return {role: tuple(found) for role, found in spans.items()}


def _edge(edges: list[int], text: str, at: int) -> int | None:
    """The edge of tokens at a character; beside it, where white space alone lies between."""
    place = bisect_left(edges, at)
    if place == len(edges) or edges[place] == at or at == 0:
        return at if place < len(edges) else None
    before, after = edges[place - 1], edges[place]
    if text[at:after].isspace():
        return after
    return before if text[before:at].isspace() else None


def _twin(
    item: Item,
    tokenizer: Tokenizer,
    head: tuple[int, ...],
    roles: Mapping[str, tuple[Span, ...]],
    layout: tuple[int, int, int],
) -> tuple[int, ...] | None:
    """The twin's tokens, where they line up: as many, an answer that begins in the same place, and the same roles."""
    if not item.twin:
        return None
    length, start, offset = layout
    prompt = "".join(segment.text for segment in item.twin)
    encoding = tokenizer.encode(prompt + item.wrong, add_special_tokens=False)
    edges = _edges(encoding)
    if len(head) + len(encoding.ids) != length or edges[start] - len(prompt) != offset:
        return None
    aligned = _roles(item.twin, edges, len(head), min(edges[start], len(prompt))) == roles
    return (*head, *encoding.ids) if aligned else None
