"""A pinned network that can find any site: the untouched Hugging Face module, its tokenizer, and what identifies both.

No weight is rewritten or folded, no code of a model's repository is run, and pickled weights are refused.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
import transformers
from tokenizers import Tokenizer
from torch import nn
from transformers.utils import logging as hf_logging

from lesion.device import wanted
from lesion.errors import InputError, InterventionError
from lesion.interventions.site import Kind, Site
from lesion.models.checks.changed_module import require_fit, require_native
from lesion.models.checks.config_agreement import agreed, submodule_at
from lesion.models.device import moved, on_processor, settle
from lesion.models.families import Family, Residual, family_named, family_of, residual_rule
from lesion.models.obtain.hub import hub_folder
from lesion.models.obtain.origin import require_origin
from lesion.models.provenance import OpenedModel, opened
from lesion.models.sizes import (
    TINY_VOCABULARY,
    Sizes,
    Source,
    locate,
    read_config,
    require_enough_weights,
    sizes_of,
)
from lesion.models.tiny import character_tokenizer, tiny_module
from lesion.models.vocabulary import added_bos, read_bos, read_tokenizer
from lesion.models.weights import weight_files, weights_hash

Dtype = Literal["float32", "bfloat16", "float64"]
DTYPES: dict[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}


@dataclass(frozen=True, eq=False)
class Place:
    """Where a site is: a slice of the first input of a module, or of its output."""

    module: nn.Module
    """The module whose input or output is edited."""
    path: str
    """Its dotted path in the model."""
    units: int
    """Into how many equal slices the last axis is cut: heads, neurons, or 1; of a fused projection, all of them."""
    index: int
    """Which of them the site is."""
    side: Literal["input", "output"] = "input"


@dataclass(frozen=True, eq=False)
class Model:
    """An opened model; `lesion.engine.proof.prove.prove` says which of its sites can be trusted."""

    name: str
    """As it was asked for."""
    revision: str | None
    """Commit of a hub model."""
    weights_hash: str
    """SHA-256 over the safetensors files; of a tiny model or one in memory over its tensors' bytes in name order."""
    tokenizer_hash: str
    """SHA-256 of the tokenizer's JSON."""
    family: Family
    residual: Residual
    """Whether the MLP reads the attention output of its own block."""
    sizes: Sizes
    dtype: Dtype
    module: Any
    """The Hugging Face module, in evaluation mode, without gradients."""
    tokenizer: Tokenizer
    bos: int | None
    """The token that the tokenizer itself puts before a text; none where it puts none."""
    folder: Path | None
    """Where its files are; none for a tiny model, or one in memory."""

    def block(self, layer: int) -> nn.Module:
        """Block `layer`; block `n_layers` is the final norm, whose input is the stream that leaves the last block."""
        return self.submodule(self.block_path(layer))

    def block_path(self, layer: int) -> str:
        """The dotted path of block `layer`, or of the final norm."""
        return self.family.final_norm if layer == self.sizes.n_layers else f"{self.family.blocks}.{layer}"

    def submodule(self, path: str) -> nn.Module:
        """The module at a dotted path.

        Raises:
            InterventionError: when the loaded class has no such module.
        """
        return submodule_at(self.module, path, self.family)

    def place(self, site: Site) -> Place:
        """The module and the slice that hold a site.

        Raises:
            InterventionError: when this model has no such site, saying what there is.
        """
        self.sizes.check(site)
        path, side, units, index = self._slice(site)
        path = f"{self.block_path(site.layer)}.{path}" if path else self.block_path(site.layer)
        return Place(self.submodule(path), path, units, index, side)

    def has(self, kind: Kind) -> str:
        """Empty where this architecture has sites of a kind, otherwise why it has none."""
        if kind == "resid_mid" and self.residual == "parallel":
            return "attention and MLP read the same stream in this model, so no stream lies between them"
        if kind in ("up", "act") and self.family.up is None:
            neuron = "its neurons are the activation itself, so that act is the neuron (L5N12)"
            return f"the MLP of this model has no second projection: {neuron} and there is no up"
        return ""

    def _slice(self, site: Site) -> tuple[str, Literal["input", "output"], int, int]:
        """A site's module within its block, the side, how many slices it is cut into, and which one it is."""
        if missing := self.has(site.kind):
            raise InterventionError(f"{site}: {missing}")
        family, sizes, index = self.family, self.sizes, site.index or 0
        if site.kind in ("q", "k", "v"):
            units, place = self._projected(site.kind, index)
            return {"q": family.queries, "k": family.keys, "v": family.values}[site.kind], "output", units, place
        if site.kind == "up" or (site.kind == "gate" and family.fused_up):
            halves = 1 + family.fused_up
            return (
                family.up or "",
                "output",
                halves * sizes.d_mlp,
                (halves - 1) * sizes.d_mlp * (site.kind == "up") + index,
            )
        attention_adds = family.post_attention_norm or family.attention_out
        where: dict[Kind, tuple[str, Literal["input", "output"], int]] = {
            "head": (family.attention_out, "input", sizes.n_heads),
            "pattern": (family.attention_out, "input", sizes.n_heads),
            "neuron": (family.mlp_out, "input", sizes.d_mlp),
            "gate": (family.activation, "input", sizes.d_mlp),
            "act": (family.activation, "output", sizes.d_mlp),
            "resid_pre": ("", "input", 1),
            "resid_mid": (attention_adds, "output", 1),
            "attn_out": (attention_adds, "output", 1),
            "mlp_out": (family.post_mlp_norm or family.mlp_out, "output", 1),
        }
        return (*where[site.kind], index)

    def _projected(self, kind: Literal["q", "k", "v"], index: int) -> tuple[int, int]:
        """Into how many slices of d_head the output of the projection is cut, and which one a q, k or v is."""
        heads, groups = self.sizes.n_heads, self.sizes.n_groups
        if self.family.fused == "separate":
            return (heads if kind == "q" else groups), index
        if self.family.fused == "stacked":
            return heads + 2 * groups, index + {"q": 0, "k": heads, "v": heads + groups}[kind]
        each = heads // groups
        group, within = divmod(index, each) if kind == "q" else (index, each + (kind == "v"))
        return heads + 2 * groups, group * (each + 2) + within

    def logits(self, stream: torch.Tensor) -> torch.Tensor:
        """From the stream that leaves the last block, any shape (…, d_model), to logits (…, vocab_size)."""
        return self._capped(self.submodule(self.family.unembedding)(self._normed(stream)))

    def logits_of(self, stream: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """The logits of some tokens alone: stream (…, d_model) and tokens (…, k), which broadcast, to (…, k)."""
        head: Any = self.submodule(self.family.unembedding)
        raw = (head.weight[tokens] @ self._normed(stream)[..., None])[..., 0]
        return self._capped(raw if head.bias is None else raw + head.bias[tokens])

    def _normed(self, stream: torch.Tensor) -> torch.Tensor:
        """What the unembedding reads."""
        hidden = self.submodule(self.family.final_norm)(stream)
        if self.family.after_norm is None:
            return hidden
        parent, _, name = self.family.after_norm.rpartition(".")
        projection = getattr(self.submodule(parent), name)
        return hidden if projection is None else projection(hidden)

    def _capped(self, raw: torch.Tensor) -> torch.Tensor:
        cap = getattr(self.module.config, self.family.softcap) if self.family.softcap is not None else None
        return raw if cap is None else torch.tanh(raw / cap) * cap


def open_model(name: str, *, dtype: Dtype = "float32", threads: int | None = None, device: str | None = None) -> Model:
    """Open `zoo:NAME`, `tiny:FAMILY`, `pretrained:NAME`, a folder, or `org/name@COMMIT` (it may use the network).

    Args:
        name: which model.
        dtype: the numbers that it computes with.
        threads: processor threads for torch, where given; part of what decides the last bits of a result.
        device: `cpu` or `cuda`, from here on the device of this process; None: what it was asked for, else `cpu`.

    Raises:
        InputError: when the name, device, architecture, config, weights or tokenizer cannot be used, saying why.
    """
    place = settle(wanted() if device is None else device)
    if threads is not None:
        torch.set_num_threads(threads)
    with on_processor():
        model = open_here(name, dtype=dtype)
    return _moved(model, place)


def open_here(name: str, *, dtype: Dtype = "float32") -> Model:
    """The same on the processor, whatever the device of this process; for what is held beside a model on a device.

    Raises:
        InputError: as `open_model`.
    """
    if dtype not in DTYPES:
        raise InputError(f"dtype must be one of {', '.join(DTYPES)}, not '{dtype}'")
    source = locate(name)
    return _noted(_open_tiny(name, source, dtype) if source.kind == "tiny" else _open_folder(name, source, dtype))


def random_model(family: Family, arguments: Mapping[str, Any], vocab_size: int, dtype: Dtype = "float32") -> Model:
    """A random model of another shape, for benchmarks; its tokenizer knows only the first tokens."""
    config = {**arguments, "vocab_size": vocab_size}
    place = settle(wanted())
    with on_processor():
        module = tiny_module(family, DTYPES[dtype], arguments, vocab_size)
        model = _random(f"random:{family.name}", family, config, module, dtype)
    return _noted(_moved(model, place))


def adopted_model(module: nn.Module, tokenizer: Any, device: str | None = None) -> Model:
    """A Hugging Face module that is in memory already, as a model; it is not copied.

    Args:
        module: of a known architecture, on the processor, in evaluation mode, all its numbers of one type. Its
            parameters stop asking for gradients.
        tokenizer: its fast tokenizer, of transformers or a `tokenizers.Tokenizer`.
        device: where the module is moved to; as in `open_model`.

    Raises:
        InputError: when module and tokenizer cannot be used as they are, saying what to do.
    """
    place = settle(wanted() if device is None else device)
    told: Any = getattr(module, "config", None)
    if not isinstance(told, transformers.PretrainedConfig):
        raise InputError(f"{type(module).__name__} has no config of transformers: give a model of transformers")
    config: dict[str, Any] = {**told.to_dict(), "architectures": [type(module).__name__]}
    family = family_of(config)
    require_native(module)
    backend, bos = _fast_tokenizer(tokenizer)
    sizes = agreed(sizes_of(family, config), family, module)
    dtype = _usable(module, family)
    require_fit(backend, bos, None, sizes)
    model = Model(
        name=f"memory:{type(module).__name__}",
        revision=None,
        weights_hash=_tensors_hash(module),
        tokenizer_hash=_text_hash(backend.to_str()),
        family=family,
        residual=residual_rule(family, config),
        sizes=sizes,
        dtype=dtype,
        module=module.requires_grad_(False),
        tokenizer=backend,
        bos=bos,
        folder=None,
    )
    return _noted(_moved(model, place))


def _fast_tokenizer(tokenizer: Any) -> tuple[Tokenizer, int | None]:
    """A copy of the fast tokenizer, without padding and truncation, and the BOS token."""
    backend = tokenizer if isinstance(tokenizer, Tokenizer) else getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise InputError(
            f"a module in memory needs its fast tokenizer, not {type(tokenizer).__name__}: give "
            "tokenizer=AutoTokenizer.from_pretrained(…), or a tokenizers.Tokenizer"
        )
    copy = Tokenizer.from_str(backend.to_str())
    copy.no_padding()
    copy.no_truncation()
    return copy, added_bos(copy)


def _usable(module: nn.Module, family: Family) -> Dtype:
    """The type of a module's numbers, once it is in a state in which it can be measured."""
    if module.training:
        raise InputError("the module is in training mode, where dropout may act: call .eval() on it first")
    if (real := getattr(module.config, "_attn_implementation", None)) != family.attention:
        raise InputError(
            f"the module computes attention by '{real}', and {family.name} models are measured with "
            f"'{family.attention}': call .set_attn_implementation('{family.attention}') on it first"
        )
    if (places := {parameter.device.type for parameter in module.parameters()}) != {"cpu"}:
        raise InputError(
            f"the module is on {', '.join(sorted(places))}: move it with .to('cpu') first; with the device asked for "
            '(LESION_DEVICE, Lab(…, device="cuda")) it is moved there once it gives the processor\'s logits'
        )
    types = {parameter.dtype for parameter in module.parameters()}
    found = [name for name, dtype in DTYPES.items() if {dtype} == types]
    if not found:
        raise InputError(f"the module's numbers must be all of one type of {', '.join(DTYPES)}, not {types}")
    return cast("Dtype", found[0])


def _moved(model: Model, place: torch.device) -> Model:
    """The model, its module moved to the device of this process."""
    moved(model.module, place, model.dtype, model.sizes)
    return model


def _noted(model: Model) -> Model:
    """The model, told to whoever keeps a record."""
    told = (model.name, model.revision or "", model.family.name, model.dtype)
    opened(OpenedModel(*told, model.weights_hash, model.tokenizer_hash))
    return model


def _open_tiny(name: str, source: Source, dtype: Dtype) -> Model:
    family = family_named(source.where)
    return _random(name, family, read_config(source), tiny_module(family, DTYPES[dtype]), dtype)


def _random(name: str, family: Family, config: Mapping[str, Any], module: nn.Module, dtype: Dtype) -> Model:
    tokenizer = character_tokenizer()
    return Model(
        name=name,
        revision=None,
        weights_hash=_tensors_hash(module),
        tokenizer_hash=_text_hash(tokenizer.to_str()),
        family=family,
        residual=residual_rule(family, config),
        sizes=agreed(sizes_of(family, config), family, module),
        dtype=dtype,
        module=module.requires_grad_(False),
        tokenizer=tokenizer,
        bos=TINY_VOCABULARY.index("<bos>"),
        folder=None,
    )


def _open_folder(name: str, source: Source, dtype: Dtype) -> Model:
    folder = _folder(source)
    config = read_config(Source("folder", str(folder), None))
    family = family_of(config)
    sizes = sizes_of(family, config)
    require_enough_weights(sizes, folder, weight_files(folder))  # says what is wrong before anything is read
    with ThreadPoolExecutor(1) as beside:  # the hash takes longer than the loading, and neither waits for the other
        hashed = beside.submit(weights_hash, folder)
        tokenizer = read_tokenizer(folder)
        module = load_module(folder, family, DTYPES[dtype])
        weights = hashed.result()
    require_origin(folder, weights)
    bos = read_bos(folder, tokenizer)
    require_fit(tokenizer, bos, config.get("bos_token_id"), sizes)
    return Model(
        name=name,
        revision=source.revision,
        weights_hash=weights,
        tokenizer_hash=_text_hash(tokenizer.to_str()),
        family=family,
        residual=residual_rule(family, config),
        sizes=agreed(sizes, family, module),
        dtype=dtype,
        module=module.eval().requires_grad_(False),
        tokenizer=tokenizer,
        bos=bos,
        folder=folder,
    )


def _folder(source: Source) -> Path:
    if source.kind != "hub":
        return Path(source.where)
    patterns = ["*.json", "*.jinja", "*.safetensors"]
    return hub_folder(source.where, source.revision, patterns)


def load_module(
    folder: Path, family: Family, dtype: torch.dtype | Literal["auto"], *, pickled: bool = False
) -> nn.Module:
    """The Hugging Face module of a folder; every weight must come from the files, none may be made up.

    Args:
        folder: where config and weights are.
        family: the model's.
        dtype: the numbers to compute with; `auto`: those of the files.
        pickled: read pytorch_model*.bin, by torch's restricted unpickler, instead of safetensors.

    Raises:
        InputError: when the weights cannot be read or do not fit the config.
    """
    bars = hf_logging.is_progress_bar_enabled()
    hf_logging.disable_progress_bar()
    try:
        loaded: tuple[nn.Module, dict[str, Any]] = getattr(transformers, family.architecture).from_pretrained(
            folder,
            dtype=dtype,
            attn_implementation=family.attention,
            use_safetensors=not pickled,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
    except Exception as error:  # a config that means nothing raises whatever it meets in transformers
        said = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        raise InputError(f"{folder}: the weights cannot be loaded with its config.json: {said}") from error
    finally:
        if bars:
            hf_logging.enable_progress_bar()
    module, report = loaded
    for kind in ("missing_keys", "mismatched_keys", "unexpected_keys", "error_msgs"):
        if report.get(kind):
            listed = ", ".join(sorted(map(str, report[kind]))[:4])
            raise InputError(f"{folder}: the weights do not fit the config ({kind.replace('_', ' ')}: {listed})")
    return module


def _tensors_hash(module: nn.Module) -> str:
    """SHA-256 over names, shapes and little-endian float32 bytes of all tensors, in name order."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().to(torch.float32).contiguous().numpy(force=True).tobytes())
    return digest.hexdigest()


def _text_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
