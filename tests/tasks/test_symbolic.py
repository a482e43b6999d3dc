"""Symbol patterns, recomputed here from their text."""

from collections import Counter
from hashlib import sha256
from math import perm

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lesion.tasks.config import SymbolicConfig
from lesion.tasks.problems.symbolic import SymbolicTask, arranged
from lesion.tasks.task import Draw, Item

PATTERNS = ("repeat", "copy", "reverse", "abab", "aab")


def draw(seed: int = 0, split: str = "confirm", seeds: int = 3) -> Draw:
    return Draw(split, "k", seed, seeds)


def roles(item: Item) -> dict[str, str]:
    return {role: text for text, role in item.segments}


def expected(item: Item) -> str:
    """The answer, found without looking at how items are made."""
    shown, pattern = item.prompt, item.buckets["pattern"]
    if pattern == "copy":
        return shown[:-1] + ";"
    if pattern == "reverse":
        return shown[-2::-1] + ";"
    period = next(p for p in range(1, len(shown)) if all(x == y for x, y in zip(shown, shown[p:], strict=False)))
    longer = shown
    while len(longer) < len(shown) + 4:
        longer += longer[-period]
    return longer[len(shown) :]


@pytest.mark.parametrize(("shortest", "longest"), [(6, 16), (2, 5)])
def test_every_pattern_goes_on_as_its_text_says(shortest: int, longest: int):
    task = SymbolicTask(SymbolicConfig(patterns=PATTERNS, shortest=shortest, longest=longest))
    for item in task.items(draw(1), 0, 600):
        assert item.answer == expected(item), item.prompt
        assert len(item.wrong) == len(item.answer)
        assert item.wrong != item.answer


def test_blocks_have_no_symbol_twice_and_cues_leave_four_to_ask():
    for item in SymbolicTask(SymbolicConfig()).items(draw(), 0, 500):
        block, cue = roles(item)["block"], roles(item)["cue"]
        assert len(set(block)) == len(block) == int(item.buckets["length"])
        assert block.startswith(cue)
        assert 1 <= len(cue) <= len(block) - 4
        assert item.answer == block[len(cue) : len(cue) + 4]


def test_patterns_and_lengths_have_equal_shares():
    task = SymbolicTask(SymbolicConfig(patterns=PATTERNS, shortest=6, longest=9))
    shares = Counter(tuple(item.buckets.values()) for item in task.items(draw(), 0, 400))
    assert len(shares) == 20
    assert set(shares.values()) == {20}


def test_a_twin_has_one_symbol_changed_everywhere_it_stands():
    for item in SymbolicTask(SymbolicConfig(patterns=PATTERNS)).items(draw(), 0, 500):
        twin = "".join(text for text, _ in item.twin)
        changes = {(x, y) for x, y in zip(item.prompt, twin, strict=True) if x != y}
        assert len(changes) == 1
        ((old, new),) = changes
        assert new not in item.prompt
        assert item.prompt.replace(old, new) == twin
        assert item.answer.replace(old, new) == item.wrong
        assert [role for _, role in item.twin] == [role for _, role in item.segments]
        if item.buckets["pattern"] == "repeat":
            assert roles(item)["cue"] == item.twin[1].text


@settings(deadline=None, max_examples=50)
@given(count=st.integers(2, 16), data=st.data())
def test_numbers_decode_to_different_arrangements(count: int, data: st.DataObject):
    chosen = data.draw(st.lists(st.integers(0, perm(45, count) - 1), unique=True, min_size=2, max_size=5))
    found = [arranged(number, count) for number in chosen]
    assert len(set(found)) == len(found)
    assert all(len(set(symbols)) == count for symbols in found)


@pytest.mark.parametrize("pattern", ["repeat", "copy", "reverse", "abab", "aab"])
def test_a_whole_small_pool_has_no_item_twice_across_seeds_and_splits(pattern: str):
    task = SymbolicTask(SymbolicConfig(patterns=(pattern,), shortest=2, longest=2))
    prompts = [
        item.prompt
        for split in ("discovery", "confirm")
        for seed in range(3)
        for item in task.items(draw(seed, split), 0, task.capacity(draw(seed, split)))
    ]
    assert len(set(prompts)) == len(prompts)
    assert len(prompts) > 0.9 * task.pool


def test_a_spaced_pattern_has_a_space_before_every_symbol_but_the_first():
    task = SymbolicTask(SymbolicConfig(patterns=("repeat", "copy"), shortest=6, longest=6, format="spaced"))
    repeat, copy = task.items(draw(), 0, 2)
    assert (repeat.prompt, repeat.answer) == ("r C j y m P r C", " j y m P")
    assert (copy.prompt, copy.answer) == ("x B l N C z >", " x B l N C z\n")


def test_the_items_are_these_on_every_machine():
    ids = "".join(item.id for item in SymbolicTask(SymbolicConfig(patterns=PATTERNS)).items(draw(2), 0, 300))
    assert sha256(ids.encode()).hexdigest()[:16] == "01a9da577f964799"
