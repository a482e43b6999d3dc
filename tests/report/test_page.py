"""The page and the README: complete, self-contained, escaped, and honest about how a run ended."""

import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

from lesion.report.findings import findings_of
from lesion.report.page.cells import tags_of
from lesion.report.page.gates import timeline
from lesion.report.page.page import counted_query, page
from lesion.report.page.write import write_report
from lesion.report.record import read_record
from lesion.runs.manifest.run import Manifest, read_manifest
from tests.study.made import gate, neuron_answer

MODEL = "zoo:abacus-llama"
VOID = {"meta", "link", "img", "br", "hr", "input"}
HOSTILE = "</script><img src=x onerror=alert(1)>{{ 7*7 }}<b>"


class Reader(HTMLParser):
    """Reads the page as a browser would: tags in order, and the text outside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.words = ""
        self.unbalanced: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append((dict(attrs), ""))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.stack or self.stack.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data):
        if self.stack and self.stack[-1] == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)
        elif not self.stack or self.stack[-1] != "style":
            self.words += data


def read(folder: Path) -> Reader:
    return Reader((folder / "report.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def reported(run_folder: Path, manifest: Manifest) -> Path:
    write_report(run_folder, manifest)
    return run_folder


def test_the_page_is_well_formed_and_below_five_megabytes(reported):
    seen = read(reported)
    assert not seen.unbalanced
    assert not seen.stack
    assert (reported / "report.html").stat().st_size < 5_000_000


def test_the_page_loads_nothing_from_anywhere(reported):
    seen = read(reported)
    policy = next(a["content"] for tag, a in seen.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    sources = [a.get("src") for _, a in seen.tags if a.get("src")]
    assert all(source.startswith("data:") for source in sources)
    assert not [a for tag, a in seen.tags if tag == "link"]


def test_the_page_explains_its_words_where_it_says_how_sure_it_is(reported):
    text = (reported / "report.html").read_text(encoding="utf-8")
    assert '<a href="#words">' in text.partition("How sure:")[2].partition("</p>")[0]
    told = text.partition('id="words"')[2].partition("</dl>")[0]
    for word in ("Selected heads", "Zero-, mean-, resample-ablating", "Margin", "Nats", "Gate", "Null"):
        assert f"<dt>{word}</dt>" in told


def test_every_gate_of_several_attempts_says_which_it_is(reported):
    manifest = Manifest.model_validate_json((reported / "manifest.json").read_text())
    place = next(n for n, gate in enumerate(manifest.gates) if gate.stage == "baseline")
    first = manifest.gates[place].model_copy(update={"outcome": "Ambiguous", "reason": "too few items"})
    second = manifest.gates[place].model_copy(update={"attempt": 1})
    gates = (*manifest.gates[:place], first, second, *manifest.gates[place + 1 :])
    record = read_record(reported, manifest.model_copy(update={"gates": gates}))
    words = " ".join(Reader(page(record, (), reported)).words.split())
    assert "? baseline, attempt 1 of 2: Ambiguous ✓ baseline, attempt 2 of 2 ✓" in words


def test_every_link_leads_to_a_file_of_the_run_or_into_the_page(reported):
    seen = read(reported)
    names = {a["id"] for _, a in seen.tags if "id" in a}
    later = {"manifest.json"}
    for target in (a["href"] for tag, a in seen.tags if tag == "a"):
        if target.startswith("#"):
            assert target[1:] in names
        else:
            assert target in later or (reported / target).exists(), target


def test_ids_are_unique_and_headings_skip_no_level(reported):
    seen = read(reported)
    ids = [a["id"] for _, a in seen.tags if "id" in a]
    assert len(ids) == len(set(ids))
    levels = [int(tag[1]) for tag, _ in seen.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_the_unfolded_page_reads_in_two_minutes_and_every_fold_has_a_name(reported):
    """What is not folded away keeps to 600 words, table included."""
    words, open_folds, names = 0, 0, []
    text = (reported / "report.html").read_text(encoding="utf-8").partition("</header>")[2]
    for part in re.split(r"(</?details[^>]*>)", re.sub(r"(?s)<(script|noscript).*?</\1>", "", text)):
        if part.startswith("<details"):
            open_folds += 1
        elif part.startswith("</details"):
            open_folds -= 1
        elif not open_folds:
            words += len(re.sub(r"<[^>]*>", " ", part).split())
        elif part.strip().startswith("<summary>"):
            names.append(Reader(part.partition("</summary>")[0]).words)
    assert words <= 600
    assert all(name.strip() for name in names)
    assert text.count("<details") == len(names)


def test_a_query_ready_to_paste_gives_the_accuracies_of_this_run(reported):
    record = read_record(reported, Manifest.model_validate_json((reported / "manifest.json").read_text()))
    items = record.items.with_columns(pl.lit(record.manifest.run).alias("run"))
    found = pl.SQLContext(items=items, eager=True).execute(counted_query(record.manifest.run))
    here = record.items.filter(stage="confirm", tier="tier2", arm="target@0")
    row = found.filter(tier="tier2", arm="target@0").row(0, named=True)
    assert row["n"] == here.height
    assert row["accuracy"] == pytest.approx(100 * here["correct"].mean(), abs=0.05)


def test_tables_have_captions_and_charts_have_words(reported):
    seen = read(reported)
    assert [tag for tag, _ in seen.tags].count("table") == [tag for tag, _ in seen.tags].count("caption")
    charts = [a for _, a in seen.tags if a.get("class") == "chart"]
    assert len(charts) == 6
    assert all(chart["role"] == "img" and len(chart["aria-label"]) > 40 for chart in charts)


def test_the_verdict_and_its_figure_come_first(reported):
    text = (reported / "report.html").read_text(encoding="utf-8")
    order = [
        text.index(mark) for mark in ('<h1 id="verdict">', 'id="chart-verdicts"', '<h2 id="cells">', 'id="chart-heads"')
    ]
    assert order == sorted(order)


def test_the_readme_tells_verdict_files_and_replay(reported):
    text = (reported / "README.md").read_text(encoding="utf-8")
    assert text.startswith("# arithmetic: EXPLORATORY run, COMPLETE")
    assert "lesion replay runs/" in text
    assert "| ▼ Harm |" in text
    assert "figures/verdicts.png" in text


def test_hostile_text_stays_text(tmp_path, make_run):
    world = {
        "ability": {"tier3": 0.995},
        "question": HOSTILE,
        "prompt": HOSTILE,
        "model": "evil<script>alert(2)</script>'\"|name",
    }
    folder, manifest = make_run(tmp_path, world=world)
    write_report(folder, manifest)
    seen = read(folder)
    assert not seen.unbalanced
    assert not [a for _, a in seen.tags if "onerror" in a]
    assert HOSTILE in seen.words
    assert "49" not in seen.words.partition("Study ")[0]
    specs = [text for attributes, text in seen.scripts if attributes.get("type") == "application/json"]
    assert len(specs) == 6
    assert all(json.loads(spec) for spec in specs)
    assert "<img" not in (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("world", "reason"),
    [
        ({"drift": 0.05}, "baseline is not stable"),
        ({"induction": ()}, "no head"),
        ({"sound": False}, "instrument failed twice"),
    ],
)
def test_a_stopped_run_says_so_first_and_claims_nothing(tmp_path, make_run, world, reason):
    folder, manifest = make_run(tmp_path, world=world)
    assert manifest.outcome == "stopped"
    write_report(folder, manifest)
    seen = read(folder)
    assert not seen.unbalanced
    first = " ".join(seen.words.split())
    title, _, rest = first.partition("Skip to the verdict")
    assert "STOPPED" in title
    assert "STOPPED" in rest[:40]
    assert "No verdict" in rest
    assert reason in rest
    assert "chart-verdicts" not in (folder / "report.html").read_text(encoding="utf-8")
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert "STOPPED" in readme.splitlines()[0]
    assert "No verdict" in readme


def test_a_tier_at_floor_is_told_as_a_limit_of_its_cell_only(tmp_path, make_run):
    folder, manifest = make_run(tmp_path, world={"ability": {"tier1": 0.0, "tier3": 0.995}})
    write_report(folder, manifest)
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert manifest.outcome == "complete"
    assert "at chance here" in text
    assert "harms" in text


def test_named_neurons_need_no_head_map(tmp_path, make_run):
    sweep = {"target": {"kind": "sites", "sites": ["L0N1", "L1N12"]}, "items": 256, "alphas": (0.0, 2.0)}
    folder, manifest = make_run(tmp_path, sweep=sweep)
    written = write_report(folder, manifest)
    assert "heads.png" not in written
    assert "the two named neurons L0N1 + L1N12" in (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("status", ["confirmatory", "dry-run"])
def test_the_status_stands_before_everything_else(reported, manifest, status):
    record = read_record(reported, manifest.model_copy(update={"status": status}))
    words = " ".join(Reader(page(record, (), reported)).words.split()).partition("Skip to the verdict")[2]
    assert words.strip().startswith(status.upper())
    assert ("mean nothing" in words) == (status == "dry-run")


def test_what_a_run_has_no_rows_for_is_left_out_with_a_sentence(reported):
    words = " ".join(read(reported).words.split())
    assert "No ranking of neurons: the study's target is not picked by one." in words
    assert "No curves of zeroing heads one after another: the study asks for none" in words


def test_a_ranking_of_neurons_shows_every_score_and_which_were_picked(manifest):
    answers = {MODEL: neuron_answer(("L1N7", 3.5), ("L0N2", 1.25))}
    seen = manifest.model_copy(update={"gates": (gate("detect", picked={MODEL: ("L1N7",)}, answers=answers),)})
    (step,) = timeline(seen)
    assert step.tables[1].rows == [
        ("abacus-llama", "1", "L1N7", "3.5", "yes"), ("abacus-llama", "2", "L0N2", "1.25", "no"),
    ]  # fmt: skip


def test_with_several_models_every_cell_says_whose_it_is(make_run, tmp_path):
    folder, manifest = make_run(tmp_path, models=(MODEL, "zoo:abacus-neox"))
    write_report(folder, manifest)
    told = re.findall(r"<summary>(.*?)</summary>", (folder / "report.html").read_text(encoding="utf-8"))
    whys = [Reader(summary).words for summary in told if summary.endswith(": why")]
    assert whys
    assert len(set(whys)) == len(whys)
    assert {name for name in ("abacus-llama", "abacus-neox") for why in whys if f" {name}, " in why} == {
        "abacus-llama", "abacus-neox",
    }  # fmt: skip


def test_what_gates_saw_of_a_study_in_nats_is_told_in_nats(repository: Path):
    run = next((repository / "publications" / "real-models").glob("*_gemma-repeats_*/manifest.json"))
    tables = {step.stage: step.tables for step in timeline(read_manifest(run))}
    (baseline,), (chosen,), (verdicts,) = tables["baseline"], tables["discovery"], tables["confirm"]
    assert baseline.caption == "Log-probability of the answer of the unedited model by seed"
    assert all("−3." in row[2] and "%" not in row[2] for row in baseline.rows)
    assert (chosen.columns[-1], verdicts.columns[-2]) == ("change, nats (exploratory)", "change, nats")
    assert chosen.columns[-2] == "standard deviation of the change, nats"
    assert verdicts.rows[0][-2] == "−17.422"


def test_the_page_names_tags_of_other_ablations_and_says_what_specificity_came_to(repository: Path):
    folder = next((repository / "publications" / "real-models").glob("*_gemma-repeats_*/manifest.json")).parent
    manifest = read_manifest(folder)
    induction = next(each for each in findings_of(manifest) if each.chosen.target == "induction")
    assert "magnitude_unstable" in induction.ablations["zero"].tags
    assert "zero ablation: magnitude_unstable" in dict(tags_of(induction))
    assert [step.answer for step in timeline(manifest) if step.answer] == ["shown"]
