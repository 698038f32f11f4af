"""The calculator against a naive counter of seconds, and due against elapsed."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from services.sla.domain.calculator import answer_line, due_us, elapsed_us
from services.sla.domain.calendar import calendar_of
from services.sla.domain.instants import LAST_US, SECOND_US, to_us
from tests.sla.naive import definitions, is_open

SPAN_S = 4 * 3600
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
