"""Function-vector heads: whose mean output on prompts that teach a task makes the model do it where nothing is taught.

A prompt shows `SHOTS` examples of a word map and asks one more word. With the examples' answers exchanged among each
other it teaches what kind of word an answer is, and not the map. A head's *indirect effect* is the rise of the right
answer's probability when the head's mean output at the last token of taught prompts takes the place of its own there
(Todd et al. 2024, arXiv:2310.15213). The score is its mean over the maps. The control puts in the mean over other
prompts with exchanged answers.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lesion.engine.attach import Source
from lesion.engine.batch import Batch, batches
from lesion.engine.replacement_activations import observe
from lesion.engine.select_engine import Engine
from lesion.errors import InputError
from lesion.identity import Document, generator
from lesion.interventions.intervention import Intervention, Patch
from lesion.interventions.site import Site
from lesion.measures.attribution.direct_logit import heads_of
from lesion.measures.attribution.target import mean_interval
from lesion.models.model import Model
from lesion.progress import stage
from lesion.tasks.literature.word_maps import WORD_MAPS, Pairs
from lesion.tasks.tokenizers.prompt_contract import Compiled

SHOTS = 10
"""Examples in a prompt."""
TOP = 10
"""Heads that count as function-vector heads where overlap is told."""
LEAST = 4
"""Prompts of a map below which it is left out."""


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


class FunctionVectors(Document):
    """The indirect effects of all heads."""

    shots: int
    maps: dict[str, TaughtMap]
    """Word map -> how the model does on it."""
    prompts: int
    """Untaught prompts in all."""
    control: float
    """Largest control effect of any head: a head is named when its interval lies above it."""
    heads: tuple[FunctionVectorHead, ...]
    """All heads, the largest effect first."""

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


def function_vectors(engine: Engine, prompts: int = 8, seed: int = 0, shots: int = SHOTS) -> FunctionVectors:
    """The indirect effect of every head.

    Args:
        engine: the model and the way it is run.
        prompts: of each word map and kind, 4 to 20. Words asked are never words of the prompt's own examples.
        seed: draws examples and questions.
        shots: examples in each prompt, 2 to 16.

    Raises:
        InputError: for numbers outside these ranges, or a tokenizer in which fewer than two maps have enough prompts.
    """
    if not (LEAST <= prompts <= 20 and 2 <= shots <= 16):
        raise InputError(f"prompts {prompts} and shots {shots}: 4 to 20 prompts of 2 to 16 examples can be asked")
    model, sites = engine.model, heads_of(engine.model)
    maps: dict[str, TaughtMap] = {}
    effects: list[NDArray[np.float64]] = []
    controls: list[NDArray[np.float64]] = []
    with stage("function vectors", len(WORD_MAPS) * prompts * len(sites) * 2) as advance:
        for name, pairs in WORD_MAPS.items():
            taught, untaught, spare = (
                _prompts(model, pairs, prompts, shots, ("function vectors", seed, name, kind), mixed=kind > 0)
                for kind in range(3)
            )
            if min(len(taught), len(untaught), len(spare)) < LEAST:
                continue
            vectors, others = _mean_outputs(model, taught, sites), _mean_outputs(model, spare, sites)
            base, raised = _effects(engine, untaught, sites, vectors)
            controls.append(_effects(engine, untaught, sites, others)[1])
            effects.append(raised)
            right = float(np.mean([_probability(engine.clean(batch), batch).mean() for batch in _single(taught)]))
            maps[name] = TaughtMap(prompts=len(untaught), taught=right, untaught=float(base.mean()))
            advance(2 * prompts * len(sites))
    if len(maps) < 2:
        raise InputError(f"{model.name}: its tokenizer joins answers and prompts, so fewer than two maps can be asked")
    raised, control = np.stack([each.mean(1) for each in effects], 1), np.concatenate(controls, 1).mean(1)
    found = [
        FunctionVectorHead(site=str(site), effect=mean, low=low, high=high, control=float(beside))
        for site, (mean, low, high), beside in zip(sites, map(mean_interval, raised), control, strict=True)
    ]
    return FunctionVectors(
        shots=shots, maps=maps, prompts=sum(each.shape[1] for each in effects), control=float(control.max()),
        heads=tuple(sorted(found, key=lambda head: -head.effect)),
    )  # fmt: skip


def _prompts(
    model: Model, pairs: Pairs, count: int, shots: int, key: Sequence[str | int], *, mixed: bool
) -> list[Compiled]:
    """Prompts of a map, no answer twice; `mixed` gives each example the next one's answer, so that none is right."""
    draw, made = generator(*key), list[Compiled]()
    for _ in range(count):
        every = {pairs[int(i)][1]: pairs[int(i)] for i in draw.permutation(len(pairs))}  # no answer twice
        chosen = list(every.values())[: shots + 1]
        shown, (word, answer) = chosen[:-1], chosen[-1]
        answers = [right for _, right in shown]
        if mixed:
            answers = answers[1:] + answers[:1]
        lines = [f"Q: {one}\nA: {other}\n\n" for (one, _), other in zip(shown, answers, strict=True)]
        compiled = _compiled(model, "".join(lines) + f"Q: {word}\nA:", f" {answer}")
        if compiled is not None:
            made.append(compiled)
    return made


