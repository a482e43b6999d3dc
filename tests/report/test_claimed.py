"""A run of format 2 is told by its rule: all ablations, the distribution of matched sets, chance, and a control."""

from dataclasses import replace
from io import StringIO
from types import SimpleNamespace

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from rich.console import Console

from lesion.errors import Tampered
from lesion.report.figures import figures as figures_module
from lesion.report.figures import verdict_panels
from lesion.report.figures.figures import figures
from lesion.report.figures.parts.charts import effects
from lesion.report.figures.parts.tables import select
from lesion.report.findings import findings_of
from lesion.report.page.cells import answers_words, cell_views
from lesion.report.page.page import page
from lesion.report.page.provenance import named as named_arm
from lesion.report.page.provenance import provenance
from lesion.report.page.readme import readme
from lesion.report.paper.audit import COLUMNS
from lesion.report.paper.claims.cells import cells
from lesion.report.paper.claims.claim import Register, Source
from lesion.report.paper.claims.row_queries import paired
from lesion.report.paper.claims.row_queries import select as select_rows
from lesion.report.paper.compose import compose
from lesion.report.paper.markdown import Markdown
from lesion.report.paper.render import render
from lesion.report.paper.select_runs import Cast
from lesion.report.record import Record
from lesion.report.terminal.run import print_run
from lesion.report.wording import caveats
from lesion.report.wording.checks import LoudSet, edit_name, factors
from lesion.report.wording.claims import claim
from lesion.report.wording.doubts import doubts
from lesion.report.wording.evidence import ranks
from lesion.report.wording.headline import MOST_WORDS, headline, in_full
from lesion.report.wording.headline_answer import beyond
from lesion.report.wording.last_words import how_sure
from lesion.report.wording.words import conditional, unit_of
from lesion.study.arms.condition_columns import older_condition
from lesion.study.gates.evidence.model_answers import FunctionVectorHead, FunctionVectors
from lesion.study.gates.gate_verdict import DetectionEvidence, LookEvidence
from lesion.study.results import findings
from publications.memos.publication import Publication, _scenarios  # pyright: ignore[reportPrivateUsage]


@pytest.fixture(scope="module")
def record(claimed) -> Record:
    return claimed.record


def changed(record: Record, part: str, name: str, **changes: object) -> Record:
    """The record with one cell's verdict or rank changed."""
    results = record.manifest.results
    told = getattr(results, part)
    other = results.model_copy(update={part: told | {name: replace(told[name], **changes)}})
    manifest = record.manifest.model_copy(update={"results": other})
    return record._replace(manifest=manifest, findings=findings_of(manifest))


def named(record: Record, tier: str) -> str:
    """The ablated cell of a tier."""
    return f"zoo:abacus-llama|{tier}|target@resample"


def of_tier(record: Record, tier: str):
    return next(f for f in record.findings if f.chosen.id == named(record, tier))


def told(record: Record) -> list[str]:
    return [headline(record), *in_full(record), *(claim(record, finding) for finding in record.findings)]


def test_the_headline_answers_first_in_a_short_sentence_and_says_that_ablations_disagree(record):
    said = headline(record)
    assert said == (
        "Exploratory: ablating two selected heads of abacus-llama harms sums and differences beyond 99; random heads"
        " do less; ablations disagree in 1 of 2 tests."
    )
    assert len(said.split()) <= MOST_WORDS
    assert "tier" not in said
    assert "induction" not in said


def test_how_sure_names_the_strongest_random_set_where_the_target_is_least_special(record):
    said = how_sure(record)
    name, effect = ranks.strongest(of_tier(record, "tier2"))[0]
    assert f"none of 91 sets of random heads of the model does as much; the strongest, {name}," in said
    assert f"{100 * effect:.1f}".replace("-", "−") in said
    strong = changed(record, "specific", named(record, "tier2"), rank=8, status="not specific")
    assert "7 of 91 sets" in how_sure(strong)
    assert "some random heads do as much" in headline(strong)
    assert not how_sure(record, says_status=False).startswith("exploratory")


