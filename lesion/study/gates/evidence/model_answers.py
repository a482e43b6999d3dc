"""What a run measures about a model itself, before or beside its items: the proof, detector scores, neuron scores.

These are stored in a unit's file and read back as the same type. Runs of earlier versions measured less: what they did
not measure is absent, and a hash covers only what is there.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, JsonValue, PlainSerializer

from lesion.identity import Document, content_hash
from lesion.interventions.site import Kind
from lesion.stats.stability import Stability
from lesion.study.arms.vectors import SteeringVector

About = Literal["model"] | Kind
"""What cannot be trusted when an identity fails: the whole model, or one kind of site."""


class Identity(Document):
    """One equation that must hold on the loaded weights."""

    name: str
    """What was compared, and on how many tokens."""
    about: About = "model"
    """What cannot be trusted when it fails: the whole model, or one kind of site."""
    error: float | None
    """Largest absolute difference over the largest absolute value; null when it could not be computed."""
    tolerance: float
    """Largest error that is accepted; 0 means bit-equal."""
    holds: bool
    """Whether it does."""
    note: str = ""
    """Why it could not be computed."""


class EngineChoice(Document):
    """Which engine was chosen for a model, and why."""

    engine: Literal["fast", "reference"]
    """`fast` (the batched engine) only where the comparison held."""
    kernel: Literal["default", "onednn"]
    """Matrix kernel of the batched engine; the reference always takes torch's default."""
    error: float | None
    """Largest difference of log-probabilities between batched engine and reference, nats; null: not measured."""
    batched_error: float | None = None
    """Largest difference of log-probabilities between batched engine and float64, nats."""
    reference_error: float | None = None
    """Largest difference of log-probabilities between reference and float64, nats."""
    limit: float | None = None
    """Largest `batched_error` that was accepted, nats."""
    floor: float | None = None
    """The chosen engine's error against float64, nats: rounding alone makes effects of this size."""
    tolerance: float
    """Largest difference between the engines that a sample of a run's cell may show, nats."""
    note: str
    """Why the batched engine was not taken; empty where it was."""
    cached: bool = False
    """Whether the comparison was made in an earlier opening on this machine and read from the cache."""


class ContractSample(Document):
    """How the prompts of one tier keep the prompt contract, on a sample."""

    items: int
    refused: int
    reasons: tuple[str, ...] = ()
    """Why prompts were refused, each reason once."""


class ReferenceCoverage(Document):
    """Which discovery items of one tier have a reference for mean and resample ablation."""

    items: int
    covered: int
    """Items that have a reference."""
    layouts: int
    """Different layouts among the items."""

    @property
    def share(self) -> float:
        """Share of items that have a reference."""
        return self.covered / self.items if self.items else 0.0


class PairGap(Document):
    """The outcome on the prompts that are asked and on the other prompts of their pairs, answers the same."""

    items: int
    asked: float
    """Mean outcome of the unedited run on the prompts that are asked, a share or nats."""
    other: float
    """The same on the other prompts."""
    error: float
    """Standard error of the mean difference between the two, over items."""

    def share(self, change: float) -> float | None:
        """Which part of the way from the one to the other a change is; None where the way is not known well."""
        way = self.other - self.asked
        return change / way if abs(way) > SURE * self.error else None


SURE = 4
"""Standard errors by which two prompts of a pair must differ, so that a change is told as a part of the way."""


class RoundingSample(Document):
    """A model in bfloat16 beside the same weights in float32, on one tier."""

    items: int
    flips: int
    """Items that the two answer differently."""
    nats: float
    """Largest difference of their log-probabilities, nats."""


class ModelAnswer(Document):
    """Base of what is measured about a model."""

    def recorded_hash(self) -> str:
        """Hash of what was measured; fields that were not are left out."""
        return content_hash(self.measured())

    def measured(self) -> dict[str, Any]:
        """What was measured, as data; a file keeps just this, so that the hash is the same when it is read."""
        return self.model_dump(mode="json", exclude_unset=True)


Measured = PlainSerializer(ModelAnswer.measured, return_type=dict[str, Any])
"""How a document that holds an answer writes it."""