def _compiled(model: Model, prompt: str, answer: str) -> Compiled | None:
    """The prompt and the answer's first token; None where the tokenizer joins the two."""
    alone = model.tokenizer.encode(prompt, add_special_tokens=False).ids
    whole = model.tokenizer.encode(prompt + answer, add_special_tokens=False).ids
    if whole[: len(alone)] != alone or len(whole) == len(alone):
        return None
    ids = (*(() if model.bos is None else (model.bos,)), *whole[: len(alone) + 1])
    wrong = 0 if ids[-1] else 1
    return Compiled(
        ids=ids, roles={}, answer_ids=ids[-1:], wrong_ids=(wrong,), prompt_length=len(ids) - 1, twin_ids=None
    )


def _single(rows: Sequence[Compiled]) -> list[Batch]:
    """Rows of equal lengths together."""
    return batches(rows, 32)


def _mean_outputs(model: Model, rows: Sequence[Compiled], sites: Sequence[Site]) -> dict[Site, Tensor]:
    """Each head's mean output z at the last prompt token, (d_head,), float64 sums."""
    sums = [torch.zeros(model.sizes.d_head, dtype=torch.float64) for _ in sites]
    for batch in _single(rows):
        seen = observe(model, batch, sites)
        for total, site in zip(sums, sites, strict=True):
            total.add_(seen[site][:, batch.first].double().sum(0))
    return dict(zip(sites, ((total / len(rows)).float() for total in sums), strict=True))


def _effects(
    engine: Engine, rows: Sequence[Compiled], sites: Sequence[Site], vectors: Mapping[Site, Tensor]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unedited probabilities, (prompts,), and their rise when each head's vector is put in, (heads, prompts)."""
    edits = [Patch(sites=(site,), positions="last") for site in sites]
    sources: dict[Intervention, Source] = {
        edit: dict.fromkeys(edit.sites, vectors[site][None, None]) for edit, site in zip(edits, sites, strict=True)
    }
    base, raised = np.zeros(len(rows)), np.zeros((len(sites), len(rows)))
    for batch in _single(rows):
        places = list(batch.rows)
        base[places] = _probability(engine.clean(batch), batch)
        for index, outcome in engine.run(batch, edits, None, sources):
            raised[index, places] = _probability(outcome.logits, batch) - base[places]
    return base, raised


def _probability(logits: Tensor, batch: Batch) -> NDArray[np.float64]:
    """Probability of the answer's first token, (rows,)."""
    first = logits[:, 0].double().log_softmax(-1)
    return first[torch.arange(len(first)), batch.answer[:, 0]].exp().numpy(force=True)
