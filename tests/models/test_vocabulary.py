"""Vocabularies open without weights."""

from pathlib import Path

import pytest

from lesion.errors import InputError
from lesion.models.model import open_model
from lesion.models.vocabulary import open_vocabulary
from lesion.training.hand_model import write_hand_model


@pytest.mark.parametrize("name", ["tiny:llama", "zoo:abacus-llama"])
def test_a_models_vocabulary_is_the_one_it_is_opened_with(name: str):
    model, vocabulary = open_model(name), open_vocabulary(name)
    assert vocabulary.bos == model.bos
    assert vocabulary.tokenizer.to_str() == model.tokenizer.to_str()


def test_a_folder_and_a_file_open_too(tmp_path: Path):
    write_hand_model(tmp_path)
    assert open_vocabulary(str(tmp_path)).bos == 0
    assert open_vocabulary(str(tmp_path / "tokenizer.json")).bos == 0


def test_what_is_no_tokenizer_is_refused(tmp_path: Path):
    (tmp_path / "tokenizer.json").write_text("[]")
    with pytest.raises(InputError, match="is not a tokenizer"):
        open_vocabulary(str(tmp_path / "tokenizer.json"))
    with pytest.raises(InputError, match="is not a model"):
        open_vocabulary("nowhere")
