"""The built book in a real Chromium with the network off, in light and in dark mode.

Skipped, with one line, where there is no Chromium; with REQUIRE_BROWSER=1 that is a failure.
"""

import functools
import http.server
import os
import shutil
import threading
import time
from urllib.parse import urlsplit

import pytest

from course.notebooks import BUILD, ROOT, chapters

HTML = ROOT / BUILD / "html"
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
PAGES = sorted(
    {p.relative_to(HTML).as_posix() for p in HTML.rglob("*.html") if "_static" not in p.parts}
    - {"index.html"}
)

# Faults of the theme, outside of what we write, that course.js does not mend: {axe rule: selectors}. None is left.
THEME_FAULTS: dict[str, list[str]] = {}


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
    context = browser.new_context(viewport={"width": 1280, "height": 1000}, color_scheme="light")
    context.route(lambda url: urlsplit(url).hostname != "127.0.0.1", lambda route: route.abort())
    yield context
    context.close()


class Visit:
    """A page and everything that went wrong on it."""

    def __init__(self, context, url):
        self.troubles: list[str] = []
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
        self.page.goto(url, wait_until="load")
        self.page.evaluate(
            "() => window.MathJax?.startup?.promise?.then(() => true)"
        )  # all formulas are set
        if self.page.locator("[type='application/vnd.jupyter.widget-view+json']").count():
            self.page.wait_for_selector(".widget-slider [role=slider]")

    def note(self, request):
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob", "about") and parts.hostname != "127.0.0.1":
            self.troubles.append(f"foreign: {request.url}")


@pytest.mark.parametrize("name", PAGES)
def test_page(window, site, name):
    """No request to a foreign host, no failed request, a quiet console, formulas set; nothing for axe to find, light or dark."""
    visit = Visit(window, f"{site}/{name}")
    page = visit.page
    try:
        unset = page.evaluate(
            "[...document.querySelectorAll('article .math')].filter(m => !m.querySelector('mjx-container'))"
            ".map(m => m.textContent)"
        )
        assert unset == [], "formulas that were not set"
        assert page.locator("mjx-merror").count() == 0, "formulas that MathJax does not understand"
        raw = page.evaluate(r"""[...document.querySelectorAll('article p, article li, article td, article figcaption')]
            .map(e => { const c = e.cloneNode(true); c.querySelectorAll('code, pre, script, mjx-container').forEach(x => x.remove());
                        return c.textContent; }).filter(t => /\$\$|\\\(|\\\[|\\begin\{/.test(t))""")
        assert raw == [], "TeX that stands raw in the text"
        page.add_script_tag(path=AXE)
        page.add_style_tag(content="* { transition: none !important; }")
        for mode, rules in (
            ("light", "axe.run()"),
            ("dark", "axe.run({runOnly: ['color-contrast']})"),
        ):
            page.emulate_media(color_scheme=mode)
            page.wait_for_function(f"document.documentElement.dataset.theme == '{mode}'")
            found = [
                f"{mode}: {v['id']} at {node['target']}: {node['html'][:150]}"
                for v in page.evaluate(rules)["violations"]
                for node in v["nodes"]
                if not any(s in str(node["target"]) for s in THEME_FAULTS.get(v["id"], []))
            ]
            assert found == [], "\n".join(found)
        assert visit.troubles == []
    finally:
        page.close()


@pytest.mark.parametrize("name", chapters())
def test_sliders(window, site, name):
    """Each slider moves its picture by mouse and by keyboard, and plays, without a kernel."""
    visit = Visit(window, f"{site}/lectures/{name}.html")
    page = visit.page
    outputs = page.locator(".cell_output:has(.widget-slider)")
    assert outputs.count() > 0, "the chapter has no slider"
    for k in range(outputs.count()):
        output = outputs.nth(k)
        handle, picture = output.locator("[role=slider]"), output.locator("img")
        handle.scroll_into_view_if_needed()
        assert (
            picture.count() == 1
            and picture.is_visible()
            and picture.evaluate("e => e.naturalWidth") > 100
        )

        def shown():
            return picture.get_attribute("alt") + picture.get_attribute("src")[-200:]

        def changes_after(act):
            before, value = shown(), handle.get_attribute("aria-valuetext")
            act()
            deadline = time.monotonic() + 3
            while shown() == before and time.monotonic() < deadline:
                page.wait_for_timeout(20)
            assert shown() != before, "the picture did not change"
            assert handle.get_attribute("aria-valuetext") != value, (
                "the slider does not say where it is"
            )

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
    assert visit.troubles == []
    page.close()


@pytest.mark.parametrize("name", chapters("exercises"))
def test_hints_unfold(window, site, name):
    visit = Visit(window, f"{site}/exercises/{name}.html")
    for hint in visit.page.locator("article details:has(> summary:text-is('Hint'))").all():
        inside = hint.locator("p").first
        assert not inside.is_visible()
        hint.locator("summary").click()
        assert inside.is_visible()
        for formula in hint.locator("mjx-container").all():
            assert formula.bounding_box()["width"] > 3
    assert visit.troubles == []
    visit.page.close()


@pytest.mark.parametrize("name", chapters())
def test_figures_are_readable(window, site, name):
    """Figures stand on white in both modes, and are neither dimmed nor wider than the text."""
    visit = Visit(window, f"{site}/lectures/{name}.html")
    text = visit.page.locator("article").bounding_box()
    for mode in ("light", "dark"):
        visit.page.emulate_media(color_scheme=mode)
        visit.page.wait_for_function(f"document.documentElement.dataset.theme == '{mode}'")
        for picture in visit.page.locator("article .cell_output img").all():
            dimmed, card = picture.evaluate(
                "e => [getComputedStyle(e).filter, getComputedStyle(e).backgroundColor]"
            )
            assert dimmed == "none" and card in ("rgb(255, 255, 255)", "rgba(0, 0, 0, 0)")
            box = picture.bounding_box()
            assert box["x"] + box["width"] <= text["x"] + text["width"] + 1
    visit.page.close()


def test_address_of_the_book_leads_to_the_welcome_page(window, site):
    page = window.new_page()
    page.goto(f"{site}/")
    page.wait_for_url("**/book/index.html")
    page.close()


def test_formulas_without_a_server(browser):
    """A page that was opened from the disk shows its formulas too."""
    context = browser.new_context()
    page = context.new_page()
    page.goto((HTML / "book" / "notation.html").as_uri(), wait_until="load")
    page.wait_for_selector("mjx-container", timeout=5000)
    context.close()
