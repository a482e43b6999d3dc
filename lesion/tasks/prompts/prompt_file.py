"""The task of a user's own prompts: items from a file, in discovery or confirmation by the hash of the prompt's text.

A prompt's part depends on its text alone, so it is the same in every file and order of lines, and adding lines to a
file moves no prompt. Within a part, a permutation keyed by the draw orders the prompts, which are sorted by that hash,
and seed s of S takes every S-th. The file holds whole prompts: there are no few-shot examples to draw.
"""

from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

from lesion.errors import InputError, Tampered
from lesion.identity import content_hash, file_hash
from lesion.outside.files import require_regular
from lesion.tasks.config import PromptFileConfig
from lesion.tasks.drawing.numbering import Permutation, chosen
from lesion.tasks.hub_file import local_file
from lesion.tasks.prompts.prompt_rows import PromptRow, content_of, read_prompts
from lesion.tasks.prompts.records import MOST_BYTES
from lesion.tasks.prompts.roles import segments
from lesion.tasks.task import Draw, Item, Split


class PromptFileTask:
    """Prompts of a `PromptFileConfig`, in lanes."""

    def __init__(self, config: PromptFileConfig) -> None:
        self.config = config
        path = local_file(config.path, config.hub)
        require_regular(path, MOST_BYTES)
        digest = file_hash(path)
        if config.sha256 not in (None, digest):
            raise Tampered(f"{path} has the hash {digest}, the configuration asks for {config.sha256}")
        tokenizer = None if config.tokenizer is None else _stamp(Path(config.tokenizer))
        self._parts = _parted(config, path, digest, tokenizer)  # pyright: ignore[reportArgumentType]  (frozen, so it has a hash)

    @property
    def pool(self) -> int:
        """How many different prompts there are."""
        return sum(map(len, self._parts.rows.values()))

    def capacity(self, draw: Draw) -> int:
        """How many items this lane holds."""
        return max(0, -((draw.seed - len(self._parts.rows[draw.split])) // draw.seeds))

    def items(self, draw: Draw, start: int, stop: int) -> Iterator[Item]:
        """Items `start` … `stop`-1 of the lane, made one at a time.

        Raises:
            InputError: when the lane holds fewer than `stop`.
        """
        if not 0 <= start <= stop:
            raise InputError(f"items {start} … {stop} were asked for: the first must lie in 0 … the last")
        if stop > (held := self.capacity(draw)):
            raise InputError(
                f"{stop} items were asked for, but seed {draw.seed} of {draw.seeds} holds {held} of the "
                f"{len(self._parts.rows[draw.split])} prompts for {draw.split} in {self.config.path}; add prompts, or "
                "ask for fewer items or seeds"
            )
        rows = self._parts.rows[draw.split]
        order = Permutation(len(rows), "order", "file", draw.split, draw.key)
        return (self._item(i, rows[order(draw.seed + i * draw.seeds)]) for i in range(start, stop))

    def _item(self, index: int, row: PromptRow) -> Item:
        return Item(
            index=index,
            segments=segments(row.prompt, row.roles),
            answer=row.answer,
            wrong=row.wrong or self._parts.other_answer(row),
            buckets={**({"template": row.group} if row.group else {}), **row.strata},
            twin=segments(row.corrupted, row.corrupted_roles) if row.corrupted else (),
            signed=self._parts.signed,
        )


class _Parts:
    """A file's prompts, cut into the two parts."""

    def __init__(self, rows: tuple[PromptRow, ...], share: float, path: Path) -> None:
        ordered = sorted(rows, key=lambda row: _place(row.prompt))
        early = tuple(row for row in ordered if _place(row.prompt) < share)
        self.rows: dict[Split, tuple[PromptRow, ...]] = {"discovery": early, "confirm": tuple(ordered[len(early) :])}
        self.signed = any(row.answer.lstrip().startswith("-") for row in rows)
        """Whether an answer may be negative."""
        self._answers = sorted({row.answer for row in rows})
        if len(self._answers) < 2 and not rows[0].wrong:
            raise InputError(
                f"{path}: every prompt has the answer {self._answers[0][:40]!r}, so no wrong answer can be drawn; give "
                "the column wrong_answer"
            )

    def other_answer(self, row: PromptRow) -> str:
        """Another prompt's answer: one of the same number of characters where there is one; the prompt's hash picks."""
        others = [answer for answer in self._answers if answer != row.answer]
        alike = [answer for answer in others if len(answer) == len(row.answer)] or others
        return alike[chosen(len(alike), "wrong", content_of(row.prompt))]


def _place(prompt: str) -> float:
    """A number from 0 to 1 that the text of a prompt gives."""
    digest = blake2b(content_hash(["prompt", content_of(prompt)]).encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48


def _stamp(path: Path) -> tuple[int, int]:
    """Size and time of a file, by which it is known again; zeros where there is none."""
    file = path / "tokenizer.json" if path.is_dir() else path
    return (file.stat().st_size, file.stat().st_mtime_ns) if file.is_file() else (0, 0)


@lru_cache(maxsize=4)
def _parted(config: PromptFileConfig, path: Path, digest: str, tokenizer: tuple[int, int] | None) -> _Parts:  # noqa: ARG001  (the last two say which content was read)
    """The parts of a file, kept while its content stays the same: every cell of a run asks for them."""
    return _Parts(read_prompts(config, path), config.discovery, path)
