"""ServiceNow's incident log: each row is the incident after an update; a change between two rows
becomes the specific command that explains it.

The first row gives CreateTicket at `opened_at`. The record was saved with that row's state at
`sys_updated_at`: if that is later and the state is not New, the ticket is created new and gets its
status at the row's time (a call that was solved at once took the time between the two).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from cli.importing.changes import (
    SETTLED,
    SUBJECT_LIMIT,
    TEXT_LIMIT,
    WORD_LIMIT,
    CaseCommands,
    Command,
    status_comes_first,
)
from cli.importing.columns import (
    CHANNELS,
    COLUMNS,
    PRIORITIES,
    REQUIRED,
    STATES,
    UNKNOWN,
    Positions,
)
from cli.importing.errors import BadRow
from cli.importing.report import Counts
from cli.importing.table import Cells, Row, Table
from cli.importing.times import Moment, TimeReader
from libs.events import Channel, Priority, Status

SOURCE: Final = "servicenow"
MISSING: Final = frozenset({"", "?"})
TIME_FORMATS: Final = ("%d/%m/%Y %H:%M", "%d/%m/%Y %H:%M:%S", "iso")


def value_of(cell: str) -> str | None:
    """The cell without blanks around it; None when it says that there is no value."""
    cell = cell.strip()
    return None if cell in MISSING else cell


class ServiceNow:
    """Translates the rows of one file. `counts` tells what was seen so far.

    Raises BadFile when a column is missing that the history cannot do without.
    """

    source = SOURCE

    def __init__(self, table: Table, *, zone: str = "UTC", activate_open: bool = False) -> None:
        table.require(
            REQUIRED,
            "For a log with other columns use: bitacora import log FILE --mapping MAP.yaml",
        )
        self.columns = table.columns
        self.counts = Counts()
        self._times = TimeReader(TIME_FORMATS, zone)
        self._activate_open = activate_open
        self._at = Positions.of(table.columns)

    def case_of(self, cells: Cells) -> str | None:
        return value_of(cells[self._at.number]) if len(cells) > self._at.number else None

    def check(self, row: Row) -> None:
        """Raises BadRow for anything that `commands` could not translate."""
        line, cells = row
        case = self.case_of(cells)
        if case is None:
            raise BadRow(line, "the incident has no number")
        for index in (self._at.opened, self._at.updated):
            try:
                self._times.read(cells[index])
            except ValueError as error:
                raise BadRow(line, f"{self.columns[index]}: {error}", case=case) from error
        priority = value_of(cells[self._at.priority])
        if priority is not None and priority[0] not in PRIORITIES:
            raise BadRow(line, f"priority: {priority[:60]!r} does not begin with 1 to 5", case=case)
        for index in (self._at.reassignments, self._at.reopens):
            if not cells[index].strip().isdecimal():
                raise BadRow(
                    line, f"{self.columns[index]}: {cells[index][:60]!r} is no number", case=case
                )
        for index in self._at.words:
            if len(cells[index]) > WORD_LIMIT:
                raise BadRow(line, self._too_long(index, cells, WORD_LIMIT), case=case)
        for index in self._at.later_fields:
            if len(cells[index]) > TEXT_LIMIT:
                raise BadRow(line, self._too_long(index, cells, TEXT_LIMIT), case=case)

    def finish_check(self) -> None:
        """Nothing is left to say when every row has passed."""

    def _too_long(self, index: int, cells: Cells, limit: int) -> str:
        return (
            f"{self.columns[index]}: {len(cells[index])} characters; at most {limit} are possible"
        )

    def commands(self, case: str, rows: Sequence[Row]) -> list[Command]:
        """The commands of one incident, in order. The rows must have passed `check`."""
        counts = self.counts
        counts.cases += 1
        counts.rows += len(rows)
        for index in self._at.ignored:
            if value_of(rows[0][1][index]) is not None:
                counts.values[self.columns[index]] += 1
        incident = _Incident(self._at, self._times, counts, case)
        incident.create(rows[0][1])
        for position, (_, cells) in enumerate(rows[1:], start=2):
            incident.move(position, cells)
        if self._activate_open and incident.status not in SETTLED:
            incident.out.activate("still open at the end of the imported log")
        commands = incident.out.commands
        counts.commands.update([command["type"] for command in commands])
        counts.rules["odd_hour"] = self._times.odd_hours
        return commands

    def columns_json(self) -> list[dict[str, Any]]:
        """Each column of the file, what became of it, and how often it changed."""
        result = []
        for index, name in enumerate(self.columns):
            column = COLUMNS.get(name, UNKNOWN)
            line: dict[str, Any] = {
                "column": name,
                "treatment": column.treatment,
                "changes": self.counts.changes[index],
                "why": column.why,
            }
            if column.treatment == "ignored":
                line["cases_with_value"] = self.counts.values[name]
            result.append(line)
        return result


class _Incident:
    """One incident on its way through its rows."""

    __slots__ = ("_at", "_before", "_counts", "_moment", "_times", "out", "status", "substatus")

    def __init__(self, at: Positions, times: TimeReader, counts: Counts, case: str) -> None:
        self._at = at
        self._times = times
        self._counts = counts
        self.out = CaseCommands(SOURCE, case)
        self.status = Status.NEW
        self.substatus: str | None = None
        self._before: Cells
        self._moment: Moment

    def create(self, cells: Cells) -> None:
        at = self._at
        opened, row = self._times.read(cells[at.opened]), self._times.read(cells[at.updated])
        fields = {
            name: value
            for index, name in at.fields.items()
            if (value := value_of(cells[index])) is not None
        }
        if opened[0] > row[0]:
            self._counts.rules["opened_after_first_row"] += 1
            fields["opened_at"] = opened[1]
            opened = row
        number = cells[at.number].strip()
        category, subcategory = value_of(cells[at.category]), value_of(cells[at.subcategory])
        subject = " · ".join(part for part in (number, category, subcategory) if part)
        data: dict[str, Any] = {
            "subject": subject[:SUBJECT_LIMIT],
            "requester": {"id": value_of(cells[at.requester]) or "unknown"},
            "channel": self._channel(cells),
            "priority": self._priority(cells) or Priority.MEDIUM,
            "category": category,
            "subcategory": subcategory,
            "custom_fields": fields,
            "group": value_of(cells[at.group]),
            "agent": value_of(cells[at.agent]),
            "imported_from": SOURCE,
            "external_ref": number,
        }
        if data["requester"]["id"] == "unknown":
            self._counts.rules["no_requester"] += 1
        self.status, self.substatus = self._state(cells)
        at_once = opened[0] == row[0]
        if at_once and self.status is not Status.NEW:
            data |= {"status": self.status, "substatus": self.substatus}
        self.out.add("CreateTicket", "create", 1, opened[1], data)
        if not at_once and self.status is not Status.NEW:
            self._counts.rules["created_before_first_row"] += 1
            self.out.status(1, row[1], self.status, self.substatus)
        self._before, self._moment = cells, row

    def move(self, row: int, cells: Cells) -> None:
        """From the row before to this one."""
        at, counts, before = self._at, self._counts, self._before
        changed = [index for index in at.all if cells[index] != before[index]]
        for index in changed:
            counts.changes[index] += 1
        moment = self._times.read(cells[at.updated])
        if moment[0] < self._moment[0]:
            counts.rules["time_went_back"] += 1
        self._before, self._moment = cells, moment
        status, substatus = self._state(cells)
        meant = [index for index in changed if index in at.meaning]
        length = len(self.out.commands)
        status_changed = (status, substatus) != (self.status, self.substatus)
        self._count_derived(cells, before, status)
        status_first = status_changed and status_comes_first(self.status, status)
        if status_first:
            self.out.status(row, moment[1], status, substatus)
        if meant:
            self._changes(row, moment[1], cells, frozenset(meant))
        if status_changed and not status_first:
            self.out.status(row, moment[1], status, substatus)
        self.status, self.substatus = status, substatus
        if len(self.out.commands) == length:
            counts.rules["rows_without_change"] += 1

    def _changes(self, row: int, time: str, cells: Cells, meant: frozenset[int]) -> None:
        """Everything but the status."""
        at, out = self._at, self.out
        if at.group in meant or at.agent in meant:
            out.hold(row, time, value_of(cells[at.group]), value_of(cells[at.agent]))
        if at.priority in meant:
            priority = self._priority(cells)
            if priority is not None:
                out.priority(row, time, priority)
        if at.category in meant or at.subcategory in meant:
            out.category(row, time, value_of(cells[at.category]), value_of(cells[at.subcategory]))
        for index, name in at.later_fields.items():
            if index in meant:
                out.field(row, time, name, value_of(cells[index]))

    def _state(self, cells: Cells) -> tuple[Status, str | None]:
        word = cells[self._at.state].strip()
        known = STATES.get(word)
        if known is None:
            self._counts.rules["unknown_state"] += 1
            self._counts.unknown_words["incident_state", word] += 1
            return self.status, self.substatus
        return known

    def _priority(self, cells: Cells) -> Priority | None:
        word = value_of(cells[self._at.priority])
        if word is None:
            self._counts.rules["no_priority"] += 1
            return None
        return PRIORITIES[word[0]]

    def _channel(self, cells: Cells) -> Channel:
        index = self._at.channel
        word = None if index is None else value_of(cells[index])
        if word not in CHANNELS:
            self._counts.rules["unknown_contact_type"] += 1
            self._counts.unknown_words["contact_type", word or ""] += 1
        return CHANNELS.get(word or "", Channel.API)

    def _count_derived(self, cells: Cells, before: Cells, status: Status) -> None:
        """Where the log's own counters and its visible changes disagree."""
        at = self._at
        counted = cells[at.reassignments] != before[at.reassignments]
        if counted != (cells[at.group] != before[at.group]):
            rule = "hidden_hand_over" if counted else "uncounted_group_change"
            self._counts.rules[rule] += 1
        reopened = self.status in SETTLED and status not in SETTLED
        if reopened != (cells[at.reopens] != before[at.reopens]):
            self._counts.rules["uncounted_reopen"] += 1
