"""Bijections from item indices to problem numbers, for pools of any size and without keeping a list.

A keyed permutation of [0, size) is a Feistel network over mixed radices (Black and Rogaway 2002, "Ciphers with
arbitrary finite domains"): a value is a pair (left, right) with left · right just above `size`; each round adds a
BLAKE2b hash of one half to the other, modulo its radix, and a result outside the pool is walked on until it falls
inside. Integers and BLAKE2b alone decide, so the numbers are the same on every machine and Python version.

A pool is cut once, by a permutation that belongs to the task: position p is in *discovery* when p mod 16 is 0 or 1,
in *shots* when it is 2, else in *confirm*. A second permutation, keyed by the draw, orders each part.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from hashlib import blake2b
from math import isqrt
from typing import Literal, NamedTuple

from lesion.errors import InputError
from lesion.identity import canonical_json

Part = Literal["discovery", "shots", "confirm"]

PARTS: dict[Part, tuple[int, ...]] = {"discovery": (0, 1), "shots": (2,), "confirm": tuple(range(3, 16))}
"""Which residues modulo 16 of the task-level position belong to a part."""

_ROUNDS = 6
_CACHED_RADIX = 4096


def chosen(count: int, *key: str | int) -> int:
    """A fixed choice from 0 … count-1 that depends on the key alone."""
    return int.from_bytes(blake2b(canonical_json(key), digest_size=32).digest(), "big") % count


class Permutation:
    """A keyed bijection of [0, size) onto itself, computed one value at a time."""

    def __init__(self, size: int, *key: str | int) -> None:
        self.size = size
        self._left = isqrt(max(size, 1) - 1) + 1
        self._right = -(-max(size, 1) // self._left)
        self._bytes = (self._left.bit_length() + 7) // 8
        self._digest = min(64, self._bytes + 8)
        self._prefix = blake2b(canonical_json(key), digest_size=32).digest()
        small = self._left <= _CACHED_RADIX
        self._hash: Callable[[int, int], int] = lru_cache(maxsize=None)(self._hashed) if small else self._hashed

    def __call__(self, position: int) -> int:
        """The value at `position`.

        Raises:
            InputError: when the position lies outside [0, size).
        """
        if not 0 <= position < self.size:
            raise InputError(f"position {position} lies outside a pool of {self.size}")
        value = self._pass(position)
        while value >= self.size:
            value = self._pass(value)
        return value

    def _pass(self, value: int) -> int:
        left, right = divmod(value, self._right)
        for turn in range(0, _ROUNDS, 2):
            left = (left + self._hash(turn, right)) % self._left
            right = (right + self._hash(turn + 1, left)) % self._right
        return left * self._right + right

    def _hashed(self, turn: int, half: int) -> int:
        text = self._prefix + bytes((turn,)) + half.to_bytes(self._bytes, "big")
        return int.from_bytes(blake2b(text, digest_size=self._digest).digest(), "big")


class Stratum(NamedTuple):
    """A family of problems that are numbered together, e.g. all sums of 0 … 99."""

    name: str
    """Fixes the cut into parts: the same name and size give the same parts in every task and study."""
    size: int
    """How many different problems it has."""


class Place(NamedTuple):
    """Where an item's problem stands."""

    item: int
    """The item's index in the lane."""
    stratum: int
    """The stratum's index in the task."""
    number: int
    """The problem's number in the stratum."""


def part_size(size: int, part: Part) -> int:
    """How many of `size` problems fall into a part."""
    full, rest = divmod(size, 16)
    return full * len(PARTS[part]) + sum(residue < rest for residue in PARTS[part])


class Lane:
    """One seed's share of a part: strata in turn, so that each has an equal share of any run of items.

    Use `lane(...)`, which keeps the tables of the last lanes.
    """

    def __init__(self, strata: tuple[Stratum, ...], part: Part, key: str, seed: int, seeds: int) -> None:
        if not 0 <= seed < seeds:
            raise InputError(f"seed {seed} of {seeds}: a draw's seeds are numbered 0 … {seeds - 1}")
        self._part: Part = part
        self._seed, self._seeds = seed, seeds
        self._sizes = [part_size(stratum.size, part) for stratum in strata]
        self._cuts = [Permutation(stratum.size, "part", stratum.name) for stratum in strata]
        self._orders = [
            Permutation(size, "order", stratum.name, part, key)
            for stratum, size in zip(strata, self._sizes, strict=True)
        ]

    @property
    def capacity(self) -> int:
        """How many items the lane holds: it ends where the first of its strata ends."""
        held = [max(0, -((self._seed - size) // self._seeds)) for size in self._sizes]
        return min(many * len(held) + turn for turn, many in enumerate(held))

    def at(self, index: int) -> Place:
        """Where item `index` stands; it depends on nothing but the lane and the index."""
        turn, stratum = divmod(index, len(self._sizes))
        rank = self._orders[stratum](self._seed + turn * self._seeds)
        residues = PARTS[self._part]
        block, offset = divmod(rank, len(residues))
        return Place(index, stratum, self._cuts[stratum](16 * block + residues[offset]))

    def places(self, start: int, stop: int) -> Iterator[Place]:
        """Places `start` … `stop`-1, one at a time.

        Raises:
            InputError: when the lane holds fewer than `stop`.
        """
        if not 0 <= start <= stop:
            raise InputError(f"items {start} … {stop} were asked for: the first must lie in 0 … the last")
        if stop > self.capacity:
            raise InputError(
                f"{stop} items were asked for, but seed {self._seed} of {self._seeds} holds {self.capacity} in its "
                f"{self._part} part; widen the task's range or ask for fewer items or seeds"
            )
        return map(self.at, range(start, stop))


@lru_cache(maxsize=32)
def lane(strata: tuple[Stratum, ...], part: Part, key: str, seed: int, seeds: int) -> Lane:
    """The lane of one seed of `seeds` through a part of the strata, in the order of `key`.

    Raises:
        InputError: when the seed is not one of 0 … seeds-1.
    """
    return Lane(strata, part, key, seed, seeds)
