"""Statistics from the rows alone: every gate and verdict comes out as recorded, and other tests agree with scipy."""

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats as oracle

from lesion.errors import InputError, Tampered
from lesion.identity import file_hash
from lesion.runs.check.recompute_stats import decided_rows, recount
from lesion.runs.check.verify import verify
from lesion.runs.folder.run_folder import RunFolder
from lesion.runs.manifest.run import read_manifest
from tests.study.made import with_cell


@pytest.fixture(scope="module")
def counted(small_run, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("recount") / small_run.folder.name
    shutil.copytree(small_run.folder, folder)
    return folder, recount(folder)


def test_every_gate_and_verdict_is_what_the_manifest_says_bit_for_bit(counted, small_run) -> None:
    folder, found = counted
    assert found.document["agrees"]
    assert found.document["differing"] == []
    assert [gate["stage"] for gate in found.document["gates"]] == [gate.stage for gate in small_run.manifest.gates]
    assert found.path == folder.with_name(f"{folder.name}.stats.json")
    assert json.loads(found.path.read_text()) == found.document
    assert "every gate and verdict as recorded" in found.path.with_suffix(".md").read_text()
    assert verify(folder) == [], "nothing was written into the sealed folder"


def test_the_same_rows_give_the_same_statistics_twice(counted) -> None:
    folder, found = counted
    before = file_hash(found.path)
    recount(folder)
    assert file_hash(found.path) == before


def changes(folder: Path, name: str, number: str) -> np.ndarray:
    """Edited minus baseline of one member's rows, by hand."""
    model, tier, arm = name.rsplit("|", 2)
    rows = RunFolder(folder).items().filter(
        (pl.col("stage") == "confirm") & (pl.col("model") == model) & (pl.col("tier") == tier)
    )  # fmt: skip
    wide = rows.filter(pl.col("arm") == arm).join(rows.filter(pl.col("arm") == "baseline"), on=["seed", "index"])
    return (wide[number].cast(pl.Float64) - wide[f"{number}_right"].cast(pl.Float64)).to_numpy()


def test_the_other_tests_agree_with_independent_implementations(counted) -> None:
    folder, found = counted
    members = found.document["analysis"]["members"]
    assert set(members) == set(found.document["results"]["cells"])
    for name, each in members.items():
        d = changes(folder, name, "correct")
        gained, lost = int((d > 0).sum()), int((d < 0).sum())
        assert (each["n"], each["gained"], each["lost"]) == (d.size, gained, lost)
        exact = oracle.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
        assert each["mcnemar_p"] == pytest.approx(exact)
        assert each["intervals"]["item"]["sign_flip_p"] == pytest.approx(exact), "by item the two tests are one"
        assert each["sign_flip_p"] == pytest.approx(exact, abs=0.02), "random flips, 9,999 of them"
        nats = changes(folder, name, "answer_logprob")
        assert each["answer_logprob"]["mean"] == pytest.approx(nats.mean())
        assert each["answer_logprob"]["d_z"] == pytest.approx(nats.mean() / nats.std(ddof=1))
        assert each["answer_logprob"]["wilcoxon_p"] == pytest.approx(oracle.wilcoxon(nats, zero_method="pratt").pvalue)
        assert each["intervals"]["seed"]["units"] == 3
        low, high = each["intervals"]["tango"]
        assert low <= each["delta"] <= high


def test_corrections_over_the_family_never_lower_a_p(counted) -> None:
    analysis = counted[1].document["analysis"]
    family = analysis["family"]
    for name, each in analysis["members"].items():
        assert family["holm"][name] >= family["bh"][name] >= each["mcnemar_p"] - 1e-12
        assert 0 < family["max_t"][name] <= 1
    assert family["size"] == len(analysis["members"])


def test_a_manifest_with_other_verdicts_is_found_out(copied_run) -> None:
    from lesion.runs.folder.atomic_io import write_text

    results = copied_run.manifest.results
    other = with_cell(results, next(iter(results.cells)), verdict="Improvement")
    forged = copied_run.manifest.model_copy(update={"results": other}).sealed()
    write_text(copied_run.folder / "manifest.json", forged.model_dump_json())
    found = recount(copied_run.folder)
    assert not found.document["agrees"]
    assert found.document["differing"] == ["cells"]
    assert "DIFFERS" in found.path.with_suffix(".md").read_text()


def test_changed_rows_and_a_lone_manifest_are_refused(copied_run, tmp_path) -> None:
    alone = tmp_path / "alone" / "manifest.json"
    alone.parent.mkdir()
    shutil.copy(copied_run.folder / "manifest.json", alone)
    with pytest.raises(InputError, match="rows are not here"):
        recount(alone)
    path = sorted((copied_run.folder / "items").iterdir())[0]
    pl.read_parquet(path).with_columns(pl.col("entropy") + 1).write_parquet(path)
    with pytest.raises(Tampered, match="recorded hash"):
        recount(copied_run.folder)


def test_a_run_that_was_stopped_is_counted_as_far_as_it_came(
    small_text, quiet, no_report, tmp_path, monkeypatch
) -> None:
    import yaml

    from lesion.runs.execute.finish import Order
    from lesion.runs.execute.run import start
    from lesion.study.format.load import parse_document
    from lesion.study.study import Study

    text = yaml.safe_dump({**yaml.safe_load(small_text), "budget": {"cpu_hours": 1e-9}})
    order = Order(study=parse_document(text, "x.yaml", Study), text=text, status="exploratory")
    ran = start(order, tmp_path, 1, quiet, no_report)
    found = recount(ran.folder)
    assert found.document["agrees"]
    assert read_manifest(ran.folder).outcome == "stopped"
    assert found.document["analysis"]["members"] == {}


def test_the_rows_behind_every_verdict_can_be_taken_from_a_run(counted) -> None:
    folder, found = counted
    rows = decided_rows(folder)
    members = found.document["analysis"]["members"]
    assert {name: each.n for name, each in rows.items()} == {name: each["n"] for name, each in members.items()}
    assert all(each.difference.sum() == members[name]["gained"] - members[name]["lost"] for name, each in rows.items())
