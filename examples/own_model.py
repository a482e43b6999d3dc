"""A model of your own: any folder that Hugging Face's `save_pretrained` writes, with a fast tokenizer beside it.

Nothing of `lesion` is needed to make one. Here a small Qwen2 with a token per character is written, untrained; put
your training, or your downloaded checkpoint, in its place. The architectures that are known stand in
`lesion/models/families.py`; a folder of another one is refused by name.

    python examples/own_model.py my-model

Then the folder is a model's name wherever one is asked for:

    lesion doctor my-model
    lesion tokens my-model --to 99
    lesion heads my-model
    lesion measure my-model --do 'zero L0H1' --task 'arithmetic high=99 shots=1'

and in a study: `models: [my-model]`. Its weights' hash goes into every result.
"""

import argparse
import string
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM, set_seed

from lesion.lab import Lab

TOKENS = ("<pad>", "<bos>", "<unk>", *string.digits, *string.ascii_letters, *"+-*=;><")
CONTEXT = 128


def tokenizer() -> PreTrainedTokenizerFast:
    """One token per character; a BOS is put before every text."""
    ids = {token: number for number, token in enumerate(TOKENS)}
    made = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    made.decoder = decoders.Fuse()
    made.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", ids["<bos>"])])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<bos>", pad_token="<pad>", unk_token="<unk>", model_max_length=CONTEXT
    )


def network() -> Qwen2ForCausalLM:
    """Two layers of four heads that share two sets of keys and values; random weights."""
    set_seed(0)
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(TOKENS),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=CONTEXT,
            bos_token_id=TOKENS.index("<bos>"),
            eos_token_id=TOKENS.index(";"),
            pad_token_id=TOKENS.index("<pad>"),
        )
    )


def main() -> None:
    """Write the folder, open it as `lesion` does, and zero a head in it."""
    parser = argparse.ArgumentParser(description="Write a model of one's own, and look into it.")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    network().save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    result = Lab(str(folder)).run("arithmetic high=99 shots=1", "zero L0H1", items=50)
    print(result.summary)
    print(f"{result.receipt.firings} firings; largest change of a logit {result.receipt.max_logit_change:.3f}")


if __name__ == "__main__":
    main()