def test_a_test_that_does_not_ask_about_sets_counts_neither_for_nor_against(record):
    asked = of_tier(record, "tier2")
    silent = asked._replace(rank=replace(asked.rank, status="not asked"))
    lost = asked._replace(rank=replace(asked.rank, status="not specific", rank=8))
    assert beyond(record, [asked, asked]) == "random heads do less"
    assert beyond(record, [asked, silent]) == "random heads do less in the one test that asked"
    assert beyond(record, [asked, lost, silent]) == "random heads do less in one of the two tests that asked"
    assert beyond(record, [asked, asked, silent]) == "random heads do less in the two tests that asked"


def test_doubts_are_of_this_run_alone(record):
    said = doubts(record)
    assert any(text.startswith("Ablations disagree") and "up to 99" in text for text in said)
    assert any(text.startswith("Too few random sets") and "repeated symbol patterns" in text for text in said)
    assert not any("greedy decoding" in text for text in said)
    assert said[-1].startswith("One model examined (abacus-llama)")
    assert len(said) <= 10
    settled = changed(record, "cells", named(record, "tier1"), tags=())
    assert not any("Ablations disagree" in text for text in doubts(settled))


def test_many_disagreeing_cells_still_fit_into_the_headline(record):
    wide = record
    for tier in ("tier2", "tier3"):
        tags = (*record.manifest.results.cells[named(record, tier)].tags, "ablation_dependent")
        wide = changed(wide, "cells", named(record, tier), tags=tags)
    assert "disagree" in headline(wide)
    assert len(headline(wide).split()) <= MOST_WORDS
    assert not any("induction heads" in text for text in told(wide))


def measured(record: Record, low: float, **changes: object) -> Record:
    """The record of a study that measured function vectors: L1H0's interval begins at `low`, L0H3's at 0.2."""

    def head(site: str, low: float) -> FunctionVectorHead:
        return FunctionVectorHead(site=site, effect=low + 0.1, low=low, high=low + 0.2, control=0.0)

    found = FunctionVectors(shots=10, maps={}, prompts=48, control=0.1, heads=(head("L0H3", 0.2), head("L1H0", low)))
    gates = list(record.manifest.gates)
    (place,) = (i for i, gate in enumerate(gates) if gate.stage == "detect")
    seen = gates[place].saw(DetectionEvidence)
    ((model, answer),) = seen.answers.items()
    told = seen.model_copy(
        update={"answers": {model: answer.model_copy(update={"function_vectors": found})}, **changes}
    )
    gates[place] = gates[place].model_copy(update={"evidence": told})
    return record._replace(manifest=record.manifest.model_copy(update={"gates": tuple(gates)}))


def test_a_claim_about_detected_heads_says_which_of_them_are_function_vector_heads(record, claimed):
    shared = measured(record, 0.01)
    (first, *_) = shared.findings
    assert "Function-vector overlap: L1H0 of the two heads is among the ten" in claim(shared, first)
    apart = measured(record, -0.01, excluded={first.chosen.model: ("L0H3",)})
    said = claim(apart, first)
    assert "none of the two heads is among the ten with the largest function-vector effects" in said
    assert "the study leaves out L0H3, which is" in said
    assert {view.overlap for view in cell_views(record)} == {"not measured"}
    assert {view.overlap for view in cell_views(shared)} == {"L1H0"}
    shown = page(apart, (), claimed.folder)
    assert "Function-vector overlap</th>" in shown
    assert "Function-vector effects, abacus-llama: largest control 0.100" in shown
    assert "Heads that pass and that `exclude` leaves out" in shown


def test_heads_are_named_only_with_the_control_a_specific_effect_and_agreeing_ablations(record):
    assert of_tier(record, "tier2").licensed
    assert "the two induction heads" in claim(record, of_tier(record, "tier2"))
    assert "Function-vector overlap: not measured." in claim(record, of_tier(record, "tier2"))
    assert not of_tier(record, "tier1").licensed
    common = changed(record, "specific", named(record, "tier2"), status="not specific", rank=40)
    dependent = changed(record, "cells", named(record, "tier2"), tags=("ablation_dependent",))
    control = record.manifest.results.model_copy(update={"positive_control": None})
    without = record.manifest.model_copy(update={"results": control})
    bare = record._replace(manifest=without, findings=findings_of(without))
    for other in (common, dependent, bare):
        assert not of_tier(other, "tier2").licensed
        assert "the two selected heads" in claim(other, of_tier(other, "tier2"))
    assert not any(f.licensed for f in record.findings if f.primary is None)


