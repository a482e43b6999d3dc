"""A fresh replay: what is shown first, what is refused, the work tree, and what a certificate is given for."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lesion import cli
from lesion.errors import InputError, Tampered
from lesion.report.terminal.records import dossier_words
from lesion.runs.check import clean_replay as fresh
from lesion.runs.check.clean_replay import dossier, make_tree
from lesion.runs.check.replay import replay
from lesion.runs.index.ledger import enter, entries
from lesion.runs.manifest.environment import PACKAGE, source_hash


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


def test_other_sources_are_not_run(copied_run, repository) -> None:
    manifest = recorded(copied_run.manifest, repository, source_hash="0" * 64).sealed()
    (copied_run.folder / "manifest.json").write_text(manifest.model_dump_json())
    with pytest.raises(Tampered, match="do not give the recorded sources"):
        fresh.replay_fresh(copied_run.folder, copied_run.home, repository, 1, None)
    assert not [*(copied_run.home / "runs").glob("*.fresh")]


@pytest.fixture
def here(monkeypatch) -> list[str]:
    """The environment of the tests in the place of a new one, and this source in that of a work tree: what was made."""
    made: list[str] = []

    def tree(source, repository, folder) -> None:
        made.append("tree")
        shutil.copytree(PACKAGE, folder / "lesion", ignore=shutil.ignore_patterns("__pycache__"))

    def environment(source, place):
        return Path(sys.executable)

    monkeypatch.setattr(fresh, "make_tree", tree)
    monkeypatch.setattr(fresh, "make_environment", environment)
    return made


@pytest.mark.parametrize("cut", [KeyboardInterrupt, OSError], ids=["by hand", "by a full disk"])
def test_a_replay_that_is_cut_off_goes_on_where_it_was(cut, copied_run, repository, here, monkeypatch) -> None:
    manifest = recorded(copied_run.manifest, repository).sealed()
    (copied_run.folder / "manifest.json").write_text(manifest.model_dump_json())
    home, place = copied_run.home, copied_run.home / "runs" / f"{manifest.run}.fresh"
    spoken: list[str] = []
    given = dossier(manifest, repository)

    def cut_off(command, **settings):
        (place / "home" / "runs" / "begun_replay").mkdir(parents=True)
        raise cut

    with monkeypatch.context() as patched:
        patched.setattr(fresh.subprocess, "run", cut_off)
        patched.setattr(fresh, "dossier", lambda *_: given)
        with pytest.raises(cut):
            fresh.replay_fresh(copied_run.folder, home, repository, 1, spoken.append)
    assert (place / "home" / "runs" / "begun_replay").is_dir()
    assert any("if it is cut off" in words for words in spoken)
    found = fresh.replay_fresh(copied_run.folder, home, repository, 1, None)
    assert found.match == "bit-equal"
    assert here == ["tree"], "the work tree is made once"
    assert not place.exists()
    assert (home / "runs" / found.replay / "manifest.json").exists()


def test_a_place_belongs_to_one_process(copied_run, repository, here) -> None:
    manifest = recorded(copied_run.manifest, repository).sealed()
    (copied_run.folder / "manifest.json").write_text(manifest.model_dump_json())
    with fresh._place(copied_run.home, manifest.run), pytest.raises(InputError, match="another process"):
        fresh.replay_fresh(copied_run.folder, copied_run.home, repository, 1, None)
    assert here == []


def test_a_replay_that_outlives_its_caller_keeps_the_place(copied_run, repository, here) -> None:
    manifest = recorded(copied_run.manifest, repository).sealed()
    (copied_run.folder / "manifest.json").write_text(manifest.model_dump_json())
    orphans: list[subprocess.Popen[bytes]] = []

    def killed() -> None:
        with fresh._place(copied_run.home, manifest.run) as (place, lock):
            (place / "home").mkdir()
            command = [sys.executable, "-c", "input()"]
            orphans.append(subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=(lock,)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    try:
        with pytest.raises(InputError, match="another process"):
            fresh.replay_fresh(copied_run.folder, copied_run.home, repository, 1, None)
    finally:
        orphans[0].communicate(b"\n")
    assert here == []


def test_an_environment_is_made_again_unless_it_is_whole(copied_run, repository, tmp_path, monkeypatch) -> None:
    source = dossier(recorded(copied_run.manifest, repository), repository)
    commands: list[str] = []
    monkeypatch.setattr(fresh.venv, "create", lambda folder, **_: commands.append(f"create {folder.name}"))
    monkeypatch.setattr(fresh, "_do", lambda command, what: commands.append(what))
    first = fresh.make_environment(source, tmp_path)
    assert fresh.make_environment(source, tmp_path) == first
    assert len(commands) == 3
    fresh.make_environment(source.model_copy(update={"packages": {"torch": "0"}}), tmp_path)
    assert len(commands) == 6
    (tmp_path / "installed.txt").unlink()
    fresh.make_environment(source, tmp_path)
    assert len(commands) == 9


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
