"""The hand model, opened like any other."""

import pytest

from lesion.identity import generator
from lesion.measures.heads.repeated_sequences import repeats
from lesion.models.model import Model, open_model
from lesion.tasks.tokenizers.prompt_contract import Compiled
from lesion.training.hand_model import write_hand_model


@pytest.fixture(scope="session")
def hand_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("hand")
    write_hand_model(folder)
    return open_model(str(folder))


@pytest.fixture(scope="session")
def repeated() -> list[Compiled]:
    """Repeated blocks of the hand model's letters: the answer is the second copy's next token."""
    import numpy as np

    group = repeats(np.arange(1, 33), 0, 16, 0, 6, generator("repeated items"))
    items = []
    for row in group.ids.tolist():
        prompt = 1 + 16 + 8
        answer, wrong = (row[prompt],), (row[prompt + 1],)
        items.append(Compiled(tuple(row[: prompt + 1]), {"last": ((prompt - 1, prompt),)}, answer, wrong, prompt, None))
    return items
