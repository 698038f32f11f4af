"""Questions about business time as lines of JSON, each with its own calendar: pure, no service needed.

A line asks when a target is used up (`due`) or how much open time passed (`elapsed`)::

    {"id": "a", "kind": "due", "tz": "Europe/Berlin", "hours": {"mon": [["09:00", "17:00"]]},
     "holidays": ["2026-12-25"], "start": "2026-03-27T16:30:00Z", "target_s": 7200,
     "pauses": [["2026-03-30T08:00:00Z", "2026-03-30T09:00:00Z"]]}

docs/guides/business-time.md says what each field means and how every odd case is settled.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

import msgspec

from libs.worktime.calendar import Calendar, calendar_of
from libs.worktime.errors import InvalidDefinition
from libs.worktime.instants import FIRST_US, LAST_US, SECOND_US, to_datetime, to_us

CALENDARS_KEPT: Final = 1024
MESSAGE_MAX: Final = 300
"""Characters of an error: whatever it quotes from a long line is cut."""
NEVER_S: Final = (LAST_US - FIRST_US) // SECOND_US
"""No target is used up after so many seconds: there is no instant so far from any other."""
NULL: Final = b"null"
Instant = Annotated[datetime, msgspec.Meta(tz=True)]
Pause = tuple[int, int]


class _Question(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    kind: Literal["due", "elapsed"]
    start: Instant
    hours: msgspec.Raw
    id: msgspec.Raw = msgspec.Raw(NULL)
    tz: str | None = None
    holidays: msgspec.Raw = msgspec.Raw(NULL)
    special_days: msgspec.Raw = msgspec.Raw(NULL)
    end: Instant | None = None
    target_s: int | float | None = None
    pauses: list[list[Instant | None]] | None = None


class _Named(msgspec.Struct, gc=False):
    id: msgspec.Raw = msgspec.Raw(NULL)


class Refused(ValueError):
    """A line that cannot be answered; the text says what to change."""


_QUESTION: Final = msgspec.json.Decoder(_Question)
_NAMED: Final = msgspec.json.Decoder(_Named)
_HOURS: Final = msgspec.json.Decoder(dict[str, list[list[str]]] | None)
_DATES: Final = msgspec.json.Decoder(list[str] | None)
_DAYS: Final = msgspec.json.Decoder(dict[str, list[list[str]]] | None)


_ID_FIRST: Final = re.compile(rb'\s*\{\s*"id"\s*:\s*("[^"\\\x00-\x1f]*"|-?[1-9][0-9]{0,17}|0)\s*,')


def answer_line(line: bytes) -> tuple[bytes, bool]:
    """The answer to one line, as one line without its end, and whether it is an answer.

    `{"id": …, "due": "…Z"}`, `{"id": …, "elapsed_s": …}`, or `{"id": …, "error": "…"}`. Never raises,
    whatever is in the line: the lines around it are to be answered.
    """
    try:
        question = _QUESTION.decode(line.decode("utf-8"))
        found = _due(question) if question.kind == "due" else _elapsed(question)
    except (InvalidDefinition, Refused) as error:
        return _error(line, str(error)), False
    except msgspec.ValidationError as error:
        return _error(line, _where(error)), False
    except msgspec.DecodeError as error:
        return _error(line, f"the line is no JSON object: {error}"), False
    except UnicodeDecodeError:
        return _error(line, "the line is not UTF-8"), False
    except RecursionError:
        return _error(line, "the line is nested too deeply"), False
    except Exception as error:  # noqa: BLE001 - told in the answer; the other lines go on
        return _error(line, f"the line cannot be answered ({type(error).__name__}: {error})"), False
    return b'{"id":%b,%b}' % (bytes(question.id), found), True


def due_us(calendar: Calendar, start_us: int, target_us: int, pauses: Sequence[Pause] = ()) -> int:
    """The earliest instant by which `target_us` of open time, none of it in a pause, is used up.

    A pause that begins at that instant or later does not move it. LAST_US: never.
    """
    left_us = target_us
    for begin_us, end_us in _merged(pauses, start_us, LAST_US):
        available_us = calendar.elapsed_us(start_us, begin_us)
        if available_us >= left_us:
            break
        left_us -= available_us
        start_us = end_us
    return calendar.add_us(start_us, left_us)


def elapsed_us(calendar: Calendar, start_us: int, end_us: int, pauses: Sequence[Pause] = ()) -> int:
    """The open time between two instants outside all pauses; 0 when they are reversed."""
    paused_us = sum(calendar.elapsed_us(*pause) for pause in _merged(pauses, start_us, end_us))
    return calendar.elapsed_us(start_us, end_us) - paused_us


def _merged(pauses: Sequence[Pause], start_us: int, end_us: int) -> list[Pause]:
    """The parts of the pauses between two instants: in order, apart from each other, not empty."""
    merged: list[Pause] = []
    for pause in sorted(pauses):
        begin_us, until_us = max(pause[0], start_us), min(pause[1], end_us)
        if begin_us >= until_us:
            continue
        if merged and begin_us <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], until_us))
        else:
            merged.append((begin_us, until_us))
    return merged


def _due(question: _Question) -> bytes:
    if question.target_s is None:
        raise Refused("target_s is missing: how many seconds of open time there are")
    if question.target_s < 0:
        raise Refused(f"target_s is {question.target_s}; it must be 0 or more")
    calendar, start_us = _calendar(question), _instant("start", question.start)
    target_us = round(min(question.target_s, NEVER_S) * SECOND_US)
    found_us = due_us(calendar, start_us, target_us, _pauses(question))
    if found_us >= LAST_US:
        raise Refused("the target is never used up: not before the end of the year 9999")
    text = to_datetime(found_us).isoformat()
    return b'"due":"%bZ"' % text.removesuffix("+00:00").encode()


def _elapsed(question: _Question) -> bytes:
    if question.end is None:
        raise Refused("end is missing: the instant up to which time is counted")
    calendar, start_us = _calendar(question), _instant("start", question.start)
    end_us = _instant("end", question.end)
    found_us = elapsed_us(calendar, start_us, end_us, _pauses(question))
    seconds, rest_us = divmod(found_us, SECOND_US)
    fraction = f".{rest_us:06d}".rstrip("0") if rest_us else ""
    return b'"elapsed_s":%d%b' % (seconds, fraction.encode())


def _pauses(question: _Question) -> list[Pause]:
    found = []
    for number, pause in enumerate(question.pauses or (), 1):
        if len(pause) != 2 or pause[0] is None or pause[1] is None:  # noqa: PLR2004 - from, to
            raise Refused(f"pause {number} must have a beginning and an end")
        begin_us, end_us = _instant("pauses", pause[0]), _instant("pauses", pause[1])
        if end_us < begin_us:
            raise Refused(f"pause {number} ends before it begins")
        found.append((begin_us, end_us))
    return found


def _instant(name: str, instant: datetime) -> int:
    instant_us = to_us(instant)
    if not FIRST_US < instant_us < LAST_US:
        raise Refused(
            f"{name}: {instant.isoformat()} is outside the years that can be reckoned with"
        )
    return instant_us


def _calendar(question: _Question) -> Calendar:
    return _calendar_of(
        question.tz, bytes(question.hours), bytes(question.holidays), bytes(question.special_days)
    )


@lru_cache(maxsize=CALENDARS_KEPT)
def _calendar_of(zone: str | None, hours: bytes, holidays: bytes, special_days: bytes) -> Calendar:
    """The calendar of a line. Round the clock loses no minute, on holidays neither."""
    document: dict[str, Any] = {
        "id": "line",
        "zone": zone,
        "hours": _part("hours", _HOURS, hours),
        "holidays": _part("holidays", _DATES, holidays) or [],
        "special_days": _part("special_days", _DAYS, special_days) or {},
    }
    if document["hours"] is None:
        document |= {"holidays": [], "special_days": {}, "zone": zone or "UTC"}
    elif zone is None:
        raise Refused("tz is missing: the time zone of the hours, such as Europe/Berlin")
    return calendar_of(document, 1)


def _part(name: str, decoder: msgspec.json.Decoder[Any], text: bytes) -> Any:
    try:
        found = decoder.decode(text)
    except msgspec.ValidationError as error:
        raise Refused(_where(error, name)) from error
    if isinstance(found, dict):
        keys: list[str] = [key for key, _ in json.loads(text, object_pairs_hook=list)]
        if len(keys) > len(found):
            twice = next(key for number, key in enumerate(keys) if key in keys[:number])
            raise Refused(f"{name}: {twice[:100]!r} is there twice")
    return found


def _error(line: bytes, message: str) -> bytes:
    try:
        name = bytes(_NAMED.decode(line.decode("utf-8")).id)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        name = _first_id(line)
    if len(message) > MESSAGE_MAX:
        message = f"{message[:MESSAGE_MAX]}…"
    return b'{"id":%b,"error":%b}' % (name, msgspec.json.encode(message))


def _first_id(line: bytes) -> bytes:
    """The id of a line that is no JSON, if it stands first and is sound: what is broken, cut off or nested
    without end comes after it, mostly."""
    found = _ID_FIRST.match(line)
    try:
        return NULL if found is None else found[1].decode("utf-8").encode()
    except UnicodeDecodeError:
        return NULL


def _where(error: msgspec.ValidationError, name: str = "") -> str:
    """`Expected … - at `$.start`` as `start: expected …`."""
    what, _, path = str(error).partition(" - at `$")
    place = name + path.rstrip("`").lstrip("" if name else ".")
    return f"{place}: {what}" if place else what