class InstrumentAnswer(ModelAnswer):
    """The proof of a model: identities on its weights, and a sample of every tier."""

    model_config = ConfigDict(extra="allow")

    weights_hash: str
    """SHA-256."""
    tokenizer_hash: str
    """SHA-256."""
    revision: str
    family: str
    dtype: Literal["float32", "bfloat16"] = "float32"
    engine: EngineChoice
    identities: tuple[Identity, ...]
    proof_cached: bool = False
    """Whether the identities were proved in an earlier opening on this machine and read from the cache."""
    conventions: dict[str, JsonValue] = {}
    """What was decided about BOS, stop tokens, padding and the chat template."""
    origin: dict[str, JsonValue] = {}
    """What the model's folder says of its origin: packages, quantisation, licence, hashes."""
    chat: dict[str, JsonValue] = {}
    """The chat template's text around a question."""
    placebo_bit_equal: bool
    """Whether scaling by 1 leaves every logit bit-equal."""
    repeat_flips: int
    """Answers that flip when the same batch is run again."""
    noise_floor: float
    """Largest difference of log-probabilities between a row alone and in its batch, nats."""
    contract: dict[str, ContractSample]
    """Tier -> how its prompts keep the prompt contract."""
    contradictions: tuple[str, ...] = ()
    """Where tokens and items contradict each other."""
    misread: float | None = None
    """Largest difference of a number from the same one computed a second way, in its own unit."""
    own_mean: float | None = None
    """Largest change when a row is given its own activations as their mean, nats."""
    whole_patch: float | None = None
    """Difference of the other prompt's run from one into which all of it was patched, nats; where there are pairs."""
    others_mean: float | None = None
    """Difference of mean and resample sources from the same computed one item at a time, as a share of their size."""
    gaps: dict[str, PairGap] = {}
    """Tier -> how far the two prompts of a pair are apart, on discovery items; only where the study patches."""
    rounding: dict[str, RoundingSample] = {}
    """Tier -> what bfloat16 does; empty in float32."""
    references: dict[str, tuple[str, ...]] = {}
    """Tier -> hashes of its reference sets, by confirmation seed, and last that of discovery."""
    covered: dict[str, ReferenceCoverage] = {}
    """Tier -> which of its items have a reference."""
    vectors: dict[str, SteeringVector] = {}
    """Name of a target -> the vector that is added there; only where the study steers."""
    norm_tenths: tuple[str, ...] = ()
    """By layer, a digit per neuron: the tenth of its layer's output norms; only where neurons are a target."""
    head_norms: tuple[tuple[float, ...], ...] = ()
    """By layer, the output norm of each head; only where heads are a target."""


class TaughtMap(Document):
    """How the model does on one word map."""

    prompts: int
    """Prompts of each kind."""
    taught: float
    """Mean probability of the right answer's first token, examples right."""
    untaught: float
    """The same with the examples' answers exchanged."""


class FunctionVectorHead(Document):
    """One head's indirect effect."""

    site: str
    effect: float
    """Mean rise of the right answer's probability, a share."""
    low: float
    """Lower end of its 95 % t interval over word maps, whose prompts are not independent."""
    high: float
    """Upper end."""
    control: float
    """The same with the mean output on other untaught prompts."""


TOP = 10
"""Heads that count as function-vector heads where overlap is told."""


class FunctionVectors(Document):
    """The indirect effects of all heads on prompts that teach a word map by examples."""

    shots: int
    maps: dict[str, TaughtMap]
    """Word map -> how the model does on it."""
    prompts: int
    """Untaught prompts in all."""
    control: float
    """Largest control effect of any head: a head is named when its interval lies above it."""
    heads: tuple[FunctionVectorHead, ...]
    """All heads, the largest effect first."""
    stability: Stability | None = None
    """Whether the `TOP` largest effects are the same heads over resampled word maps, and without each of them."""

    @property
    def top(self) -> tuple[str, ...]:
        """The `TOP` heads with the largest effects whose intervals lie above 0."""
        return tuple(head.site for head in self.heads[:TOP] if head.low > 0)

    def shared(self, sites: Iterable[str]) -> tuple[str, ...]:
        """Which of these heads are among `top`: the overlap that a claim about them must name."""
        return tuple(site for site in sites if site in self.top)

    @property
    def named(self) -> tuple[str, ...]:
        """The heads whose interval lies above 0 and above every head's control."""
        return tuple(head.site for head in self.heads if head.low > max(0.0, self.control))


class PatternScores(Document):
    """Scores of an attention-pattern detector, on two independent sets of sequences."""

    detector: str
    scores: tuple[tuple[float, ...], ...]
    """By layer and head."""
    again: tuple[tuple[float, ...], ...]
    """The same on the second set."""


class DetectorAnswer(ModelAnswer):
    """Detector scores of every head; of an attention pattern on two independent sets of sequences."""

    detector: str
    probe: dict[str, JsonValue] = {}
    """The first set of sequences."""
    scores: tuple[tuple[float, ...], ...]
    """By layer and head; of function vectors the effects."""
    again: tuple[tuple[float, ...], ...]
    """The same on the second set; empty for function vectors, whose interval is over word maps."""
    function_vectors: FunctionVectors | None = None
    """Indirect effects of all heads; only where the study asks for them (`detector`, `exclude` or `overlap`)."""
    stability: Stability | None = None
    """Whether the heads that the target takes are found again on resampled sequences and on the second set."""
    excluded: PatternScores | None = None
    """Scores of the attention pattern whose heads the target leaves out (`exclude`)."""

    def ranked(self) -> list[tuple[float, str]]:
        """Every head with the smaller of its two scores, the highest first; ties by the first set's score."""
        again = self.again or self.scores
        both = (
            (min(score, again[layer][head]), score, f"L{layer}H{head}")
            for layer, row in enumerate(self.scores)
            for head, score in enumerate(row)
        )
        return [(least, site) for least, _, site in sorted(both, reverse=True)]


class RankedAnswer(ModelAnswer):
    """The sites with the highest scores on a tier."""

    score: str
    """`write`: the size of what a neuron writes. `loss`: how much of the logit difference should go with the site."""
    tier: str
    items: int
    ranked: tuple[tuple[str, float], ...]
    """Site and score, the highest first."""


TargetAnswer = Annotated[DetectorAnswer | RankedAnswer, Measured]
"""What picks the target."""
AnyAnswer = Annotated[InstrumentAnswer | DetectorAnswer | RankedAnswer, Measured]
"""What a cell about a model itself returns."""
