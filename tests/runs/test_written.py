"""Tiers whose answers are written out: format tags fire in the line where an edit breaks the form, and only there."""

import shutil
from types import SimpleNamespace

import polars as pl
import pytest

from lesion.engine.decode.generate import Generation, Text
from lesion.errors import InputError
from lesion.interventions.intervention import Scale
from lesion.interventions.site import head
from lesion.measures import greedy_answers as spoken_module
from lesion.measures.prompt_set import of
from lesion.models.model import open_model
from lesion.report.page.cells import cell_views
from lesion.report.record import read_record
from lesion.runs.check.compare import compare_rows
from lesion.runs.check.recompute_stats import recount, table
from lesion.runs.check.verify import verify
from lesion.runs.execute.costs import basis_of
from lesion.runs.execute.finish import Order
from lesion.runs.execute.prepare import prepare_plan
from lesion.runs.execute.run import start
from lesion.runs.folder.run_folder import RunFolder
from lesion.runs.index.query import query
from lesion.study.arms.arm import BASELINE, made, writes
from lesion.study.arms.condition import placebo_of, target
from lesion.study.arms.condition_columns import older_condition
from lesion.study.forecast.forecast import expected
from lesion.study.format.load import parse_document
from lesion.study.gates.evidence.written_answers import number, spoiled_reading
from lesion.study.plan import Cell
from lesion.study.study import Study
from lesion.tasks.tokenizers.prompt_contract import Compiled

BROKEN = """\
name: broken
question: Which edits break the sums, and which only the form of their answers?
models: ["zoo:abacus-llama"]
tasks:
  tier1: {task: arithmetic, low: 0, high: 119, shots: 2}
decoded: [tier1]
block: 32
claims: {prefixes: 1, sets: 0} # one set of examples a seed keeps the run short
baseline: {items: 64, spread: 0.9}
sweep:
  target: {kind: sites, sites: [L0H0, L0H1, L0H2, L0H3, L0H4, L0H5, L0H6, L0H7]}
  alphas: [10.0]
  always: [10.0, -5.0, -50.0]
  items: 64
  best: 0
  controls: 0
verdict: {margin: 0.3, effect: 0.5, spread: 0.9}
"""
"""Ten times its attention the model writes wrong numbers; -5 times, wrong ones and letters; -50 times, letters only."""
CELL = "zoo:abacus-llama|tier1|target@{}"


def order(text: str) -> Order:
    return Order(study=parse_document(text, "broken.yaml", Study), text=text, status="exploratory")


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory, quiet, no_report):
    home = tmp_path_factory.mktemp("broken")
    ran = start(order(BROKEN), home, 1, quiet, no_report)
    return SimpleNamespace(home=home, folder=ran.folder, manifest=ran.manifest, plan=ran.manifest.plan)


def facts(broken) -> tuple[pl.DataFrame, pl.DataFrame]:
    folder = RunFolder(broken.folder)
    return folder.items(), folder.prompts()


def confirmed(broken):
    """The plan as it stood when the confirmation was judged."""
    return broken.plan.model_copy(
        update={"stage": "confirm", "attempt": 0, "pending": tuple(c.id for c in broken.plan.family)}
    )


def test_the_tags_fire_where_the_form_breaks_and_only_there(broken) -> None:
    cells = broken.manifest.results.cells
    wrong, both, form = (cells[CELL.format(alpha)] for alpha in ("10", "-5", "-50"))
    assert wrong.verdict == "Harm"
    assert "format_effect" not in wrong.tags, "wrong numbers are readable"
    assert both.verdict == "Harm"
    assert "format_effect" in both.tags, "it also holds among those that both arms answered readably"
    assert form.verdict == "Inconclusive"
    assert {"format_effect", "format_effect_only"} <= set(form.tags)


def test_the_parse_rates_stand_beside_the_verdicts(broken) -> None:
    readings = broken.manifest.results.readings
    wrong, form = (readings[CELL.format(alpha)] for alpha in ("10", "-50"))
    assert wrong["baseline"].readable == wrong["baseline"].items == wrong["edited"].readable
    assert form["edited"].readable < form["edited"].items / 50
    assert (form["edited"].number, form["edited"].exact) == (0, 0)


def test_exact_match_is_what_is_written(broken) -> None:
    items, prompts = facts(broken)
    keys = ["model", "tier", "split", "seed", "index"]
    told = items.filter(pl.col("written").is_not_null(), pl.col("margin") > 1e-3).join(prompts, on=keys)
    assert (told["correct"] == (told["written"] + ";" == told["answer"])).all()
    assert told["correct"].n_unique() == 2


def test_only_the_confirmation_of_a_decoded_tier_is_written_out(broken) -> None:
    items, _ = facts(broken)
    assert set(items.filter(pl.col("written").is_null())["stage"]) == {"baseline", "discovery"}
    assert set(items.filter(pl.col("written").is_not_null())["stage"]) == {"confirm"}


def test_matched_sets_and_companions_write_nothing() -> None:
    scale = Scale(sites=(head(0, 0),), alpha=0.0)
    arms = [made(condition, scale) for condition in (target(0.0), placebo_of(), older_condition("control@0"))]
    assert [writes(arm) for arm in arms] == [True, True, False]
    assert writes(BASELINE)


