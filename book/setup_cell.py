# @title Setup: run this first. It is the same in every notebook.
# fmt: off
import base64, html, importlib.metadata, importlib.util, io, os
import subprocess, sys
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # quicker on few cores

def install(*packages):
    """Install what is missing and leave jax and numpy as they are.
    True if all can be imported; where pip fails, it says why."""
    found = importlib.util.find_spec
    if missing := [p for p in packages if not found(p)]:
        keep = filter(found, ("jax", "jaxlib", "numpy"))
        pins = [f"{p}=={importlib.metadata.version(p)}" for p in keep]
        pip = [sys.executable, "-m", "pip", "install", *missing, *pins]
        done = subprocess.run(pip, stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.STDOUT)
        importlib.invalidate_caches()
        if done.returncode:
            print(done.stdout[done.stdout.find("ERROR"):])
    return all(map(found, packages))

install("jax", "optax", "matplotlib", "ipywidgets")
import ipywidgets as widgets, jax, jax.numpy as jnp, numpy as np
import matplotlib.pyplot as plt
from IPython.display import HTML, display
jax.config.update("jax_enable_x64", True)
if jax.default_backend() == "tpu" or jnp.float64(1) + 1e-15 == 1:
    print("No 64-bit numbers here: in Colab, change the runtime type to CPU.")
plt.rcParams.update({
    "figure.figsize": (6, 3.6), "figure.constrained_layout.use": True,
    "axes.spines.top": False, "axes.spines.right": False, "font.size": 11,
    "axes.grid": True, "grid.alpha": 0.3, "legend.frameon": False,
    "axes.prop_cycle": plt.cycler(linestyle=["-", "--", "-.", ":", "-", "--"],
        color="#0072B2 #D55E00 #009E73 #CC79A7 #56B4E9 #E69F00".split())})

def rng(k):
    """NumPy generator of check k: draws depend on k and on COURSE_SEED."""
    return np.random.default_rng([int(os.environ.get("COURSE_SEED", "0")), k])

def progress(items, label="step"):
    """Yield the items of a sequence; a line that goes away says how far."""
    say = getattr(display(HTML(""), display_id=True), "update", str)
    for k, item in enumerate(items):
        say(HTML(f"{label} {k} of {len(items)}"))
        yield item
    say(HTML(""))

def slider(values, draw, label):
    """A slider over the figures that `draw(value)` returns. All are drawn
    now, so it moves in a page without a kernel; Colab asks the kernel."""
    names = [f"{v:.4g}" if isinstance(v, float) else str(v) for v in values]
    frames = []
    for name, figure in zip(names, map(draw, values)):
        figure.savefig(png := io.BytesIO(), dpi=90)
        plt.close(figure)
        data = base64.b64encode(png.getvalue()).decode()
        alt = html.escape(f"{label} {name}")
        frames.append(f'<img style="max-width:100%" alt="{alt}" '
                      f'src="data:image/png;base64,{data}">')
    options = [(name, k) for k, name in enumerate(names)]
    pick = widgets.SelectionSlider(options=options, description=label)
    if "google.colab" in sys.modules or not hasattr(widgets, "Stack"):
        show = lambda k: display(HTML(frames[k]))
        return display(widgets.interactive(show, k=pick))
    play = widgets.Play(max=len(names) - 1, interval=600)
    stack = widgets.Stack([*map(widgets.HTML, frames)], selected_index=0)
    widgets.jslink((pick, "index"), (stack, "selected_index"))
    widgets.jslink((play, "value"), (pick, "index"))
    display(widgets.VBox([widgets.HBox([play, pick]), stack]))

def scorecard(rows):
    """Show rows (quantity, value, reference, source, tolerance). Raise if one
    misses; "<" or ">" as tolerance says on which side the value must be."""
    table = [["quantity", "this notebook", "reference", "source", "tolerance"]]
    missed = []
    for name, v, r, source, tol in rows:
        side = {"<": v < r, ">": v > r}
        if not (side[tol] if tol in side else abs(v - r) <= tol):
            missed.append(name)
        table += [[name, f"{v:.{10 if abs(v) > 1e-6 else 2}g}", f"{r:.10g}",
                   source, tol if tol in side else f"{tol:.1g}"]]
    page = "<tr><td>".join("<td>".join(map(html.escape, r)) for r in table)
    page = page.replace("<td>", "<th>", 4)
    display({"text/html": f"<table><tr><th>{page}</table>",
             "text/plain": "\n".join(map("  ".join, table)),
             "application/vnd.two-lessons.scorecard+json": table}, raw=True)
    assert not missed, "outside its tolerance: " + "; ".join(missed)

checks = {}
def note(cell):
    """Keep whether a cell that begins with `# Check 2.1 (a)` passed."""
    if cell.info.raw_cell.startswith("# Check "):
        checks[cell.info.raw_cell.split("\n")[0][8:]] = cell.success
if "get_ipython" in globals():
    get_ipython().events.register("post_run_cell", note)

def points(possible):
    """Say what the checks run so far have given, and what is open."""
    for check, most in possible.items():
        state = {True: f"{most} of {most}", False: f"0 of {most}: failed"}
        print(f"{check:9}{state.get(checks.get(check), 'not run yet')}")
    got = sum(most for check, most in possible.items() if checks.get(check))
    print(f"{got} of {sum(possible.values())} points so far (not a grade)")
