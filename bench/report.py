"""Results for people: one sentence each, and the table in docs/performance.md."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

BEGIN: Final = "<!-- table: written by `make bench` -->"
END: Final = "<!-- end of the table -->"


def figure(value: float | None) -> str:
    """A number as people read it."""
    if value is None:
        return "not here"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def goal_of(found: dict[str, Any]) -> str:
    """The goal in words, and whether it is met."""
    if found["goal"] is None:
        return "none set"
    sign = "≥" if found["better"] == "higher" else "≤"
    unit = f" {found['unit']}" if found["goal_for"] == "ours" else " of the peer"
    met = {True: "met", False: "missed", None: "not measured"}[found["met"]]
    return f"{sign} {figure(found['goal'])}{unit}: {met}"


def sentence(found: dict[str, Any]) -> str:
    """All of a result that fits on a few lines."""
    lines = [f"{found['name']}: {figure(found['ours'])} {found['unit']} ({found['what']})"]
    lines += [
        f"  {name}: {figure(value)} {found['unit']}" for name, value in found["peers"].items()
    ]
    if found["ratio"] is not None:
        lines.append(f"  ratio {figure(found['ratio'])} to {found['ratio_to']}")
    lines.append(f"  goal {goal_of(found)}")
    lines += [f"  {name}: {'yes' if good else 'no'}" for name, good in found["also"].items()]
    lines += [f"  {note}" for note in found["notes"]]
    return "\n".join(lines)


def table(found: Sequence[dict[str, Any]]) -> str:
    """Markdown: one row per result, and the machine below."""
    machines = {
        f"{m['cpu']}, {m['cores']} cores, {m['memory_gb']} GB, Python {m['python']}"
        for m in (one["machine"] for one in found)
    }
    loads = {one["name"]: str(one["machine"]["load_1_min"]) for one in found}
    return _lines([row(one) for one in found], "; ".join(sorted(machines)), loads)


def row(one: dict[str, Any]) -> str:
    """One result as a row of the table."""
    beside = "; ".join(
        f"{name}: {figure(value)} {one['unit']}" for name, value in one["peers"].items()
    )
    ratio = "" if one["ratio"] is None else figure(one["ratio"])
    notes = "".join(f"<br>{note}" for note in one["notes"])
    return (
        f"| `{one['name']}`: {one['what']} | {figure(one['ours'])} {one['unit']}{notes}"
        f" | {beside} | {ratio} | {goal_of(one)} |"
    )


def _lines(rows: Sequence[str], machines: str, loads: Mapping[str, str]) -> str:
    said = ", ".join(f"`{name}` {load}" for name, load in loads.items())
    head = ["| benchmark | ours | beside | ratio | goal |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows, "", f"Machine: {machines}. Load average at the end: {said}."])


def write_table(page: Path, results: Path, names: Sequence[str]) -> None:
    """Put the latest results between the marks of `page`; a benchmark without a result keeps its row.
    Raises ValueError."""
    files = [results / f"{name}.json" for name in names]
    found = [json.loads(file.read_text("utf-8")) for file in files if file.exists()]
    new = table(found).splitlines()
    if not found:
        return
    old = page.read_text("utf-8").partition(BEGIN)[2].partition(END)[0].splitlines()
    rows = {match[1]: line for line in (*old, *new) if (match := _ROW.match(line))}
    loads = dict(_LOAD.findall("".join((*old[-1:], "\n", new[-1]))))
    machines = new[-1].partition("Machine: ")[2].partition(". Load average")[0]
    kept = [name for name in names if name in rows]
    text = _lines([rows[name] for name in kept], machines, {n: loads.get(n, "?") for n in kept})
    write_between(page, BEGIN, END, text)


_ROW: Final = re.compile(r"\| `(\w+)`: ")
_LOAD: Final = re.compile(r"`(\w+)` ([\d.]*\d)")


def write_between(page: Path, begin: str, end: str, text: str) -> None:
    """Replace what stands between two marks of `page`. Raises ValueError when it has not both once."""
    before = page.read_text("utf-8")
    if before.count(begin) != 1 or before.count(end) != 1:
        raise ValueError(f"{page} must hold these two lines once: {begin} and {end}")
    head, _, rest = before.partition(begin)
    page.write_text(f"{head}{begin}\n{text}\n{end}{rest.partition(end)[2]}", "utf-8")
