"""One case of an event log on its way through its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cli.importing.changes import SETTLED, SUBJECT_LIMIT, CaseCommands, status_comes_first
from cli.importing.mapping import Actions, Holder, MappingFile
from cli.importing.report import Counts
from cli.importing.times import Moment
from libs.events import Channel, Priority, Status


@dataclass(frozen=True, slots=True)
class Reading:
    """One row as the mapping reads it. `values`: by the mapping's keys; None is an empty cell."""

    moment: Moment
    created: Moment | None
    values: Mapping[str, str | None]
    actions: list[Actions]


@dataclass(frozen=True, slots=True)
class State:
    """What the rows so far say about the ticket."""

    status: Status = Status.NEW
    substatus: str | None = None
    priority: Priority = Priority.MEDIUM
    category: str | None = None
    subcategory: str | None = None
    group: str | None = None
    agent: str | None = None
    tags: frozenset[str] = frozenset()
    fields: Mapping[str, str] = field(default_factory=dict)
    tier: int = 1


class EventCase:
    """Turns readings into commands, in `out`."""

    def __init__(self, mapping: MappingFile, counts: Counts, out: CaseCommands) -> None:
        self._mapping = mapping
        self._counts = counts
        self._out = out
        self._state = State()
        self._last: Moment | None = None

    @property
    def settled(self) -> bool:
        return self._state.status in SETTLED

    def create(self, case: str, reading: Reading) -> None:
        mapping, row = self._mapping, reading.moment
        base = State(tags=frozenset(mapping.tags), fields=dict(mapping.constants))
        if mapping.priority is not None and mapping.priority.default is not None:
            base = replace(base, priority=mapping.priority.default)
        for key in ("category", "subcategory"):
            words = getattr(mapping, key)
            if words is not None and words.default is not None:
                base = replace(base, **{key: words.default})
        state = self._after(base, reading)
        opened = reading.created or row
        if opened[0] > row[0]:
            self._counts.rules["opened_after_first_row"] += 1
            opened = row
        at_once = opened[0] == row[0]
        data: dict[str, Any] = {
            "subject": self._subject(case, state, reading),
            "requester": self._requester(reading.values),
            "channel": self._channel(reading.values),
            "language": self._language(reading.values),
            "priority": state.priority,
            "category": state.category,
            "subcategory": state.subcategory,
            "tags": sorted(state.tags),
            "custom_fields": dict(state.fields),
            "group": state.group,
            "agent": state.agent,
            "imported_from": mapping.name,
            "external_ref": case,
        }
        if reading.values.get("description"):
            data["description"] = reading.values["description"]
        if at_once and state.status is not Status.NEW:
            data |= {"status": state.status, "substatus": state.substatus}
        self._out.add("CreateTicket", "create", 1, opened[1], data)
        if not at_once and state.status is not Status.NEW:
            self._counts.rules["created_before_first_row"] += 1
            self._out.status(1, row[1], state.status, state.substatus)
        self._happenings(1, reading, base.tier, state.tier)
        self._state, self._last = state, row

    def move(self, row: int, reading: Reading) -> None:
        """From the row before to this one."""
        before, after = self._state, self._after(self._state, reading)
        time, length = reading.moment[1], len(self._out.commands)
        if self._last is not None and reading.moment[0] < self._last[0]:
            self._counts.rules["time_went_back"] += 1
        changed = (before.status, before.substatus) != (after.status, after.substatus)
        first = changed and status_comes_first(before.status, after.status)
        reason = next((one.reason for one in reading.actions if one.reason), None)
        if first:
            self._out.status(row, time, after.status, after.substatus, reason)
        self._differences(row, time, before, after)
        self._happenings(row, reading, before.tier, after.tier)
        if changed and not first:
            self._out.status(row, time, after.status, after.substatus, reason)
        if len(self._out.commands) == length:
            self._counts.rules["rows_without_change"] += 1
        self._state, self._last = after, reading.moment

    def _differences(self, row: int, time: str, before: State, after: State) -> None:
        """Everything that lasts, but the status."""
        out = self._out
        if (before.group, before.agent) != (after.group, after.agent):
            out.hold(row, time, after.group, after.agent)
        if before.priority is not after.priority:
            out.priority(row, time, after.priority)
        if (before.category, before.subcategory) != (after.category, after.subcategory):
            out.category(row, time, after.category, after.subcategory)
        if before.tags != after.tags:
            data = {
                "add": sorted(after.tags - before.tags),
                "remove": sorted(before.tags - after.tags),
            }
            out.add("ChangeTags", "tags", row, time, data)
        for name in [*after.fields, *(name for name in before.fields if name not in after.fields)]:
            if before.fields.get(name) != after.fields.get(name):
                out.field(row, time, name, after.fields.get(name))

    def _happenings(self, row: int, reading: Reading, tier_before: int, tier: int) -> None:
        """What is no state: notes and escalations."""
        if tier > tier_before:
            data = {"tier": tier, "cause": "manual"}
            self._out.add("EscalateTicket", "escalate", row, reading.moment[1], data)
        resource = reading.values.get("resource")
        for number, actions in enumerate(reading.actions, start=1):
            if actions.note is not None:
                note = {
                    "author": "agent" if resource else "system",
                    "author_id": resource or f"import:{self._mapping.name}",
                    "visibility": "internal",
                    "body": actions.note,
                }
                self._out.add("AddMessage", f"note:{number}", row, reading.moment[1], note)

    # ------------------------------------------------------------------ one row

    def _after(self, state: State, reading: Reading) -> State:
        """The state after what the columns say, and then what the activities do."""
        values, clear = reading.values, self._mapping.empty == "clear"
        changes: dict[str, Any] = {
            "group": self._held("group", self._mapping.group, values, state.group),
            "agent": self._held("resource", self._mapping.resource, values, state.agent),
            "priority": self._priority(values) or state.priority,
        }
        for key in ("category", "subcategory"):
            if key in values:
                word = self._word(key, values[key])
                if word is not None or clear:
                    changes[key] = word
        fields = dict(state.fields)
        for name in self._mapping.fields:
            value = values[f"field:{name}"]
            if value is not None:
                fields[name] = value
            elif clear:
                fields.pop(name, None)
        state = replace(state, **changes, fields=fields)
        for actions in reading.actions:
            if not actions.does_nothing:
                state = self._acted(state, actions, values)
        return state

    def _acted(self, state: State, actions: Actions, values: Mapping[str, str | None]) -> State:
        changes: dict[str, Any] = {}
        if actions.status is not None:
            changes |= {"status": actions.status, "substatus": actions.substatus}
        for key in ("priority", "category", "subcategory"):
            if getattr(actions, key) is not None:
                changes[key] = getattr(actions, key)
        if actions.assign is not None:
            changes |= self._assigned(actions.assign, values)
        if actions.escalate is not None:
            changes["tier"] = max(state.tier, actions.escalate)
        if actions.field:
            changes["fields"] = {**state.fields, **actions.field}
        if actions.tag or actions.untag:
            changes["tags"] = (state.tags - set(actions.untag)) | set(actions.tag)
        return replace(state, **changes)

    def _assigned(self, whom: str, values: Mapping[str, str | None]) -> dict[str, str | None]:
        if whom == "nobody":
            return {"group": None, "agent": None}
        agent, group = values.get("resource"), values.get("group")
        if (agent is None and whom != "group") or (group is None and whom != "resource"):
            self._counts.rules["assign_without_name"] += 1
            return {}
        if whom == "resource":
            return {"agent": agent}
        return {"group": group, "agent": agent if whom == "both" else None}

    def _held(
        self, key: str, holder: Holder | None, values: Mapping[str, str | None], before: str | None
    ) -> str | None:
        if holder is None or holder.means == "actor":
            return before
        value = values[key]
        if value is None and (holder.empty or self._mapping.empty) == "keep":
            return before
        return value

    def _word(self, key: str, word: str | None) -> str | None:
        table: Mapping[str, str] = getattr(self._mapping, key).words
        return None if word is None else table.get(word, word)

    def _priority(self, values: Mapping[str, str | None]) -> Priority | None:
        word = values.get("priority")
        if word is None or self._mapping.priority is None:
            return None
        known = self._mapping.priority.words.get(word)
        if known is None:
            self._counts.rules["unknown_priority"] += 1
            self._counts.unknown_words["priority", word] += 1
        return Priority(known) if known is not None else None

    def _channel(self, values: Mapping[str, str | None]) -> Channel:
        words = self._mapping.channel
        if words is None:
            return Channel.API
        word = values.get("channel")
        known = words.words.get(word) if word is not None else None
        if word is not None and known is None:
            self._counts.rules["unknown_channel"] += 1
            self._counts.unknown_words["channel", word] += 1
        return Channel(known or words.default or Channel.API)

    def _language(self, values: Mapping[str, str | None]) -> str | None:
        words = self._mapping.language
        if words is None:
            return None
        return self._word("language", values.get("language")) or words.default

    def _requester(self, values: Mapping[str, str | None]) -> dict[str, str]:
        requester = values.get("requester")
        if requester is None:
            self._counts.rules["no_requester"] += 1
        person = {"id": requester or self._mapping.requester.default}
        for key in ("name", "email", "phone", "organization"):
            value = values.get(key)
            if value is not None:
                person[key] = value
        return person

    def _subject(self, case: str, state: State, reading: Reading) -> str:
        known: dict[str, str | None] = {
            "case": case,
            "category": state.category,
            "subcategory": state.subcategory,
            "group": reading.values.get("group"),
            "resource": reading.values.get("resource"),
        }
        known |= dict.fromkeys(self._mapping.fields) | dict(state.fields)
        text = self._mapping.subject.format_map({key: value or "" for key, value in known.items()})
        return " ".join(text.split())[:SUBJECT_LIMIT] or case
