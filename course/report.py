"""What a graded class gets: tables (CSV, JSON), a feedback page for each student, a summary for
the instructor."""

from __future__ import annotations

import csv
import html
import io
import json
import os
import re
import statistics
from collections import defaultdict
from datetime import datetime
from pathlib import Path

COLUMNS = (
    "student",
    "chapter",
    "exercise",
    "points",
    "possible",
    "verdict",
    "reason",
    "file",
    "late",
)
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>{title}</title>
<style>
body{{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;
color:#222}}
table{{border-collapse:collapse}}
td,th{{border-bottom:1px solid #ccc;padding:.3rem .8rem;text-align:left;vertical-align:top}}
pre{{background:#f4f4f4;padding:.8rem;overflow:auto;max-height:30rem}}.good{{color:#00664b}}.bad{{color:#a33c00}}</style>
<h1>{title}</h1>
{body}
</html>"""


def rows_of(looked: list[dict], done: dict, deadline: float | None) -> list[dict]:
    """One row for each exercise of each submission, and one for each submission that has none. Of
    several notebooks of a student for one chapter the best counts."""
    rows, totals = [], defaultdict(list)
    for about in looked:
        if (record := done.get(about["key"])) and record["rows"] and not about["problem"]:
            totals[about["student"], about["chapter"]].append(
                (sum(r["points"] for r in record["rows"]), about["file"])
            )
    for about in looked:
        common = {
            "student": about["student"],
            "chapter": about["chapter"],
            "file": about["file"],
            "late": "yes" if deadline and about["modified"] > deadline else "",
        }
        empty = {**common, "exercise": "", "points": 0, "possible": 0}
        record, mine = done.get(about["key"]), totals[about["student"], about["chapter"]]
        best = max(mine, key=lambda m: m[0])[1] if mine else None
        if about["problem"]:
            rows.append({**empty, "verdict": "not gradable", "reason": about["problem"]})
        elif record is None:
            rows.append(
                {
                    **empty,
                    "verdict": "not yet graded",
                    "reason": "the run was stopped before: the same command goes on",
                }
            )
        elif not record["graded"]:
            rows.append({**empty, "verdict": "not graded", "reason": record["problem"]})
        elif about["file"] != best:
            rows.append(
                {
                    **empty,
                    "verdict": "duplicate",
                    "reason": f"another notebook of this chapter, {best}, counts instead: it has "
                    f"{max(mine)[0]} points, this one {sum(r['points'] for r in record['rows'])}",
                }
            )
        else:
            rows += [
                {
                    **common,
                    **{
                        k: r[k]
                        for k in ("exercise", "name", "points", "possible", "verdict", "reason")
                    },
                }
                for r in record["rows"]
            ]
    return rows


def harmless(value):
    """A text that a spreadsheet does not take for a formula, on one line."""
    if not isinstance(value, str):
        return value
    text = "".join(c if c.isprintable() else " " for c in value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def table(rows: list[dict], columns) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: harmless(v) for k, v in row.items()} for row in rows)
    return text.getvalue()


def save(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8", errors="replace")
    os.replace(part, path)


def file_name(student: str, taken: set[str]) -> str:
    """A file name for a student's page, which no name can lead elsewhere."""
    stem = re.sub(r'[\\/:*?"<>|\x00-\x1f]', "_", student).strip(" .") or "student"
    stem = stem.encode()[:150].decode(errors="ignore")
    name, k = stem, 2
    while name.casefold() in taken:
        name, k = f"{stem}-{k}", k + 1
    taken.add(name.casefold())
    return f"{name}.html"


def lines(cells: list, tag: str = "td") -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(str(c))}</{tag}>" for c in cells) + "</tr>"


def feedback(student: str, rows: list[dict], looked: list[dict]) -> str:
    """A student's page: marks, reasons and the code that was graded."""
    body = [
        f"<p><strong>{sum(r['points'] for r in rows)} of {sum(r['possible'] for r in rows)} "
        "points.</strong> "
        "Only the cells of the exercises were graded, in the notebook as it was given out, with "
        "random inputs of their own.</p>"
    ]
    code = {
        (a["file"], number): source
        for a in looked
        if a["student"] == student
        for number, source in a["sources"].items()
    }
    for row in rows:
        if not row["exercise"]:
            body.append(
                f"<h2>{html.escape(row['file'])}</h2><p class=bad>{html.escape(row['verdict'])}: "
                f"{html.escape(row['reason'])}</p>"
            )
            continue
        tone = "good" if row["verdict"] == "passed" else "bad"
        cell = code.get((row["file"], row["exercise"]), "")[:20000]
        body.append(
            f"<h2>Exercise {row['exercise']}: {html.escape(row['name'])}</h2><p class={tone}>"
            f"<strong>{row['points']} of {row['possible']} points, {row['verdict']}.</strong> "
            f"{html.escape(row['reason'])}</p><details><summary>Your cell</summary>"
            f"<pre>{html.escape(cell)}</pre></details>"
        )
    return PAGE.format(title=html.escape(student), body="\n".join(body))


def histogram(shares: list[float]) -> str:
    """Ten bars, as SVG: how many students reached which share of the points."""
    counts = [sum(min(int(s * 10), 9) == k for s in shares) for k in range(10)]
    bars = []
    for k, count in enumerate(counts):
        height = 120 * count / max(1, *counts)
        bars.append(
            f'<rect x="{30 + 44 * k}" y="{140 - height:.0f}" width="40" height="{height:.0f}" '
            'fill="#0072B2"/>'
            f'<text x="{50 + 44 * k}" y="{135 - height:.0f}" '
            f'text-anchor="middle">{count or ""}</text>'
            f'<text x="{50 + 44 * k}" y="158" text-anchor="middle">{10 * k}–{10 * k + 10}</text>'
        )
    told = ", ".join(
        f"{10 * k} to {10 * k + 10} %: {count}" for k, count in enumerate(counts) if count
    )
    return (
        '<svg viewBox="0 0 480 180" width="480" role="img" aria-label="Students by share of the '
        f'points: {told}" font-size="12">'
        + "".join(bars)
        + '<text x="250" y="177" text-anchor="middle">share of the points (%)</text></svg>'
    )


def summary_page(rows: list[dict], facts: dict, pages: dict[str, str], folder: str) -> str:
    """The instructor's page."""
    students, exercises = defaultdict(list), defaultdict(list)
    for row in rows:
        students[row["student"]].append(row)
        if row["exercise"]:
            exercises[row["chapter"], row["exercise"], row["name"]].append(row)
    worst = sorted(
        exercises.items(),
        key=lambda item: (sum(r["verdict"] == "passed" for r in item[1]) / len(item[1]), item[0]),
    )
    troubled = [r for r in rows if not r["exercise"]]
    shares = [
        sum(r["points"] for r in mine) / total
        for mine in students.values()
        if (total := sum(r["possible"] for r in mine))
    ]
    body = [
        f"<p>{html.escape(facts['told'])}</p>",
        f"<p>{html.escape(facts['sandbox'])}</p>",
        "<h2>Points</h2>",
        histogram(shares),
        "<h2>Exercises, the most failed first</h2><table>",
        lines(["exercise", "passed", "most frequent reason"], "th"),
    ]
    for (_, number, name), mine in worst:
        reasons = [r["reason"] or r["verdict"] for r in mine if r["verdict"] != "passed"]
        body.append(
            lines(
                [
                    f"{number} {name}",
                    f"{len(mine) - len(reasons)} of {len(mine)}",
                    statistics.mode(reasons)[:200] if reasons else "",
                ]
            )
        )
    if troubled:
        body += [
            "</table><h2>Not graded, or not counted</h2><table>",
            lines(["student", "file", "what", "reason"], "th"),
            *(lines([r["student"], r["file"], r["verdict"], r["reason"]]) for r in troubled),
        ]
    body += ["</table><h2>Students</h2><table>", lines(["student", "points", "late"], "th")]
    for student, mine in students.items():
        page = f"{html.escape(folder)}/{html.escape(pages[student])}"
        link = f'<a href="{page}">{html.escape(student)}</a>'
        body.append(
            f"<tr><td>{link}</td><td>{sum(r['points'] for r in mine)} of "
            f"{sum(r['possible'] for r in mine)}</td>"
            f"<td>{'yes' if any(r['late'] for r in mine) else ''}</td></tr>"
        )
    return PAGE.format(title="Class summary", body="\n".join([*body, "</table>"]))


def nbgrader(rows: list[dict], looked: list[dict]) -> list[dict]:
    """As `nbgrader export` writes it: a line for each student and assignment."""
    when = {
        (a["student"], a["chapter"]): datetime.fromtimestamp(a["modified"]).isoformat(
            " ", "seconds"
        )
        for a in looked
        if a["modified"]
    }
    sums = defaultdict(lambda: [0, 0])
    for row in rows:
        if row["exercise"]:
            sums[row["student"], row["chapter"]][0] += row["points"]
            sums[row["student"], row["chapter"]][1] += row["possible"]
    return [
        {
            "assignment": chapter,
            "duedate": "",
            "timestamp": when.get((student, chapter), ""),
            "student_id": student,
            "last_name": "",
            "first_name": "",
            "email": "",
            "raw_score": points,
            "late_submission_penalty": 0,
            "score": points,
            "max_score": possible,
        }
        for (student, chapter), (points, possible) in sums.items()
    ]


def write_all(out: Path, looked: list[dict], done: dict, deadline: float | None) -> dict:
    """Write everything beside `out`, and return the facts of the summary."""
    rows = rows_of(looked, done, deadline)
    records = [done[a["key"]] for a in looked if a["key"] in done]
    graded = sum(bool(r["graded"]) for r in records)
    open_ = {r["machine"]: r["unconfined"] for r in records if r.get("unconfined")}
    sandbox = (
        (
            "Every submission ran in a sandbox: no network, no other files than the Python "
            "environment, no other processes."
            if not open_
            else "NOT CONFINED: "
            + "; ".join(f"{machine}: {why}" for machine, why in open_.items())
            + ". Submissions there could reach the network "
            "and the files of the user who ran the grader; only time, memory and output were "
            "limited."
        )
        if graded
        else ""
    )
    waiting = sum(r["verdict"] == "not yet graded" for r in rows)
    failed = sum(r["verdict"] == "not graded" for r in rows)
    told = (
        f"{graded} of {len(looked)} submissions graded"
        + "".join(
            f", {n} {what}"
            for n, what in (
                (
                    sum(bool(a["problem"]) for a in looked),
                    "cannot be graded (each has its row with the reason)",
                ),
                (failed, "failed in the grader: run the same command again"),
                (waiting, "wait: the same command goes on"),
            )
            if n
        )
        + "."
    )
    folder = out.with_name(f"{out.stem}-feedback")
    folder.mkdir(exist_ok=True)
    taken: set[str] = set()
    pages = {
        student: file_name(student, taken) for student in dict.fromkeys(r["student"] for r in rows)
    }
    for student, page in pages.items():
        save(folder / page, feedback(student, [r for r in rows if r["student"] == student], looked))
    facts = {
        "told": told,
        "sandbox": sandbox,
        "graded": graded,
        "waiting": waiting,
        "failed": failed,
    }
    save(out, table(rows, COLUMNS))
    save(
        out.with_suffix(".json"),
        json.dumps(
            [{k: r.get(k, "") for k in COLUMNS} for r in rows], ensure_ascii=False, indent=1
        ),
    )
    grades = nbgrader(rows, looked)
    save(
        out.with_name(f"{out.stem}-nbgrader.csv"),
        table(
            grades,
            list(grades[0]) if grades else ["assignment", "student_id", "score", "max_score"],
        ),
    )
    save(out.with_name(f"{out.stem}-summary.html"), summary_page(rows, facts, pages, folder.name))
    return facts
