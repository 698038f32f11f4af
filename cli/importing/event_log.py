"""Any event log in CSV, read as a mapping file says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from cli.importing.changes import TEXT_LIMIT, WORD_LIMIT, CaseCommands, Command
from cli.importing.errors import BadFile, BadRow
from cli.importing.event_case import EventCase, Reading
from cli.importing.mapping import Actions, Activity, MappingFile, Words
from cli.importing.report import Counts
from cli.importing.table import Cells, Row, Table
from cli.importing.times import Moment, TimeReader

LINE_LIMIT: Final = 500
IGNORED: Final = Actions()


@dataclass(frozen=True, slots=True)
class Picker:
    """One value of a row, from one or several columns. None when all of them are empty."""

    indexes: tuple[int, ...]
    join: str
    missing: frozenset[str]

    def __call__(self, cells: Cells) -> str | None:
        parts = [cell for i in self.indexes if (cell := cells[i].strip()) not in self.missing]
        return self.join.join(parts) if parts else None


class EventLog:
    """Translates the rows of one file. `counts` tells what was seen so far.

    Raises BadFile when a column that the mapping names is missing.
    """

    def __init__(self, table: Table, mapping: MappingFile, *, activate_open: bool = False) -> None:
        named = list(mapping.columns())
        table.require(
            tuple(dict.fromkeys(column for column, _ in named)),
            "Mend the column's name in the mapping, or take the key out.",
        )
        self.source = mapping.name
        self.columns = table.columns
        self.counts = Counts()
        self._mapping = mapping
        self._activate_open = activate_open
        self._at = {name: index for index, name in enumerate(table.columns)}
        self._keys: dict[str, list[str]] = {}
        for column, key in named:
            self._keys.setdefault(column, []).append(key)
        self._missing = frozenset(mapping.missing) | {""}
        self._case = self._picker(mapping.case.column, mapping.case.join)
        self._time = self._picker(mapping.time.column, " ")
        self._times = TimeReader(mapping.time.format, mapping.time.zone, mapping.time.replace)
        created = mapping.created
        self._created = self._created_times = None
        if created is not None:
            self._created = self._picker(created.column, " ")
            self._created_times = TimeReader(created.format, created.zone, created.replace)
        self._activities = [
            (activity, self._picker(activity.column, activity.join), _table(activity))
            for activity in mapping.activity
        ]
        self._pickers = {
            key: self._picker(part.column, part.join)
            for key in (
                "resource",
                "group",
                "priority",
                "category",
                "subcategory",
                "channel",
                "language",
                "requester",
            )
            if (part := getattr(mapping, key)) is not None and part.column is not None
        }
        single = {f"field:{name}": column for name, column in mapping.fields.items()}
        if mapping.description is not None:
            single["description"] = mapping.description
        for key in ("name", "email", "phone", "organization"):
            column = getattr(mapping.requester, key)
            if column is not None:
                single[key] = column
        self._pickers |= {key: self._picker((column,), "") for key, column in single.items()}
        self._unknown: dict[tuple[str, str], tuple[int, int]] = {}

    def _picker(self, columns: Sequence[str], join: str) -> Picker:
        return Picker(tuple(self._at[name] for name in columns), join, self._missing)

    def case_of(self, cells: Cells) -> str | None:
        """None also for a row that is too short to say it."""
        return self._case(cells) if len(cells) > max(self._case.indexes) else None

    # ------------------------------------------------------------------ the first reading

    def check(self, row: Row) -> None:
        """Raises BadRow for anything that `commands` could not translate. Words that the mapping
        does not know are collected for `finish_check`."""
        line, cells = row
        case = self._case(cells)
        if case is None:
            raise BadRow(line, f"no case: {', '.join(self._mapping.case.column)} is empty")
        if len(case) > WORD_LIMIT:
            detail = f"case: {len(case)} characters; at most {WORD_LIMIT} are possible"
            raise BadRow(line, detail, case=case)
        try:
            self._moment(cells)
            self._created_moment(cells)
        except ValueError as error:
            raise BadRow(line, f"time: {error}", case=case) from error
        for activity, pick, table in self._activities:
            word = pick(cells)
            if word is not None and activity.unknown == "error":
                self._check_word("activity", word, _key(activity, word) in table, line)
        for key in ("priority", "channel"):
            words: Words | None = getattr(self._mapping, key)
            if words is not None and key in self._pickers and words.unknown == "error":
                word = self._pickers[key](cells)
                if word is not None:
                    self._check_word(key, word, word in words.words, line)
        self._check_lengths(line, case, cells)

    def _check_word(self, key: str, word: str, known: bool, line: int) -> None:
        if not known:
            count, first = self._unknown.get((key, word), (0, line))
            self._unknown[key, word] = (count + 1, first)

    def _check_lengths(self, line: int, case: str, cells: Cells) -> None:
        if max(map(len, cells)) <= WORD_LIMIT // 2:
            return
        for key, pick in self._pickers.items():
            limit = WORD_LIMIT
            if key.startswith("field:") or key == "description":
                limit = TEXT_LIMIT
            elif key in {"name", "email", "phone"}:
                limit = LINE_LIMIT
            value = pick(cells)
            if value is not None and len(value) > limit:
                raise BadRow(
                    line,
                    f"{key}: {len(value)} characters; at most {limit} are possible",
                    case=case,
                )

    def finish_check(self) -> None:
        """Raises BadFile with all words that the mapping does not know."""
        if not self._unknown:
            return
        lines = [f"The mapping does not know {len(self._unknown)} words of this log:"]
        for (key, word), (count, line) in sorted(self._unknown.items()):
            lines.append(f"  {key}: {word!r} in {count} rows, first in line {line}")
        keys = sorted({key for key, _ in self._unknown})
        lines.append(
            f"Nothing was sent. Add them under {' and '.join(f'{key}.words' for key in keys)} of "
            "the mapping (`ignore` is an answer too, for activities), or set `unknown: count` there."
        )
        raise BadFile("\n".join(lines))

    # ------------------------------------------------------------------ the translation

    def commands(self, case: str, rows: Sequence[Row]) -> list[Command]:
        """The commands of one case, in order. The rows must have passed `check`."""
        counts = self.counts
        counts.cases += 1
        counts.rows += len(rows)
        readings = self._readings(rows)
        out = CaseCommands(self.source, case)
        history = EventCase(self._mapping, counts, out)
        history.create(case, readings[0])
        for position, reading in enumerate(readings[1:], start=2):
            history.move(position, reading)
        if self._activate_open and not history.settled:
            out.activate("still open at the end of the imported log")
        counts.commands.update([command["type"] for command in out.commands])
        counts.rules["odd_hour"] = self._times.odd_hours + (
            self._created_times.odd_hours if self._created_times else 0
        )
        return out.commands

    def _readings(self, rows: Sequence[Row]) -> list[Reading]:
        """The rows as the mapping reads them, without duplicates, in the mapping's order."""
        seen: set[tuple[str, ...]] = set()
        kept: list[tuple[Moment, Cells]] = []
        for _, cells in rows:
            if self._mapping.duplicates == "drop":
                same = tuple(cells)
                if same in seen:
                    self.counts.rules["exact_duplicates"] += 1
                    continue
                seen.add(same)
            kept.append((self._moment(cells), cells))
        if self._mapping.order == "time":
            kept.sort(key=lambda one: one[0][0])
        before: Cells | None = None
        for _, cells in kept:
            if before is not None:
                for index, cell in enumerate(cells):
                    if cell != before[index]:
                        self.counts.changes[index] += 1
            before = cells
        return [self._reading(moment, cells) for moment, cells in kept]

    def _reading(self, moment: Moment, cells: Cells) -> Reading:
        values = {key: pick(cells) for key, pick in self._pickers.items()}
        actions = []
        for activity, pick, table in self._activities:
            word = pick(cells)
            if word is not None:
                actions.append(self._actions(activity, word, table))
        return Reading(moment, self._created_moment(cells), values, actions)

    def _actions(self, activity: Activity, word: str, table: dict[str, Actions]) -> Actions:
        known = table.get(_key(activity, word))
        if known is not None:
            if known.does_nothing:
                self.counts.rules["ignored_words"] += 1
            return known
        self.counts.rules["unknown_words"] += 1
        self.counts.unknown_words[activity.join.join(activity.column), word] += 1
        if activity.unknown == "tag":
            return Actions(tag=(word[:WORD_LIMIT],))
        if activity.unknown == "field":
            return Actions(field={activity.unknown_field: word})
        if activity.unknown == "note":
            return Actions(note=word[:TEXT_LIMIT])
        return IGNORED

    def _moment(self, cells: Cells) -> Moment:
        return self._times.read(self._time(cells) or "")

    def _created_moment(self, cells: Cells) -> Moment | None:
        if self._created is None or self._created_times is None:
            return None
        text = self._created(cells)
        return None if text is None else self._created_times.read(text)

    def columns_json(self) -> list[dict[str, Any]]:
        """Each column of the file, what became of it, and how often it changed within a case."""
        result = []
        for index, name in enumerate(self.columns):
            keys = self._keys.get(name, [])
            treatment = "ignored" if keys == ["ignore"] else "used" if keys else "no_meaning"
            result.append(
                {
                    "column": name,
                    "treatment": treatment,
                    "changes": self.counts.changes[index],
                    "why": ", ".join(keys) if keys else "the mapping does not name it",
                }
            )
        return result


def _key(activity: Activity, word: str) -> str:
    return word.casefold() if activity.ignore_case else word


def _table(activity: Activity) -> dict[str, Actions]:
    return {_key(activity, word): actions for word, actions in activity.words.items()}
