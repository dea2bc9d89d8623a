"""Collapse the cells tagged `setup`. Done on the document tree: a tag `hide-input` in the notebooks would do the same,
but every notebook would have to carry it, in Colab too."""

from docutils import nodes


def fold(app, document):
    for cell in document.findall(nodes.container):
        if cell.get("nb_element") == "cell_code" and "tag_setup" in cell["classes"]:
            cell.attributes.update(
                hide_mode="input",
                prompt_show="Setup: show the code",
                prompt_hide="Setup: hide the code",
            )


def setup(app):
    app.connect("doctree-read", fold)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
