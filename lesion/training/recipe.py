"""A recipe: everything that determines an embedded model's weights, as one frozen document in `recipes/`.

The same recipe gives the same weights, bit for bit, on one machine with one build of PyTorch; elsewhere it gives a
model of the same kind. Torch-free.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lesion.identity import Document
from lesion.study.format.load import load_document
from lesion.training.stopping import Share, Until

FamilyName = Literal["llama", "gpt2", "gpt_neox"]


class Shape(Document):
    """The size of the network."""

    layers: int = Field(default=3, ge=1, le=16)
    """Blocks."""
    width: int = Field(default=128, ge=8, le=1024)
    """Size of the residual stream."""
    heads: int = Field(default=8, ge=1, le=64)
    """Attention heads a layer, each with keys and values of its own."""
    mlp: int = Field(default=336, ge=8, le=8192)
    """Neurons a layer (in Llama: of the gated product)."""

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.width % (2 * self.heads):
            raise ValueError(f"width ({self.width}) must be an even multiple of heads ({self.heads})")
        return self


class Optimiser(Document):
    """AdamW with a linear warm-up and a cosine decay."""

    peak: float = Field(default=2e-3, gt=0, le=1)
    """Highest learning rate."""
    warmup: int = Field(default=400, ge=0)
    """Steps until the peak."""
    floor: Share = 0.03
    """Learning rate at the end, as a share of the peak."""
    betas: tuple[Share, Share] = (0.9, 0.98)
    """Decay of the two moments."""
    decay: float = Field(default=0.05, ge=0, le=1)
    """Weight decay on attention and MLP matrices; none on embeddings, norms and biases."""
    clip: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient."""


class Mixture(Document):
    """What the rows are made of; see `lesion.training.mixture`."""

    high: int = Field(default=119, ge=1, le=9999)
    """Operands of sums and differences are 0 … `high`; a third of the pairs is held out."""
    patterns: Share = 0.3
    """Share of symbol rows; the others are arithmetic."""
    products: Share = 0.04
    """Of the arithmetic problems: products of 0–12."""
    chains: Share = 0.2
    """Of the arithmetic problems: `a+b-c` with operands 0–49."""
    sums: Share = 0.55
    """Of the remaining problems: sums; the others are differences."""
    beyond: Share = 0.02
    """Of sums and differences: one operand is raised by 100 (near-OOD numbers are rare, not absent)."""
    uniform: Share = 0.25
    """Of the arithmetic rows: all problems are of one kind."""
    repeats: Share = 0.55
    """Of the symbol rows: a random block, repeated; the rest is shared evenly by short units, copies and reversals."""
    shortest: int = Field(default=4, ge=2, le=20)
    """Fewest symbols of a repeated block."""
    longest: int = Field(default=20, ge=2, le=20)
    """Most symbols of a repeated block."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.longest < self.shortest:
            raise ValueError(f"longest ({self.longest}) lies below shortest ({self.shortest})")
        return self


class Stage(Document):
    """A first stage that makes induction heads few: symbol rows only, with few heads of layer 1 switched on.

    All heads of layer 0 and heads 0 … `heads`-1 of layer 1 are on, all others off, until each of those has a robust
    induction score above `threshold`. Then all heads are on and the mixture begins.
    """

    heads: int = Field(default=2, ge=1, le=64)
    """Heads of layer 1 that are on."""
    threshold: float = Field(default=0.5, gt=0, lt=1)
    """Robust induction score (0 … 1) that ends the stage."""
    most: int = Field(default=1200, ge=1)
    """The stage ends after so many steps in any case; the report says which it was."""
    repeats: Share = 0.9
    """Share of repeated blocks during the stage; the other rows are copies."""
    blocks: tuple[int, ...] | None = Field(default=None, exclude_if=lambda blocks: blocks is None)
    """Block lengths on which the score that ends the stage is measured; none: blocks of 7."""
    lower: int | None = Field(default=None, ge=1, exclude_if=lambda lower: lower is None)
    """Heads of layer 0 that are on; none: all. With one, a head of layer 1 can read the predecessor of a token only
    where that token itself stands; with more, positions that are learned let it read both somewhere else."""


class Recipe(Document):
    """How one embedded model is made."""

    recipe: Literal[1] = 1
    """Version of this format."""
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
    """The model's name in the zoo."""
    about: str = Field(min_length=1, max_length=2000)
    """What kind of model it is, in a sentence or two; it stands on the card."""
    family: FamilyName
    """Architecture, a name of `lesion.models.families`."""
    shape: Shape = Shape()
    """Size."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Draws the initial weights and every row."""
    steps: int = Field(ge=1, le=10**6)
    """Optimiser steps."""
    batch: int = Field(default=32, ge=1, le=4096)
    """Rows a step."""
    length: int = Field(default=48, ge=16, le=512)
    """Tokens a row, BOS included; also the model's context."""
    deviation: float = Field(default=0.02, gt=0, le=1)
    """Standard deviation of the initial matrices."""
    sinusoid: float = Field(default=0.0, ge=0, le=1)
    """Learned position embeddings begin as a sinusoid of this size; 0: as the other matrices."""
    waves: tuple[float, float] | None = Field(default=None, exclude_if=lambda waves: waves is None)
    """Shortest and longest wavelength of the sinusoid, in positions; none: 2π and 2000π."""
    optimiser: Optimiser = Optimiser()
    """Learning rate and weight decay."""
    mixture: Mixture = Mixture()
    """Rows."""
    stage: Stage | None = None
    """First stage, if any."""
    drop: Share = 0.0
    """On this share of the arithmetic rows the stage's heads are zeroed: it plants a separation (it uses labels)."""
    until: Until | None = Field(default=None, exclude_if=lambda until: until is None)
    """Accuracies that end the training sooner or later than its schedule; none: the schedule alone."""
    compile: bool = False
    """Use torch.compile: needs a C++ compiler and Python's headers, about 1.3 times faster, other last bits."""
    threads: int = Field(default=1, ge=1, le=256)
    """Threads of PyTorch; results are bit-identical only for the same number."""
    measure_every: int = Field(default=500, ge=1)
    """Steps between two measurements of accuracy and induction."""
    checkpoint_every: int = Field(default=250, ge=1)
    """Steps between two checkpoints from which a killed training goes on."""
    keep: tuple[int, ...] = ()
    """Steps after which the weights are kept as a model of their own."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.drop and self.stage is None:
            raise ValueError("drop zeroes the heads of the stage: give a stage, or drop: 0")
        if self.stage and (self.shape.layers < 2 or self.stage.heads >= self.shape.heads):
            raise ValueError("a stage needs two layers, and fewer heads than layer 1 has")
        if self.sinusoid and self.family != "gpt2":
            raise ValueError(f"{self.family} has no learned positions: only gpt2 takes a sinusoid")
        if self.waves and not (self.sinusoid and 2 < self.waves[0] < self.waves[1]):
            raise ValueError("waves: a sinusoid's wavelengths, the shortest above 2 positions, the longest above that")
        return self


def load_recipe(path: Path) -> Recipe:
    """Read a recipe's YAML file.

    Raises:
        InputError: when the file cannot be read or is not a valid recipe; the message names file and line.
    """
    return load_document(path, Recipe)
