"""A model's name, where its files are, and its sizes, read from config.json without importing torch.

Names are `zoo:NAME` (embedded in the package), `tiny:FAMILY` (random, made on the spot), `pretrained:NAME` (brought by
`lesion get`), a local folder, or `org/name@COMMIT` on the Hugging Face hub. Only the last may use the network, and only
with all 40 digits of the commit.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from lesion.errors import InputError, InterventionError, nearest
from lesion.identity import Document
from lesion.interventions.site import UNITS, Site
from lesion.models.checks.plausible_config import MOST, readable_config
from lesion.models.families import Family, Names, family_named, family_of
from lesion.models.obtain.hub import hub_file
from lesion.models.obtain.lora import refuse_adapter
from lesion.models.obtain.pretrained import pretrained_folder
from lesion.tasks.problems.alphabet import DIGITS, MARKS, SYMBOLS

ZOO = Path(__file__).parent / "zoo"
TINY_VOCABULARY = ("<pad>", "<bos>", *MARKS, *DIGITS, *SYMBOLS)
"""Tokens of a tiny model, by id: pad, BOS, then one token per character of the project's alphabet."""

_PINNED = re.compile(r"([\w.-]+/[\w.-]+)@([0-9a-f]{40})", re.ASCII)


class Source(NamedTuple):
    """What a name points to."""

    kind: Literal["zoo", "tiny", "pretrained", "folder", "hub"]
    where: str
    """Folder, family or hub repository."""
    revision: str | None
    """Commit of a hub repository."""


class Sizes(Document):
    """The sizes of a model, all counts."""

    family: str
    """Row of the table of architectures."""
    n_layers: int
    """Blocks."""
    n_heads: int
    """Query heads in a block."""
    n_groups: int
    """Keys and values in a block; each is shared by n_heads / n_groups query heads."""
    d_model: int
    """Width of the residual stream."""
    d_head: int
    """Width of one head's slice of z."""
    d_mlp: int
    """Neurons in a block: the width of the MLP down projection's input."""
    vocab_size: int
    """Tokens."""
    max_positions: int | None
    """Longest input; null where nothing limits it."""

    def check(self, site: Site) -> None:
        """Make sure that the model has this site.

        Raises:
            InterventionError: saying what there is.
        """
        layers = self.n_layers + (site.kind == "resid_pre")
        if site.layer >= layers:
            raise InterventionError(
                f"{site}: layer {site.layer} of {self.n_layers}; the layers of this model are 0 … {self.n_layers - 1}"
                + (f", and L{self.n_layers}.resid_pre is what the final norm reads" if site.kind == "resid_pre" else "")
            )
        if site.kind not in UNITS:
            return
        unit = UNITS[site.kind]
        count = {"head": self.n_heads, "group": self.n_groups, "neuron": self.d_mlp}[unit]
        if (site.index or 0) >= count:
            raise InterventionError(
                f"{site}: {unit} {site.index} of {count}; a layer of this model has {unit}s 0 … {count - 1}"
            )

    def group(self, head: int) -> int:
        """The group whose key and value a query head uses."""
        return head // (self.n_heads // self.n_groups)

    def heads_of(self, group: int) -> range:
        """The query heads that a group's key and value serve."""
        each = self.n_heads // self.n_groups
        return range(group * each, (group + 1) * each)


def locate(name: str) -> Source:
    """What `name` points to; nothing is opened.

    Raises:
        InputError: for a name of no known kind, an unknown zoo model or family, a missing folder, an unpinned hub name.
    """
    if name.startswith("tiny:"):
        return Source("tiny", family_named(name[5:]).name, None)
    if name.startswith("zoo:"):
        zoo = {path.parent.name for path in ZOO.glob("*/config.json")}
        if name[4:] not in zoo:
            raise InputError(f"'{name}' is not an embedded model; {nearest(name[4:], zoo)}")
        return Source("zoo", str(ZOO / name[4:]), None)
    if name.startswith("pretrained:"):
        return Source("pretrained", str(pretrained_folder(name.removeprefix("pretrained:"))), None)
    if match := _PINNED.fullmatch(name):
        return Source("hub", match[1], match[2])
    if name and Path(name).is_dir():
        refuse_adapter(Path(name))
        return Source("folder", name, None)
    if name.lower().endswith(".gguf"):
        there = "is a GGUF file" if Path(name).is_file() else "would be a GGUF file, which is not there,"
        raise InputError(f"{name} {there} and not a model folder: `lesion import {name} --out DIR` converts one")
    raise InputError(
        f"'{name[:100]}' is not a model: there is no such folder, and a hub model must be pinned to a commit, as in "
        "org/name@0123…4567 (40 hexadecimal digits, from the repository's history). Other kinds: zoo:NAME, "
        "tiny:FAMILY, pretrained:NAME (`lesion get --list`)"
    )


