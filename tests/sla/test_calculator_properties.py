"""The calculator against a naive counter of seconds, and due against elapsed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from libs.worktime.calendar import calendar_of
from libs.worktime.instants import LAST_US, SECOND_US, to_us
from services.sla.domain.calculator import answer_line, due_us, elapsed_us
from tests.worktime.naive import definitions, is_open

SPAN_S = 4 * 3600
VALID: dict[str, Any] = {
    "id": "q",
    "kind": "due",
    "tz": "Europe/Berlin",
    "hours": {"mon": [["09:00", "17:00"]], "fri": [["09:00", "17:00"]]},
    "holidays": ["2026-12-25"],
    "special_days": {"2026-12-24": [["09:00", "12:00"]]},
    "start": "2026-06-01T09:00:00+02:00",
    "end": "2026-06-05T12:00:00+02:00",
    "target_s": 7200,
    "pauses": [["2026-06-01T10:00:00Z", "2026-06-01T11:00:00Z"]],
}
PLACE = "the place of a value"
EXTREMES = [
    *("1e308", "-1e308", "1e309", "1e-400", "-0.0", "0", "-1", "1.5", "NaN", "Infinity", "01"),
    *("9" * digits for digits in (18, 19, 20, 40, 400, 5_000)),
    *("-" + "9" * digits for digits in (19, 400, 5_000)),
    *("null", "true", '""', "[]", "{}", "[[]]", "[[[]]]", "[null]", "[[null, null]]", "[{}]"),
    *("[" * depth + "]" * depth for depth in (100, 900, 2_000, 100_000)),
    *('{"a":' * depth + "1" + "}" * depth for depth in (100, 900, 2_000, 100_000)),
    *(r'"\u0000"', r'"\ud800"', r'"\udc00\ud800"', r'"\q"', '"\x00"', '"\U0010ffff"', '"\u2028"'),
    *('"' + "x" * 10**6 + '"', "[" + '"x",' * 10**5 + '"x"]', '{"mon": ' + "[" * 2_000),
    *(f'"{year}-12-31T23:59:59{zone}"' for year in ("9999", "0001") for zone in ("Z", "-23:59")),
    *('"9999-12-31"', '["9999-12-31", "0001-01-01"]', '{"9999-12-31": []}', '{"mon": []}'),
    *('{"mon": [["\u0660\u0669:00", "10:00"]]}', '{"\\u0000": [["09:00", "10:00"]]}'),
    *('{"mon": [["24:00", "00:00"]]}', '[["9999-12-31T00:00:00Z", "9999-12-31T01:00:00Z"]]'),
]
WORD = {"due": "due", "elapsed": "elapsed_s"}
Drawn = tuple[dict[str, Any], datetime]
offsets = st.integers(-600, SPAN_S + 600)
pauses_s = st.lists(st.tuples(offsets, offsets).map(sorted).map(tuple), max_size=4)


def answer(definition: dict[str, Any], **fields: Any) -> dict[str, Any]:
    question = {
        "id": 1,
        "tz": definition["zone"],
        **{part: definition[part] for part in ("hours", "holidays", "special_days")},
        **fields,
    }
    found: dict[str, Any] = json.loads(answer_line(json.dumps(question).encode())[0])
    return found


@settings(max_examples=100, deadline=None)
@given(definitions(), st.integers(0, 59), st.integers(0, SPAN_S), st.integers(1, SPAN_S), pauses_s)
def test_it_agrees_with_a_naive_second_counter(
    drawn: Drawn, shift_s: int, span_s: int, target_s: int, pauses: list[tuple[int, int]]
) -> None:
    definition, around = drawn
    start = around + timedelta(seconds=shift_s)
    asked = {
        "start": start.isoformat(),
        "pauses": [[str(start + timedelta(seconds=s)) for s in pause] for pause in pauses],
    }
    counted, due_s, elapsed_s = 0, None, 0
    open_minutes: dict[int, bool] = {}
    for second in range(SPAN_S):
        minute = (shift_s + second) // 60
        if minute not in open_minutes:
            open_minutes[minute] = is_open(definition, around + timedelta(minutes=minute))
        counted += open_minutes[minute] and not any(a <= second < b for a, b in pauses)
        if due_s is None and counted == target_s:
            due_s = second + 1
        if second + 1 == span_s:
            elapsed_s = counted
    end = start + timedelta(seconds=span_s)
    assert answer(definition, kind="elapsed", end=end.isoformat(), **asked) == {
        "id": 1,
        "elapsed_s": elapsed_s,
    }
    told = answer(definition, kind="due", target_s=target_s, **asked)
    if due_s is not None:
        assert datetime.fromisoformat(told["due"]) == start + timedelta(seconds=due_s)
    elif "due" in told:
        assert datetime.fromisoformat(told["due"]) > start + timedelta(seconds=SPAN_S)


@settings(max_examples=200, deadline=None)
@given(
    definitions(),
    st.integers(1, 200 * 3600 * SECOND_US),
    st.lists(
        st.tuples(*[st.integers(-(10**12), 3 * 10**12)] * 2).map(sorted).map(tuple), max_size=5
    ),
)
def test_due_and_elapsed_are_inverse_with_pauses(
    drawn: Drawn, target_us: int, spans: list[tuple[int, int]]
) -> None:
    definition, start = drawn
    calendar, start_us = calendar_of(definition, 1), to_us(start)
    pauses = [(start_us + first, start_us + last) for first, last in spans]
    found_us = due_us(calendar, start_us, target_us, pauses)
    assume(found_us < LAST_US)
    assert elapsed_us(calendar, start_us, found_us, pauses) == target_us
    assert elapsed_us(calendar, start_us, found_us - 1, pauses) == target_us - 1
    # What comes after the due instant, a pause that begins at it included, changes nothing.
    later = [pause for pause in pauses if pause[0] < found_us] + [(found_us, found_us + 10**9)]
    assert due_us(calendar, start_us, target_us, later) == found_us


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_line_breaks_it(line: bytes) -> None:
    text, good = answer_line(line)
    assert not good
    assert set(json.loads(text)) == {"id", "error"}
    assert b"\n" not in text


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value inside, the containers included."""
    if path:
        yield path
    if isinstance(value, dict | list):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(one, (*path, key))


