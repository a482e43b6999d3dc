"""The page that asks a model for one text: who may ask, what is bounded, what it draws."""

import asyncio
import json
import re
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from lesion.cli.records.text_reader import TextReader
from lesion.errors import InputError
from lesion.identity import file_hash
from lesion.report.view.look import MOST_BYTES, Asked, Busy, Filled
from lesion.report.view.server import POLICY, application, listen, serve

MODEL = "zoo:abacus-llama"
OWN = {
    "host": "127.0.0.1:80",
    "origin": "http://127.0.0.1:80",
    "content-type": "application/json",
    "sec-fetch-site": "same-origin",
}
EVIL = "</textarea><script>alert(1)</script>"


class FakeReader:
    """Remembers what it was asked."""

    models = (MODEL, "pretrained:other")

    def __init__(self, fails: Exception | None = None) -> None:
        self.asked: list[Asked] = []
        self.fails = fails

    def item(self, model: str, task: str, number: int) -> Filled:
        if task != "sums":
            raise InputError(f"'{task}' is not a task")
        return Filled(EVIL, " 5", " 6", f"Item {number} of {task} for {model}.")

    def read(self, asked: Asked) -> Mapping[str, Any]:
        self.asked.append(asked)
        if self.fails:
            raise self.fails
        return {"tokens": [asked.text]}


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: str


def ask(
    home: Path,
    path: str,
    reader: Any = None,
    body: bytes | None = None,
    headers: Mapping[str, str] = OWN,
) -> Answer:
    """A request to the application itself; with a body it is a POST."""
    where, _, query = path.partition("?")
    scope = {
        "type": "http", "http_version": "1.1", "method": "GET" if body is None else "POST", "scheme": "http",
        "path": where, "raw_path": where.encode(), "query_string": query.encode(), "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()], "client": None,
        "server": ("127.0.0.1", 80), "extensions": {},
    }  # fmt: skip
    sent: list[dict] = []
    given = iter([{"type": "http.request", "body": body or b"", "more_body": False}])

    async def receive() -> dict:
        found = next(given, None)
        return found or await asyncio.Future()

    async def send(message: dict) -> None:
        sent.append(message)

    asyncio.run(application(home, reader)(scope, receive, send))
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], found, b"".join(each.get("body", b"") for each in sent).decode())


def asked(**given: str) -> bytes:
    return json.dumps({"model": MODEL, "text": "a text", **given}).encode()


def test_a_page_of_this_server_gets_its_text_read(tmp_path):
    reader = FakeReader()
    found = ask(tmp_path, "/look", reader, asked(right=" a", wrong=" b"))
    assert (found.status, json.loads(found.body)) == (200, {"tokens": ["a text"]})
    assert reader.asked == [Asked(model=MODEL, text="a text", right=" a", wrong=" b")]
    assert found.headers["content-security-policy"] == POLICY
    assert "access-control-allow-origin" not in found.headers


@pytest.mark.parametrize(
    "changed",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://127.0.0.1:81"},
        {"origin": "https://127.0.0.1:80"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
    ],
)
def test_pages_of_other_origins_are_refused_before_a_model_is_asked(tmp_path, changed):
    reader = FakeReader()
    found = ask(tmp_path, "/look", reader, asked(), OWN | changed)
    assert (found.status, reader.asked) == (403, [])
    assert "error" in json.loads(found.body)
    assert ask(tmp_path, "/look", reader, asked(), {k: v for k, v in OWN.items() if k != "origin"}).status == 403
    assert ask(tmp_path, "/look", reader, asked(), OWN | {"host": "evil.example"}).status == 400
    assert reader.asked == []


@pytest.mark.parametrize(
    ("body", "status", "wanted"),
    [
        (b"{", 422, "write a text of at most 4,000 letters"),
        (b"[]", 422, "write a text"),
        (asked(text=""), 422, "write a text"),
        (asked(text="x" * 4001), 422, "write a text"),
        (asked(other="x"), 422, "write a text"),
        (asked(model="org/name@0"), 422, "is not a model of this machine"),
        (asked(model="/etc"), 422, "your own: lesion view --model FOLDER"),
        (b"x" * (MOST_BYTES + 1), 413, "too long"),
    ],
)
def test_what_is_no_bounded_text_of_a_model_here_is_refused(tmp_path, body, status, wanted):
    reader = FakeReader()
    found = ask(tmp_path, "/look", reader, body)
    assert (found.status, reader.asked) == (status, [])
    assert wanted in json.loads(found.body)["error"]


def test_a_busy_reader_and_a_refusal_are_sentences(tmp_path):
    assert ask(tmp_path, "/look", FakeReader(Busy("another text")), asked()).status == 429
    refused = ask(tmp_path, "/look", FakeReader(InputError("the text has 200 tokens")), asked())
    assert (refused.status, json.loads(refused.body)) == (422, {"error": "the text has 200 tokens"})
    assert ask(tmp_path, "/look", None, asked()).status == 422