def test_zero_mean_and_resample_stand_side_by_side_with_intervals_and_the_primary_one_is_marked(claimed):
    record = claimed.record
    view = cell_views(record)[0]
    assert view.primary == "resample"
    assert [text.rpartition(" ")[2] for text in view.ablations] == ["Null", "Harm", "Null"]
    assert all(" to " in text for text in view.ablations)
    html = page(record, figures(record), claimed.folder)
    assert "<strong>−0.6</strong>" in html
    assert "<td>−33.4 Harm</td>" in html
    text = readme(record, ())
    assert "(primary)" in text
    assert "NOT EVALUABLE" in text


def test_chance_stands_beside_the_baseline(record):
    assert "Baseline 98.4 % (chance 2.1 %)" in claim(record, record.findings[0])
    assert cell_views(record)[0].baseline == "98.4 % (chance 2.1 %)"


def test_the_positive_control_is_told_as_a_control_and_is_no_part_of_the_scenario(record):
    assert "repeated" not in headline(record)
    assert "Positive control on repeated symbol patterns: holds in abacus-llama" in " ".join(in_full(record))
    assert record.manifest.results.scenario == "Harm"
    gates = []
    for gate in record.manifest.gates:
        if isinstance(evidence := gate.evidence, LookEvidence):
            name = named(record, "tier2")
            verdicts = evidence.verdicts | {name: replace(evidence.verdicts[name], verdict="Null")}
            evidence = evidence.model_copy(update={"verdicts": verdicts})
        gates.append(gate.model_copy(update={"evidence": evidence}))
    found = findings(record.manifest.plan, gates)
    assert found.scenario == "Null"
    assert found.positive_control is not None
    assert found.positive_control.holds == {"zoo:abacus-llama": True}


def test_the_panels_show_every_set_and_the_target_and_their_query_gives_the_same_effects(record):
    rows = verdict_panels.rows(record)
    assert rows.filter(pl.col("series") == "set")["tier"].value_counts().sort("tier")["count"].to_list() == [91, 15]
    found = (
        select(verdict_panels.QUERY, record.items)
        .filter(stage="specificity")
        .with_columns((100 * (pl.col("gained") - pl.col("lost")) / pl.col("n")).alias("points"))
    )
    for tier in ("tier2", "tier3"):
        here = found.filter(tier=tier)
        asked = dict(here.select("arm", "points").iter_rows())
        rank = of_tier(record, tier).rank
        assert asked["target@resample"] == pytest.approx(100 * rank.target)
        assert [asked[f"set{i}@resample"] for i in range(rank.sets)] == pytest.approx([100 * e for e in rank.effects])
    (drawn,) = [figure for figure in figures(record) if figure.name == "verdicts"]
    assert len(drawn.spec["concat"]) == len(record.findings)


def test_specificity_says_rank_sets_population_and_the_strongest_by_name(record):
    said = ranks.sentence(record, of_tier(record, "tier2"))
    assert "ranks 1 of 92 among 91 sets of random heads of the model" in said
    assert said.count("L") >= 10
    assert "NOT EVALUABLE (15 sets give no p below" in ranks.sentence(record, of_tier(record, "tier3"))
    layer = changed(record, "specific", named(record, "tier2"), population="layer")
    assert "random heads of its layer" in ranks.sentence(layer, of_tier(layer, "tier2"))
    assert "not asked" in ranks.short(record, of_tier(record, "tier1"))


def test_sets_and_heads_as_strong_as_the_target_are_open_questions_by_name(record):
    name = named(record, "tier2")
    effects = list(record.manifest.results.ranks[name].effects)
    effects[7] = -0.4
    strong = changed(
        record, "specific", name, effects=tuple(effects), strongest=(7, 1, 2, 3, 4), rank=2, status="not specific"
    )
    sites = "+".join(record.manifest.results.sets[name][7])
    assert any(f"do as much as the target or more: {sites}" in text for text in caveats.open_questions(strong))
    lone = record.items.with_columns(
        pl.when((pl.col("arm") == "L0H3@0") & (pl.col("tier") == "tier2"))
        .then(False)
        .otherwise("correct")
        .alias("correct")
    )
    assert any("L0H3 (" in text for text in caveats.open_questions(record._replace(items=lone)))
    assert not any("L0H3 (" in text for text in caveats.open_questions(record))
    spoiled = record._replace(items=lone)
    assert any("accuracy as much as the whole target" in text and "points" in text for text in doubts(spoiled))
    (found,) = (each for each in spoiled.findings if caveats.as_strong_alone(spoiled, each))
    assert caveats.as_strong_alone(spoiled, found._replace(verdict=replace(found.verdict, verdict="Null"))) == []


