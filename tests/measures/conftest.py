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


@pytest.fixture(scope="session")
def swapped() -> list[Compiled]:
    """Repeated blocks; the twin's first copy has r_7 and r_10 exchanged, so that r_11 follows the last token there."""
    import numpy as np

    items = []
    for row in repeats(np.arange(1, 33), 0, 16, 0, 4, generator("swapped")).ids.tolist():
        prompt = 1 + 16 + 8  # the last prompt token is r_7 of the second copy, the answer r_8
        twin = row.copy()
        twin[8], twin[11] = twin[11], twin[8]
        ids, other = tuple(row[: prompt + 1]), (*twin[:prompt], row[12])
        items.append(Compiled(ids, {"swap": ((8, 12),)}, (ids[-1],), (row[12],), prompt, other))
    return items
