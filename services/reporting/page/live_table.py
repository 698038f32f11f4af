"""A table that changes while somebody uses it, and the cells of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nicegui.element import Element

Part = dict[str, Any]
Row = dict[str, Any]
"""For `live_table.js`, which says what is in them."""


class LiveTable(Element, component="live_table.js"):
    """Its rows (see `live_table.js`) are patched in place: neither the keyboard's place nor a
    selection is lost, as they are when NiceGUI renders the slots of `ui.table` anew."""

    def __init__(self, label: str, columns: Sequence[str]) -> None:
        super().__init__()
        self._props["label"] = label
        self._props["columns"] = list(columns)
        self._props["rows"] = []

    def head(self, columns: Sequence[str]) -> None:
        """Name the columns."""
        if self._props["columns"] != list(columns):
            self._props["columns"] = list(columns)
            self.update()

    def show(self, rows: list[Row]) -> None:
        """Replace the rows; nothing is sent when they are what they were."""
        if self._props["rows"] != rows:
            self._props["rows"] = rows
            self.update()


def cell(class_: str, *parts: Part) -> dict[str, Any]:
    return {"class": class_, "parts": list(parts)}


def head(*parts: Part) -> dict[str, Any]:
    """The cell that names its row."""
    return {"class": "", "parts": list(parts), "head": True}


def text(shown: str, class_: str = "", *, free: bool = False) -> Part:
    """`free`: what a person wrote, in a language that may run from right to left."""
    return {"text": shown, "class": class_, **({"dir": "auto"} if free else {})}


def linked(shown: str, href: str, label: str | None = None) -> Part:
    """`label` says where it leads, when `shown` alone does not."""
    return {"text": shown, "href": href, "label": label}


def bar(share: float, label: str, class_: str = "") -> Part:
    """A drawn share of 1; `label` says it in words, "" when the text beside it does."""
    return {"share": round(100 * min(max(share, 0.0), 1.0), 1), "class": class_, "label": label}
