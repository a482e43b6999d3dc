"""The page in a real browser: it draws, fits a telephone, follows the colour scheme, and does nothing else.

Needs Debian's chromium and the `playwright` package; skipped where either is missing.
"""

import shutil
from pathlib import Path

import pytest

from lesion.report.figures.figures import figures
from lesion.report.page.html import figure_page
from lesion.report.page.several_runs import Source, across
from lesion.report.page.write import write_report
from lesion.report.record import read_record

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


@pytest.fixture(scope="module")
def explored(tmp_path_factory, make_run, explore_by_hand) -> Path:
    folder, manifest = make_run(tmp_path_factory.mktemp("explored"))
    explore_by_hand(folder)
    write_report(folder, manifest)
    return folder / "report.html"


@pytest.fixture(scope="module")
def beside(tmp_path_factory, run_folder, manifest) -> Path:
    """The page of two runs."""
    place = tmp_path_factory.mktemp("across")
    record = read_record(run_folder, manifest)
    path = place / "across.html"
    path.write_text(across([Source(run_folder, record)] * 2, place), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def alone(tmp_path_factory, run_folder, manifest) -> Path:
    """The page of one figure."""
    drawn = {figure.name: figure for figure in figures(read_record(run_folder, manifest))}
    path = tmp_path_factory.mktemp("figure") / "scores.html"
    path.write_text(figure_page(drawn["scores"], manifest), encoding="utf-8")
    return path


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
            self.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
            self.page.wait_for_function("[...document.querySelectorAll('.chart')].every(c => c.dataset.drawn)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_every_figure_is_drawn_and_nothing_overflows(browser, reported, width, scheme):
    visit = Visit(browser, reported, width, scheme)
    assert not visit.faults
    assert visit.page.locator(".chart svg").count() == 6
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
    for box in visit.page.locator(".chart").all():
        assert box.evaluate("c => c.scrollWidth <= c.clientWidth + 1")


def test_no_caption_is_cut_off_on_a_telephone(browser, reported):
    visit = Visit(browser, reported, 390)
    visit.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    captions = visit.page.locator(".scroll caption")
    assert captions.count() > 1
    ends = captions.evaluate_all("all => all.map(c => c.getBoundingClientRect().right)")
    assert max(ends) <= 390


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
    assert visit.page.locator("img.static").count() == 6
    assert visit.page.locator("img.static").first.is_visible()  # those of folded figures are seen when unfolded


def test_the_first_tab_stop_leads_to_the_verdict(browser, reported):
    visit = Visit(browser, reported)
    visit.page.keyboard.press("Tab")
    assert visit.page.evaluate("document.activeElement.textContent") == "Skip to the verdict"
    visit.page.keyboard.press("Enter")
    assert visit.page.evaluate("document.activeElement.id") == "main"


def test_a_link_to_a_cell_opens_its_reasons(browser, reported):
    visit = Visit(browser, reported)
    visit.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = false; })")
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


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", ["beside", "alone"])
def test_pages_of_several_runs_and_of_one_figure_are_drawn_and_fit(browser, request, name, width):
    visit = Visit(browser, request.getfixturevalue(name), width)
    assert not visit.faults
    assert visit.page.locator(".chart svg").count() == (5 if name == "beside" else 1)
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["reported", "beside", "alone"])
def test_axe_finds_no_serious_violation(browser, request, name, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    visit = Visit(browser, request.getfixturevalue(name), scheme=scheme)
    visit.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    found = axe.Axe().run(visit.page).response["violations"]
    serious = [(v["id"], v["nodes"][0]["html"][:200]) for v in found if v["impact"] in ("serious", "critical")]
    assert not serious


def test_a_head_is_picked_by_arrow_keys_and_its_numbers_follow(browser, explored):
    visit = Visit(browser, explored)
    assert visit.page.locator("#x-head").inner_text() == "Head L1H0, in the target"
    visit.page.locator("[data-site=aL1H0]").focus()
    visit.page.keyboard.press("ArrowRight")
    visit.page.keyboard.press("ArrowDown")
    visit.page.keyboard.press("Enter")
    assert visit.page.locator("#x-head").inner_text() == "Head L0H1"
    assert visit.page.evaluate("document.activeElement.dataset.site") == "aL0H1"
    assert "mostly to the previous token: 0.75" in visit.page.locator("#x-told").inner_text()
    assert not visit.faults


def test_patterns_stand_side_by_side_with_their_top_sources(browser, explored):
    visit = Visit(browser, explored)
    pictures = visit.page.locator("#x-pictures svg")
    assert [pictures.nth(i).get_attribute("aria-label").rpartition(": ")[2] for i in (0, 1)] == ["0.75.", "1.00."]
    visit.page.locator("[data-site=t3]").click()
    rows = visit.page.locator("#x-sources tbody tr").all_inner_texts()
    assert rows[:2] == ["“b” (fact, place 2)\t0.75\t0.00", "“a” (fact, place 3)\t0.25\t1.00"]
    stripe = visit.page.locator("#x-kinds tbody tr").first.inner_text()
    assert stripe == "what came after an earlier same token (induction stripe)\t0.75\t0.00\t2"
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 1280


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_violation_in_the_explorer(browser, explored, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    visit = Visit(browser, explored, 390, scheme)
    found = axe.Axe().run(visit.page).response["violations"]
    assert not [(v["id"], v["nodes"][0]["html"][:200]) for v in found if v["impact"] in ("serious", "critical")]


def test_hostile_tokens_do_nothing_in_the_explorer(browser, tmp_path, make_run, explore_by_hand):
    folder, manifest = make_run(tmp_path)
    explore_by_hand(folder, ("[BOS]", "<img src=x onerror=alert(1)>", "</script><script>alert(2)</script>", "b", "c"))
    write_report(folder, manifest)
    visit = Visit(browser, folder / "report.html")
    visit.page.locator("[data-site=t1]").click()
    visit.page.locator("#x-pictures svg").first.hover()
    assert not visit.faults
    assert visit.page.locator("img").count() == 0