def mutated(path: tuple[Any, ...], text: str, kind: str) -> bytes:
    """The valid line with this JSON, good or not, in place of the value at `path`."""
    question = json.loads(json.dumps({**VALID, "kind": kind, "unknown": 0}))
    if path[0] != "unknown":
        del question["unknown"]
    holder = question
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = PLACE
    return json.dumps(question).replace(f'"{PLACE}"', text).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("path", [*places(VALID), ("unknown",)], ids=str)
@pytest.mark.parametrize("kind", ["due", "elapsed"])
def test_no_value_in_a_valid_line_breaks_it(path: tuple[Any, ...], kind: str) -> None:
    neighbour = json.dumps({**VALID, "id": 1}).encode()
    for text in EXTREMES:
        told, good = answer_line(mutated(path, text, kind))
        assert b"\n" not in told
        assert len(told) < 1_000 or path == ("id",), text[:50]
        if told.startswith(b'{"id":"q",'):
            answer_ = json.loads(told)
            assert set(answer_) == {"id", "error" if not good else WORD[kind]}, text[:50]
        else:  # the id is the extreme one, or nothing of the line could be read
            assert good or path == ("id",) or told.startswith(b'{"id":null,"error":"'), text[:50]
        assert answer_line(neighbour) == (b'{"id":1,"due":"2026-06-01T09:00:00Z"}', True)


@pytest.mark.parametrize("text", ["1e308", "1e300", "9" * 40])
def test_a_target_beyond_all_time_is_never_used_up(text: str) -> None:
    told = json.loads(answer_line(mutated(("target_s",), text, "due"))[0])
    assert (told["id"], "never used up" in told["error"]) == ("q", True)


@pytest.mark.parametrize("path", [("hours",), ("holidays",), ("special_days",)], ids=str)
def test_nesting_without_end_is_told_with_the_id(path: tuple[Any, ...]) -> None:
    told = json.loads(answer_line(mutated(path, "[" * 100_000 + "]" * 100_000, "due"))[0])
    assert told == {"id": "q", "error": "the line is nested too deeply"}
