"""In a notebook a citation is an ordinary link to a DOI, to arXiv or to an address, which reads in
Colab. Here each link whose address belongs to an entry of references.bib gets the number of that
entry, [12], which leads to the references page.

The number is what the role {cite} would have written, so sphinxcontrib-bibtex numbers and lists
the entry.
"""

from pathlib import Path
from urllib.parse import unquote

from docutils import nodes

ROOMS = ("lectures/", "exercises/", "solutions/")


def plain(address: str) -> str:
    """An address as it is compared: no percent signs, capitals, fragment, or slash at its end."""
    address = unquote(address).lower().split("#")[0].rstrip("/")
    return address.replace("http://", "https://").replace("https://dx.doi.org", "https://doi.org")


def addresses(entries) -> dict[str, str]:
    """{address: key} of pybtex's entries: the DOI, the arXiv number and the url of each."""
    where = {}
    for key, entry in entries.items():
        for field, front in (
            ("doi", "https://doi.org/"),
            ("eprint", "https://arxiv.org/abs/"),
            ("url", ""),
        ):
            if value := entry.fields.get(field):
                where.setdefault(plain(front + value.replace("\\", "")), key)
    return where


def number_links(app, document):
    env = app.env
    if not env.docname.startswith(ROOMS):
        return
    from sphinx.addnodes import pending_xref
    from sphinxcontrib.bibtex.citation_target import CitationTarget
    from sphinxcontrib.bibtex.roles import CitationRef

    domain = env.get_domain("cite")
    where = addresses(domain.bibdata.data.entries)
    for name in app.config.bibtex_bibfiles:  # a new entry gives its number to links that stand
        env.note_dependency(str(Path(app.srcdir, name)))
    for link in list(document.findall(nodes.reference)):
        if not (key := where.get(plain(link.get("refuri", "")))):
            continue
        number = pending_xref(
            key,
            nodes.inline(key, key),
            refdomain="cite",
            reftype="p",
            reftarget=key,
            refdoc=env.docname,
            refexplicit=False,
            refwarn=True,
        )
        number.source, number.line = link.source or env.doc2path(env.docname), link.line
        document.note_explicit_target(number, number)  # by its id the references page leads back
        domain.citation_refs.append(
            CitationRef(
                number["ids"][0], env.docname, link.line or 0, [CitationTarget(key, "", "")]
            )
        )
        at = link.parent.index(link) + 1
        link.parent[at:at] = [nodes.Text("\N{NO-BREAK SPACE}"), number]


def setup(app):
    app.connect("doctree-read", number_links)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
