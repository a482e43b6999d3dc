"""What a manifest says of the code."""

import subprocess
from pathlib import Path

import pytest

from lesion.runs.manifest import environment


def test_a_difference_with_bytes_that_are_no_text_is_recorded_with_marks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "lesion"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    changed = tmp_path / "paper.pdf"
    changed.write_bytes(b"%PDF one\n")
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "x"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    changed.write_bytes(b"%PDF \x80\xff two\n")
    monkeypatch.setattr(environment, "PACKAGE", package)
    code = environment.read_code()
    assert code.dirty
    assert code.commit is not None
    assert "+%PDF \N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER} two" in code.diff
