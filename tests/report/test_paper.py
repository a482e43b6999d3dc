"""The paper: no number without a claim, no claim without its rows, and nothing told better than it was."""

import json
import re
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import typst as compiler
from jinja2 import DictLoader
from pydantic_core import from_json

from lesion.errors import InputError, Tampered
from lesion.report.figures.figures import figures
from lesion.report.markdown import escape
from lesion.report.paper.claims.claim import Claim, counted, place_of
from lesion.report.paper.claims.number_kinds import KINDS
from lesion.report.paper.claims.row_queries import select
from lesion.report.paper.manuscript import (
    Bullets,
    Manuscript,
    Name,
    Number,
    Paragraph,
    Section,
    Strong,
    Words,
    checked,
    inlines,
    words,
)
from lesion.report.paper.markdown import Markdown
from lesion.report.paper.render import render
from lesion.report.paper.text.prose import passage
from lesion.report.paper.text.sections import Sections, Table
from lesion.report.paper.typst import escaped
from lesion.report.paper.write import LINE_WIDTH, legible, trace, write_paper
from lesion.report.record import read_record
from lesion.report.wording.words import tier_name
from lesion.runs.folder.run_folder import RunFolder
from lesion.runs.index.ledger import enter
from lesion.runs.manifest.run import Manifest
from tests.study.made import with_cell

HOSTILE = '#panic("run") $x$ #let a = 1 // *b* <script>alert(1)</script> | `c` [d](javascript:1) \\'


def seal(home: Path, folder: Path, manifest: Manifest, **changes: Any) -> Manifest:
    """The draft manifest sealed, its run in the ledger."""
    (folder / "manifest.json").unlink()
    sealed = manifest.model_copy(update={"files": dict(RunFolder(folder).files()), **changes}).sealed()
    (folder / "manifest.json").write_text(sealed.model_dump_json(indent=1) + "\n", encoding="utf-8")
    enter(home, sealed)
    return sealed


@pytest.fixture
def made(tmp_path: Path, make_run: Callable[..., tuple[Path, Manifest]], monkeypatch: pytest.MonkeyPatch):
    """Makes a home with one sealed run: `made(status=…, world=…)`; drafts of tests tell less than real manifests."""
    monkeypatch.setattr("lesion.report.paper.select_runs.contradictions", lambda folder, manifest: ())

    def make(**changes: Any) -> Path:
        folder, manifest = make_run(tmp_path / "runs", **changes)
        seal(tmp_path, folder, manifest)
        return tmp_path

    return make


def part(text: str, title: str) -> str:
    """One section of the Markdown."""
    return re.split(r"\n(?:<a[^>]*></a>)?## ", text.partition(f"## {title}")[2])[0]


LINK = r"<sup>\[\d+p?\]\(claims\.json#L\d+\)</sup>"
"""The small link of a number to its line of the register."""


def unclaimed(text: str, claims: list[Claim], names: tuple[str, ...] = ()) -> list[str]:
    """Digit groups that are neither a claim, a name, a reference nor a figure."""
    for claim in claims:
        mark = "p" if claim.provisional else ""
        text = text.replace(f"{escape(claim.text)}<sup>[{claim.number}{mark}]({place_of(claim)})</sup>", "")
    for name in names:
        text = text.replace(escape(name), "")
    for taken in (r"\[(?:[^\]\\]|\\.)*\]\(#ref-[^)]*\)", r"(`+)[^`]+\1", r"!\[[^\n]*\n\n[^\n]*"):
        text = re.sub(taken, "", text)
    return re.findall(r"\d+", text)


def claims_of(folder: Path) -> list[Claim]:
    return [Claim.model_validate(each) for each in from_json((folder / "claims.json").read_bytes())]


def test_every_number_of_abstract_and_results_is_a_claim(made):
    home = made(status="confirmatory")
    paper = write_paper(home, ["arithmetic"])
    text = (paper.folder / "paper.md").read_text(encoding="utf-8")
    study = next(iter(paper.cast.sources.values())).record.manifest.study
    names = tuple(tier_name(study, tier) for tier in study.tasks)
    for title in ("Abstract", "Results"):
        assert len(re.findall(LINK, part(text, title))) > 3
        assert unclaimed(part(text, title), claims_of(paper.folder), names) == []
    assert unclaimed("about 12 points", []) == ["12"]
    said = re.sub(LINK, "", part(text, "Abstract"))
    assert 30 < len(said.split()) <= 200


