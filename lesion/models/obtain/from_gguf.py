"""A model's folder made from a GGUF file: safetensors, config, tokenizer, chat template, card; whole, or not at all."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file
from tokenizers import pre_tokenizers
from transformers import AutoTokenizer, GenerationConfig
from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

from lesion.errors import InputError, nearest
from lesion.identity import file_hash
from lesion.models.obtain.gguf_file import GgufFile, Progress, open_gguf, read_weights, silent
from lesion.models.obtain.origin import Origin, versions, write_origin
from lesion.models.vocabulary import MOST_SETTINGS_BYTES
from lesion.outside.documents import read_object

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
WEIGHTS = "model.safetensors"

_DIGITS = ("smollm", "starcoder", "refact", "command-r", "codeshell")
"""Vocabularies that cut every digit off before GPT-2's cut; transformers' reader leaves that out."""
_PLAIN = ("", "default", "gpt-2", "gpt-neox", "olmo", "phi-2", "mpt", "jina-en", "roberta-bpe")
"""Vocabularies that are cut as GPT-2's."""


class About(NamedTuple):
    """What a file does not say of itself."""

    name: str
    about: str
    licence: str
    packages: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    """What was done before the conversion."""


def import_gguf(path: Path, out: Path, dtype: str, about: About | None, progress: Progress = silent) -> Origin:
    """Convert a GGUF file to a Hugging Face folder.

    Args:
        path: the file.
        out: the folder to write; it must not be there, or be empty.
        dtype: `float32` or `bfloat16`.
        about: what is known of the file; None: what its metadata says.
        progress: told the tensors done and the tensors in all.

    Returns:
        What the folder's card says.

    Raises:
        InputError: when the file cannot be read whole as a model of a known family, or `out` is in use.
    """
    if dtype not in DTYPES:
        raise InputError(f"dtype '{dtype}': {nearest(dtype, DTYPES)}")
    with written_whole(out) as folder:
        file = open_gguf(path)
        need_space(folder, _bytes(file, DTYPES[dtype]))
        weights = read_weights(file, DTYPES[dtype], progress)
        cut = _save_tokenizer(file, folder)
        file.config.tie_word_embeddings = weights.tied
        file.config.dtype = dtype
        save_parts(file.config, weights.tensors, folder)
        known = about or About(file.text("general.name") or path.stem, _maker(file), file.text("general.license"))
        origin = Origin(
            name=known.name,
            about=known.about,
            packages=known.packages,
            file=path.name,
            file_bytes=path.stat().st_size,
            file_sha256=file_hash(path),
            licence=known.licence,
            quantisation=file.types,
            dtype=dtype,
            parameters=sum(tensor.numel() for tensor in weights.tensors.values()),
            embeddings=weights.why,
            steps=(
                *known.steps,
                f"Every tensor was dequantised in float32 by gguf-py, put into the order of transformers' "
                f"{file.family.architecture}, and saved as {dtype}.",
                f"The tokenizer was rebuilt from the file's vocabulary; {cut}.",
            ),
            weights_hash=file_hash(folder / WEIGHTS),
            made_with=versions(),
        )
        write_origin(folder, origin)
    return origin


@contextmanager
def written_whole(out: Path) -> Generator[Path]:
    """A temporary folder beside `out` that takes its place when the body is through, and is removed otherwise.

    Raises:
        InputError: when `out` is there and is no empty folder.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there already and is left as it is; name another folder: --out DIR")
    half = out.parent / f".{out.name}.half"
    shutil.rmtree(half, ignore_errors=True)  # of a conversion that was cut off
    half.mkdir(parents=True)
    try:
        yield half
        if out.exists():
            out.rmdir()
        half.rename(out)
    finally:
        shutil.rmtree(half, ignore_errors=True)


def need_space(folder: Path, size: float) -> None:
    """Make sure that the disk of a folder has room for so many bytes.

    Raises:
        InputError: when it has not.
    """
    free = shutil.disk_usage(folder).free
    if free < size:
        raise InputError(
            f"{folder.parent}: {size / 1e6:,.0f} MB are needed and {free / 1e6:,.0f} MB are free; make room, or name "
            "another disk (LESION_MODELS for `lesion get`, --out for `lesion import`)"
        )


def save_parts(config: Any, tensors: dict[str, torch.Tensor], folder: Path) -> None:
    """Write weights, config and generation config; tensors that share memory must be there once."""
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / WEIGHTS, {"format": "pt"})
    (folder / WEIGHTS).chmod(0o644)
    config.save_pretrained(folder)
    GenerationConfig.from_model_config(config).save_pretrained(folder)


def _bytes(file: GgufFile, dtype: torch.dtype) -> float:
    numbers = sum(int(tensor.n_elements) for tensor in file.reader.tensors)
    return numbers * torch.finfo(dtype).bits / 8 + 50e6


def _maker(file: GgufFile) -> str:
    said = [file.text(f"general.{key}") for key in ("organization", "author", "basename", "source.url")]
    return ", ".join(word for word in said if word) or "the file does not say"


def _save_tokenizer(file: GgufFile, folder: Path) -> str:
    """Write tokenizer and chat template; returns how text is cut before the merges."""
    if not file.text("tokenizer.ggml.model"):
        raise InputError(f"{file.path} has no tokenizer: `lesion` needs the model and its tokenizer")
    before = file.text("tokenizer.ggml.pre")
    byte_level = file.text("tokenizer.ggml.model") == "gpt2"
    known = {*_DIGITS, *_PLAIN, *GGUF_PRE_TOKENIZER_SPLITS}
    if byte_level and before not in known:
        raise InputError(
            f"{file.path}: the file says that text is cut as in '{before}' and not how; take the tokenizer.json of the "
            f"original model. Known: {', '.join(sorted(known - {''}))}"
        )
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(
            str(file.path.parent), gguf_file=file.path.name, local_files_only=True
        )
    except Exception as error:  # whatever transformers meets in a strange vocabulary
        said = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise InputError(f"{file.path}: transformers cannot rebuild the tokenizer ({said})") from error
    if byte_level and before in _DIGITS:
        cut = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(cut)
    tokenizer.save_pretrained(folder)
    _mend_tokenizer_config(folder / "tokenizer_config.json", file)
    return f"text is cut as in '{before}'" if byte_level and before else "text is cut as in its family"


def _mend_tokenizer_config(path: Path, file: GgufFile) -> None:
    """Say whether a BOS is put before a text, as the file does, and leave out what is of this machine."""
    said = read_object(path, MOST_SETTINGS_BYTES)
    for key in ("is_local", "local_files_only", "name_or_path", "gguf_file"):
        said.pop(key, None)
    field = file.reader.fields.get("tokenizer.ggml.add_bos_token")
    if field is not None:
        said["add_bos_token"] = bool(field.contents())
    path.write_text(json.dumps(said, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