def test_the_form_is_filled_with_an_item_and_escapes_it(tmp_path):
    page = ask(tmp_path, f"/look?model={MODEL}&task=sums&item=4&head=L1H2", FakeReader())
    assert page.status == 200
    assert "Item 4 of sums for zoo:abacus-llama." in page.body
    assert EVIL not in page.body
    assert 'data-head="L1H2"' in page.body
    assert 'data-filled="yes"' in page.body
    assert not re.search(r"https?://|<script(?! src=)|\son\w+=", page.body)
    assert 'data-filled=""' in ask(tmp_path, "/look", FakeReader()).body
    for wrong in ("task=sums&item=-1", "task=sums&item=x", "task=other", "model=none", "run=nobody"):
        assert ask(tmp_path, f"/look?{wrong}", FakeReader()).status == 404, wrong
    assert ask(tmp_path, "/look").status == 404, "without a reader there is no such page"


@pytest.fixture(scope="module")
def home(tmp_path_factory, make_run) -> tuple[Path, str]:
    """A finished run, its manifest sealed."""
    where = tmp_path_factory.mktemp("look")
    folder, manifest = make_run(where / "runs")
    (folder / "report.html").write_text("<p>The report</p>")
    sealed = manifest.model_copy(update={"files": {"report.html": file_hash(folder / "report.html")}}).sealed()
    (folder / "manifest.json").write_text(sealed.model_dump_json(indent=1))
    return where, folder.name


def test_a_runs_own_items_can_be_looked_at(home):
    where, run = home
    assert f'href="/look?run={run}"' in ask(where, f"/runs/{run}", FakeReader()).body
    assert "/look?run=" not in ask(where, f"/runs/{run}").body
    assert 'value="tier2"' in ask(where, f"/look?run={run}", FakeReader()).body
    page = ask(where, f"/look?run={run}&tier=tier1&item=3&model={MODEL}", FakeReader())
    assert f"that {run} asked on tier1" in page.body
    assert re.search(r"<textarea[^>]*>\n\d+\+3=7;2\+2=4;\d+\+2=</textarea>", page.body)
    assert ask(where, f"/look?run={run}&tier=tier1&item=99999999", FakeReader()).status == 404


@pytest.mark.slow
def test_a_reader_sees_a_heads_attention_with_mouse_keyboard_and_telephone(home):
    playwright = pytest.importorskip("playwright.sync_api", reason="the playwright package is not installed")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("chromium is not installed (apt-get install chromium)")
    reader = TextReader()
    with listen(0) as on, playwright.sync_playwright() as session:
        address = f"http://127.0.0.1:{on.getsockname()[1]}"
        threading.Thread(target=serve, args=(home[0], on, reader), daemon=True).start()
        browser = session.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        faults: list[str] = []
        for scheme, width in (("light", 390), ("dark", 1200)):
            page = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme).new_page()
            page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on("request", lambda sent: None if sent.url.startswith(address) else faults.append(sent.url))
            page.goto(f"{address}/look?model={MODEL}&task=symbolic&item=1&head=L1H2")
            page.locator("#l-result[data-drawn='1']").wait_for(timeout=120_000)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            found = axe.Axe().run(page).response["violations"]
            assert not [each["id"] for each in found if each["impact"] in ("serious", "critical")], found
            exercise(page)
            page.fill("#l-text", "字")
            page.locator("#look button").click()
            page.get_by_text("Nothing was read: ").wait_for(timeout=30_000)
            assert page.locator("#l-head").inner_text() != ""
        browser.close()
        reader.close()
        assert not [fault for fault in faults if not fault.startswith("data:") and "422" not in fault], faults


def exercise(page: Any) -> None:
    """Picks a head, points at a cell, moves by keyboard, sets the threshold, picks a token."""
    assert page.locator("#l-head").inner_text() == "Head L1H2"
    page.locator("[data-site=L0H3]").click()
    assert page.locator("#l-head").inner_text() == "Head L0H3"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.locator("#l-head").inner_text() == "Head L0H4", "the grid is walked with arrow keys"
    assert page.locator("#l-thumbs button").count() == 8
    page.locator("#l-thumbs button").nth(5).click()
    assert page.locator("#l-head").inner_text() == "Head L0H5", "a small picture picks its head"
    last = page.locator("#l-tokens button").count() - 1
    page.locator("#l-map").focus()
    page.keyboard.press("ArrowUp")
    said = page.locator("#l-cell").inner_text()
    assert re.match(r"[01]\.\d{3} from “[^”]+” \(place \d+\) to “[^”]+” \(place \d+\)\.", said), said
    assert f"(place {last - 1}) to" in said
    page.locator("#l-map .picked").scroll_into_view_if_needed()
    box = page.locator("#l-map .picked").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 1.5 * box["height"])
    assert f"(place {last}) to" in page.locator("#l-cell").inner_text(), "a tap gives the number"
    page.locator("#l-tokens button").nth(2).click()
    assert "from “" in page.locator("#l-cell").inner_text()
    assert page.locator("#l-tokens [aria-pressed=true]").count() == 1
    many = page.locator("#l-map .cell").count()
    page.locator("#l-least").fill("0.5")
    assert page.locator("#l-map .cell").count() < many
    for colour in ("to", "surprise", "logit_diff"):
        page.locator("#l-colour").select_option(colour)
    assert "orange is negative" in page.locator("#l-scale").inner_text()
    assert page.locator("#l-table tbody tr").count() == last + 1
    assert "Logit difference" in page.locator("#l-table thead").inner_text()
