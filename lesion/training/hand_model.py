"""The hand model: an induction transformer whose weights are written down, not learned, so that every answer is known.

A GPT2LMHeadModel of 2 layers with 4 heads over 33 tokens (BOS and 32 letters) and 97 positions:

1. L0H2 attends to the previous position and copies its token into a slot of its own (previous-token head).
2. L1H1 looks for positions whose *previous* token is the current one and copies the token there to the output
   (induction head); the unembedding multiplies it by `GAIN`. Where there is none it rests on BOS and writes nothing.
3. L1H3 attends to earlier copies of the current token (duplicate-token head) and L0H0 to position 0 (first-token
   head); both write nothing. The other heads attend evenly and write nothing. The MLPs are zero.

LayerNorm is undone (`written_weights`). On repeated blocks the loss in the second copy is ln(1 + 32 exp(-20 a)) when
L1H1 is scaled by a, and ln 33 when L1H1 or L0H2 is zeroed.
"""

from pathlib import Path
from typing import Any

from transformers import GPT2LMHeadModel

from lesion.training.folder import save_network
from lesion.training.vocabulary import characters_tokenizer
from lesion.training.written_weights import (
    POSITIONS,
    TOKENS,
    Slots,
    blank_network,
    copy,
    duplicate_token_parts,
    first_token_parts,
    induction_parts,
    look,
    previous_token_parts,
)


def hand_network() -> GPT2LMHeadModel:
    """The hand model as an ordinary Hugging Face module, in evaluation mode."""
    network: Any = blank_network(layers=2, heads=4)
    first, second = (block.attn for block in network.transformer.h)
    look(first, 2, previous_token_parts())
    copy(first, 2, Slots.previous)
    look(first, 0, first_token_parts())
    look(second, 1, induction_parts())
    copy(second, 1, Slots.output)
    look(second, 3, duplicate_token_parts())
    return network


def write_hand_model(folder: Path) -> None:
    """Save the hand model with its tokenizer, to be opened like any other model's folder."""
    network = hand_network()
    save_network(network, dict(network.named_parameters()), characters_tokenizer(TOKENS, POSITIONS), folder)