def test_a_floor_of_few_answers_is_named_where_it_forbade_a_verdict(record):
    study = record.manifest.study
    assert caveats.floor_questions(study) == []
    nats = study.model_copy(update={"claims": study.claims.model_copy(update={"outcome": "answer_logprob"})})
    (said,) = caveats.floor_questions(nats)
    assert "claims.chance: coverage corrects it" in said
    corrected = nats.claims.model_copy(update={"chance": "coverage"})
    assert caveats.floor_questions(nats.model_copy(update={"claims": corrected})) == []


def test_the_terminal_keeps_to_eighty_columns(claimed):
    console = Console(width=80, record=True, file=StringIO(), force_terminal=True)
    print_run(console, claimed.folder, claimed.manifest)
    text = console.export_text()
    table = "\n".join(line for line in text.splitlines() if not line.startswith("Open:"))
    assert all(len(line) <= 80 for line in table.splitlines())
    assert text.startswith("Found:    ")
    assert "\nHow sure: exploratory" in text
    assert f"\nOpen:     {claimed.folder / 'report.html'}" in text
    assert "resample *" in text
    assert "The ablations disagree on tier1" in text
    assert "specific, 1/92" in text
    assert "Baseline (chance): tier1 98.4 % (2.1 %)" in text


def test_every_number_of_the_paper_about_ablations_chance_and_ranks_leads_to_rows_or_fields(record):
    manifest = record.manifest.model_copy(update={"status": "confirmatory"})
    sources = {manifest.run: Source.of(record._replace(manifest=manifest), provisional=False)}
    register, cast = Register(sources, pl.DataFrame(schema=COLUMNS)), Cast(sources, ("arithmetic",), {}, "")
    composed = compose(cast, register, {manifest.run: figures(record)}, {}, [])
    text = render(composed.paper, Markdown())
    assert "the other ablations disagree: mean" in text
    assert "specific: rank" in text
    ranked = [each for each in register.claims if each.kind == "rank"]
    assert [each.text for each in ranked] == ["1 of 92, p 0.011", "1 of 16, p 0.062"]
    assert all(each.rows and each.height for each in ranked)
    false = changed(record, "specific", named(record, "tier2"), rank=2)
    with pytest.raises(Tampered, match="its rows give"):
        cells(Register({manifest.run: Source.of(false, provisional=False)}, pl.DataFrame(schema=COLUMNS)), manifest.run)


def test_the_other_ablations_are_counted_on_the_items_that_the_deciding_one_has(record):
    arm = {edit: f"target@{edit}" for edit in ("zero", "resample")}
    lost = (pl.col("arm") == arm["resample"]) & (pl.col("tier") == "tier1") & (pl.col("seed") == 0)
    items = record.items.filter(~(lost & (pl.col("index") == 0)))
    query = paired("zoo:abacus-llama", "tier1", arm["zero"], among=arm["resample"])
    assert select_rows(query.rows, items=record.items).height == 1536
    assert select_rows(query.rows, items=items).height == 1535


def test_the_pages_queries_ask_for_one_run_among_several(record):
    one, other = (record.items.with_columns(pl.lit(run).alias("run")) for run in (record.manifest.run, "another run"))
    for figure in figures(record):
        assert_frame_equal(select(figure.query, pl.concat([one, other])), select(figure.query, one))
        assert select(figure.query, other).filter(pl.nth(0).is_not_null()).height == 0


