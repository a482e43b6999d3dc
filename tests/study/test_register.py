"""A chain of registrations: what was changed, lost or slipped in shows; so does everything a study did not stick to."""

import pytest

from lesion.errors import Tampered
from lesion.study.registration.page import readable
from lesion.study.registration.registration import Registration, akin, changes, check_chain, deviations, lineage
from lesion.study.study import Study


def study(name: str = "one", **changes: object) -> Study:
    fields: dict[str, object] = {
        "name": name,
        "question": "Does it?",
        "models": ("tiny:llama",),
        "tasks": {"tier1": {"task": "arithmetic"}, "tier3": {"task": "symbolic"}},
    }
    return Study.model_validate({**fields, **changes})


def grow(chain: list[Registration], chosen: Study, reason: str = "", looked: tuple[str, ...] = ()) -> Registration:
    """Add a registration to the end of a chain, as `lesion register` does."""
    older = [entry for entry in chain if entry.study.name == chosen.name]
    registration = Registration(
        number=len(chain) + 1,
        previous=chain[-1].hash() if chain else None,
        time=f"2026-11-22T16:{len(chain):02d}:00+00:00",
        commit="a" * 40,
        clean=True,
        source_hash="b" * 64,
        study=chosen,
        study_hash=chosen.hash(),
        text="name: one",
        amends=older[-1].hash() if older else None,
        reason=reason,
        runs_seen=(),
        looked=looked,
    )
    chain.append(registration)
    return registration


@pytest.fixture
def chain() -> list[Registration]:
    grown: list[Registration] = []
    grow(grown, study())
    grow(grown, study("two"))
    grow(grown, study(seed=1), "another seed")
    return grown


def altered(registration: Registration, **parts: object) -> Registration:
    return registration.model_copy(update=parts)


def test_an_honest_chain_holds(chain: list[Registration]) -> None:
    check_chain(chain)
    check_chain([])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda c: [altered(c[0], study=study(seed=9)), *c[1:]], "its study was changed"),
        (lambda c: [c[0], altered(c[1], study=study("two", seed=9)), c[2]], "its study was changed"),
        (
            lambda c: [altered(c[0], study=study(seed=9), study_hash=study(seed=9).hash()), *c[1:]],
            "the registration before it was changed",
        ),
        (lambda c: [altered(c[0], time="2026-01-01T00:00:00+00:00"), *c[1:]], "the registration before it was changed"),
        (lambda c: [c[0], altered(c[1], looked=("a run",)), c[2]], "the registration before it was changed"),
        (lambda c: [c[0], c[2]], "number 2 is missing"),
        (lambda c: c[1:], "number 1 is missing"),
        (lambda c: [c[0], altered(c[2], number=2)], "the registration before it was changed"),
        (lambda c: [c[0], altered(c[1], number=7), c[2]], "number 2 is missing"),
        (lambda c: [c[1], c[0], c[2]], "number 1 is missing"),
        (
            lambda c: [c[0], altered(c[1], study=study("in"), study_hash=study("in").hash()), altered(c[1], number=3)],
            "registration before it",
        ),
    ],
    ids=[
        "study edited", "middle study edited", "study and its hash edited", "time edited", "what was seen edited",
        "one removed", "the first removed", "removed and renumbered", "renumbered", "swapped", "one slipped in",
    ],
)  # fmt: skip
def test_a_chain_that_was_touched_is_named(chain: list[Registration], spoil, said: str) -> None:
    with pytest.raises(Tampered, match=said):
        check_chain(spoil(chain))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"tasks": {"tier1": {"task": "arithmetic"}}}, "tasks.tier3.task: symbolic -> (absent)"),
        (
            {"tasks": {"tier1": {"task": "arithmetic", "high": 19}, "tier3": {"task": "symbolic"}}},
            "tasks.tier1.high: 99 -> 19",
        ),
        ({"verdict": {"alpha": 0.1}}, "verdict.alpha: 0.05 -> 0.1"),
        ({"verdict": {"margin": 0.1}}, "verdict.margin: 0.03 -> 0.1"),
        ({"verdict": {"looks": 1}}, "verdict.looks: 2 -> 1"),
        ({"sweep": {"always": (1.5,)}}, "sweep.always: [0.0] -> [1.5]"),
        ({"sweep": {"alphas": (1.5,)}}, "sweep.alphas: [0.0, 0.5, 0.75, 1.25, 1.5, 2.0] -> [1.5]"),
        ({"baseline": {"seeds": 4}}, "baseline.seeds: 3 -> 4"),
        ({"exclusions": 0.5}, "exclusions: 0.01 -> 0.5"),
        ({"hypotheses": ("It does.",)}, "hypotheses: [] -> ['It does.']"),
        ({"models": ("tiny:gpt2",)}, "models: ['tiny:llama'] -> ['tiny:gpt2']"),
    ],
    ids=[
        "a tier dropped", "a tier made easier", "alpha raised", "margin widened", "a look dropped", "best alpha picked",
        "other alphas dropped", "a seed added", "exclusions widened", "hypothesis after results", "model swapped",
    ],
)  # fmt: skip
def test_every_way_to_move_a_threshold_after_looking_is_told(changed: dict[str, object], said: str) -> None:
    chain: list[Registration] = []
    grow(chain, study())
    amended = grow(chain, study(**changed), "because", looked=("20261122_1630_one_abc",))
    (told,) = deviations(chain, amended)
    assert said in told
    assert "after 1 run(s) of this study had been made" in told
    assert "Reason: because" in told


