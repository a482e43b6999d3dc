import numpy as np
import pytest

from lesion.engine.batched import forward_pass as climb
from lesion.models.families import FAMILIES
from lesion.models.model import open_model
from lesion.tasks.tokenizers.prompt_contract import Compiled

_OPENED = {}


def _open(name):
    if name not in _OPENED:
        _OPENED[name] = open_model(f"tiny:{name}")
    return _OPENED[name]


@pytest.fixture(autouse=True)
def _readers_of_narrow_streams(monkeypatch):
    """Tiny models take the way of wide ones too: the first products behind an edit are told, not made."""
    monkeypatch.setattr(climb, "WIDE", 0)


@pytest.fixture(params=list(FAMILIES))
def model(request):
    """A tiny model of each family."""
    return _open(request.param)


@pytest.fixture
def tiny():
    """A tiny model by its family's name."""
    return _open


@pytest.fixture
def compiled():
    """Makes compiled items of random tokens; `shared` of the prompt's tokens are the same for all."""

    def make(count, prompt, answer, shared=0, seed=0):
        rng = np.random.default_rng([seed, count, prompt, answer, shared])
        front = rng.integers(2, 66, shared).tolist()
        items = []
        for _ in range(count):
            ids = (*front, *rng.integers(2, 66, prompt + answer - shared).tolist())
            wrong = tuple(int(i) for i in rng.integers(2, 66, answer))
            roles = {"operand_1": ((1, 2),), "answer": ((prompt, prompt + answer),)}
            items.append(Compiled(ids, roles, ids[prompt:], wrong, prompt, None))
        return items

    return make
