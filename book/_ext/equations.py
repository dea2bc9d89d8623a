r"""Displayed equations carry their number as `\tag{4.2}`, which reads in Colab. In the book the
number stands beside the formula, not in it, so that it is seen while a wide formula scrolls; and
"(4.2)" in running text leads to it.
"""

import re

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.nodes import make_refnode

TAG = re.compile(r"\s*\\tag\{(\d{1,2}\.\d{1,2}[a-z]?)\}")
REFERENCE = re.compile(r"\((\d{1,2}\.\d{1,2}[a-z]?)\)")
NO_PROSE = (
    nodes.literal,
    nodes.literal_block,
    nodes.math,
    nodes.math_block,
    nodes.raw,
    nodes.reference,
    nodes.title,
)


def anchor(number: str) -> str:
    return "eq-" + number.replace(".", "-")


def equations(env) -> dict[str, dict[str, str]]:
    """{number: {page: anchor}} of all pages read so far."""
    if not hasattr(env, "course_equations"):
        env.course_equations = {}
    return env.course_equations


def note(app, document):
    """Give each numbered formula its anchor, and remember on which page it stands."""
    page = app.env.docname
    for formula in document.findall(nodes.math_block):
        for number in TAG.findall(formula.astext()):
            formula["ids"].append(anchor(number))
            pages = equations(app.env).setdefault(number, {})
            if page in pages or (
                page.startswith("lectures/") and any(p.startswith("lectures/") for p in pages)
            ):
                logging.getLogger(__name__).warning(
                    "equation (%s) stands twice: here and in %s",
                    number,
                    ", ".join(pages),
                    location=formula,
                )
            pages[page] = anchor(number)


def forget(app, env, page):
    for pages in equations(env).values():
        pages.pop(page, None)


def merge(app, env, pages_read, other):
    for number, pages in equations(other).items():
        own = equations(env).setdefault(number, {})
        own.update({page: place for page, place in pages.items() if page in pages_read})


class Link(SphinxPostTransform):
    """Make "(4.2)" a link to that equation: on this page if it is there, else in its lecture."""

    default_priority = 200

    def run(self, **kwargs):
        for text in list(self.document.findall(nodes.Text)):
            if not REFERENCE.search(text) or self.within(text, NO_PROSE):
                continue
            parts, end = [], 0
            for match in REFERENCE.finditer(text):
                if not (page := self.page_of(match[1])):
                    continue
                parts += [nodes.Text(text[end : match.start()]), self.link(page, match)]
                end = match.end()
            if parts:
                text.parent.replace(text, [*parts, nodes.Text(text[end:])])

    @staticmethod
    def within(node, kinds) -> bool:
        while node := node.parent:
            if isinstance(node, kinds):
                return True
        return False

    def page_of(self, number: str) -> str | None:
        own, pages = self.env.docname, equations(self.env).get(number, {})
        return own if own in pages else next((p for p in pages if p.startswith("lectures/")), None)

    def link(self, page: str, match: re.Match):
        return make_refnode(
            self.app.builder, self.env.docname, page, anchor(match[1]), nodes.inline("", match[0])
        )


class Number(SphinxPostTransform):
    """Take the number out of a formula and set it beside: the formula scrolls, the number stays.

    A block with several numbers keeps them; it scrolls as a whole.
    """

    default_priority = 210
    formats = ("html",)

    def run(self, **kwargs):
        for formula in list(self.document.findall(nodes.math_block)):
            numbers = TAG.findall(formula.astext())
            if len(numbers) != 1:
                continue
            bare = TAG.sub("", formula.astext())
            row = nodes.container(ids=formula["ids"], classes=["equation"])
            beside = nodes.inline("", f"({numbers[0]})", classes=["eqno"])
            formula.replace_self(row)
            row += nodes.math_block(bare, bare, **{**formula.attributes, "ids": []})
            row += beside


def setup(app):
    app.connect("doctree-read", note)
    app.connect("env-purge-doc", forget)
    app.connect("env-merge-info", merge)
    app.add_post_transform(Link)
    app.add_post_transform(Number)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "env_version": 1}
