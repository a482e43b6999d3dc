"""Tokenizers and data that the task tests share."""

import os
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from lesion.tasks.problems.alphabet import DIGITS, MARKS, SYMBOLS


@pytest.fixture(scope="session")
def data() -> Path:
    folder = Path(os.environ.get("LESION_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"third-party test data is missing: there is no folder {folder}; set LESION_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def gpt2(data: Path) -> Tokenizer:
    return Tokenizer.from_file(str(data / "tokenizers" / "gpt2_tokenizer.json"))


@pytest.fixture(scope="session")
def characters() -> Tokenizer:
    """One token a character, as the embedded models have it; id 1 is BOS, id 2 the unknown token."""
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<bos>", "<unk>", *MARKS, *DIGITS, *SYMBOLS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    return tokenizer
