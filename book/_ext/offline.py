"""No page asks a foreign host for anything.

MathJax and the widget manager are in book/vendor (see its README); what is left is thebe, which
Jupyter Book always loads, from unpkg. The course does not use it, so its listeners are taken away,
and with them its scripts (which stood twice on every page) and its style.
"""


def setup(app):
    for listeners in app.events.listeners.values():
        listeners[:] = [one for one in listeners if one.handler.__module__ != "sphinx_thebe"]
    app.registry.css_files[:] = [one for one in app.registry.css_files if "thebe" not in one[0]]
    return {"parallel_read_safe": True, "parallel_write_safe": True}
