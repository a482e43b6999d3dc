"""The embedded models' tokenizer: one token per character, and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from lesion.tasks.problems.alphabet import DIGITS, MARKS, SYMBOLS
from lesion.training.vocabulary import BOS_ID, IDS, SYMBOL_IDS, TOKENS, UNK, build_tokenizer, encode_rows

ALPHABET = MARKS + DIGITS + SYMBOLS
TOKENIZER = build_tokenizer(48)


@settings(deadline=None, max_examples=100)
@given(st.text(alphabet=ALPHABET, max_size=60))
def test_text_survives_encoding_and_decoding(text):
    ids = TOKENIZER(text, add_special_tokens=False).input_ids
    assert len(ids) == len(text)
    assert TOKENIZER.decode(ids) == text


def test_bos_comes_first_once():
    assert TOKENIZER("3+4=").input_ids[0] == BOS_ID
    assert TOKENIZER("3+4=").input_ids.count(BOS_ID) == 1


def test_the_saved_tokenizer_gives_the_same_ids(tmp_path):
    TOKENIZER.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.is_fast
    assert loaded("12+30=42;(a)").input_ids == TOKENIZER("12+30=42;(a)").input_ids
    assert loaded.model_max_length == 48


def test_a_character_outside_the_alphabet_is_the_unknown_token():
    for text in (" ", "é", "\n", "Z"):
        assert TOKENIZER(text, add_special_tokens=False).input_ids == [IDS[UNK]]


def test_no_text_over_the_alphabet_spells_a_special_token():
    assert TOKENIZER("(BOS)"[1:3], add_special_tokens=False).input_ids == [IDS["B"], IDS["O"]]
    assert not any(character in ALPHABET for character in "[]")


def test_rows_are_encoded_as_the_tokenizer_does():
    rows = ["12+3=15;", "abc>abc;"]
    assert encode_rows(rows).tolist() == [TOKENIZER(row, add_special_tokens=False).input_ids for row in rows]


@pytest.mark.parametrize(("rows", "said"), [(["ab", "abc"], "different lengths"), (["a b"], "outside the alphabet")])
def test_rows_that_cannot_be_encoded_are_refused(rows, said):
    with pytest.raises(ValueError, match=said):
        encode_rows(rows)


def test_the_vocabulary_has_67_tokens_and_45_symbols():
    assert len(set(TOKENS)) == len(TOKENS) == 67
    assert [TOKENS[index] for index in SYMBOL_IDS] == list(SYMBOLS)
    assert SYMBOL_IDS.dtype == np.int64
