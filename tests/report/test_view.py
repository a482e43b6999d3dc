"""`lesion view`: what it shows of finished, unfinished and broken runs, and what it refuses."""

import asyncio
import fcntl
import json
import re
import shutil
import socket
import sys
import threading
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from lesion.errors import InputError
from lesion.identity import file_hash
from lesion.report.view.head_map import head_maps
from lesion.report.view.home import Wanted, is_held, listing
from lesion.report.view.pages import list_page, run_page
from lesion.report.view.server import INSTALL, POLICY, application, listen, serve
from lesion.runs.execute.logs import run_log
from lesion.runs.folder.clock import stamp
from lesion.runs.folder.run_folder import Begun

EVIL = "<script>alert(1)</script>"
STARTED = "2026-11-22T16:30:00+00:00"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: str


class Home(NamedTuple):
    path: Path
    finished: str
    begun: str


def ask(home: Path, path: str, method: str = "GET", host: str = "127.0.0.1:80") -> Answer:
    """A request to the application itself, without a socket."""
    where, _, query = path.partition("?")
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "scheme": "http", "path": where,
        "raw_path": where.encode(), "query_string": query.encode(), "root_path": "",
        "headers": [(b"host", host.encode())], "client": None, "server": ("127.0.0.1", 80), "extensions": {},
    }  # fmt: skip
    sent: list[dict] = []

    async def receive() -> dict:
        return await asyncio.Future()  # the reader stays

    async def send(message: dict) -> None:
        sent.append(message)

    asyncio.run(application(home)(scope, receive, send))
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], headers, b"".join(each.get("body", b"") for each in sent).decode(errors="replace"))


@pytest.fixture(scope="module")
def made(tmp_path_factory, make_run) -> Home:
    """A finished run with a report and a question that holds a script, and the same run before it was finished."""
    home = tmp_path_factory.mktemp("view")
    moment = datetime.fromisoformat(STARTED)
    with run_log(home, stamp(moment), "arithmetic_7f3a9c2"):
        folder, manifest = make_run(home / "runs", world={"question": f"Do they? {EVIL}"})
    (folder / "report.html").write_text("<p>The report</p>")
    (folder / "README.md").write_text("# The run\n")
    (folder / ".lock").touch()
    begun = folder.with_name("20261122_1630_begun_7f3a9c2")
    shutil.copytree(folder, begun)
    (begun / "manifest.json").unlink()
    record = Begun(
        study="begun", study_hash=manifest.study_hash, key=manifest.key, source_hash=64 * "a", status="exploratory",
        command="run", started=STARTED,
    )  # fmt: skip
    (begun / "begun.json").write_text(record.model_dump_json())
    (begun / "study.yaml").write_text(json.dumps(manifest.study.model_dump(mode="json")))
    events = (home / "logs" / stamp(moment) / "arithmetic_7f3a9c2.jsonl").read_text().splitlines()
    confirming = next(number for number, line in enumerate(events) if '"stage": "confirm"' in line)
    events[confirming] = re.sub(r'"time": "[^"]*"', '"time": "2026-11-22T16:31:00+0000"', events[confirming])
    first = events[: confirming + 1]  # twice, as a run that goes on tells them
    text = "\n".join([*first, *first, "{half a li"])
    (home / "logs" / stamp(moment) / "begun_7f3a9c2.jsonl").write_text(text)
    files = {name: file_hash(folder / name) for name in ("report.html", "README.md")}
    sealed = manifest.model_copy(update={"files": files}).sealed()
    (folder / "manifest.json").write_text(sealed.model_dump_json(indent=1))
    return Home(home, folder.name, begun.name)


@pytest.fixture
def home(made, tmp_path) -> Home:
    """A copy that a test may spoil."""
    shutil.copytree(made.path, tmp_path / "home", symlinks=True)
    return made._replace(path=tmp_path / "home")


