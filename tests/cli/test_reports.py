"""`lesion figure` and `lesion report`: the same picture again from an intact run, and one page of several."""

import json
import shutil

import pytest

from lesion import cli
from lesion.report.page.write import write_report
from lesion.runs.execute.finish import Order
from lesion.runs.execute.run import start
from lesion.study.format.load import parse_document
from lesion.study.study import Study
from tests.runs.conftest import SMALL


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    place = tmp_path_factory.mktemp("home")
    order = Order(study=parse_document(SMALL, "small.yaml", Study), text=SMALL, status="exploratory")
    start(order, place, 1, lambda _: None, write_report)
    return place


@pytest.fixture
def run(home):
    return next((home / "runs").glob("*_small_*"))


@pytest.fixture
def said(capsys):
    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main([str(word) for word in arguments])
        return ended.value.code or 0, capsys.readouterr().out

    return call


@pytest.mark.parametrize("form", ["svg", "pdf", "png", "csv", "parquet"])
def test_a_figure_made_again_is_the_one_that_was_sealed(said, run, tmp_path, form):
    code, text = said("figure", run, "baseline", "--format", form, "--out", tmp_path, "--home", tmp_path, "--json")
    assert code == 0
    assert (tmp_path / f"baseline.{form}").read_bytes() == (run / "figures" / f"baseline.{form}").read_bytes()
    assert json.loads(text)["query"].startswith("WITH one AS (SELECT * FROM items WHERE run = ")


def test_the_record_of_a_figure_is_replayed_byte_by_byte(said, run, tmp_path):
    assert said("figure", run, "baseline", "--out", tmp_path / "b.pdf", "--home", tmp_path)[0] == 0
    record = next((tmp_path / "runs").glob("*_figure_*"))
    code, text = said("replay", record, "--home", tmp_path, "--json")
    assert (code, json.loads(text)["match"]) == (0, "bit-equal")


def test_a_figure_as_html_holds_its_rows_and_loads_nothing(said, run, tmp_path):
    assert said("figure", run, "baseline", "--out", tmp_path / "b.html", "--home", tmp_path)[0] == 0
    text = (tmp_path / "b.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert "data:text/csv;base64," in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("basline",), "did you mean 'baseline'"),
        (("baseline", "--out", "x.gif"), "svg, pdf"),
        (("baseline", "--out", "x.pdf", "--format", "svg"), "leave one of them out"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_a_way_out(said, run, tmp_path, arguments, words):
    code, text = said("figure", run, *arguments, "--home", tmp_path, "--json")
    assert code == 2
    assert words in json.loads(text)["error"]


def test_nothing_is_drawn_of_a_run_that_was_changed(said, run, tmp_path):
    copy = tmp_path / run.name
    shutil.copytree(run, copy)
    (copy / "verdicts.json").write_text("{}")
    for command in (("figure", copy, "baseline", "--out", tmp_path / "b.svg"), ("report", copy)):
        code, text = said(*command, "--home", tmp_path, "--json")
        assert code == 5
        assert "verdicts.json" in json.loads(text)["error"]


def test_one_run_has_its_own_report_and_several_share_a_page(said, home, run, tmp_path):
    code, text = said("report", run.name[:8], "--home", home, "--json")
    assert (code, json.loads(text)["report"]) == (0, str(run / "report.html"))
    code, text = said("report", run, "--out", tmp_path / "page.html", "--home", home, "--json")
    assert code == 0
    assert run.name in (tmp_path / "page.html").read_text(encoding="utf-8")
