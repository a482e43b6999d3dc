"""Planted circuits in hand-written weights: two disjoint ones are doubly dissociated, the parts of one are not."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from lesion.engine import reference
from lesion.engine.batch import batches
from lesion.identity import generator
from lesion.interventions.intervention import Scale
from lesion.interventions.site import parse_site
from lesion.measures.heads.repeated_sequences import repeats
from lesion.measures.metrics import measure
from lesion.models.model import Model, open_model
from lesion.stats.dissociation.judge import TaskRows, judge_dissociations
from lesion.stats.dissociation.question import Asked
from lesion.stats.paired.rows import PairedRows
from lesion.stats.verdict.rule import Rule
from lesion.tasks.tokenizers.prompt_contract import Compiled
from lesion.training import hand_model as hand
from lesion.training import written_weights as written
from lesion.training.folder import save_network
from lesion.training.vocabulary import characters_tokenizer
from lesion.training.written_weights import Slots

ITEMS = 150
CHANCE = 1 / 32


@pytest.fixture(scope="module")
def two_circuits(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The hand model with a second circuit: L1H2 copies the token two places back, at half of L1H1's strength."""
    network = hand.hand_network()
    second = network.transformer.h[1].attn
    written.look(second, 2, [(Slots.position, Slots.position, torch.eye(written.POSITIONS).roll(-2, 0))])
    written.copy(second, 2, Slots.output, strength=0.5)
    folder = tmp_path_factory.mktemp("two")
    save_network(
        network, dict(network.named_parameters()), characters_tokenizer(written.TOKENS, written.POSITIONS), folder
    )
    return open_model(str(folder))


def copying(block: int, seed: str) -> list[Compiled]:
    """The next token of a block that is repeated: what the induction head answers."""
    found = list[Compiled]()
    for row in repeats(np.arange(1, 33), 0, block, 0, ITEMS, generator(seed)).ids.tolist():
        prompt = 1 + block + block // 2
        found.append(_item(row[: prompt + 1], row[prompt], row[prompt + 1]))
    return found


def skipping(seed: str) -> list[Compiled]:
    """The token two places back, where nothing repeats: what L1H2 answers."""
    rng, found = generator(seed), list[Compiled]()
    for _ in range(ITEMS):
        letters = [0, *(1 + rng.permutation(32)[:12]).tolist()]
        found.append(_item([*letters, letters[-3]], letters[-3], letters[-2]))
    return found


def _item(ids: Sequence[int], answer: int, wrong: int) -> Compiled:
    prompt = len(ids) - 1
    return Compiled(tuple(ids), {"last": ((prompt - 1, prompt),)}, (answer,), (wrong,), prompt, None)


def rows(model: Model, items: list[Compiled], targets: dict[str, str]) -> TaskRows:
    """Answers unedited and with each target zeroed."""
    right = {name: np.zeros(len(items), dtype=np.bool_) for name in ("", *targets)}
    for batch in batches(items, 64):
        for name, answered in right.items():
            do = Scale(sites=(parse_site(targets[name]),), alpha=0.0) if name else None
            logits = reference.run(model, batch, do).logits
            answered[list(batch.rows)] = measure(logits, batch, ["correct"])["correct"] == 1
    seed = np.arange(len(items)) % 3
    arms = {name: PairedRows(right[""], right[name], seed) for name in targets}
    return TaskRows(arms, CHANCE, Rule().margin)


def test_two_disjoint_circuits_are_doubly_dissociated(two_circuits: Model) -> None:
    targets = {"induction": "L1H1", "skipping": "L1H2"}
    tasks = {
        "copies": rows(two_circuits, copying(8, "copies"), targets),
        "skips": rows(two_circuits, skipping("skips"), targets),
    }
    asked = Asked("induction", "skipping", ("copies", "skips"))
    found = judge_dissociations(tasks, [asked], Rule())[asked.name]
    assert found.verdict == "Double dissociation"
    assert "complete" in found.tags
    assert min(lead.lead for lead in found.leads) > 0.9


def test_two_parts_of_one_circuit_are_not(hand_model: Model) -> None:
    targets = {"previous": "L0H2", "induction": "L1H1"}
    tasks = {
        "short": rows(hand_model, copying(6, "short"), targets),
        "long": rows(hand_model, copying(16, "long"), targets),
    }
    for pair in (("short", "long"), ("long", "short")):
        asked = Asked("previous", "induction", pair)
        found = judge_dissociations(tasks, [asked], Rule())[asked.name]
        assert found.verdict == "No double dissociation"
        assert all(lead.p_harm < 1e-6 for lead in found.leads), "each part is needed by both tasks"