@pytest.fixture
def at_work(home) -> Iterator[Home]:
    """The unfinished run is held, as by the process that runs it."""
    with (home.path / "runs" / home.begun / ".lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield home


def test_the_list_names_every_run_and_the_folders_that_are_broken(home):
    runs = home.path / "runs"
    (runs / "stranger").mkdir()
    (runs / "stranger" / "manifest.json").write_text(json.dumps({"format": 3, "kind": "run", "run": EVIL}))
    (runs / "elsewhere").symlink_to(runs / home.finished)
    page = ask(home.path, "/")
    assert page.status == 200
    assert all(f'href="/runs/{name}"' in page.body for name in (home.finished, home.begun))
    assert "2 of 2 runs" in page.body
    assert re.search(r"<strong>stranger</strong>: .*not a manifest", page.body)
    assert re.search(r"<strong>elsewhere</strong>: is a symbolic link", page.body)
    assert EVIL not in page.body


def test_a_manifest_that_was_changed_is_named_and_not_shown(home):
    path = home.path / "runs" / home.finished / "manifest.json"
    path.write_text(path.read_text().replace('"scenario": "', '"scenario": "better than '))
    assert [broken.run for broken in listing(home.path).broken] == [home.finished]
    page = ask(home.path, f"/runs/{home.finished}")
    assert page.status == 404
    assert "changed after it was sealed" in page.body


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"status": "exploratory"}, 2), ({"status": "confirmatory"}, 0), ({"study": "begun"}, 1),
        ({"model": "abacus-llama"}, 1), ({"outcome": "complete"}, 1), ({"outcome": "interrupted"}, 1),
        ({"study": "arithmetic", "outcome": "interrupted"}, 0),
    ],
)  # fmt: skip
def test_filters_keep_the_runs_that_fit_all_of_them(made, wanted, found):
    assert len(listing(made.path).select(Wanted(**wanted))) == found
    assert f"{found} of 2 runs" in list_page(made.path, Wanted(**wanted))


def test_a_finished_run_shows_verdicts_and_links_and_escapes_its_question(made):
    page = ask(made.path, f"/runs/{made.finished}").body
    assert "<h1>Exploratory: " in page
    assert "▼</span> Harm" in page
    assert all(f'href="/runs/{made.finished}/{name}"' in page for name in ("report.html", "README.md", "manifest.json"))
    assert EVIL not in page
    assert "&lt;script&gt;" in page


def test_a_run_at_work_shows_stage_rate_and_rows_but_no_confirmation(at_work):
    assert is_held(at_work.path / "runs" / at_work.begun)
    page = run_page(at_work.path, at_work.begun)
    assert re.search(r"Stage <strong>confirm</strong>: (\d+) of \1 cells", page)
    assert "cells a minute" in page
    assert page.count("baseline: Pass") == 1
    rows = dict(re.findall(r'<tr><th scope="row">(\w+)</th>.*<td>([^<]*)</td></tr>', page))
    assert rows["confirm"] == "hidden until the end"
    assert rows["baseline"].endswith("%")
    assert "data-live" in page
    assert "processor hours" in page


def test_a_run_that_was_cut_off_says_how_it_goes_on(made):
    assert not is_held(made.path / "runs" / made.begun)
    page = run_page(made.path, made.begun)
    assert "No process on this machine works on this run" in page
    assert "data-live" not in page


def test_two_runs_are_compared_and_an_unfinished_one_is_refused(home):
    again = home.path / "runs" / "20261122_1700_arithmetic_7f3a9c2"
    shutil.copytree(home.path / "runs" / home.finished, again)
    raw = listing(home.path)
    assert [broken.run for broken in raw.broken] == [again.name], "a copy under another name is no run"
    same = ask(home.path, f"/compare?first={home.finished}&second={home.finished}")
    assert "Comparison of two runs: bit-equal" in same.body
    cut = ask(home.path, f"/compare?first={home.finished}&second={home.begun}")
    assert (cut.status, "has not ended" in cut.body) == (404, True)


def test_only_files_that_the_manifest_lists_are_served(home):
    folder = home.path / "runs" / home.finished
    (folder / "secret.txt").write_text("secret")
    report = ask(home.path, f"/runs/{home.finished}/report.html")
    assert (report.status, report.body) == (200, "<p>The report</p>")
    assert "sandbox allow-scripts" in report.headers["content-security-policy"]
    assert "allow-same-origin" not in report.headers["content-security-policy"]
    for name in ("secret.txt", ".lock", "../../logs", "..", "/etc/passwd", "units/../report.html", ""):
        answer = ask(home.path, f"/runs/{home.finished}/{name}")
        assert (answer.status, "secret" in answer.body.replace("secret.txt", "")) == (404, False), name
    for run in ("..", "../runs", ".", "nobody"):
        assert ask(home.path, f"/runs/{run}/report.html").status == 404
    assert ask(home.path, f"/runs/{home.begun}/report.html").status == 404, "it has no manifest that lists files"
    assert ask(home.path, f"/runs/{home.begun}/study.yaml").status == 200


def test_a_link_that_leaves_the_run_folder_is_not_followed(home):
    (home.path / "outside.txt").write_text("secret")
    readme = home.path / "runs" / home.finished / "README.md"
    readme.unlink()
    readme.symlink_to(home.path / "outside.txt")
    answer = ask(home.path, f"/runs/{home.finished}/README.md")
    assert answer.status == 404
    assert "lies outside the run folder" in answer.body


