"""A GGUF file as transformers would load it: config, and every tensor dequantised and named as the module names it.

gguf-py reads and dequantises; transformers has the table of names and undoes what llama.cpp's converter did to a family
(rows of queries and keys in another order in Llama, norms stored plus one in Gemma, transposed matrices in GPT-2). What
transformers would silently leave out, a tensor without a name or a setting of its rotary angles, is refused here.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from gguf import GGML_QUANT_SIZES, GGUFReader, dequantize
from torch import nn
from transformers import AutoConfig
from transformers.modeling_gguf_pytorch_utils import (
    GGUF_TO_TRANSFORMERS_MAPPING,
    TENSOR_PROCESSORS,
    TensorProcessor,
    get_gguf_hf_weights_map,
    load_gguf_checkpoint,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES  # pyright: ignore[reportPrivateImportUsage]

from lesion.errors import InputError
from lesion.models.families import FAMILIES, Family, family_of
from lesion.models.obtain.gguf_header import require_header

SAME_MATRIX = 0.1
"""Two quantisations of one matrix differ by less than this, relative (Frobenius norm): Q5_0 and Q8_0 of one matrix by
0.044, matrices that were trained apart by more than 1."""

_AGREES = {
    "attention.key_length": "head_dim",
    "attention.value_length": "head_dim",
    "rope.dimension_count": "head_dim",
    "attn_logit_softcapping": "attn_logit_softcapping",
    "final_logit_softcapping": "final_logit_softcapping",
    "attention.sliding_window": "sliding_window",
    "rope.scaling.original_context_length": "original_max_position_embeddings",
    "vocab_size": "vocab_size",
}
"""Keys that transformers' reader leaves out for some families, and the config's attribute that must say the same."""
_IDLE = {"tensor_data_layout", "use_parallel_residual"}
"""Keys that change nothing here: the processor of each family knows its layout, and the residual rule is proved."""

Progress = Callable[[int, int], None]


def silent(_done: int, _total: int) -> None:
    """Tell nobody of the progress."""


@dataclass(frozen=True, eq=False)
class GgufFile:
    """An opened file of a known family."""

    path: Path
    reader: Any
    family: Family
    config: Any
    """Of transformers, complete but for `tie_word_embeddings`, which the tensors decide."""

    @property
    def types(self) -> dict[str, int]:
        """Tensors by the type of their numbers, the commonest first."""
        return dict(Counter(str(tensor.tensor_type.name) for tensor in self.reader.tensors).most_common())

    def text(self, key: str) -> str:
        """A text of the metadata; empty where it is not there."""
        field = self.reader.fields.get(key)
        return str(field.contents()) if field is not None else ""


@dataclass(frozen=True, eq=False)
class Weights:
    """The dequantised tensors, named as the module names them."""

    tensors: dict[str, torch.Tensor]
    tied: bool
    why: str
    """Why embedding and unembedding are, or are not, one matrix."""


def open_gguf(path: Path) -> GgufFile:
    """Open a GGUF file and read its config.

    Raises:
        InputError: when it is no whole GGUF file of a family that is known here, or says something that transformers'
            reader would leave out.
    """
    reader = _reader(path)
    if "split.count" in reader.fields and int(reader.fields["split.count"].contents()) > 1:
        raise InputError(
            f"{path}: this is one part of a split model; join the parts with llama.cpp's gguf-split --merge"
        )
    field = reader.fields.get("general.architecture")
    kind = str(field.contents()) if field is not None else "none"
    header = _told(path, kind)
    family = _family(path, kind, header)
    values = {key: value for key, value in header.items() if key not in ("model_type", "_model_name_or_path")}
    embedding = next((tensor for tensor in reader.tensors if tensor.name == "token_embd.weight"), None)
    if embedding is not None:
        values["vocab_size"] = int(embedding.shape[-1])  # rows of the matrix, which may be more than there are tokens
    config: Any = AutoConfig.for_model(header["model_type"], **values)
    config.architectures = [family.architecture]
    _filled_in(config, family, reader.fields.get(f"{kind}.context_length"))
    family_of(config.to_dict())
    _nothing_left_out(path, reader, kind, config)
    return GgufFile(path, reader, family, config)


def read_weights(file: GgufFile, dtype: torch.dtype, progress: Progress = silent) -> Weights:
    """Dequantise every tensor.

    Args:
        file: the opened file.
        dtype: the numbers that come out; dequantisation itself is in float32.
        progress: told the tensors done and the tensors in all.

    Raises:
        InputError: when a tensor has no place in the module, is missing, or has another shape.
    """
    with torch.device("meta"):
        skeleton: nn.Module = getattr(transformers, file.family.architecture)(file.config)
    kind = file.text("general.architecture")
    processor = TENSOR_PROCESSORS.get(kind, TensorProcessor)(config=_told(file.path, kind))
    names: dict[str, str] = get_gguf_hf_weights_map(skeleton, processor)
    aside: dict[str, Any] = {"tensors": {}}
    tensors: dict[str, torch.Tensor] = {}
    sizes: dict[str, float] = {}
    for number, tensor in enumerate(file.reader.tensors, 1):
        try:
            numbers = dequantize(tensor.data, tensor.tensor_type)
        except (NotImplementedError, ValueError) as error:
            raise InputError(f"{file.path}: {tensor.name} cannot be dequantised: {error}") from error
        done = processor.process(weights=numbers, name=tensor.name, tensor_key_mapping=names, parsed_parameters=aside)
        name = names.get(done.name) if done.name is not None else None
        if name is not None:
            tensors[name] = torch.from_numpy(np.require(done.weights, requirements=["C", "W"])).to(dtype)
        elif done.name is None and aside["tensors"]:  # GPT-2's output.weight goes past the table
            name, kept = aside["tensors"].popitem()
            tensors[name] = kept.to(dtype)
        else:
            raise InputError(
                f"{file.path}: tensor {tensor.name} has no place in {file.family.architecture}, so the model would be "
                "another one without it; convert the original checkpoint to safetensors instead"
            )
        block, size = GGML_QUANT_SIZES[tensor.tensor_type]
        sizes[name] = size / block
        progress(number, len(file.reader.tensors))
    return _whole(file, skeleton, *_tied(file.family, tensors, sizes))


def _reader(path: Path) -> Any:
    require_header(path)
    try:
        return GGUFReader(str(path))
    except Exception as error:  # gguf-py meets a cut file with whatever numpy raises
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise InputError(f"{path} is cut off or damaged ({reason}); download it again") from error


def _told(path: Path, kind: str) -> dict[str, Any]:
    """The config as transformers reads it from the metadata."""
    try:
        return dict(load_gguf_checkpoint(str(path))["config"])
    except Exception as error:  # a ValueError for an unknown architecture; anything for strange metadata
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise InputError(f"{path}: transformers cannot read architecture '{kind}' from GGUF ({reason})") from error


def _family(path: Path, kind: str, header: Mapping[str, Any]) -> Family:
    named = CONFIG_MAPPING_NAMES.get(str(header.get("model_type")))
    rows = [family for family in FAMILIES.values() if family.config == named]
    if not rows:
        known = ", ".join(sorted(FAMILIES))
        raise InputError(f"{path}: architecture '{kind}' is not a family that is known here; known: {known}")
    return rows[0]


def _filled_in(config: Any, family: Family, context: Any) -> None:
    """What transformers' reader leaves at the default of the config class: the context (GPT-2), Gemma's query scale."""
    for name in family.max_positions or ():
        if context is not None and hasattr(config, name):
            setattr(config, name, int(context.contents()))
            break
    if hasattr(config, "query_pre_attn_scalar"):  # not in the file; llama.cpp knows it by the number of blocks, too
        largest = config.num_hidden_layers == {"gemma2": 46, "gemma3_text": 62}.get(family.name)
        config.query_pre_attn_scalar = config.hidden_size // config.num_attention_heads if largest else config.head_dim


def _nothing_left_out(path: Path, reader: Any, kind: str, config: Any) -> None:
    """Make sure that the metadata says nothing about the network which transformers' reader leaves out."""
    tables = GGUF_TO_TRANSFORMERS_MAPPING["config"]
    read = {key for name in (kind, config.model_type) for key in tables.get(name, {})}
    for key, field in reader.fields.items():
        name = key.removeprefix(f"{kind}.")
        if name == key or name in read or name in _IDLE:
            continue
        value = field.contents()
        if name == "rope.scaling.type" and value == "none":
            continue
        if name in _AGREES and value == _setting(config, _AGREES[name]):
            continue
        raise InputError(
            f"{path}: {key} = {value!r:.60} changes what the model computes, and transformers' GGUF reader leaves it "
            "out; convert the original checkpoint to safetensors instead"
        )