def test_the_statistics_and_the_page_show_the_parse_rates(broken, tmp_path) -> None:
    home = tmp_path / "home"
    shutil.copytree(broken.home, home)
    found = recount(home / "runs" / broken.folder.name)
    assert found.document["agrees"], found.document["differing"]
    assert verify(broken.folder) == []
    edited = broken.manifest.results.readings[CELL.format("-50")]["edited"]
    n, readable, share = edited.items, edited.readable, edited.rate
    assert f"target@-50 | edited | {n} | {readable} | {share:.1%} | 0 | 0 |" in table(found.document)
    views = {view.action: view for view in cell_views(read_record(broken.folder, broken.manifest))}
    view = views["reversing (×−50)"]
    (read,) = (each for each in view.details if each.caption == "Could the written answers be read?")
    assert read.rows[1] == ("edited", f"{n}", f"{readable}", f"{100 * share:.1f} %", "0", "0")
    assert f"Parse rate: 100.0 % unedited, {100 * share:.1f} % edited. The change is one of form" in view.claim


def _chosen(broken, alpha: float):
    return next(chosen for chosen in broken.plan.family if chosen.alpha == alpha)


def test_sound_texts_spoil_nothing(broken) -> None:
    items, prompts = facts(broken)
    assert [spoiled_reading(confirmed(broken), items, prompts, c) for c in broken.plan.family] == [None] * 3


@pytest.mark.parametrize(
    ("arm", "column", "value", "said"),
    [
        ("target@10", "written", pl.lit(None, dtype=pl.String), "answers under target@10 were not all written out"),
        ("target@10", "parsed", ~pl.col("parsed"), "flags of target@10 are not what the texts say"),
        ("target@10", "parsed", pl.lit(None, dtype=pl.Boolean), "flags of target@10 are not what the texts say"),
        ("baseline", "written", pl.lit("7777"), "right by teacher forcing, and what is written says otherwise"),
        ("placebo", "written", pl.col("written") + " ", "texts differ between the baseline and the placebo"),
    ],
)
def test_texts_that_contradict_the_rows_make_a_cell_invalid(broken, arm, column, value, said) -> None:
    items, prompts = facts(broken)
    chosen = (pl.col("stage") == "confirm") & (pl.col("arm") == arm)
    spoilt = items.with_columns(pl.when(chosen).then(value).otherwise(pl.col(column)).alias(column))
    assert said in (spoiled_reading(confirmed(broken), spoilt, prompts, _chosen(broken, 10.0)) or "")


def test_rows_without_texts_make_a_decoded_cell_invalid(broken) -> None:
    items, prompts = facts(broken)
    told = spoiled_reading(confirmed(broken), items.drop("written", "parsed"), prompts, _chosen(broken, 10.0))
    assert told == "answers under baseline were not all written out"


def test_a_text_that_differs_between_two_runs_is_a_flip(broken) -> None:
    items, _ = facts(broken)
    form = pl.col("arm") == "target@-50"
    again = items.with_columns(
        written=pl.when(form & (pl.col("stage") == "confirm")).then(pl.lit("?")).otherwise("written")
    )
    assert compare_rows(items, items).flips == 0
    assert compare_rows(items, again).flips == items.filter(form, pl.col("stage") == "confirm").height


def test_a_query_reads_runs_with_and_without_texts(broken, small_run, tmp_path) -> None:
    for run in (broken.folder, small_run.folder):
        shutil.copytree(run, tmp_path / "runs" / run.name)
    told = query(tmp_path, "select run, count(written) as texts, count(*) as n from items group by run order by run")
    assert dict(zip(told["run"], told["texts"] > 0, strict=True)) == {
        broken.folder.name: True,
        small_run.folder.name: False,
    }


def test_a_study_without_decoded_tiers_is_the_document_that_it_was(small_text) -> None:
    study = parse_document(small_text, "small.yaml", Study)
    assert "decoded" not in study.model_dump(mode="json")
    assert "decoded" not in Cell(stage="confirm", model="tiny:llama").model_dump(mode="json")
    more = study.model_copy(update={"decoded": ("tier1",)})
    assert more.hash() != study.hash()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("decoded: [tier1]", "decoded: [tier2]", "tier1"),
        ("decoded: [tier1]", "decoded: [tier1, tier1]", "listed twice"),
        ("decoded: [tier1]", "decoded: [tier1]\ndtype: bfloat16", "float32 only"),
        ("shots: 2", "shots: 2, format: words", "answered by no numeral"),
        ("task: arithmetic, low: 0, high: 119, shots: 2", "task: symbolic", "answered by no numeral"),
    ],
)
def test_tiers_that_cannot_be_read_are_refused(old, new, said) -> None:
    with pytest.raises(InputError, match=said):
        parse_document(BROKEN.replace(old, new), "broken.yaml", Study)


def test_a_forecast_counts_the_texts() -> None:
    study = parse_document(BROKEN, "broken.yaml", Study)
    plain = study.model_copy(update={"decoded": ()})
    costs = [expected(prepare_plan(each, "key"), basis_of(each)) for each in (plain, study)]
    assert costs[0] < costs[1]


def test_a_last_token_that_stands_inside_an_answer_ends_no_text(monkeypatch) -> None:
    """A worked solution has line breaks inside and one at its end; the text must not stop at the first."""
    seen: list[set[int]] = []

    def generate_many(model, prompts, most, stops, arms):
        seen.append(set(stops))
        return [Generation(tuple(Text((), False, 1.0) for _ in prompts), None) for _ in arms]

    monkeypatch.setattr(spoken_module, "generate_many", generate_many)
    model = open_model("tiny:llama")
    for answer in ((5, 9), (5, 9, 7, 9)):
        spoken_module.spoken_many(model, of([Compiled((1, *answer), {}, answer, answer, 1, None)]), [(None, None)])
    assert seen == [{9}, set()]


def test_numbers_are_read_in_the_way_that_a_tier_writes_them() -> None:
    assert number("4 2 1", "spaced_digits") == 421
    assert number("421", "reversed_digits") == 124
    assert number("#### 18", "compact") == 18
    assert number("no idea", "compact") is None
