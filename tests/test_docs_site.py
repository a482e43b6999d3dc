"""The documentation builds as a site without a warning, and no page of it loads anything from elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_site_builds_strictly_and_needs_no_network(repository: Path, tmp_path: Path):
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(build, cwd=repository, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = {page: page.read_text(encoding="utf-8") for page in tmp_path.rglob("*.html")}
    assert len(pages) > 25
    for page, text in pages.items():
        loaded = re.findall(
            r'<(?:script|img|iframe)[^>]*src="(?:https?:)?//[^"]*|<link[^>]*href="(?:https?:)?//[^"]*', text
        )
        assert not loaded, f"{page.name}: {loaded}"
    assert "--dry-run" in pages[tmp_path / "reference" / "commands.html"]
