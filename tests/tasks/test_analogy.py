"""Letter analogies, solved here from their text."""

from itertools import pairwise
from string import ascii_lowercase

import pytest

from lesion.tasks.config import AnalogyConfig
from lesion.tasks.problems.analogy import AnalogyTask
from lesion.tasks.task import Draw

LANE = Draw("confirm", "k", 0, 3)


@pytest.mark.parametrize("config", [AnalogyConfig(steps=(1, 2)), AnalogyConfig(run=4, letters=20, show_standard=True)])
def test_the_second_run_goes_on_as_the_first_does(config: AnalogyConfig):
    for item in AnalogyTask(config).items(LANE, 0, 140):
        alphabet, shown, question = item.prompt.rpartition(";")
        alphabet = alphabet if shown else ascii_lowercase
        assert shown or item.buckets["alphabet"] == "standard"
        assert sorted(alphabet) == sorted(ascii_lowercase[: config.letters])
        assert (alphabet == ascii_lowercase[: config.letters]) == (item.buckets["alphabet"] == "standard")
        source, _, target = question.partition(">")
        steps = {alphabet.index(y) - alphabet.index(x) for x, y in pairwise(source)}
        assert steps == {int(item.buckets["step"])}
        last = alphabet[alphabet.index(target[-1]) + steps.pop()]
        assert item.answer == f"{last};"
        assert len(source) == config.run == len(target) + 1
        assert source[0] != target[0]


def test_a_twin_asks_for_another_run_in_the_same_alphabet():
    for item in AnalogyTask(AnalogyConfig()).items(LANE, 0, 100):
        assert item.wrong != item.answer
        differ = [role for (x, role), (y, _) in zip(item.segments, item.twin, strict=True) if x != y]
        assert differ == ["target"]


def test_all_problems_of_the_standard_alphabet_are_different():
    task = AnalogyTask(AnalogyConfig(alphabets=("standard",), steps=(1, 2)))
    assert task.pool == 24 * 23 + 22 * 21
    asked = [
        item.prompt
        for split in ("discovery", "confirm")
        for seed in range(3)
        for item in task.items(Draw(split, "k", seed, 3), 0, task.capacity(Draw(split, "k", seed, 3)))
    ]
    assert len(set(asked)) == len(asked) > 0.85 * task.pool


def test_a_spaced_analogy_reads_like_one():
    item = next(AnalogyTask(AnalogyConfig(alphabets=("standard",), format="spaced")).items(LANE, 0, 1))
    assert (item.prompt, item.answer) == ("l m n > j k", " l\n")
