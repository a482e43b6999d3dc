"""Function-vector heads: whose mean output on prompts that teach a task makes the model do it where nothing is taught.

A prompt shows `SHOTS` examples of a word map and asks one more word. With the examples' answers exchanged among each
other it teaches what kind of word an answer is, and not the map. A head's *indirect effect* is the rise of the right
answer's probability when the head's mean output at the last token of taught prompts takes the place of its own there
(Todd et al. 2024, arXiv:2310.15213). The score is its mean over the maps. The control puts in the mean over other
prompts with exchanged answers.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lesion.engine.attach import Source
from lesion.engine.batch import Batch, batches
from lesion.engine.replacement_activations import observe
from lesion.engine.select_engine import Engine
from lesion.errors import InputError
from lesion.identity import generator
from lesion.interventions.intervention import Intervention, Patch
from lesion.interventions.site import Site
from lesion.measures.attribution.direct_logit import heads_of
from lesion.measures.attribution.target import mean_interval
from lesion.models.model import Model
from lesion.progress import stage
from lesion.stats.stability import highest, stability
from lesion.study.gates.evidence.model_answers import TOP, FunctionVectorHead, FunctionVectors, TaughtMap
from lesion.tasks.literature.word_maps import WORD_MAPS
from lesion.tasks.literature.word_prompts import FEWEST, LEAST, PROMPTS, SHOTS, TOO_FEW, map_prompts
from lesion.tasks.tokenizers.prompt_contract import Compiled


def function_vectors(engine: Engine, prompts: int = PROMPTS, seed: int = 0, shots: int = SHOTS) -> FunctionVectors:
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
        for name, taught, untaught, spare in map_prompts(model.tokenizer, model.bos, prompts, seed, shots):
            vectors, others = _mean_outputs(model, taught, sites), _mean_outputs(model, spare, sites)
            base, raised = _effects(engine, untaught, sites, vectors)
            controls.append(_effects(engine, untaught, sites, others)[1])
            effects.append(raised)
            right = float(np.mean([_probability(engine.clean(batch), batch).mean() for batch in _single(taught)]))
            maps[name] = TaughtMap(prompts=len(untaught), taught=right, untaught=float(base.mean()))
            advance(2 * prompts * len(sites))
    if len(maps) < FEWEST:
        raise InputError(f"{model.name}: {TOO_FEW}")
    raised, control = np.stack([each.mean(1) for each in effects], 1), np.concatenate(controls, 1).mean(1)
    found = [
        FunctionVectorHead(site=str(site), effect=mean, low=low, high=high, control=float(beside))
        for site, (mean, low, high), beside in zip(sites, map(mean_interval, raised), control, strict=True)
    ]
    again = generator("function vector stability", seed)
    return FunctionVectors(
        stability=stability(raised.T, highest(TOP), again, "word maps", list(maps)),
        shots=shots, maps=maps, prompts=sum(each.shape[1] for each in effects), control=float(control.max()),
        heads=tuple(sorted(found, key=lambda head: -head.effect)),
    )  # fmt: skip


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
