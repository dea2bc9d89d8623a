# Setup, the same in every notebook. Run it first; in Colab it also installs what is missing.
import base64, html, importlib.metadata, importlib.util, io, os, subprocess, sys
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")    # small LAPACK calls are faster so, on a few busy cores

def install(*packages):
    """Install the missing ones of `packages`, leaving jax and numpy as they are. True if all can be imported."""
    missing = [p for p in packages if importlib.util.find_spec(p) is None]
    if missing:
        keep = [f"{p}=={importlib.metadata.version(p)}" for p in ("jax", "jaxlib", "numpy") if importlib.util.find_spec(p)]
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", *missing, *keep], capture_output=True)
        importlib.invalidate_caches()
    return all(importlib.util.find_spec(p) for p in packages)

install("jax", "optax", "matplotlib", "ipywidgets")
import jax, jax.numpy as jnp, numpy as np, ipywidgets as widgets, matplotlib.pyplot as plt
from IPython.display import HTML, display
jax.config.update("jax_enable_x64", True)
plt.rcParams.update({"figure.figsize": (6, 3.6), "figure.facecolor": "white", "savefig.facecolor": "white",
    "figure.constrained_layout.use": True, "font.size": 11, "axes.grid": True, "grid.alpha": 0.3,
    "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False, "axes.prop_cycle": plt.cycler(
        color=["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"], linestyle=["-", "--", "-.", ":", "-", "--"])})

def rng(k):
    """NumPy generator of check number k: its draws depend on k and on the environment's COURSE_SEED."""
    return np.random.default_rng([int(os.environ.get("COURSE_SEED", "0")), k])

def progress(items, label="step"):
    """Yield the items of a sequence while one line tells how far we are; the line goes away at the end."""
    line = display(HTML(""), display_id=True)
    for k, item in enumerate(items):
        line.update(HTML(f"{label} {k} of {len(items)}"))
        yield item
    line.update(HTML(""))

def slider(values, draw, label):
    """A slider over `values`: `draw(value)` returns a figure, all are drawn now, so it moves without a kernel."""
    names, frames = [f"{v:.4g}" if isinstance(v, float) else str(v) for v in values], []
    for value, name in zip(values, names):
        figure, png = draw(value), io.BytesIO()
        figure.savefig(png, format="png", dpi=90); plt.close(figure)
        src = "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()
        frames.append(f'<img style="max-width:100%" alt="{html.escape(f"{label} {name}")}" src="{src}">')
    pick = widgets.SelectionSlider(options=[(n, k) for k, n in enumerate(names)], description=label)
    if not hasattr(widgets, "Stack"):                 # ipywidgets 7, as in Colab: the kernel shows the frame
        return display(widgets.interactive(lambda k: display(HTML(frames[k])), k=pick))
    play, stack = widgets.Play(max=len(names) - 1, interval=600), widgets.Stack([widgets.HTML(f) for f in frames], selected_index=0)
    widgets.jslink((pick, "index"), (stack, "selected_index")), widgets.jslink((play, "value"), (pick, "index"))
    display(widgets.VBox([widgets.HBox([play, pick]), stack]))

def scorecard(rows):
    """Show rows (quantity, value, reference, source, tolerance); raise, naming them, if rows miss their tolerance.
    A number as tolerance bounds |value - reference|; "<" or ">" says on which side of the reference the value must be."""
    ok = [v < r if tol == "<" else v > r if tol == ">" else abs(v - r) <= tol for _, v, r, _, tol in rows]
    table = [["quantity", "this notebook", "reference", "source", "tolerance"]]
    table += [[q, f"{v:.{10 if abs(v) > 1e-6 else 2}g}", f"{r:.10g}", s, tol if tol in ("<", ">") else f"{tol:.1g}"] for q, v, r, s, tol in rows]
    display({"text/html": "<table><tr><th>" + "<tr><td>".join("<td>".join(map(html.escape, row)) for row in table)
                          .replace("<td>", "<th>", 4) + "</table>",
             "text/plain": "\n".join("  ".join(cell.ljust(24) for cell in row) for row in table),
             "application/vnd.two-lessons.scorecard+json": table}, raw=True)
    assert all(ok), "outside its tolerance: " + "; ".join(row[0] for row, fine in zip(rows, ok) if not fine)
