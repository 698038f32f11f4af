"""Making commands: deterministic ids, and the order of several commands within one row."""

from __future__ import annotations

from hashlib import sha1
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from libs.events import Priority, Status

NAMESPACE: Final = uuid5(NAMESPACE_URL, "urn:bitacora:import")

Command = dict[str, Any]
"""One command in the form of intake's batch request."""

SETTLED: Final = frozenset({Status.SOLVED, Status.CLOSED})
WORD_LIMIT: Final = 200
"""Characters in a name, a category, a group: see libs.events.base.Word."""
TEXT_LIMIT: Final = 100_000
SUBJECT_LIMIT: Final = 500


def name_id(*parts: str) -> str:
    """uuid5 of the parts, in the namespace of imports. The same as uuid.uuid5, at half the price."""
    digest = sha1(NAMESPACE.bytes + "\x1f".join(parts).encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digest[16], 16) & 3]
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"


def ticket_id(source: str, case: str) -> str:
    """The ticket of a case: always the same."""
    return name_id(source, case)


class CaseCommands:
    """Collects the commands of one case, in order.

    `row` counts the case's rows from 1; together with the case and what the command is about it
    makes the command's id. The correlation id `source:case:row` leads from an event back to its row.
    """

    __slots__ = ("_case", "_source", "_ticket_id", "commands")

    def __init__(self, source: str, case: str) -> None:
        self._source = source
        self._case = case
        self._ticket_id = ticket_id(source, case)
        self.commands: list[Command] = []

    def add(self, kind: str, what: str, row: int, time: str | None, data: dict[str, Any]) -> None:
        """`what` tells several commands of one row apart; `time` None means when it is decided."""
        command = {
            "command_id": name_id(self._source, self._case, str(row), what),
            "type": kind,
            "ticket_id": self._ticket_id,
            "actor": f"import:{self._source}",
            "correlation_id": f"{self._source}:{self._case}:{row}"[:WORD_LIMIT],
            "data": data,
        }
        if time is not None:
            command["time"] = time
        self.commands.append(command)

    def hold(self, row: int, time: str, group: str | None, agent: str | None) -> None:
        """The complete new holder."""
        if group is None and agent is None:
            self.add("UnassignTicket", "holder", row, time, {})
            return
        data = {}
        if group is not None:
            data["group"] = group
        if agent is not None:
            data["agent"] = agent
        self.add("AssignTicket", "holder", row, time, data)

    def status(
        self, row: int, time: str, status: Status, substatus: str | None, reason: str | None = None
    ) -> None:
        data: dict[str, Any] = {"status": status}
        if substatus is not None:
            data["substatus"] = substatus
        if reason is not None:
            data["reason"] = reason
        self.add("ChangeStatus", "status", row, time, data)

    def priority(self, row: int, time: str, priority: Priority) -> None:
        self.add("ChangePriority", "priority", row, time, {"priority": priority})

    def category(self, row: int, time: str, category: str | None, subcategory: str | None) -> None:
        data = {"category": category, "subcategory": subcategory}
        self.add("ChangeCategory", "category", row, time, data)

    def field(self, row: int, time: str, name: str, value: str | None) -> None:
        self.add("ChangeCustomField", f"field:{name}", row, time, {"field": name, "value": value})

    def activate(self, reason: str) -> None:
        """Hands the ticket to the live desk, now."""
        self.add("ActivateImportedTicket", "activate", 0, None, {"reason": reason})


def status_comes_first(before: Status, after: Status) -> bool:
    """Within one row a reopening is recorded before what else changed (a settled ticket is not
    reassigned), and every other change of status after it (the new holder solved it)."""
    return before in SETTLED and after not in SETTLED
