"""Ways to get a nicer result after looking, tried in a home that holds a run: README and page must both show it."""

import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lesion.report.page.page import page
from lesion.report.page.readme import readme
from lesion.report.record import read_record
from lesion.report.wording import caveats
from lesion.runs.index import registrations as registry
from lesion.runs.index.registrations import register, standing
from lesion.runs.manifest.run import Code
from lesion.study.format.load import parse_document
from lesion.study.study import Study

CLEAN = Code(version="0", commit="c" * 40, dirty=False, diff="", source_hash="s" * 64)
Told = Callable[..., tuple[str, str]]

SEEN = "Nothing of it anywhere else."
"""What the registrant says of other places."""


@pytest.fixture
def told(copied_run, small_text, monkeypatch: pytest.MonkeyPatch) -> Told:
    """What README and page say when a study is run in this home, after some registrations: (status, both texts)."""
    monkeypatch.setattr(registry, "read_code", lambda: CLEAN)
    home: Path = copied_run.home

    def changed(parts: dict[str, Any]) -> tuple[Study, str]:
        document = yaml.safe_load(small_text)
        for name, part in parts.items():
            document[name] = {**document[name], **part} if name in ("sweep", "baseline", "verdict") else part
        text = yaml.safe_dump(document, sort_keys=False)
        return parse_document(text, "x.yaml", Study), text

    def say(run: dict[str, Any], *registered: tuple[dict[str, Any], str]) -> tuple[str, str]:
        for parts, reason in registered:
            register(home, *changed(parts), reason, seen=SEEN)
        counts = standing(home, changed(run)[0])
        update = {"status": counts.status, "registration": counts.registration, "deviations": counts.deviations}
        record = read_record(copied_run.folder, copied_run.manifest.model_copy(update=update))
        both = [re.sub(r"\\(.)", r"\1", readme(record, ())), page(record, (), copied_run.folder)]
        texts = [html.unescape(re.sub(r"\s+", " ", text)) for text in both]
        lines = [line for line in counts.deviations if all(html.unescape(line) in text for text in texts)]
        assert lines == list(counts.deviations), "both say every deviation whole"
        return counts.status, " ".join(lines)

    return say


def test_amending_after_looking_is_shown_with_what_changed_why_and_how_many_runs_were_seen(told: Told) -> None:
    wider = {"verdict": {"margin": 0.4}}
    _, said = told(wider, ({}, ""), (wider, "It was nearly a Null."))
    for words in ("verdict.margin: 0.3 -> 0.4", "It was nearly a Null.", "after 1 run(s) of this study had been made"):
        assert words in said


def test_dropping_a_seed_without_an_amendment_is_shown_and_makes_the_run_exploratory(told: Told) -> None:
    status, said = told({}, ({"baseline": {"seeds": 4}}, ""))
    assert status == "exploratory"
    assert "baseline.seeds: 4 -> 3" in said
    assert "without an amendment" in said


def test_dropping_a_seed_by_an_amendment_is_shown(told: Told) -> None:
    _, said = told({}, ({"baseline": {"seeds": 4}}, ""), ({}, "The fourth seed was odd."))
    assert "baseline.seeds: 4 -> 3" in said
    assert "The fourth seed was odd." in said


def test_swapping_a_tier_is_shown_whichever_way_it_is_done(told: Told) -> None:
    other = {"tasks": {"tier1": {"task": "symbolic"}}}
    _, said = told(other, ({}, ""), (other, "It is cleaner."))
    assert "tasks.tier1.task: arithmetic -> symbolic" in said
    easier = {"tasks": {"tier1": {"task": "arithmetic", "low": 0, "high": 9, "shots": 1}}}
    status, said = told(easier)
    assert status == "exploratory"
    assert "tasks.tier1.high: " in said


def test_confirming_the_factor_that_looked_best_is_shown(told: Told) -> None:
    best = {"sweep": {"always": [1.5]}}
    _, said = told(best, ({}, ""), (best, "It looked best."))
    assert "sweep.always: [0.0] -> [1.5]" in said
    assert "after 1 run(s)" in said


def test_registering_only_what_was_explored_is_shown(told: Told) -> None:
    _, said = told({}, ({}, ""))
    assert "First registered after 1 exploratory run(s) of a study of this name" in said


def test_a_new_name_for_what_was_looked_at_is_shown(told: Told) -> None:
    fresh = {"name": "fresh", "sweep": {"always": [1.5]}}
    _, said = told(fresh, (fresh, ""))
    assert "under other names, on the same models and kinds of task: 1 run(s)" in said


def test_a_report_that_leaves_the_deviations_out_fails_these_tests(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caveats, "deviations", lambda record: [])
    with pytest.raises(AssertionError, match="both say every deviation whole"):
        told({}, ({"baseline": {"seeds": 4}}, ""))
