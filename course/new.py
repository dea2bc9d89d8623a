"""`python -m course new NN_subject`: a chapter that already passes every check, to be written
over."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from course.notebooks import CHAPTER_NAME, ROOT, CourseError, write
from course.sync import sync

LECTURE = [
    (
        "title",
        "# {n}. Title of the chapter\n\nOne sentence of promise: what the reader will have made "
        "at the end.",
    ),
    ("badge", "Open in Colab"),
    (
        "about",
        "**What you will be able to do**\n\n- differentiate a function and check the "
        "derivative;\n- …\n- …\n\n"
        "**What you need**: the chapters before this one.\n\n**How long it takes**: half an "
        "hour.\n\n"
        "**The talk**: the topics that this chapter follows.",
    ),
    ("setup", "setup", ""),
    ("question", "## The question\n\nWhy does it matter, and which picture do we want to see?"),
    (
        "build",
        "## Build it\n\nA step of derivation, then its code, then a check. Here: $f(x) = \\sin "
        "x$, whose derivative is "
        "$$ f'(x) = \\cos x. \\tag{{{n}.1}} $$",
    ),
    (
        "f",
        "define",
        'def f(x):\n    """The sine of `x` (radians), any shape."""\n    return jnp.sin(x)',
    ),
    (
        "check-f",
        "check",
        'x0 = 0.3\nassert abs(jax.grad(f)(x0) - jnp.cos(x0)) < 1e-12, "f\' is not eq. ({n}.1)"\n'
        'print("the derivative is the cosine")',
    ),
    ("experiment", "## The experiment\n\nThe same at every point, with `vmap`."),
    ("run-f", "run", "x = jnp.linspace(-jnp.pi, jnp.pi, 201)\nslope = jax.vmap(jax.grad(f))(x)"),
    (
        "fig-f",
        "figure",
        'fig, ax = plt.subplots()\nax.plot(x, f(x), label="$f$")\nax.plot(x, slope, '
        'label="$f\'$")\n'
        'ax.set(xlabel="x (rad)", ylabel="value")\nax.legend()\nplt.show()',
        {
            "mystnb": {
                "image": {"alt": "The sine and its derivative over one period"},
                "figure": {"caption": "The sine and its derivative.", "name": "fig-{name}-f"},
            }
        },
    ),
    ("explore", "## Explore\n\nMove the slider: the tangent at $x_0$."),
    (
        "explore-f",
        "explore",
        "def draw(x0):\n    fig, ax = plt.subplots(figsize=(6, 3.2))\n    ax.plot(x, f(x))\n"
        "    ax.plot(x, f(x0) + jax.grad(f)(x0) * (x - x0))\n"
        '    ax.set(xlabel="x (rad)", ylabel="f", ylim=(-1.5, 1.5))\n    return fig\n\n'
        'slider([-2.0, -1.0, 0.0, 1.0, 2.0], draw, "x0")',
    ),
    (
        "practice",
        "## In practice\n\nThe library that people use for this, and its answer beside ours: "
        "here finite differences.",
    ),
    (
        "run-practice",
        "run",
        "h = 1e-6\ncentral = (f(x0 + h) - f(x0 - h)) / (2 * h)\n"
        'print("central difference:", central, " ours:", jax.grad(f)(x0))',
    ),
    ("scores", "## Scorecard"),
    (
        "scorecard",
        "check",
        'reference = jnp.cos(x0), "exact, eq. ({n}.1)"\n'
        'scorecard([("f\'(0.3)", jax.grad(f)(x0), *reference, 1e-12)])',
    ),
    ("summary", "## Summary\n\nWhat was learned, in three sentences."),
    ("exercises", "## Exercises\n\n[The exercises of this chapter](../exercises/{name}.ipynb)"),
    ("reading", "## Further reading\n\nBooks and papers, with citations."),
]
SOLUTION = [
    ("title", "# {n}. Solutions: title of the chapter"),
    ("badge", "Open in Colab"),
    ("setup", "setup", ""),
    ("given", "given", "", {"course": {"given": ["f"]}}),
    (
        "ex-1",
        "## Exercise {n}.1: The derivative of a product (1 point)\n\nWrite the derivative of "
        "$x f(x)$, with the chapter's `f(x)`, the sine.\n\n<details><summary>Hint</summary>\n\n"
        "The product rule: $(uv)' = u'v + uv'$.\n\n</details>",
    ),
    (
        "ex-1-solution",
        "solution",
        "# Exercise {n}.1\ndef slope(x):\n"
        '    """Derivative of x f(x) at `x` (radians), any shape."""\n'
        "    ### BEGIN SOLUTION\n    return f(x) + x * jnp.cos(x)\n    ### END SOLUTION",
        {"course": {"exercise": "{n}.1"}},
    ),
    (
        "ex-1-check",
        "check",
        "x = rng(1).uniform(0.5, 1.5)\nexpected = jax.grad(lambda x: x * jnp.sin(x))(x)\n"
        "assert abs(slope(x) - expected) < 1e-10, (\n"
        '    "the slope is wrong: are both terms of the product rule there?"\n)\n'
        'print(f"slope at {{x:.3f}}: {{slope(x):.4f}}")',
        {"course": {"exercise": "{n}.1", "points": 1}},
    ),
    ("ex-1-discussion", "solution", "The product rule, one term for each factor."),
]
ANSWERS = '''"""Right and wrong answers to the exercises of chapter {n}: whole solution cells."""


def answer(body):
    return f"# Exercise {n}.1\\ndef slope(x):\\n    return {{body}}\\n"


ANSWERS = {{"{n}.1": {{
    "right": {{"reordered": answer("x * np.cos(x) + np.sin(x)"),
              "by jax": answer("jax.grad(lambda y: y * jnp.sin(y))(x)")}},
    "wrong": {{"sign": answer("jnp.sin(x) - x * jnp.cos(x)"),
              "one term": answer("x * jnp.cos(x)"),
              "other term": answer("jnp.sin(x)"),
              "factor": answer("2 * (jnp.sin(x) + x * jnp.cos(x))"),
              "hard-coded": answer("1.3818")}}}}}}
'''
TEST = '''"""Chapter {n}: its functions at values that the chapter does not use."""

import jax
import numpy as np
from conftest import lazily

chapter = lazily("{name}")


def test_derivative():
    x = np.linspace(-3, 3, 7)
    slopes = [jax.grad(chapter.f)(t) for t in x]
    np.testing.assert_allclose(slopes, np.cos(x), rtol=0, atol=1e-12)
'''


def filled(value, **fields):
    """`value` with {n} and {name} replaced in all its texts."""
    if isinstance(value, str):
        return value.format(**fields)
    if isinstance(value, dict):
        return {key: filled(item, **fields) for key, item in value.items()}
    return value


def notebook(cells, **fields):
    """A notebook from (id, text) for prose and (id, tag, source, metadata) for code; the tag
    solution without code is prose."""
    made = []
    for ident, *rest in cells:
        if len(rest) == 1:
            made.append(new_markdown_cell(filled(rest[0], **fields), id=ident))
            continue
        tag, source, *metadata = rest
        cell = new_markdown_cell if ident.endswith("discussion") else new_code_cell
        text = filled(source, **fields)
        made.append(
            cell(text, id=ident, metadata={"tags": [tag], **filled(dict(*metadata), **fields)})
        )
    return new_notebook(
        cells=made,
        metadata=nbformat.from_dict(
            {
                "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
                "language_info": {"name": "python"},
            }
        ),
    )


def add_to_contents(name: str, text: str) -> str:
    """`_toc.yml` with the chapter (its exercises below it) and its solution, in their places by
    number."""
    chapter = f"  - file: lectures/{name}\n    sections:\n    - file: exercises/{name}\n"
    for entry, pattern in (
        (chapter, r"  - file: lectures/(\d\d_\w+)\n(?:    .*\n)*"),
        (f"  - file: solutions/{name}\n", r"  - file: solutions/(\d\d_\w+)\n"),
    ):
        places = list(re.finditer(pattern, text))
        before = [m for m in places if m[1] < name]
        if not places:
            raise CourseError("_toc.yml lists no chapter yet beside which this one could be put.")
        at = before[-1].end() if before else places[0].start()
        text = text[:at] + entry + text[at:]
    return text


def create(name: str, root: Path = ROOT) -> list[Path]:
    """Write the files of a new chapter and its place in the table of contents; nothing that exists
    is touched."""
    if not CHAPTER_NAME.fullmatch(name):
        raise CourseError(
            "A chapter is called NN_subject, for example 05_response (lower case, no spaces), "
            f"not {name!r}."
        )
    if taken := list((root / "lectures").glob(f"{name[:2]}_*.ipynb")):
        raise CourseError(f"Chapter {name[:2]} exists already: lectures/{taken[0].name}.")
    fields = {"n": int(name[:2]), "name": name}
    files = {
        root / "lectures" / f"{name}.ipynb": notebook(LECTURE, **fields),
        root / "solutions" / f"{name}.ipynb": notebook(SOLUTION, **fields),
        root / "tests" / "answers" / f"{name}.py": ANSWERS.format(**fields),
        root / "tests" / f"test_{name}.py": TEST.format(**fields),
    }
    if there := [path for path in files if path.exists()]:
        raise CourseError(f"{there[0].relative_to(root)} exists already; nothing was written.")
    contents = root / "_toc.yml"
    toc = add_to_contents(name, contents.read_text(encoding="utf-8"))
    for path, content in files.items():
        if isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        else:
            write(content, path)
    contents.write_text(toc, encoding="utf-8")
    sync(root, only=(name,))
    return [*files, root / "exercises" / f"{name}.ipynb", contents]
