"""What is published is what was run: it verifies, was repeated, is told rightly, and other code finds its numbers."""

import json
import shutil
from pathlib import Path

import pytest

from lesion.report.paper.write import trace
from lesion.report.wording.checks import loud_sets
from lesion.runs.check.recomputed import unchecked
from lesion.runs.check.verify import verify
from lesion.runs.manifest.run import read_manifest
from publications.memos.publication import phase2_criteria, phase3_criteria, read_publication
from publications.referee.__main__ import reviewed
from tests.program import load_program


@pytest.fixture(scope="module")
def folder(repository: Path) -> Path:
    """The superseded study on toys."""
    return repository / "publications" / "toy-models"


@pytest.fixture(scope="module")
def real(repository: Path) -> Path:
    """The studies on real language models."""
    return repository / "publications" / "real-models"


def test_every_published_run_verifies_and_counts_its_verdicts_again(folder: Path) -> None:
    publication = read_publication(folder, verify)
    assert len(publication.runs) == 2
    assert [found for path, _ in publication.runs for found in verify(path)] == []


def test_the_exit_criteria_of_phase_2_are_met(folder: Path) -> None:
    publication = read_publication(folder, verify)
    assert [each for each in phase2_criteria(publication) if not each.met] == []


def test_what_is_not_in_the_folder_is_not_met(folder: Path) -> None:
    unmet = {each.name for each in phase3_criteria(read_publication(folder, verify)) if not each.met}
    assert {name.partition(" ")[2][:6] for name in unmet} == {"paper ", "review"}


def test_pages_tell_the_publications_numbers(repository: Path, real: Path) -> None:
    make = load_program(repository / "publications" / "make.py")
    assert make.listing() in (real / "README.md").read_text(encoding="utf-8")
    assert make.front() in (repository / "README.md").read_text(encoding="utf-8")


