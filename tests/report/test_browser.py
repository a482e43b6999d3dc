"""The page in a real browser: it draws, fits a telephone, follows the colour scheme, and does nothing else.

Needs Debian's chromium and the `playwright` package; skipped where either is missing.
"""

import shutil
from pathlib import Path

import pytest

from lesion.report.write import write_report

playwright = pytest.importorskip("playwright.sync_api", reason="the playwright package is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as session:
        started = session.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def reported(run_folder, manifest) -> Path:
    write_report(run_folder, manifest)
    return run_folder / "report.html"


class Visit:
    """A page that was opened, and what went wrong on it."""

    def __init__(self, browser, path: Path, width: int = 1280, scheme: str = "light", script: bool = True) -> None:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=script
        )
        self.page = context.new_page()
        self.faults: list[str] = []
        self.asked: list[str] = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda said: self.faults.append(said.text) if said.type == "error" else None)
        self.page.on("dialog", lambda dialog: (self.faults.append("dialog"), dialog.dismiss()))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())
        if script:
            self.page.wait_for_function("[...document.querySelectorAll('.chart')].every(c => c.dataset.drawn)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_every_figure_is_drawn_and_nothing_overflows(browser, reported, width, scheme):
    visit = Visit(browser, reported, width, scheme)
    assert not visit.faults
    assert visit.page.locator(".chart svg").count() == 5
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
    for box in visit.page.locator(".chart").all():
        assert box.evaluate("c => c.scrollWidth <= c.clientWidth + 1")


def test_the_page_asks_for_nothing_but_itself(browser, reported):
    visit = Visit(browser, reported)
    assert [url for url in visit.asked if not url.startswith("data:")] == [reported.as_uri()]


def test_figures_follow_the_colour_scheme_and_the_width(browser, reported):
    visit = Visit(browser, reported, 1280, "light")
    colour = "() => getComputedStyle(document.querySelector('#chart-verdicts .role-axis-label text')).fill"
    before = visit.page.evaluate(colour)
    visit.page.emulate_media(color_scheme="dark")
    visit.page.wait_for_function(f"({colour})() !== '{before}'")
    visit.page.set_viewport_size({"width": 390, "height": 800})
    visit.page.wait_for_function("document.querySelector('#chart-accuracy svg').getBoundingClientRect().width < 390")
    assert not visit.faults


def test_without_scripts_the_pictures_stand_in(browser, reported):
    visit = Visit(browser, reported, script=False)
    assert visit.page.locator("img.static").count() == 5
    assert visit.page.locator("img.static").first.is_visible()


def test_the_first_tab_stop_leads_to_the_verdict(browser, reported):
    visit = Visit(browser, reported)
    visit.page.keyboard.press("Tab")
    assert visit.page.evaluate("document.activeElement.textContent") == "Skip to the verdict"
    visit.page.keyboard.press("Enter")
    assert visit.page.evaluate("document.activeElement.id") == "main"


def test_a_link_to_a_cell_opens_its_reasons(browser, reported):
    visit = Visit(browser, reported)
    visit.page.locator("a[href='#cell-0']").click()
    visit.page.wait_for_function("document.getElementById('cell-0').open")


def test_hostile_text_does_nothing(browser, tmp_path, make_run):
    attack = "</script><img src=x onerror=alert(1)><script>alert(2)</script>"
    world = {
        "ability": {"tier3": 0.995},
        "question": attack,
        "prompt": attack,
        "model": "m<img/src=x/onerror=alert(3)>",
    }
    folder, manifest = make_run(tmp_path, world=world)
    write_report(folder, manifest)
    visit = Visit(browser, folder / "report.html")
    visit.page.locator("#chart-verdicts svg").hover()
    assert not visit.faults
    assert visit.page.locator("img").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_violation(browser, reported, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    visit = Visit(browser, reported, scheme=scheme)
    visit.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    found = axe.Axe().run(visit.page).response["violations"]
    serious = [(v["id"], v["nodes"][0]["html"][:200]) for v in found if v["impact"] in ("serious", "critical")]
    assert not serious
