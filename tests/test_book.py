"""The built book, read without a browser: complete, reachable, and asking nobody for anything."""

import re
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup
from markdown_it import MarkdownIt
from pybtex.database import parse_file

from course.notebooks import (
    ONLY,
    ROOT,
    address,
    book_folder,
    chapters,
    chosen,
    contents,
    path_of,
    read,
)

HTML = book_folder(ONLY)
LOADS = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "embed": "src",
    "object": "data",
    "link": "href",
}
NAMES = chosen("lectures", ONLY)
each_chapter = pytest.mark.parametrize("name", NAMES)
whole_book = pytest.mark.skipif(bool(ONLY), reason="the whole book was not built")


def extension(name: str):
    """A module of book/_ext: what it looks for is written there, once."""
    spec = spec_from_file_location(name, ROOT / "book" / "_ext" / f"{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


folded, citations, equations = map(extension, ("folded", "citations", "equations"))


@cache
def notebook(room: str, name: str):
    return read(path_of(room, name))


def source(room: str, name: str) -> str:
    return "\n\n".join(cell.source for cell in notebook(room, name).cells)


def pages() -> list[str]:
    """The built pages, relative to the book's folder; what stands in _static is no page."""
    return sorted(
        p.relative_to(HTML).as_posix() for p in HTML.rglob("*.html") if "_static" not in p.parts
    )


@cache
def soup(page: str) -> BeautifulSoup:
    path = HTML / page
    if not path.is_file():
        pytest.fail(f"the book has no page {page}: run `make book`")
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def links(page: str) -> set[str]:
    """Pages of the book to which the text of a page (not its margins) links."""
    hrefs = (a["href"] for a in soup(page).article.find_all("a", href=True))
    local = (urlsplit(h).path for h in hrefs if not urlsplit(h).scheme and urlsplit(h).path)
    return {
        (HTML / page).parent.joinpath(unquote(h)).resolve().relative_to(HTML.resolve()).as_posix()
        for h in local
    }


@whole_book
def test_there_is_a_page_for_every_entry_of_the_contents():
    files = contents()
    assert len(files) == len(set(files))
    assert [f for f in files if not (HTML / f"{f}.html").is_file()] == []
    rooms = {
        f"{room}/{name}"
        for room in ("lectures", "exercises", "solutions")
        for name in chapters(room)
    }
    assert rooms <= set(files), f"not in _toc.yml: {rooms - set(files)}"


@pytest.mark.parametrize("page", pages())
def test_nothing_comes_from_elsewhere(page):
    loaded = [
        (tag.name, tag[LOADS[tag.name]])
        for tag in soup(page).find_all(list(LOADS))
        if tag.get(LOADS[tag.name])
        and not (
            tag.name == "link"
            and set(tag.get("rel", [])) & {"canonical", "next", "prev", "search", "index"}
        )
    ]
    assert [one for one in loaded if urlsplit(one[1]).netloc or one[1].startswith("//")] == []
    styles = " ".join(
        [
            *(s.get_text() for s in soup(page).find_all("style")),
            *(t["style"] for t in soup(page).find_all(style=True)),
        ]
    )
    assert re.findall(r"(?:@import|url\()[\s\"']*(?:https?:)?//[^)\"']*", styles) == []


def test_no_style_sheet_asks_elsewhere():
    for sheet in HTML.rglob("*.css"):
        text = re.sub(r"/\*.*?\*/", "", sheet.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert (
            re.findall(r"(?:@import\s*[\"']?|url\([\s\"']*)(?:https?:)?//[^)\"']*", text) == []
        ), sheet.name


@pytest.mark.parametrize("page", pages())
def test_every_picture_has_words(page):
    pictures = [
        img for img in soup(page).find_all("img") if "logo__image" not in img.get("class", [])
    ]  # its name stands beside it
    assert [str(img)[:120] for img in pictures if not (img.get("alt") or "").strip()] == []


@pytest.mark.parametrize("page", pages())
def test_links_within_the_book_lead_somewhere(page):
    for link in soup(page).find_all("a", href=True):
        parts = urlsplit(link["href"])
        if parts.scheme or parts.netloc:
            continue
        target = (
            (HTML / page).parent.joinpath(unquote(parts.path)).resolve()
            if parts.path
            else HTML / page
        )
        assert target.is_file(), f"{link['href']} leads nowhere"
        if parts.fragment and target.suffix == ".html":
            anchors = soup(target.relative_to(HTML.resolve()).as_posix())
            assert anchors.find(id=unquote(parts.fragment)), (
                f"{link['href']}: the page has no such place"
            )


@each_chapter
def test_from_statement_to_colab_hint_and_solution(name):
    """By one click: from the chapter to its exercises, from each to Colab, hint and solution."""
    assert f"exercises/{name}.html" in links(f"lectures/{name}.html")
    page = soup(f"exercises/{name}.html")
    assert f"solutions/{name}.html" in links(f"exercises/{name}.html")
    headings = [h2 for h2 in page.article.find_all("h2") if h2.get_text().startswith("Exercise ")]
    assert headings
    for heading in headings:
        section = heading.parent
        hrefs = [a["href"] for a in section.find_all("a", href=True)]
        assert f"{address()['colab']}/exercises/{name}.ipynb" in hrefs
        assert any(f"solutions/{name}.html#exercise-" in h for h in hrefs), heading.get_text()
        hint = section.find("details")
        assert (
            hint.summary.get_text().strip() == "Hint"
            and not hint.has_attr("open")
            and len(hint.get_text()) > 20
        )


@pytest.mark.parametrize("room", ["lectures", "exercises", "solutions"])
@each_chapter
def test_every_notebook_page_opens_in_colab(name, room):
    wanted = f"{address()['colab']}/{room}/{name}.ipynb"
    page = soup(f"{room}/{name}.html")
    assert page.article.find("a", href=wanted), "no link in the text"
    assert page.find("a", class_="dropdown-item", href=wanted), "no launch button"


@whole_book
@each_chapter
def test_exercises_stand_below_their_chapter(name):
    menu = soup(f"lectures/{name}.html").find("nav", class_="bd-links")
    item = next(li for li in menu.find_all("li") if li.a and li.a.get("href") == "#")
    assert f"../exercises/{name}.html" in [a["href"] for a in item.ul.find_all("a")]


@pytest.mark.parametrize("room", ["lectures", "exercises", "solutions"])
@each_chapter
def test_what_is_not_the_subject_is_folded_and_nothing_else(name, room):
    """Folded means: the code one click away, what it shows in sight."""
    for cell in soup(f"{room}/{name}.html").article.select("div.cell"):
        kinds = [kind for kind in folded.FOLDED if f"tag_{kind}" in cell["class"]]
        details = cell.find_all("details", class_="hide")
        assert len(details) == (1 if kinds else 0), cell.get_text()[:80]
        for fold in details:
            label = fold.summary.p.get_text()
            assert label == f"{folded.FOLDED[kinds[-1]]}: show the code"
            assert not fold.has_attr("open") and fold.find("pre")
            assert not fold.find(class_="cell_output")


@each_chapter
def test_titles_of_exercises_have_one_form(name):
    rooms = ("exercises", "solutions")
    exercises, solutions = [notebook(room, name).cells[0].source.split("\n")[0] for room in rooms]
    assert re.fullmatch(rf"# {int(name[:2])}\. Exercises: \S.*", exercises), exercises
    assert solutions == exercises.replace("Exercises", "Solutions", 1)


def prose_links(room: str, name: str) -> list[str]:
    """The addresses to which the prose of a notebook links."""
    cells = [c.source for c in notebook(room, name).cells if c.cell_type == "markdown"]
    tokens = MarkdownIt().parse("\n\n".join(cells))
    inside = [child for token in tokens for child in token.children or []]
    return [token.attrs["href"] for token in inside if token.type == "link_open"]


@pytest.mark.parametrize("room", ["lectures", "exercises", "solutions"])
@each_chapter
def test_linked_works_are_in_the_references(name, room):
    known = citations.addresses(parse_file(ROOT / "book" / "references.bib").entries)
    papers = [
        link
        for link in prose_links(room, name)
        if re.search(r"//(dx\.)?doi\.org/|//arxiv\.org/", link)
    ]
    missing = [link for link in papers if citations.plain(link) not in known]
    assert missing == [], "links to works that are in no entry of book/references.bib"


@pytest.mark.parametrize("room", ["lectures", "exercises", "solutions"])
@each_chapter
def test_linked_works_have_their_number_in_the_book(name, room):
    known = citations.addresses(parse_file(ROOT / "book" / "references.bib").entries)
    bare = []
    for link in soup(f"{room}/{name}.html").article.find_all("a", href=True):
        if citations.plain(link["href"]) not in known:
            continue
        number = link.find_next("a")
        if not (
            number
            and re.fullmatch(r"\d+", number.get_text())
            and "references.html#" in number["href"]
        ):
            bare.append(link["href"])
    assert bare == [], "links without the number of their entry"


def prose(page: str):
    """The pieces of running text of a page: no code, no formula, no link."""
    no_prose = ["a", "pre", "code", "script", "style"]
    for text in soup(page).article.find_all(string=True):
        if not (text.find_parent(no_prose) or text.find_parent(class_=["math", "eqno", "cell"])):
            yield str(text)


@each_chapter
def test_references_to_equations_lead_somewhere(name):
    """In prose "(4.2)" is a link; in code "eq. (4.2)" names an equation that there is."""
    own = rf"\({int(name[:2])}\.\d{{1,2}}[a-z]?\)"
    named = rf"\b[Ee]q(s|uations?)?\.?\s*{equations.REFERENCE.pattern}"
    sought = own if ONLY else f"{own}|{named}"  # other chapters' pages may not be there
    lost = [
        f"{room}/{name}: … {text} …"
        for room in ("lectures", "exercises", "solutions")
        for text in prose(f"{room}/{name}.html")
        if re.search(sought, text)
    ]
    assert lost == [], "no such equation"
    known = {n for other in chapters() for n in equations.TAG.findall(source("lectures", other))}
    for room in ("lectures", "exercises", "solutions"):
        text = source(room, name)
        cited = [match[2] for match in re.finditer(named, text)]
        assert set(cited) <= known | set(equations.TAG.findall(text)), f"{room}/{name}"


@each_chapter
def test_numbers_of_equations_stand_beside_them(name):
    article = soup(f"lectures/{name}.html").article
    for number in equations.TAG.findall(source("lectures", name)):
        row = article.find(id=equations.anchor(number))
        assert row and "equation" in row["class"], f"({number}) has no place in the page"
        assert row.find(class_="eqno").get_text() == f"({number})"
        assert "\\tag" not in row.get_text()


@each_chapter
def test_every_figure_is_shown_with_its_caption(name):
    page = soup(f"lectures/{name}.html")
    cells = page.article.select("div.cell.tag_figure")
    assert cells
    for cell in cells:
        assert cell.find("img") and cell.find("figcaption"), cell.get_text()[:80]


@whole_book
@each_chapter
def test_welcome_page_and_map_lead_to_the_chapter(name):
    card = [
        c
        for c in soup("book/index.html").select(".sd-card")
        if c.find("a", href=f"../lectures/{name}.html")
    ]
    assert card and card[0].find("img", alt=True)
    assert {f"lectures/{name}.html", f"exercises/{name}.html"} <= links("book/map.html")


@each_chapter
def test_scorecard_page_has_the_chapter(name):
    assert f"lectures/{name}.html" in links("book/scorecard.html")
    assert len(soup("book/scorecard.html").article.find_all("table")) == len(NAMES)


@whole_book
def test_map_has_every_topic_of_the_talk():
    """Numbers 0 to 23, each said to be open or planned."""
    rows = [
        tr
        for table in soup("book/map.html").article.find_all("table")
        for tr in table.find_all("tr")
        if len(tr.find_all("td")) == 3 and tr.td.get_text().strip().isdigit()
    ]
    assert [int(tr.td.get_text()) for tr in rows] == list(range(24))
    stands = f"{len(chapters())} chapters of {len(rows)}"
    assert stands in (ROOT / "README.md").read_text(encoding="utf-8")
    for tr in rows:
        state = tr.find_all("td")[2].get_text()
        opened = any(name.startswith(f"{int(tr.td.get_text()):02d}_") for name in chapters())
        assert state.startswith("open" if opened else "planned"), tr.get_text(" ")


def test_references_say_where_to_find_them():
    text = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    entries = re.split(r"\n(?=@)", text)[1:]
    assert (
        entries
        and [e.splitlines()[0] for e in entries if not re.search(r"\b(doi|eprint|url|isbn)\s*=", e)]
        == []
    )
    keys = [re.match(r"@\w+\{([^,]+),", e)[1] for e in entries]
    assert len(keys) == len(set(keys))


def test_licences_of_what_was_vendored():
    for part in (
        "book/vendor/mathjax/LICENSE",
        "book/vendor/widgets/LICENSE",
        "book/vendor/README.md",
        "tests/vendor/LICENSE",
    ):
        assert Path(ROOT, part).stat().st_size > 500
