"""The vocabulary of the embedded models: one token per character, and the fast tokenizer that is saved beside them.

A character outside the alphabet becomes [UNK], on which no model is trained and which the prompt contract
(`lesion.tasks.tokenizers.prompt_contract`) refuses. Use `encode_rows` in the trainer only; all else goes through the
tokenizer.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from lesion.tasks.problems.alphabet import DIGITS, MARKS, SYMBOLS

PAD, BOS, UNK = "[PAD]", "[BOS]", "[UNK]"
"""Square brackets are no part of the alphabet, so no text of a task can spell a special token."""

TOKENS: tuple[str, ...] = (PAD, BOS, UNK, *MARKS, *DIGITS, *SYMBOLS)
"""Token of each id: 67 in all."""

IDS: dict[str, int] = {token: index for index, token in enumerate(TOKENS)}
PAD_ID, BOS_ID = IDS[PAD], IDS[BOS]
SYMBOL_IDS: NDArray[np.int64] = np.array([IDS[symbol] for symbol in SYMBOLS])

_BY_BYTE = np.full(256, -1, dtype=np.int64)
for _token, _index in IDS.items():
    if len(_token) == 1:
        _BY_BYTE[ord(_token)] = _index


def encode_rows(texts: Sequence[str]) -> NDArray[np.int64]:
    """Ids of texts of equal length over the alphabet, shape [rows, characters]; no BOS is added.

    Raises:
        ValueError: when the lengths differ or a character is not in the alphabet.
    """
    width = len(texts[0])
    if any(len(text) != width for text in texts):
        raise ValueError("rows of different lengths")
    ids = _BY_BYTE[np.frombuffer("".join(texts).encode("ascii"), dtype=np.uint8)]
    if ids.min(initial=0) < 0:
        raise ValueError("a character outside the alphabet")
    return ids.reshape(len(texts), width)


def build_tokenizer(context: int) -> PreTrainedTokenizerFast:
    """The fast tokenizer of the embedded models.

    Args:
        context: longest sequence of the model, in tokens.
    """
    return characters_tokenizer(TOKENS, context)


def characters_tokenizer(tokens: Sequence[str], context: int) -> PreTrainedTokenizerFast:
    """A fast tokenizer with a token per character: BOS comes first, decoding gives back the text without spaces.

    `tokens` holds BOS and, if the model has them, PAD and UNK.
    """
    ids = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordLevel(vocab=ids, unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, ids[BOS])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
        bos_token=BOS,
        **{name: token for name, token in (("pad_token", PAD), ("unk_token", UNK)) if token in ids},
    )
