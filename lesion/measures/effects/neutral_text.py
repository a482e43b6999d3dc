"""A passage of plain English, written for this project: text that an intervention on arithmetic should leave alone.

It holds no digits, no sums and hardly a repeated phrase. A user's own text takes its place with `--neutral FILE`.
"""

from pathlib import Path

from tokenizers import Tokenizer

from lesion.errors import InputError
from lesion.outside.files import read_text
from lesion.tasks.tokenizers.prompt_contract import Refused, encode

WINDOW = 32
"""Tokens of a window, the beginning mark not counted."""
MOST_BYTES = 1_000_000
PASSAGE = """\
Early in the morning the ferry left the harbour with only a handful of people on board. A woman in a grey coat stood
near the rail and watched the gulls that followed the boat, crying whenever somebody threw them bread. Below deck an old
man was reading a newspaper from the week before, folding every page with great care. The island had not changed since
her childhood: white houses leaned against the hill, nets dried beside the church, and a dog slept in the middle of the
only road. Her brother waited at the pier with a borrowed cart. He had grown thin, she thought, but his laugh was
still the same. They walked slowly towards the village and spoke about rain, about their mother's garden, and about the
neighbour who wanted to sell his land. Nobody mentioned the letter. In the kitchen there was warm soup, and through
the open window came the smell of salt and pine. Later, when the lamps were lit, she took out the drawings that had
travelled so far with her and laid them on the table, one beside another, until the wood could no longer be seen.
"""


def windows(tokenizer: Tokenizer, text: str, most: int) -> list[list[int]]:
    """A text's tokens, cut into windows of equal length; a rest that fills no window is left out.

    Args:
        tokenizer: the model's.
        text: any text.
        most: tokens that the model can read after its beginning mark.

    Raises:
        InputError: when the vocabulary cannot write the text, or it fills fewer than two windows.
    """
    flat = " ".join(text.split())
    encoding = encode(tokenizer, flat, None)
    if isinstance(encoding, Refused):
        raise InputError(f"this vocabulary cannot write the text ({encoding.detail})")
    ids = encoding.ids
    length = min(WINDOW, most)
    cut = [ids[start : start + length] for start in range(0, len(ids) - length + 1, length)]
    if len(cut) < 2:
        raise InputError(f"the text has {len(ids)} tokens; two windows of {length} are the least")
    return cut


def given_text(path: Path) -> str:
    """A user's own text, UTF-8.

    Raises:
        InputError: when it cannot be read, is longer than `MOST_BYTES`, or is no UTF-8.
    """
    return read_text(path, MOST_BYTES)