def test_an_amendment_before_any_run_says_so(chain: list[Registration]) -> None:
    assert "before any run of it" in deviations(chain, chain[2])[0]


def test_a_first_registration_after_exploring_says_so() -> None:
    chain: list[Registration] = []
    first = grow(chain, study(), looked=("run-a", "run-b"))
    assert deviations(chain, first) == ["First registered after 2 exploratory run(s) of a study of this name."]


def test_amendments_add_up(chain: list[Registration]) -> None:
    last = grow(chain, study(seed=2), "yet another")
    assert [entry.study.seed for entry in lineage(chain, last)] == [0, 1, 2]
    assert len(deviations(chain, last)) == 2
    assert deviations(chain, chain[1]) == []


def test_a_registration_is_readable_and_holds_everything(chain: list[Registration]) -> None:
    page = readable(chain[2])
    for text in (
        chain[2].hash(),
        chain[2].study_hash,
        "Does it?",
        "tier3",
        "another seed",
        '"margin":0.03',
        "cpu_hours",
    ):
        assert text in page
    assert Registration.model_validate_json(chain[2].model_dump_json()) == chain[2]


def test_the_page_says_what_was_seen_and_every_rule_that_is_frozen(chain: list[Registration]) -> None:
    looked = grow(chain, study(seed=5), "It looked better.", looked=("run-a",))
    page = " ".join(readable(looked, deviations(chain, looked)).split())
    for text in (
        "after 1 run(s) of this study had been made: seed: 1 -> 5. Reason: It looked better.",
        "4 cells are to be confirmed",
        "3 seeds for baseline and confirmation",
        "at most 2 times, until the seeds lie within 3 points",
        "2 looks, 0.025 each",
        "the first tier runs first; the replication and other models wait",
    ):
        assert text in page
    assert "not asked" in readable(chain[1], deviations(chain, chain[1])), (
        "the program never says that nothing was seen"
    )
    one_look = readable(grow(chain, study("three", verdict={"looks": 1})))
    assert "Ambiguous cell: Inconclusive at once (1 looks, 0.05 each)" in one_look


@pytest.mark.parametrize(
    ("other", "related"),
    [
        (study("renamed"), True),
        (study("renamed", tasks={"new": {"task": "symbolic"}}, models=("tiny:llama", "tiny:gpt2")), True),
        (study("elsewhere", models=("tiny:gpt2",)), False),
        (study("elsewhere", tasks={"tier1": {"task": "multistep"}}), False),
    ],
    ids=["same content", "one tier and model shared", "other model", "other kind of task"],
)
def test_studies_are_akin_by_what_they_ask_and_not_by_name(other: Study, related: bool) -> None:
    assert akin(study(), other) is related
    assert akin(other, study()) is related


def test_swapping_the_order_of_tiers_changes_nothing_that_is_done() -> None:
    """The hash does not know the order of keys; by the file's order, an overrun could keep another tier."""
    tiers = {"tier10": {"task": "multistep"}, "tier2": {"task": "symbolic"}, "tier1": {"task": "arithmetic"}}
    swapped, straight = (study(tasks=dict(order)) for order in (tiers.items(), reversed(tiers.items())))
    assert swapped.hash() == straight.hash()
    assert list(swapped.tasks) == list(straight.tasks) == ["tier1", "tier2", "tier10"]


def test_nothing_changed_is_nothing_told() -> None:
    assert changes(study(), study()) == []
