"""The rank of the published study's heads by the shipped engine: 5 of 15 disjoint pairs of their layer do as much.

An independent recomputation found this: zeroing heads 0 and 1 of layer 1 of abacus-llama (the induction pair) costs
70.9 points on tier 4, and 9 of the 27 other pairs of the layer cost as much or more. "Specific" was wrong.
"""

from itertools import combinations

import numpy as np

from lesion.engine.batch import batches
from lesion.engine.select_engine import choose
from lesion.interventions.intervention import Scale
from lesion.interventions.site import head, parse_site
from lesion.measures.metrics import measure
from lesion.models.model import open_model
from lesion.stats.specificity.rank import SetEffects, rank_specificity
from lesion.stats.verdict.rule import Rule
from lesion.study.plan import Shape, new_plan
from lesion.study.stages.matched_sets import matched_sets
from lesion.study.study import Study
from lesion.tasks.catalogue import make_task
from lesion.tasks.task import Draw
from lesion.tasks.tokenizers.prompt_contract import Compiled, compile_item

MODEL = "zoo:abacus-llama"
TARGET = ("L1H0", "L1H1")
STUDY = Study.model_validate(
    {
        "name": "pairs", "question": "?", "models": (MODEL,),
        "tasks": {"tier4": {"task": "multistep", "forms": ("a+b-c",), "low": 0, "high": 49, "shots": 2}},
    }
)  # fmt: skip


def changes(sets: list[tuple[str, ...]]) -> dict[tuple[str, ...], float]:
    """Change of accuracy on 512 discovery items when a set of heads is zeroed."""
    model = open_model(MODEL)
    engine = choose(model)
    items = make_task(STUDY.tasks["tier4"]).items(Draw("discovery", "discovery-0", 0, 1), 0, 512)
    asked = [c for c in (compile_item(item, model.tokenizer, model.bos) for item in items) if isinstance(c, Compiled)]
    edits = [Scale(sites=tuple(map(parse_site, one)), alpha=0.0) for one in sets]
    lost = np.zeros((len(sets), len(asked)))
    for batch in batches(asked, 256, model.sizes.max_positions):
        clean = engine.clean(batch)
        before = measure(clean, batch, ["correct"])["correct"]
        for index, outcome in engine.run(batch, edits, clean):
            lost[index, list(batch.rows)] = measure(outcome.logits, batch, ["correct"])["correct"] - before
    return dict(zip(sets, lost.mean(1), strict=True))


def test_five_of_fifteen_pairs_of_the_layer_do_as_much_as_the_induction_pair_so_nothing_is_specific() -> None:
    plan = new_plan(STUDY, "key", {MODEL: Shape(layers=3, heads=8, neurons=512)}, {"tier4": 10_000})
    every = [tuple(map(str, (head(1, a), head(1, b)))) for a, b in combinations(range(8), 2)]
    found = changes(every)
    assert round(100 * found[TARGET], 1) == -70.9
    assert sorted(found.values()).index(found[TARGET]) == 9, "rank 10 of 28"
    matched = matched_sets(plan, MODEL, TARGET, 199, "layer")
    effects = tuple(float(found[one]) for one in matched.sets)
    cell = SetEffects("Harm", float(found[TARGET]), effects, 512, matched.exist)
    rank = rank_specificity({"cell": cell}, Rule(), asking=1)["cell"]
    assert (rank.status, rank.sets, rank.rank, rank.p) == ("not evaluable", 15, 6, 0.375)
    wide = matched_sets(plan, MODEL, TARGET, 231, "model")
    assert (len(wide.sets), wide.exist) == (231, 231)
    assert 1 / (1 + len(wide.sets)) < Rule().alpha_look, "among heads of the whole model it can be judged"