def folder_here(name: str) -> Path | None:
    """The folder of a model whose files are on this machine; nothing for hub and tiny models, and where it is not."""
    try:
        source = locate(name)
    except InputError:
        return None
    return Path(source.where) if source.kind in ("zoo", "pretrained", "folder") else None


def read_config(source: Source) -> dict[str, Any]:
    """The config.json of a model, as a mapping; for a tiny model, the arguments of its config class.

    Raises:
        InputError: when the folder has no readable config.json.
    """
    if source.kind == "tiny":
        family = family_named(source.where)
        return {"architectures": [family.architecture], "vocab_size": len(TINY_VOCABULARY), **family.tiny}
    if source.kind == "hub":
        path = hub_file(source.where, source.revision, "config.json")
    else:
        path = Path(source.where) / "config.json"
    return readable_config(path)


def read_sizes(name: str) -> Sizes:
    """The sizes of the model `name`, without importing torch.

    Raises:
        InputError: when the name, the architecture or the config is not known.
    """
    config = read_config(locate(name))
    return sizes_of(family_of(config), config)


def sizes_of(family: Family, config: Mapping[str, Any]) -> Sizes:
    """The sizes that a config states, by the family's attribute names.

    Raises:
        InputError: when one is missing or not a positive whole number.
    """
    n_heads = _required(config, family.n_heads)
    d_model = _required(config, family.d_model)
    d_mlp = _optional(config, family.d_mlp)
    if d_mlp is None and family.mlp_default:
        d_mlp = 4 * d_model
    sizes = Sizes(
        family=family.name,
        n_layers=_required(config, family.n_layers),
        n_heads=n_heads,
        n_groups=_groups(family, config, n_heads),
        d_model=d_model,
        d_head=_optional(config, family.d_head) or d_model // n_heads,
        d_mlp=_required(config, family.d_mlp) if d_mlp is None else d_mlp,
        vocab_size=_required(config, ("vocab_size",)),
        max_positions=None if family.max_positions is None else _required(config, family.max_positions),
    )
    require_sizes(sizes, config)
    return sizes


def require_sizes(sizes: Sizes, config: Mapping[str, Any]) -> None:
    """Refuse sizes that no model has.

    Raises:
        InputError: naming the size, and the most that is allowed.
    """
    for name, most in MOST.items():
        if (found := getattr(sizes, name)) > most:
            raise InputError(
                f"config.json: {name} is {found:,}, and at most {most:,} is allowed; fetch the model again"
            )
    pad = config.get("pad_token_id")
    if isinstance(pad, int) and pad >= sizes.vocab_size:
        raise InputError(
            f"config.json: pad_token_id is {pad:,}, and the vocabulary has {sizes.vocab_size:,} tokens; correct it or "
            "write null"
        )


def require_enough_weights(sizes: Sizes, folder: Path, files: Sequence[Path]) -> None:
    """Refuse a config whose model needs more numbers than its weight files could hold.

    Counted are attention's output, one MLP matrix in each block, and the token embedding, at half a byte a number.

    Raises:
        InputError: with both counts.
    """
    block = sizes.d_model * (sizes.n_heads * sizes.d_head + sizes.d_mlp)
    numbers = sizes.n_layers * block + sizes.vocab_size * sizes.d_model
    held = sum(path.stat().st_size for path in files)
    if numbers > 2 * held:
        raise InputError(
            f"{folder}: config.json needs at least {numbers:,} numbers, and the weight files hold {held:,} bytes; they "
            "do not belong together: fetch the whole model again"
        )


def _groups(family: Family, config: Mapping[str, Any], n_heads: int) -> int:
    """Keys and values in a block, as the config says; by the family's rule where it is silent.

    Raises:
        InputError: when the heads cannot be shared out evenly.
    """
    if family.one_group is not None:  # Falcon: the new architecture counts groups, the old one has one or one per head
        if config.get("new_decoder_architecture"):
            return _optional(config, ("num_kv_heads",)) or n_heads
        return 1 if config.get(family.one_group, True) else n_heads
    groups = _optional(config, family.n_groups) or n_heads
    if n_heads % groups:
        raise InputError(f"config.json: {n_heads} heads cannot share {groups} keys and values evenly")
    return groups


def _optional(config: Mapping[str, Any], names: Names) -> int | None:
    for name in names:
        value = config.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InputError(f"config.json: {name} must be a positive whole number, not {value!r:.40}")
        return value
    return None


def _required(config: Mapping[str, Any], names: Names) -> int:
    value = _optional(config, names)
    if value is None:
        raise InputError(f"config.json gives no {' or '.join(names)}: write it out, or mend the family's row")
    return value