def _setting(config: Any, attribute: str) -> Any:
    value = getattr(config, attribute, None)
    if attribute == "head_dim" and value is None:
        return config.hidden_size // config.num_attention_heads
    return value


def _tied(
    family: Family, tensors: dict[str, torch.Tensor], sizes: Mapping[str, float]
) -> tuple[dict[str, torch.Tensor], bool, str]:
    """The tensors, whether embedding and unembedding are one, and why; of two quantisations of one matrix the finer."""
    embedding, head = f"{family.embedding}.weight", f"{family.unembedding}.weight"
    if head not in tensors:
        return tensors, True, "one matrix: the file has no output.weight"
    if embedding not in tensors or tensors[head].shape != tensors[embedding].shape:
        return tensors, False, "two matrices"
    first, second = tensors[embedding].float(), tensors[head].float()
    apart = float(torch.linalg.vector_norm(first - second) / torch.linalg.vector_norm(first).clamp_min(1e-30))
    if apart > SAME_MATRIX:
        return tensors, False, "two matrices, as in the file"
    if sizes[head] > sizes[embedding]:
        tensors[embedding] = tensors[head]
    del tensors[head]
    which = "output.weight" if sizes[head] > sizes[embedding] else "token_embd.weight"
    return (
        tensors,
        True,
        (
            f"one matrix: token_embd.weight and output.weight of the file are one matrix quantised twice "
            f"({apart:.2g} apart, relative), and the finer one is kept, {which}"
        ),
    )


def _whole(file: GgufFile, skeleton: nn.Module, tensors: dict[str, torch.Tensor], tied: bool, why: str) -> Weights:
    """The weights, once they are all that the module asks for, and no more."""
    shapes = {name: tuple(tensor.shape) for name, tensor in skeleton.state_dict().items()}
    if tied:
        shapes.pop(f"{file.family.unembedding}.weight", None)
    for name, shape in shapes.items():
        if name not in tensors:
            raise InputError(f"{file.path} has no tensor for {name}: the file is not the whole model")
        if tuple(tensors[name].shape) != shape:
            real = tuple(tensors[name].shape)
            raise InputError(f"{file.path}: {name} has shape {real}, and the config asks for {shape}")
    return Weights(tensors, tied, why)
