"""The built book in a real Chromium, network off, 360, 390 and 1280 px wide, light and dark.

Each page is opened once, and one visit tries everything on it. Skipped, with one line, where there
is no Chromium; with REQUIRE_BROWSER=1 that is a failure.
"""

import functools
import http.server
import os
import shutil
import threading
import time
from urllib.parse import urlsplit

import pytest

from course.notebooks import ONLY, ROOT, book_folder, chosen, contents

HTML = book_folder(ONLY)
AXE = ROOT / "tests" / "vendor" / "axe.min.js"
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
ROOMS = ("lectures", "exercises", "solutions")
if ONLY:
    PAGES = [f"{room}/{name}.html" for name in chosen("lectures", ONLY) for room in ROOMS]
else:
    PAGES = [f"{page}.html" for page in (*contents(), "genindex", "search")]
whole_book = pytest.mark.skipif(bool(ONLY), reason="the whole book was not built")
WIDE, PHONE, SMALL_PHONE = 1280, 390, 360

# Faults of the theme that course.js does not mend: {axe rule: selectors}. None is left.
THEME_FAULTS: dict[str, list[str]] = {}

# Raw TeX in the text of a page.
RAW_TEX = r"""
() => [...document.querySelectorAll("article p, article li, article td, article figcaption")]
  .filter((e) => /\$\$|\\\(|\\\[|\\begin\{|\\tag\{/.test(e.textContent))
  .map((e) => {
    const copy = e.cloneNode(true);
    copy.querySelectorAll("code, pre, script, mjx-container").forEach((x) => x.remove());
    return copy.textContent;
  })
  .filter((text) => /\$\$|\\\(|\\\[|\\begin\{|\\tag\{/.test(text))
"""

# What does not fit the page. Within a box that scrolls a thing may reach beyond the right edge,
# never the left; the boxes themselves, and what stands in none, lie within the text. Only boxes of
# the kinds named here scroll sideways.
MISFITS = r"""
() => {
  const THINGS = "mjx-container[display=true] > mjx-math, .eqno, table, figure, img, pre, " +
    "svg:not(.svg-inline--fa), .widget-hbox, .widget-slider";
  const BOXES = ".math mjx-container, .pst-scrollable-table-container, .cell_output *, pre";
  const page = document.documentElement;
  const article = document.querySelector("article, main .bd-content");
  const style = getComputedStyle(article), text = article.getBoundingClientRect();
  text.x += parseFloat(style.paddingLeft);
  text.width -= parseFloat(style.paddingLeft) + parseFloat(style.paddingRight);
  const scrolls = (e) => /auto|scroll/.test(getComputedStyle(e).overflowX);
  const faults = [];
  const say = (fault, e) =>
    faults.push(`${fault}: #${e.closest("[id]")?.id} ${e.outerHTML.slice(0, 100)}`);
  if (page.scrollWidth > page.clientWidth) say("the page scrolls sideways", page);
  for (const e of article.querySelectorAll(THINGS)) {
    if (!e.checkVisibility()) continue;
    let {left, right} = e.getBoundingClientRect();
    for (let box = e.parentElement; box !== article; box = box.parentElement) {
      const edge = box.getBoundingClientRect();
      if (scrolls(box)) {
        if (e.matches(".eqno") && right > edge.right + 1) say("the number is not to be seen", e);
        if (left + box.scrollLeft < edge.left - 1) say("begins outside of its box", e);
        ({left, right} = edge);
      } else if (getComputedStyle(box).overflowX !== "visible") {
        if (left < edge.left - 1 || right > edge.right + 1) say("is cut off", e);
      }
    }
    if (left < text.left - 1) say("sticks out to the left", e);
    if (right > text.right + 1) say("sticks out to the right", e);
  }
  for (const e of document.body.querySelectorAll("*")) {
    const wide = e.clientWidth && e.scrollWidth > e.clientWidth + 1 && scrolls(e);
    if (wide && e.checkVisibility() && !e.matches(BOXES)) say("scrolls sideways", e);
  }
  for (const e of article.querySelectorAll(".cell :is(h1, h2, h3)")) say("stands in a cell", e);
  return faults;
}
"""

# The longest lines of the code cells that must be scrolled sideways.
WIDE_CODE = r"""
() => [...document.querySelectorAll("article .cell_input pre")]
  .filter((pre) => pre.checkVisibility() && pre.scrollWidth > pre.clientWidth)
  .map((pre) => pre.textContent.split("\n").sort((a, b) => b.length - a.length)[0])
"""

