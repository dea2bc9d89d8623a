"""Collapse the code that is not the subject: plumbing, drawing, what an exercise is given.

Done on the document tree: a tag `hide-input` in the notebooks would do the same, but would stand in
every notebook. What such a cell prints or draws stays visible.
"""

from docutils import nodes

FOLDED = {
    "setup": "Setup",
    "draw": "Drawing",
    "figure": "Figure",
    "explore": "Slider",
    "given": "Given by the chapter",
}


def fold(app, document):
    for cell in document.findall(nodes.container):
        if cell.get("nb_element") != "cell_code":
            continue
        for tag, name in FOLDED.items():
            if f"tag_{tag}" in cell["classes"]:
                cell["hide_mode"] = "input"
                cell["prompt_show"] = f"{name}: show the code"
                cell["prompt_hide"] = f"{name}: hide the code"


def setup(app):
    app.connect("doctree-read", fold)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