def test_a_number_cannot_be_written_but_as_a_claim():
    with pytest.raises(InputError, match="a number is a claim"):
        words("about 12 points")


def written(text: str, **values: Any) -> Section:
    """A section from the text of a template."""
    sections = Sections()
    sections.templates.loader = DictLoader({"results.md.jinja": text})
    return sections.section("results", **values)


@pytest.mark.parametrize(
    "text",
    ["It fell by 12 points.", "{% if fell %}It fell by 12 points.{% endif %}", "It {{ 'fell by 12' }}.",
     "# Results of 3", "It {{ fell }}.", "{% call table(rows) %}n = 9{% endcall %}"],
)  # fmt: skip
def test_a_template_holds_no_number(text):
    with pytest.raises(InputError, match=r"a number is a claim|may print claims"):
        written(text, fell=12, rows=Table(("where",), (((Words("here"),),),)))


def test_what_a_template_prints_is_never_markup():
    section = written(
        "**Its** `name` is {{ printed }} {{ name('a3 *b*') }}.\n\n- one\n  goes on\n- two", printed="**not bold**"
    )
    assert section.blocks == (
        Paragraph((Strong("Its"), Words(" "), Name("name"), Words(" is "), Words("**not bold**"), Words(" "),
                   Name("a3 *b*"), Words("."))),
        Bullets(((Words("one goes on"),), (Words("two"),))),
    )  # fmt: skip
    assert escape("**not bold**") in render(Manuscript((), (), (), (section,)), Markdown())


def test_every_template_of_the_paper_is_read_without_a_digit():
    sections = Sections()
    names = sections.templates.list_templates()
    assert {"abstract.md.jinja", "methods.md.jinja", "results.md.jinja"} <= set(names)
    for name in names:
        sections.templates.get_template(name)


def test_claims_are_computed_again_from_their_rows(made):
    home = made()
    paper = write_paper(home, ["arithmetic"])
    claims = [Claim.model_validate(each) for each in from_json((paper.folder / "claims.json").read_bytes())]
    for kind in ("change", "items", "accuracies", "accuracy", "told", "share", "runs"):
        claim = next(each for each in claims if each.kind == kind)
        traced = trace(home, paper.folder, claim.number)
        assert traced.agrees
        assert traced.again.rows.height == claim.height
    with pytest.raises(InputError, match="is none"):
        trace(home, paper.folder, 10**6)


def test_holm_is_corrected_again_from_the_rows_of_the_whole_family(made):
    paper = write_paper(made(), ["arithmetic"])
    claims = [Claim.model_validate(each) for each in from_json((paper.folder / "claims.json").read_bytes())]
    corrected = [claim for claim in claims if claim.kind == "holm"]
    assert not [claim for claim in claims if claim.kind == "p"]
    record = next(iter(paper.cast.sources.values())).record
    for finding in record.findings:
        claim = next(
            c for c in corrected if c.fields[0].endswith(f"{finding.chosen.id}/p_holm") and "cells" in c.fields[0]
        )
        assert KINDS["holm"].compute is not None
        counts = counted(select(claim.counts, rows=select(claim.rows, items=record.items)))
        (found,) = KINDS["holm"].compute({**counts, "place": claim.place}, 0.95)
        assert found == pytest.approx(finding.verdict.p_holm)
        assert counts["family_0"] == len(record.manifest.plan.family)


def test_a_cell_of_the_second_look_is_corrected_over_those_that_were_judged_with_it(made):
    world = {"ability": {"tier1": 0.5, "tier3": 0.995}, "damage": {"tier1": 0.0, "tier3": 0.85}, "churn": 0.3}
    rule = {"effect": 0.3, "spread": 0.3, "power": 0.5}
    paper = write_paper(made(world=world, verdict=rule), ["arithmetic"])  # raises where rows and record differ
    source = next(iter(paper.cast.sources.values()))
    looks = {finding.chosen.id: finding.verdict.look for finding in source.record.findings}
    assert set(looks.values()) == {1, 2}
    claims = [Claim.model_validate(each) for each in from_json((paper.folder / "claims.json").read_bytes())]
    for name, look in looks.items():
        claim = next(c for c in claims if c.kind == "holm" and c.fields[0].endswith(f"/cells/{name}/p_holm"))
        judged = counted(select(claim.counts, rows=select(claim.rows, items=source.record.items)))
        members = len([key for key in judged if key.startswith("gained_")])
        assert members == (len(looks) if look == 1 else list(looks.values()).count(2))