def test_a_continuous_outcome_is_told_in_nats_with_accuracy_beside_it(claimed, record):
    study = record.manifest.study.model_copy(
        update={"claims": record.manifest.study.claims.model_copy(update={"outcome": "answer_logprob"})}
    )
    nats = record._replace(manifest=record.manifest.model_copy(update={"study": study}))
    assert unit_of(study).name == "nats"
    assert "−0.104 nats" in " ".join(in_full(nats))
    finding = of_tier(nats, "tier2")
    assert "accuracy 93.7 % → " in answers_words(nats, finding)
    assert "points" not in claim(nats, finding)
    html = page(nats, figures(nats), claimed.folder)
    assert "change in log-probability of the answer, nats" in html


def test_one_set_of_examples_per_seed_makes_every_interval_conditional(record):
    study = record.manifest.study
    one = study.model_copy(update={"claims": study.claims.model_copy(update={"prefixes": 1})})
    assert conditional(study, "tier1") == ""
    assert conditional(one, "tier1") == ", conditional on three example sets"
    assert conditional(one, "tier3") == ""
    plain = record._replace(manifest=record.manifest.model_copy(update={"study": one}))
    assert "conditional on three example sets" in claim(plain, plain.findings[0])


def test_a_large_effect_does_not_hide_small_ones():
    scale, _ = effects([-100.0, -0.5, 0.5], 3.0)
    assert scale.to_dict()["type"] == "symlog"
    assert "type" not in effects([-20.0, 1.0], 3.0)[0].to_dict()


def test_an_ablation_that_was_not_judged_says_why(record):
    ablations = record.manifest.results.ablations
    name = named(record, "tier1")
    nothing = {"delta": None, "ci_low": None, "ci_high": None}
    spoiled = replace(ablations[name]["mean"], verdict="Invalid", reason="no item has a reference", **nothing)
    other = ablations | {name: ablations[name] | {"mean": spoiled}}
    results_ = record.manifest.results.model_copy(update={"ablations": other})
    manifest = record.manifest.model_copy(update={"results": results_})
    other = record._replace(manifest=manifest, findings=findings_of(manifest))
    assert "not judged: no item has a reference" in cell_views(other)[0].ablations
    assert "could not be judged (no item has a reference)" in claim(other, other.findings[0])


def test_what_was_seen_elsewhere_is_the_registrants_own_sentence(record):
    registration = SimpleNamespace(
        number=1, time="2026-11-22", previous=None, seen_elsewhere="I ran the default study.", hash=lambda: 64 * "a"
    )
    for said in ("I ran the default study.", ""):
        registration.seen_elsewhere = said
        manifest = record.manifest.model_copy(update={"registration": registration})
        assert any((said or "not asked") in value for _, value in page_facts(record._replace(manifest=manifest)))


def page_facts(record: Record) -> list[tuple[str, str]]:
    return provenance(record)


def test_ablations_are_named_wherever_factors_are():
    assert named_arm(older_condition("set12@resample")) == "matched sets, resample"
    assert named_arm(older_condition("control1@zero")) == "random set, zero"
    assert [edit_name(edit) for edit in ("0.5", "mean")] == ["×0.5", "mean"]
    loud = [LoudSet("discovery", "m", "t", "control0", dict.fromkeys(("resample", "2", "0.5", "zero"), None))]
    assert factors(loud) == ["0.5", "2", "zero", "resample"]


def test_a_memo_lists_the_other_ablations_and_the_rank(claimed, tmp_path):
    text = _scenarios(Publication(tmp_path, ((claimed.folder, claimed.manifest),), ()))
    assert "tier1, resample: Null, −0.6 points (zero −0.6; mean −33.4)" in text
    assert "specific, rank 1 of 92" in text


def test_the_picture_of_a_baseline_that_is_judged_in_nats_has_no_band_of_points(record):
    points = next(each for each in figures(record) if each.name == "baseline")
    assert "points wide" in points.reading
    study = record.manifest.study
    nats = study.model_copy(update={"claims": study.claims.model_copy(update={"outcome": "answer_logprob"})})
    judged = record._replace(manifest=record.manifest.model_copy(update={"study": nats}))
    shown = figures_module._baseline(judged)  # pyright: ignore[reportPrivateUsage]
    assert f"within {study.baseline.spread:g} nats" in shown.reading
    assert len(shown.spec["layer"]) == len(points.spec["layer"]) - 1
