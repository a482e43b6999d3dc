"""What a composed paper says: registrations, what studies share, outcomes beside their hypotheses."""

import re

import polars as pl
import pytest

from lesion.errors import InputError
from lesion.report.paper.audit import COLUMNS
from lesion.report.paper.claims.claim import Register, Source
from lesion.report.paper.compose import compose
from lesion.report.paper.markdown import Markdown
from lesion.report.paper.render import render
from lesion.report.paper.select_runs import Cast
from lesion.report.paper.text.hypotheses import hypotheses
from lesion.report.record import Record
from lesion.study.arms.targets import RankedNeurons
from lesion.study.registration.registration import Registration


@pytest.fixture(scope="module")
def record(claimed) -> Record:
    return claimed.record


def test_the_paper_names_registration_neurons_and_a_continuous_outcome(record):
    old = record.manifest
    target = RankedNeurons(kind="neurons", tier="tier2", most=3)
    study = old.study.model_copy(
        update={
            "sweep": old.study.sweep.model_copy(update={"target": target}),
            "claims": old.study.claims.model_copy(update={"outcome": "answer_logprob", "primary": "zero"}),
        }
    )
    registration = Registration(
        number=3, previous="a" * 64, time="2026-11-22T10:00:00+00:00", commit="c" * 40, clean=True,
        source_hash="b" * 64, study=study, study_hash=study.hash(), text="", amends=None, reason="", runs_seen=(),
        looked=(), seen_elsewhere="Nothing of it.",
    )  # fmt: skip
    manifest = old.model_copy(update={"study": study, "registration": registration})
    sources = {manifest.run: Source.of(record._replace(manifest=manifest, findings=()), provisional=False)}
    cast = Cast(sources, ("arithmetic",), {}, "", drifted=("budget: 3 to 4",))
    register = Register(sources, pl.DataFrame(schema=COLUMNS))
    text = render(compose(cast, register, {manifest.run: ()}, {}, []).paper, Markdown())
    for said in (
        "was registered as number 3<sup>[1](claims.json#L2)</sup> of its chain on 2026-11-22<sup>[2](claims.json#L3)",
        "The one before it: `aaaaaaaaaaaaaaaa`….",
        "**Seen elsewhere, by the registrant:** Nothing of it.",
        "**The study file given is not what was run:** budget: 3 to 4",
        "on `tier2`; the first 3<sup>[",
        "| ablation that decides | zero, for a reason that the study gives |",
        "| what is judged | log-probability of the answer |",
        "the study is registered, but this run does not confirm it",
    ):
        assert said in text, said


def test_a_paper_on_two_studies_says_once_what_both_fixed_and_tells_them_apart_elsewhere(record):
    old = record.manifest
    study = old.study.model_copy(
        update={"name": "second", "verdict": old.study.verdict.model_copy(update={"margin": 0.07})}
    )
    other = record._replace(manifest=old.model_copy(update={"study": study, "run": "20261122_1000_second_000000"}))
    sources = {each.manifest.run: Source.of(each, provisional=False) for each in (record, other)}
    register = Register(sources, pl.DataFrame(schema=COLUMNS))
    made = compose(Cast(sources, (), {}, "both were named"), register, dict.fromkeys(sources, ()), {}, [])
    text, supplement = render(made.paper, Markdown()), render(made.supplement, Markdown())
    assert "| setting | all studies that have it |" in text
    assert "| study | margin of a Null |" in text, "the only setting that differs"
    assert len(re.findall(r"^\| `(?:arithmetic|second)` \| \d", text, re.MULTILINE)) == 2
    assert text.count("| power") + text.count("| its power") == 1
    assert "Seen elsewhere" not in text
    assert "# Open questions" not in text
    assert "# Open questions" in supplement
    for name in ("arithmetic", "second"):
        assert f"## `{name}`" in supplement, "its registration and deviations"
        assert re.search(rf"^\| `{name}`, `abacus-llama` \|", text, re.MULTILINE), "its verdicts"


def test_an_outcome_beside_a_hypothesis_of_another_study_is_refused(record):
    old = record.manifest
    studies = [
        old.study.model_copy(update={"name": name, "hypotheses": (f"{name} harms.",)}) for name in ("one", "two")
    ]
    runs = ["20261122_1000_one_000000", "20261122_1001_two_000000"]
    manifests = [old.model_copy(update={"study": study, "run": run}) for study, run in zip(studies, runs, strict=True)]
    sources = {each.run: Source.of(record._replace(manifest=each), provisional=False) for each in manifests}
    register = Register(sources, pl.DataFrame(schema=COLUMNS))
    said = [register.of_field(run, "number", "power", "study", "verdict", "power") for run in runs]
    picked = Cast(sources, (), {}, "both were named")
    right = "- Holds, {claim: one: power}.\n- Holds, {claim: two: power}.\n"
    made = hypotheses(picked, right, said)
    assert made is not None
    with pytest.raises(InputError, match=r"item 1 of prose/outcomes\.md has a number of 20261122_1001_two_000000"):
        hypotheses(picked, "".join(reversed(right.splitlines(keepends=True))), said)
