"""A table that changes while somebody uses it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nicegui.element import Element


class LiveTable(Element, component="live_table.js"):
    """Its rows (see `live_table.js`) are patched in place: neither the keyboard's place nor a
    selection is lost, as they are when NiceGUI renders the slots of `ui.table` anew."""

    def __init__(self, label: str, columns: Sequence[str]) -> None:
        super().__init__()
        self._props["label"] = label
        self._props["columns"] = list(columns)
        self._props["rows"] = []

    def show(self, rows: list[dict[str, Any]]) -> None:
        """Replace the rows; nothing is sent when they are what they were."""
        if self._props["rows"] != rows:
            self._props["rows"] = rows
            self.update()
