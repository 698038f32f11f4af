"""Approved samples: JSON that every later version of the code must read as it is read today.

One file per type and version, `libs/events/samples/<type>.json`::

    {"type": "bitacora.Assigned.v1",
     "samples": [{"name": "minimal", "data": {…}, "means": {…}}, {"name": "full", …}]}

`data` is the JSON as it may lie in a log; `means` is every field of what it decodes to, defaults
included. A person writes `data`; `python -m libs.events.approve` fills in each `means` that is not
there yet, for that person to read and commit. It never changes one that is there: an approved
sample holds for ever, also when its version has been superseded and is lifted to a later one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic_core import to_json

from libs.events.registry import EVENTS, REGISTRIES, ContractError, Registry

SAMPLES: Final = Path(__file__).parent / "samples"


@dataclass(frozen=True, slots=True)
class Sample:
    """One document of one type, and what it was approved to mean (None: not approved yet)."""

    type_name: str
    name: str
    data: dict[str, Any]
    means: dict[str, Any] | None


def registry_of(type_name: str) -> Registry:
    """The registry that knows the type; EVENTS when none does."""
    return next((registry for _, registry in REGISTRIES if registry.knows(type_name)), EVENTS)


def known_types() -> list[str]:
    """Every version that can be read, superseded ones included."""
    return sorted(
        name for _, registry in REGISTRIES for name, _ in (*registry.classes(), *registry.lifted())
    )


def meaning(type_name: str, data: dict[str, Any]) -> dict[str, Any]:
    """Every field of what `data` decodes to. Raises UnknownType or InvalidData."""
    decoded = registry_of(type_name).decode(type_name, to_json(data))
    fields: dict[str, Any] = decoded.model_dump(mode="json")
    return fields


def samples() -> Iterator[Sample]:
    """Every sample, by type. Raises ValueError for a file that is not of the form above."""
    for path in sorted(SAMPLES.glob("bitacora.*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        if document.get("type") != path.stem:
            raise ValueError(f"{path.name}: `type` must be {path.stem!r}, like the file's name")
        for entry in document["samples"]:
            yield Sample(path.stem, entry["name"], entry["data"], entry.get("means"))


def approve(path: Path) -> int:
    """Fill in what the new samples of one file mean. Returns how many there were.

    Raises ContractError when one does not decode.
    """
    document = json.loads(path.read_text(encoding="utf-8"))
    new = [entry for entry in document["samples"] if "means" not in entry]
    for entry in new:
        entry["means"] = meaning(document["type"], entry["data"])
    if new:
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        path.write_text(text, encoding="utf-8")
    return len(new)


def main() -> int:
    failed = 0
    for path in sorted(SAMPLES.glob("bitacora.*.json")):
        try:
            new = approve(path)
        except ContractError as error:
            sys.stderr.write(f"{path.name}: {error}\n")
            failed += 1
            continue
        if new:
            sys.stdout.write(f"{path.name}: {new} approved; read what each means, then commit\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