def test_a_corrected_p_that_its_rows_do_not_give_is_not_written(
    tmp_path: Path, make_run: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("lesion.report.paper.select_runs.contradictions", lambda folder, manifest: ())
    folder, manifest = make_run(tmp_path / "runs")
    held = {name: cell.p_holm for name, cell in manifest.results.cells.items() if cell.p_holm is not None}
    name = max(held, key=lambda each: held[each])
    seal(tmp_path, folder, manifest, results=with_cell(manifest.results, name, p_holm=0.5 * held[name]))
    with pytest.raises(Tampered, match="Holm p"):
        write_paper(tmp_path, ["arithmetic"])


def test_a_number_links_to_the_line_of_the_register_that_holds_its_query(made):
    folder = write_paper(made(), ["arithmetic"]).folder
    lines = (folder / "claims.json").read_text(encoding="utf-8").splitlines()
    text = (folder / "paper.md").read_text(encoding="utf-8")
    linked = {(int(number), int(line)) for number, line in re.findall(r"\[(\d+)p?\]\(claims\.json#L(\d+)\)", text)}
    assert len(linked) > 20
    for number, line in linked:
        assert Claim.model_validate(from_json(lines[line - 1].rstrip(","))).number == number
    assert "SELECT" not in text
    assert "claims.json" in from_json((folder / "manifest.json").read_bytes())["files"]
    supplement = (folder / "supplement.md").read_text(encoding="utf-8")
    assert "operator" in supplement
    assert "Formulas of the claims" in supplement


def test_hypotheses_stand_beside_the_outcomes_that_a_person_wrote(made):
    home = made()
    folder = write_paper(home, ["arithmetic"]).folder
    assert "No outcomes were written" in (folder / "paper.md").read_text(encoding="utf-8")
    (folder / "prose").mkdir()
    (folder / "prose" / "outcomes.md").write_text("- *Refuted*: tier 1 fell, too.\n")
    write_paper(home, ["arithmetic"])
    text = (folder / "paper.md").read_text(encoding="utf-8")
    assert "| Zeroing the heads harms tier 3 and leaves tier 1 as it is. | *Refuted*: tier 1 fell, too. |" in text
    (folder / "prose" / "outcomes.md").write_text("- One.\n- Two.\n")
    with pytest.raises(InputError, match="2 items and the study has 1 hypotheses"):
        write_paper(home, ["arithmetic"])


def test_a_person_says_which_verdicts_are_drawn_among_the_results(made):
    home = made()
    folder = write_paper(home, ["arithmetic"]).folder
    (folder / "prose").mkdir()
    chosen = folder / "prose" / "figures.md"

    def drawn() -> tuple[bool, bool]:
        write_paper(home, ["arithmetic"])
        texts = ((folder / name).read_text(encoding="utf-8") for name in ("paper.md", "supplement.md"))
        body, more = ("/verdicts.svg)" in text for text in texts)
        return body, more

    for text, said in (("- arithmetic\n", (True, False)), ("\n", (False, True))):
        chosen.write_text(text)
        assert drawn() == said
    for text, said in (("- arithmatic\n", "did you mean 'arithmetic'"), ("- arithmetic\n" * 2, "twice")):
        chosen.write_text(text)
        with pytest.raises(InputError, match=said):
            write_paper(home, ["arithmetic"])


def test_text_in_figures_is_large_enough_in_print(manifest, run_folder):
    for figure in figures(read_record(run_folder, manifest)):
        picture = legible(figure)
        width = float(re.search(r'<svg[^>]* width="([\d.]+)"', picture)[1])
        sizes = [float(size) for size in re.findall(r'font-size="([\d.]+)px"', picture)]
        assert min(sizes) * LINE_WIDTH / width >= 7, figure.name


def test_changed_rows_are_not_written_about(made):
    home = made()
    path = next((home / "runs").glob("*/items/*.parquet"))
    table = pl.read_parquet(path)
    table.with_columns(~pl.col("correct")).write_parquet(path)
    with pytest.raises(Tampered, match="is not what was sealed"):
        write_paper(home, ["arithmetic"])


def test_rows_that_contradict_the_verdict_are_not_written_about(
    tmp_path: Path, make_run: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("lesion.report.paper.select_runs.contradictions", lambda folder, manifest: ())
    folder, manifest = make_run(tmp_path / "runs")
    name, cell = next(iter(manifest.results.cells.items()))
    seal(tmp_path, folder, manifest, results=with_cell(manifest.results, name, gained=cell.gained + 1))
    with pytest.raises(Tampered, match="its rows give"):
        write_paper(tmp_path, ["arithmetic"])


def test_the_same_runs_give_the_same_bytes_and_a_persons_prose_survives(made):
    home = made()
    folder = write_paper(home, ["arithmetic"]).folder
    first = (folder / "paper.pdf").read_bytes()
    assert (write_paper(home, ["arithmetic"]).folder / "paper.pdf").read_bytes() == first
    what = next(c["what"] for c in from_json((folder / "claims.json").read_bytes()) if c["kind"] == "change")
    (folder / "prose").mkdir()
    (folder / "prose" / "discussion.md").write_text(f"A thought with {{claim: {what}}}, *mine*.\n\n- {HOSTILE}\n")
    for _ in range(2):
        text = (write_paper(home, ["arithmetic"]).folder / "paper.md").read_text(encoding="utf-8")
        said = part(text, "Discussion")
        assert "Written by hand" in said
        assert "*mine*" in said
        assert re.search(LINK, said)
        assert "<script>" not in text
    assert re.search(rf"A thought with [^<]+{LINK}, \*mine\*", (folder / "paper.md").read_text())
    (folder / "prose" / "discusion.md").write_text("x")
    with pytest.raises(InputError, match="discussion"):
        write_paper(home, ["arithmetic"])


def test_an_exploratory_run_gives_the_abstract_no_number(made):
    paper = write_paper(made(), ["arithmetic"])
    said = part((paper.folder / "paper.md").read_text(encoding="utf-8"), "Abstract")
    assert "There is no confirmatory result" in said
    assert "claims.json" not in said
    claim = Claim.model_validate(from_json((paper.folder / "claims.json").read_bytes())[0])
    with pytest.raises(InputError, match="confirmatory"):
        checked(Section("abstract", (Paragraph((Number(claim),)),)))


def test_a_failed_gate_stands_in_the_abstract_and_a_stopped_study_has_a_paper(made):
    home = made(status="confirmatory", world={"drift": 0.1})
    text = (write_paper(home, ["arithmetic"]).folder / "paper.md").read_text(encoding="utf-8")
    said = part(text, "Abstract")
    assert "The baseline gate" in said
    assert "failed" in said
    assert "no intervention was run" in said
    assert "Every gate passed" not in said


def test_numbers_of_a_run_without_a_certificate_are_marked_provisional(made):
    text = (write_paper(made(status="confirmatory"), ["arithmetic"]).folder / "paper.md").read_text(encoding="utf-8")
    said = part(text, "Abstract")
    assert "provisional" in said
    assert len(re.findall(r"<sup>\[\d+p\]", said)) == len(re.findall(LINK, said)) > 3


def test_what_a_stranger_wrote_is_text_and_never_code(made):
    home = made(world={"question": HOSTILE, "prompt": HOSTILE})
    folder = write_paper(home, ["arithmetic"]).folder
    source = (folder / "paper.typ").read_text(encoding="utf-8")
    assert escaped(HOSTILE) in source
    assert not re.search(r"(?<!\\)#panic\(\"run", source.replace('name("', ""))
    assert "<script>" not in (folder / "paper.md").read_text(encoding="utf-8").replace("`", "")[:400]


def test_punctuation_after_a_number_is_printed(tmp_path):
    """Typst gives a bracket to the call before it, and swallows a semicolon there."""
    made = "\n".join(f"#metadata(repr([#f(1)[x]{escaped(mark + 'y')}])) <told>" for mark in string.punctuation)
    (tmp_path / "all.typ").write_text(f"#let f(number, body) = body\n{made}\n", encoding="utf-8")
    told = json.loads(compiler.query(str(tmp_path / "all.typ"), "<told>", field="value"))
    for mark, pieces in zip(string.punctuation, told, strict=True):
        assert pieces in (f"sequence([x], [{mark}y])", f"sequence([x], [{mark}], [y])")


def test_every_run_of_the_study_stands_in_the_audit(made):
    paper = write_paper(made(), ["arithmetic"])
    table = pl.read_parquet(paper.folder / "audit.parquet")
    assert table["standing"].to_list() == ["used"]
    assert table["replay"].to_list() == ["not repeated"]


def test_nothing_is_written_about_what_is_not_there(tmp_path: Path):
    with pytest.raises(InputError, match="no study"):
        write_paper(tmp_path, ["arithmetic"])


def test_words_that_two_studies_say_need_the_study_before_them():
    said = {"text": "1", "what": "items", "seal": "", "status": "confirmatory", "provisional": False, "kind": "items"}
    claims = [
        Claim(number=1, run="20260101_0000_one-study_abcdef", **said),
        Claim(number=2, run="20260101_0001_other_abcdef", **said),
    ]
    section = passage("discussion", "It was {claim: other: items}.", claims)
    assert [each.claim.number for each in inlines(section.blocks) if isinstance(each, Number)] == [2]
    with pytest.raises(InputError, match="no number of this paper"):
        passage("discussion", "It was {claim: items}.", claims)


def test_a_persons_abstract_takes_the_place_of_the_computed_one_and_holds_only_claims(made):
    home = made(status="confirmatory")
    folder = write_paper(home, ["arithmetic"]).folder
    what = next(c["what"] for c in from_json((folder / "claims.json").read_bytes()) if c["kind"] == "change")
    (folder / "prose").mkdir()
    mine = folder / "prose" / "abstract.md"
    mine.write_text(f"Heads `L1H0` were ablated, and the change is {{claim: {what}}}.\n")
    write_paper(home, ["arithmetic"])
    said = part((folder / "paper.md").read_text(encoding="utf-8"), "Abstract")
    assert re.search(rf"`L1H0` were ablated, and the change is [^<]+{LINK}", said)
    assert "provisional" in said, "what no abstract may leave out is added"
    assert "In a study registered before its data" not in said
    assert "In a study registered before its data" in (folder / "supplement.md").read_text(encoding="utf-8")
    for text, refused in (
        ("It lost 5 points.", "'5' is no claim of the paper"),
        ("word " * 201, "has 201 words; an abstract has at most 200"),
    ):
        mine.write_text(text)
        with pytest.raises(InputError, match=refused):
            write_paper(home, ["arithmetic"])


def test_a_persons_abstract_cannot_hide_a_failed_gate(made):
    home = made(status="confirmatory", world={"drift": 0.1})
    folder = write_paper(home, ["arithmetic"]).folder
    (folder / "prose").mkdir()
    (folder / "prose" / "abstract.md").write_text("All went well.\n")
    write_paper(home, ["arithmetic"])
    said = part((folder / "paper.md").read_text(encoding="utf-8"), "Abstract")
    assert "All went well." in said
    assert re.search(r"The baseline gate of\*\* `arithmetic` .*failed", said)


def test_a_persons_abstract_quotes_no_exploratory_run(made):
    home = made()
    folder = write_paper(home, ["arithmetic"]).folder
    what = next(c["what"] for c in from_json((folder / "claims.json").read_bytes()) if c["kind"] == "change")
    (folder / "prose").mkdir()
    (folder / "prose" / "abstract.md").write_text(f"It is {{claim: {what}}}.\n")
    with pytest.raises(InputError, match="comes from a run that is exploratory"):
        write_paper(home, ["arithmetic"])


def test_what_studies_fixed_stands_in_one_table_with_a_column_a_study(made):
    text = (write_paper(made(), ["arithmetic"]).folder / "paper.md").read_text(encoding="utf-8")
    said = part(text, "Methods")
    assert "| setting | arithmetic |" in said
    for name in ("margin of a Null", "error rate", "seeds", "factors tried", "processor hours", "Python"):
        assert re.search(rf"\| {name} \| [^|]*{LINK}", said), name