def test_make_publication_repeats_published_runs_and_ends_on_a_clean_clone(
    repository: Path, real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = load_program(repository / "publications" / "make.py")
    out = tmp_path / "real-models"
    shutil.copytree(real, out)
    for certificate in out.glob("*.certificate.json"):
        certificate.unlink()
    calls: list[tuple[str, ...]] = []

    def lesion(*arguments: str, allowed: tuple[int, ...] = (0,)) -> dict[str, str]:
        calls.append(arguments)
        if arguments[0] != "replay":
            return {}
        made = tmp_path / "home" / "runs" / f"{Path(arguments[1]).parent.name}.certificate.json"
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text("{}")
        return {}

    unpublished = dict.fromkeys(make.STUDIES, "not run in a test")
    monkeypatch.setattr(make, "WAITING", unpublished)
    for name, value in {"OUT": out, "HOME": tmp_path / "home", "lesion": lesion, "pages": lambda: None}.items():
        monkeypatch.setattr(make, name, value)
    for step in ("explored", "reviewed"):
        monkeypatch.setattr(make, step, lambda: None)
    make.main()
    runs = {path.parent.name for path in out.glob("*/published.json")}
    *repeats, indexed, paper = calls
    assert [call[0] for call in repeats] == ["replay"] * len(runs)
    assert (indexed[:2], paper[0]) == (("runs", "--rebuild"), "paper")
    assert runs == {*paper} & runs == {path.name for path in (tmp_path / "home" / "runs").iterdir() if path.is_dir()}
    assert " repeated in a" not in make.listing().replace("not yet repeated", ""), "{} certifies nothing"
    assert "when repeated" not in make.listing()
    assert "fresh environment: none yet." in make.front()


def test_a_run_that_came_out_with_equal_verdicts_alone_is_not_called_repeated(
    repository: Path, real: Path, tmp_path: Path
) -> None:
    make = load_program(repository / "publications" / "make.py")
    (run,) = real.glob("*_operand-heads_*/")
    assert (make.repetition(run), make.is_repeated(run)) == ("verdict-equal", False)
    shutil.copytree(run, tmp_path / run.name)
    assert make.repetition(tmp_path / run.name) is None, "no certificate beside it"
    (other,) = real.glob("*_real-repeats_*.certificate.json")
    shutil.copy2(other, tmp_path / f"{run.name}.certificate.json")
    assert make.repetition(tmp_path / run.name) is None, "a certificate of another run"


def test_a_run_from_before_an_amendment_is_not_published(
    repository: Path, real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = load_program(repository / "publications" / "make.py")
    monkeypatch.setattr(make, "HOME", tmp_path)
    text = (real / "studies" / "sum-heads.yaml").read_text(encoding="utf-8")
    for day, told in (("20260101", text + "# as it was\n"), ("20260102", text), ("20260103", text + "# later\n")):
        run = tmp_path / "runs" / f"{day}_0000_sum-heads_abcdef"
        run.mkdir(parents=True)
        written = {"command": "run", "status": "confirmatory", "study_text": told}
        (run / "manifest.json").write_text(json.dumps(written), encoding="utf-8")
    assert make.run_of("sum-heads").name == "20260102_0000_sum-heads_abcdef"


def test_every_registered_study_is_named(repository: Path, real: Path) -> None:
    frozen = {path.name.split("_")[1] for path in (real / "registrations").glob("*.json")}
    assert frozen == {path.stem for path in (real / "studies").glob("*.yaml")}
    assert frozen == {*load_program(repository / "publications" / "make.py").STUDIES}


def test_a_withdrawn_run_is_whole_named_in_the_errata_and_not_listed(repository: Path, real: Path) -> None:
    make = load_program(repository / "publications" / "make.py")
    errata = (real / "errata.md").read_text(encoding="utf-8")
    withdrawn = [path.parent for path in (real / "withdrawn").glob("*/manifest.json")]
    assert withdrawn
    for run in withdrawn:
        assert verify(run) == []
        assert f"withdrawn/{run.name}" in errata
        assert run.name not in make.listing()
        assert run not in make.ended().values()


def test_the_errata_say_what_the_published_rows_say(repository: Path, folder: Path) -> None:
    errata = load_program(repository / "publications" / "errata.py")
    assert (folder / "errata-tables.md").read_text(encoding="utf-8") == errata.tables(folder)
    heads, neurons = errata.runs_of(folder)
    text = " ".join((folder / "errata.md").read_text(encoding="utf-8").split())
    called = [each for each in errata.contrasts(heads) if each.tier != "tier3"]
    arithmetic = [each for each in called if each.verdict == "Harm"]
    assert len(arithmetic) == 15
    assert sum(each.holds for each in arithmetic) == 3
    assert sum(each.above for each in arithmetic) == 11
    assert "than each of its three pairs in 3 (" in text
    assert "In 11, one random pair" in text
    lead = arithmetic[0].by_set
    assert [errata.points(delta) for _, delta, *_ in lead] == ["+2.3", "−61.7", "−84.5"]
    for each in errata.ablations(neurons):
        if each.verdict == "Harm":
            assert f"| {' | '.join(map(errata.span, each.changes))} |" in text
    nulls = [each for each in called if each.verdict == "Null"]
    assert [(each.model, each.tier) for each in nulls] == [("abacus-planted", "tier2"), ("abacus-planted", "tier4")]


def test_nothing_of_a_superseded_publication_is_shown_as_a_finding(repository: Path, folder: Path) -> None:
    readme = (repository / "README.md").read_text(encoding="utf-8")
    assert "superseded" in readme
    for page in (folder / "README.md", folder / "errata.md"):
        assert "superseded" in page.read_text(encoding="utf-8").lower()[:300], page


def test_every_loud_set_of_the_published_study_stands_in_the_table(folder: Path) -> None:
    manifest = read_manifest(next(folder.glob("*_induction-arithmetic_*/")))
    sets = loud_sets(manifest)
    assert sum(len(each.by_factor) for each in sets if each.stage == "discovery") == 75
    assert sum(len(each.by_factor) for each in sets if each.stage == "transfer") == 24


def test_a_paper_in_nats_prints_no_number_in_points_of_accuracy_that_the_verdict_judged(real: Path) -> None:
    claims = json.loads((real / "paper" / "claims.json").read_text(encoding="utf-8"))
    runs = {
        run: json.loads((real / run / "manifest.json").read_text())
        for run in {each["run"] for each in claims} - {"audit"}
    }
    nats = {run for run, manifest in runs.items() if manifest["study"]["claims"]["outcome"] != "accuracy"}
    assert nats
    in_points = {"change", "interval", "difference", "level", "rank", "spread", "share"}
    assert [each for each in claims if each["run"] in nats and each["kind"] in in_points] == []


def test_the_review_by_other_code_found_no_difference_and_comes_out_again(real: Path) -> None:
    told = json.loads((real / "review.json").read_text(encoding="utf-8"))
    assert [each for each in (*told["findings"], *told["claims"]) if not each["agrees"]] == []
    assert len(told["claims"]) > 80
    assert json.loads(json.dumps(reviewed(real))) == told


def test_the_exit_criteria_of_phase_2_are_met_on_real_models(real: Path) -> None:
    assert [each for each in phase2_criteria(read_publication(real, verify)) if not each.met] == []


def test_numbers_of_the_published_paper_are_traced_to_published_rows(real: Path, tmp_path: Path) -> None:
    claims = json.loads((real / "paper" / "claims.json").read_text(encoding="utf-8"))
    for kind in ("nats", "items", "moved", "accuracies", "rank in nats", "told"):
        claim = next(each for each in claims if each["kind"] == kind)
        traced = trace(tmp_path, real / "paper", claim["number"])
        assert traced.agrees, claim["what"]


def test_published_runs_are_verified_without_their_models(
    real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clean clone has none of them; what cannot be checked then is named, and a replay asks for it."""
    monkeypatch.setenv("LESION_MODELS", str(tmp_path))
    run = next(real.glob("*_gemma-repeats_*/manifest.json")).parent
    assert verify(run) == []
    said = [*unchecked(run, read_manifest(run))]
    assert any(text.startswith("weights of pretrained:gemma-3-270m: not on this machine") for text in said)


def test_each_seed_of_a_baseline_tells_its_own_items(real: Path) -> None:
    """One question of the third seed was refused; the gate compares as many items of each seed as the fewest."""
    claims = json.loads((real / "paper" / "claims.json").read_text(encoding="utf-8"))
    told = {
        claim["what"]: claim["text"]
        for claim in claims
        if "operand-heads" in claim["run"] and claim["what"].endswith(": items")
    }
    seeds = [told[f"smollm2-135m-instruct, first_changes, baseline, seed {seed}: items"] for seed in range(3)]
    assert seeds == ["192", "192", "191"]