# Tracks and handles of sliders with less contrast than 3, as asked of controls, against the ground.
FAINT = r"""
() => {
  const rgba = (e) => getComputedStyle(e).backgroundColor.match(/[\d.]+/g).map(Number);
  const behind = (e) => {
    while ((e = e.parentElement) && rgba(e)[3] === 0);
    return e;
  };
  const light = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
  const faint = [];
  for (const e of document.querySelectorAll(".noUi-connects, .noUi-handle")) {
    const ground = behind(e.closest(".widget-slider"));
    const [dark, bright] = [e, ground].map((x) => luminance(rgba(x))).sort((a, b) => a - b);
    const contrast = (bright + 0.05) / (dark + 0.05);
    if (contrast < 3) faint.push(`${e.className}: ${contrast.toFixed(2)}`);
  }
  return faint;
}
"""

# Tokens of code and formulas look like others of their kind, and a page has thousands of them. For
# axe, which is slow, the first of each kind stays, and a letter stands for the others.
ONE_OF_A_KIND = r"""
() => {
  const seen = new Set();
  for (const e of document.querySelectorAll("article .highlight span, article mjx-container")) {
    const around = e.closest(".cell_input, .cell_output, .highlight, details, table, a")?.className;
    const kind = [e.tagName, e.className, e.parentElement.className, around].join();
    seen.has(kind) ? e.replaceWith("x") : seen.add(kind);
  }
}
"""

AXE_FINDS = """
async (options) => {
  const found = await axe.run({resultTypes: ["violations"], ...options});
  return found.violations.flatMap((rule) =>
    rule.nodes.map((node) => [rule.id, String(node.target), node.html.slice(0, 150)]));
}
"""


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        stop = pytest.fail if os.environ.get("REQUIRE_BROWSER") == "1" else pytest.skip
        stop("the browser tests need Chromium, and none was found")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def site():
    """The book at a free port of this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=HTML)
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def window(browser):
    """A browser window from which nothing but this machine can be reached."""
    context = browser.new_context(viewport={"width": WIDE, "height": 1000}, color_scheme="light")
    context.route(lambda url: urlsplit(url).hostname != "127.0.0.1", lambda route: route.abort())
    yield context
    context.close()


class Visit:
    """A page and everything that went wrong on it."""

    def __init__(self, context, site: str, name: str):
        self.name, self.troubles = name, []
        self.page = context.new_page()
        self.page.on(
            "console", lambda m: m.type == "error" and self.troubles.append(f"console: {m.text}")
        )
        self.page.on("pageerror", lambda e: self.troubles.append(f"script: {e}"))
        self.page.on("requestfailed", lambda r: self.troubles.append(f"failed: {r.url}"))
        self.page.on(
            "response", lambda r: r.status >= 400 and self.troubles.append(f"{r.status}: {r.url}")
        )
        self.page.on("request", self.note)
        self.page.goto(f"{site}/{name}", wait_until="load")
        self.page.add_style_tag(content="* { transition: none !important; }")
        self.page.evaluate(  # all formulas are set
            "() => window.MathJax?.startup?.promise?.then(() => true)"
        )
        if self.page.locator("[type='application/vnd.jupyter.widget-view+json']").count():
            self.page.wait_for_selector(".widget-slider [role=slider]")

    def note(self, request):
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob", "about") and parts.hostname != "127.0.0.1":
            self.troubles.append(f"foreign: {request.url}")

    def look(self, width: int = WIDE, mode: str = "light", unfolded: bool = False):
        """The page at a width, in a mode, with or without what is folded."""
        self.page.set_viewport_size({"width": width, "height": 1000})
        self.page.emulate_media(color_scheme=mode)
        self.page.wait_for_function(f"document.documentElement.dataset.theme == '{mode}'")
        self.page.evaluate(
            "(open) => document.querySelectorAll('article details').forEach("
            "  e => { e.open = open; })",
            unfolded,
        )
        return self.page


def formulas_are_set(visit):
    page = visit.look()
    unset = page.evaluate(
        "[...document.querySelectorAll('article .math')]"
        ".filter(m => !m.querySelector('mjx-container')).map(m => m.textContent)"
    )
    assert unset == [], "formulas that were not set"
    assert page.locator("mjx-merror").count() == 0, "formulas that MathJax does not understand"
    assert page.evaluate(RAW_TEX) == [], "TeX that stands raw in the text"


def everything_fits(visit):
    """Nothing sticks out or begins outside, what is folded included; only wide things scroll."""
    faults = {}
    for width in (SMALL_PHONE, PHONE, WIDE):
        if found := visit.look(width, unfolded=True).evaluate(MISFITS):
            faults[f"{width} px"] = found
    assert faults == {}


def code_needs_no_scrolling(visit):
    """On a laptop's screen, 79 columns are seen whole."""
    too_wide = visit.look(unfolded=True).evaluate(WIDE_CODE)
    assert too_wide == [], "lines that are not seen whole"


def figures_are_readable(visit):
    """Figures stand on white in both modes, and are not dimmed."""
    for mode in ("light", "dark"):
        looks = visit.look(mode=mode).evaluate(
            "[...document.querySelectorAll('article .cell_output img')]"
            ".map(e => getComputedStyle(e))"
            ".map(style => [style.filter, style.backgroundColor])"
        )
        for dimmed, card in looks:
            assert dimmed == "none" and card in ("rgb(255, 255, 255)", "rgba(0, 0, 0, 0)")


