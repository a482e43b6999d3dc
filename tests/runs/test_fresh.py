"""A fresh replay: what is shown first, what is refused, the work tree, and what a certificate is given for."""

import shutil
import subprocess
from pathlib import Path

import pytest

from lesion import cli
from lesion.errors import InputError, Tampered
from lesion.report.terminal.records import dossier_words
from lesion.runs.check import clean_replay as fresh
from lesion.runs.check.clean_replay import dossier, make_tree
from lesion.runs.check.replay import replay
from lesion.runs.index.ledger import enter, entries
from lesion.runs.manifest.environment import source_hash


def git(where: Path, *arguments: str) -> str:
    command = ["git", "-C", str(where), "-c", "user.name=t", "-c", "user.email=t@t", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A project of one module, with a hook that would leave a trace."""
    folder = tmp_path / "repository"
    (folder / "lesion").mkdir(parents=True)
    (folder / "lesion" / "__init__.py").write_text("x = 1\n")
    git(tmp_path, "init", "-q", str(folder))
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "one")
    git(folder, "remote", "add", "origin", "https://someone:secret@example.org/project.git")
    return folder


def recorded(manifest, repository: Path, **code: object):
    """The manifest of a run of this repository."""
    facts = {"commit": git(repository, "rev-parse", "HEAD").strip(), "diff": "", **code}
    return manifest.model_copy(update={"code": manifest.code.model_copy(update=facts)})


def test_commit_origin_difference_and_packages_are_shown_and_no_secret(small_run, repository) -> None:
    given = dossier(recorded(small_run.manifest, repository, diff="+line\n" * 100), repository)
    words = dossier_words(given.model_dump(mode="json"))
    assert given.commit in words
    assert given.remote == "https://example.org/project.git"
    assert "secret" not in words
    assert "torch" in words
    assert words.count("+line") == 100, "the whole difference is shown"
    assert "lesion" not in given.packages


@pytest.mark.parametrize(
    ("name", "version"),
    [("-r evil", "1"), ("x", "1 --index-url=http://x"), ("x @ file:///x", "1"), ("x", "1\n-r y"), ("../x", "1")],
)
def test_what_is_no_package_is_refused_before_an_installer_sees_it(name, version, small_run, repository) -> None:
    manifest = recorded(small_run.manifest, repository)
    environment = manifest.environment.model_copy(update={"packages": {name: version}})
    with pytest.raises(InputError, match="no package"):
        dossier(manifest.model_copy(update={"environment": environment}), repository)


@pytest.mark.parametrize("commit", [None, "", "HEAD", "--upload-pack=x", "0" * 39])
def test_what_is_no_commit_is_refused(commit, small_run, repository) -> None:
    with pytest.raises(InputError, match="no git commit"):
        dossier(recorded(small_run.manifest, repository, commit=commit), repository)


def test_the_work_tree_is_the_commit_and_the_difference_and_the_repository_stays_as_it_is(
    small_run, repository, tmp_path
) -> None:
    (repository / "lesion" / "__init__.py").write_text("x = 2\n")
    diff = git(repository, "diff", "HEAD", "--binary")
    wanted = source_hash(repository / "lesion")
    git(repository, "checkout", "-q", ".")
    make_tree(dossier(recorded(small_run.manifest, repository, diff=diff), repository), repository, tmp_path / "tree")
    assert source_hash(tmp_path / "tree" / "lesion") == wanted
    assert git(repository, "status", "--porcelain") == ""


@pytest.mark.parametrize("target", ["../escaped.txt", "/escaped.txt", ".git/hooks/post-checkout"])
def test_a_difference_never_writes_outside_the_tree(target, small_run, repository, tmp_path) -> None:
    diff = f"diff --git a/{target} b/{target}\nnew file mode 100644\n--- /dev/null\n+++ b/{target}\n@@ -0,0 +1 @@\n+x\n"
    given = dossier(recorded(small_run.manifest, repository, diff=diff), repository)
    with pytest.raises(InputError, match="difference"):
        make_tree(given, repository, tmp_path / "tree")
    assert not any(path.exists() for path in (tmp_path / "escaped.txt", Path("/escaped.txt")))


def test_a_commit_that_is_not_there_is_a_sentence(small_run, repository, tmp_path) -> None:
    given = dossier(recorded(small_run.manifest, repository, commit="1" * 40), repository)
    with pytest.raises(InputError, match="fetch it first"):
        make_tree(given, repository, tmp_path / "tree")


def test_other_sources_are_not_run(copied_run, repository, tmp_path) -> None:
    manifest = recorded(copied_run.manifest, repository, source_hash="0" * 64).sealed()
    (copied_run.folder / "manifest.json").write_text(manifest.model_dump_json())
    with pytest.raises(Tampered, match="do not give the recorded sources"):
        fresh.replay_fresh(copied_run.folder, copied_run.home, tmp_path / "place", repository, 1, lambda _: None)


def test_without_trust_it_shows_and_runs_nothing(copied_run, repository, capsys, monkeypatch) -> None:
    manifest = recorded(copied_run.manifest, repository).sealed()
    (copied_run.folder / "manifest.json").write_text(manifest.model_dump_json())
    monkeypatch.setattr(fresh, "replay_fresh", None)
    home = ["--home", str(copied_run.home)]
    with pytest.raises(SystemExit) as ended:
        cli.main(["replay", str(copied_run.folder), "--fresh", "--repository", str(repository), *home])
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert manifest.code.commit in said.out
    assert "--trust" in said.err


def test_a_reproduced_run_is_certified_and_complete_and_a_forged_replay_is_not(
    copied_run, repository, quiet, no_report, tmp_path
) -> None:
    home = copied_run.home
    original = copied_run.manifest
    ran = replay(copied_run.folder, tmp_path / "elsewhere", 1, quiet, no_report)
    given = dossier(recorded(original, repository), repository)
    forged = tmp_path / "forged" / ran.folder.name
    shutil.copytree(ran.folder, forged)
    other = ran.manifest.model_copy(update={"replay_of": "0" * 64}).sealed()
    (forged / "manifest.json").write_text(other.model_dump_json())
    with pytest.raises(Tampered, match="not a replay"):
        fresh._certify(original, given, forged, {}, home)
    found = fresh._certify(original, given, ran.folder, {"torch": "0"}, home)
    assert found.match == "bit-equal"
    assert any(text.startswith("torch ") for text in found.other_packages)
    enter(home, original)
    assert {entry.run: entry.complete for entry in entries(home)} == {original.run: True, ran.folder.name: False}
