"""The rule files and their unit tests, read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import yaml

from deploy import reference

ROOT: Final = Path(__file__).resolve().parents[2]
PROMETHEUS: Final = ROOT / "deploy" / "prometheus"
CONFIG: Final = PROMETHEUS / "prometheus.yml"
RULE_FILES: Final = (PROMETHEUS / "recording.yml", PROMETHEUS / "alerts.yml")
RULE_TESTS: Final = tuple(sorted((PROMETHEUS / "tests").glob("*.yml")))
NAME: Final = re.compile(r"(?:[a-z_]+:)?\b(?:bitacora|process|python|up)\w*(?::\w+)?")
STRING: Final = re.compile(r'"[^"]*"')
FOREIGN: Final = frozenset({"up", "process_start_time_seconds", "process_resident_memory_bytes",
                            "process_cpu_seconds_total", "process_open_fds"})  # fmt: skip
"""What we use and do not declare: Prometheus's own, and the client's."""


def load(file: Path) -> Any:
    return yaml.safe_load(file.read_text("utf-8"))


def rules(kind: str) -> list[dict[str, Any]]:
    """All rules with this key (`alert` or `record`)."""
    groups = [group for file in RULE_FILES for group in load(file)["groups"]]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


def names_in(expression: str) -> set[str]:
    """The names of series that an expression asks for; texts in quotes and labels left out."""
    plain = STRING.sub("", re.sub(r"\{[^}]*\}", "", expression))
    plain = re.sub(r"\b(?:by|on|without|ignoring)\s*\([^)]*\)", "", plain)
    return set(NAME.findall(plain))


def known_names() -> set[str]:
    """Every name that an expression may ask for."""
    names = set(FOREIGN) | {rule["record"] for rule in rules("record")}
    for metric in reference.definitions():
        if metric.kind == "histogram":
            names |= {f"{metric.name}{end}" for end in ("_bucket", "_sum", "_count")}
        else:
            names.add(metric.name)
    return names