def test_other_hosts_and_other_methods_are_refused(made):
    assert ask(made.path, "/", host="localhost:8000").status == 200
    for host in ("evil.example", "127.0.0.1.evil.example", "169.254.0.1", ""):
        assert ask(made.path, "/", host=host).status == 400, host
    assert ask(made.path, "/", "HEAD").status == 200
    assert {ask(made.path, "/", method).status for method in ("POST", "PUT", "DELETE", "PATCH")} == {405}


def test_own_pages_load_nothing_from_elsewhere(made):
    for path in ("/", f"/runs/{made.finished}", f"/runs/{made.begun}", "/nothing", "/assets/view/view.js"):
        answer = ask(made.path, path)
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert not re.search(r"https?://", answer.body)
        assert not re.search(r"<script(?! src=)|\son\w+=", answer.body)


def test_a_look_changes_nothing_in_the_home_folder(made):
    def state() -> dict[str, int]:
        return {str(path): path.lstat().st_mtime_ns for path in made.path.rglob("*")}

    before = state()
    for path in ("/", f"/runs/{made.finished}", f"/runs/{made.begun}"):
        assert ask(made.path, path).status == 200
    assert state() == before


def test_the_server_answers_on_the_loopback_alone(made):
    with listen(0) as on:
        host, port = on.getsockname()
        assert host == "127.0.0.1"
        threading.Thread(target=serve, args=(made.path, on), daemon=True).start()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as answer:
            assert made.finished in answer.read().decode()


def test_a_port_that_is_taken_is_refused_with_a_sentence():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(InputError, match="--port 0 takes a free one"):
        listen(taken.getsockname()[1])


def test_without_the_extra_the_command_says_what_to_install(call, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    code, out, err = call("view", "--home", str(tmp_path))
    assert (code, out) == (2, "")
    assert INSTALL in err.replace("\n", " ")


@pytest.mark.slow
def test_pages_fit_a_telephone_and_axe_finds_no_serious_violation(at_work):
    playwright = pytest.importorskip("playwright.sync_api", reason="the playwright package is not installed")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("chromium is not installed (apt-get install chromium)")
    with listen(0) as on, playwright.sync_playwright() as session:
        address = f"http://127.0.0.1:{on.getsockname()[1]}"
        threading.Thread(target=serve, args=(at_work.path, on), daemon=True).start()
        browser = session.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        faults: list[str] = []
        for scheme in ("light", "dark"):
            page = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme=scheme).new_page()
            page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
            page.on("request", lambda asked: None if asked.url.startswith(address) else faults.append(asked.url))
            compared = f"/compare?first={at_work.finished}&second={at_work.finished}"
            for path in ("/", f"/runs/{at_work.finished}", f"/runs/{at_work.begun}", compared):
                page.goto(address + path)
                assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
                found = axe.Axe().run(page).response["violations"]
                assert not [each["id"] for each in found if each["impact"] in ("serious", "critical")], (path, found)
            page.goto(f"{address}/runs/{at_work.begun}")
            page.evaluate("document.getElementById('stage').textContent = 'old'")
            page.locator("#stage", has_text="cells").wait_for(timeout=10_000)
        browser.close()
        assert not [fault for fault in faults if not fault.startswith("data:")]


def scored(layer: int, head: int, score: float) -> dict[str, float | bool | int]:
    return {"layer": layer, "head": head, "score": score, "low": score, "high": score, "named": score >= 0.3}


def test_a_head_map_frames_the_named_heads_and_keeps_its_contrast() -> None:
    every = [scored(layer, head, (5 * layer + head) / 15) for layer in range(3) for head in range(5)]
    result = {"layers": 3, "heads_per_layer": 5, "detectors": [{"detector": "previous_token", "heads": every}]}
    (drawn,) = head_maps(result)
    assert drawn.detector == "previous-token"
    assert sum(cell.named for cell in drawn.cells) == sum(head["named"] for head in every)
    assert "L1H0" in drawn.summary
    assert [layer for layer, _ in drawn.rows] == [0, 1, 2]
    assert drawn.rows[2][1] < drawn.rows[0][1], "the last layer stands on top"
    assert len({(cell.x, cell.y) for cell in drawn.cells}) == 15
    for cell in drawn.cells:
        light, dark = sorted(map(brightness, (cell.fill, cell.ink)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, cell.told


def brightness(colour: str) -> float:
    """Relative luminance, by the formula of WCAG 2.1."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_results_without_heads_have_no_map() -> None:
    assert head_maps({"trainings": []}) == ()