def hints_unfold(visit):
    page = visit.look()
    for hint in page.locator("article details:has(> summary:text-is('Hint'))").all():
        inside = hint.locator("p").first
        assert not inside.is_visible()
        hint.locator("summary").click()
        assert inside.is_visible()
        widths = hint.locator("mjx-container").evaluate_all(
            "all => all.map(e => e.getBoundingClientRect().width)"
        )
        assert all(width > 3 for width in widths), "a formula in a hint cannot be seen"


def sliders_move(visit):
    """Each slider moves its picture by mouse and by keyboard, and plays, without a kernel."""
    outputs = visit.look().locator(".cell_output:has(.widget-slider)").all()
    assert outputs or not visit.name.startswith("lectures/"), "the chapter has no slider"
    for mode in ("dark", "light"):
        assert visit.look(mode=mode).evaluate(FAINT) == [], mode
    for output in outputs:
        slider_moves(visit.page, output)


def slider_moves(page, output):
    handle, picture = output.locator("[role=slider]"), output.locator("img")
    handle.scroll_into_view_if_needed()
    assert picture.count() == 1 and picture.is_visible()
    assert picture.evaluate("e => e.naturalWidth") > 100

    def shown():
        return picture.get_attribute("alt") + picture.get_attribute("src")[-200:]

    def changes_after(act):
        def value():
            return handle.get_attribute("aria-valuetext")

        old_picture, old_value, deadline = shown(), value(), time.monotonic() + 5
        act()
        while old_picture == shown() or old_value == value():
            assert time.monotonic() < deadline, "picture and value do not follow the slider"
            page.wait_for_timeout(20)

    def drag():
        box = handle.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 200, y, steps=5)
        page.mouse.up()

    first = shown()
    changes_after(drag)
    handle.focus()
    changes_after(lambda: page.keyboard.press("ArrowLeft"))
    page.keyboard.press("Home")
    page.wait_for_timeout(100)
    assert shown() == first
    play = output.get_by_role("button", name="Play or pause")
    changes_after(play.click)
    changes_after(lambda: None)  # it goes on
    play.click()
    name_of_handle = handle.get_attribute("aria-label")
    assert name_of_handle and name_of_handle in output.inner_text()


def accessible(visit):
    """Nothing for axe to find: everything in light mode, the contrasts once more in dark mode."""
    page = visit.look()
    page.add_script_tag(path=AXE)
    page.evaluate(ONE_OF_A_KIND)
    for mode, options in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):
        found = visit.look(mode=mode).evaluate(AXE_FINDS, options)
        left = [
            f"{mode}: {rule} at {target}: {text}"
            for rule, target, text in found
            if not any(s in target for s in THEME_FAULTS.get(rule, []))
        ]
        assert left == [], "\n".join(left)


def nothing_went_wrong(visit):
    """No request to a foreign host, no failed request, a quiet console, whatever was done."""
    assert visit.troubles == []


CHECKS = (
    formulas_are_set,
    everything_fits,
    code_needs_no_scrolling,
    figures_are_readable,
    hints_unfold,
    sliders_move,
    accessible,
    nothing_went_wrong,
)


@pytest.mark.parametrize("name", PAGES)
def test_page(window, site, name):
    """Everything that must hold of a page; all that does not is said at once."""
    if not (HTML / name).is_file():
        pytest.fail(f"the book has no page {name}: run `make book`")
    visit, failed = Visit(window, site, name), []
    for check in CHECKS:
        try:
            check(visit)
        except AssertionError as fault:
            failed.append(f"{check.__name__}: {fault}")
    visit.page.close()
    assert not failed, "\n\n".join(failed)


@whole_book
def test_address_of_the_book_leads_to_the_welcome_page(window, site):
    page = window.new_page()
    page.goto(f"{site}/")
    page.wait_for_url("**/book/index.html")
    page.close()


@whole_book
def test_book_without_a_server(browser):
    """Opened from the disk, a page shows its formulas, and the search finds its pages, quietly."""
    context = browser.new_context()
    page, troubles = context.new_page(), []
    page.on("console", lambda m: m.type == "error" and troubles.append(m.text))
    page.on("pageerror", lambda e: troubles.append(str(e)))
    page.goto((HTML / "book" / "notation.html").as_uri(), wait_until="load")
    page.wait_for_selector("mjx-container", timeout=5000)
    page.keyboard.press("Control+k")
    page.keyboard.type("gradient")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=gradient")
    found = page.locator("#search-results a[href^='lectures/']").first
    found.wait_for(timeout=5000)
    found.click()
    page.wait_for_url("**/lectures/*.html*")
    assert troubles == []
    context.close()
