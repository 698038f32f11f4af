"""Results for people: one sentence each, and the table in docs/performance.md."""

from __future__ import annotations

import json
from collections.abc import Sequence
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
    lines = ["| benchmark | ours | beside | ratio | goal |", "|---|---|---|---|---|"]
    for one in found:
        beside = "; ".join(
            f"{name}: {figure(value)} {one['unit']}" for name, value in one["peers"].items()
        )
        ratio = "" if one["ratio"] is None else figure(one["ratio"])
        notes = "".join(f"<br>{note}" for note in one["notes"])
        lines.append(
            f"| `{one['name']}`: {one['what']} | {figure(one['ours'])} {one['unit']}{notes}"
            f" | {beside} | {ratio} | {goal_of(one)} |"
        )
    machines = {
        f"{m['cpu']}, {m['cores']} cores, {m['memory_gb']} GB, Python {m['python']}"
        for m in (one["machine"] for one in found)
    }
    loads = ", ".join(f"`{one['name']}` {one['machine']['load_1_min']}" for one in found)
    lines += ["", f"Machine: {'; '.join(sorted(machines))}. Load average at the end: {loads}."]
    return "\n".join(lines)


def write_table(page: Path, results: Path, names: Sequence[str]) -> None:
    """Put the table of the latest results between the marks of `page`. Raises ValueError."""
    files = [results / f"{name}.json" for name in names]
    found = [json.loads(file.read_text("utf-8")) for file in files if file.exists()]
    write_between(page, BEGIN, END, table(found))


def write_between(page: Path, begin: str, end: str, text: str) -> None:
    """Replace what stands between two marks of `page`. Raises ValueError when it has not both once."""
    before = page.read_text("utf-8")
    if before.count(begin) != 1 or before.count(end) != 1:
        raise ValueError(f"{page} must hold these two lines once: {begin} and {end}")
    head, _, rest = before.partition(begin)
    page.write_text(f"{head}{begin}\n{text}\n{end}{rest.partition(end)[2]}", "utf-8")
