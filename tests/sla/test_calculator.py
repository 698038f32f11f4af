"""The calculator: examples of established products, odd and bad lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.sla.domain.calculator import answer_line

EXAMPLES = [
    json.loads(line)
    for line in (Path(__file__).parent / "worked_examples.jsonl").read_text("utf-8").splitlines()
]
OFFICE = {day: [["09:00", "13:00"], ["14:00", "18:00"]] for day in ("mon", "tue", "fri")}


def ask(**fields: Any) -> dict[str, Any]:
    """The answer to a question, which is about a Monday in Berlin unless `fields` say otherwise."""
    question = {
        "id": "q",
        "kind": "elapsed" if "end" in fields else "due",
        "tz": "Europe/Berlin",
        "hours": OFFICE,
        "start": "2026-06-01T09:00:00+02:00",
        **fields,
    }
    return answered(json.dumps(question))


def answered(line: str | bytes) -> dict[str, Any]:
    text, good = answer_line(line.encode() if isinstance(line, str) else line)
    answer: dict[str, Any] = json.loads(text)
    assert good == ("error" not in answer)
    return answer


def due(**fields: Any) -> str:
    answer = ask(**fields)
    assert list(answer) == ["id", "due"], answer
    return str(answer["due"])


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["question"]["id"])
def test_worked_examples_of_established_products(example: dict[str, Any]) -> None:
    assert answered(json.dumps(example["question"])) == example["answer"], example["source"]


def test_the_examples_are_of_several_products_and_name_their_sources() -> None:
    assert len({example["product"] for example in EXAMPLES}) >= 3
    assert all(example["source"].startswith("https://") for example in EXAMPLES)
    assert len({example["question"]["id"] for example in EXAMPLES}) == len(EXAMPLES)


def test_the_example_of_the_guide() -> None:
    line = (
        '{"id": "a", "kind": "due", "tz": "Europe/Berlin", "hours": {"mon": [["09:00","13:00"],'
        '["14:00","18:00"]], "fri": [["09:00","13:00"],["14:00","18:00"]]},'
        ' "holidays": ["2026-12-25"], "start": "2026-03-27T16:30:00Z", "target_s": 7200,'
        ' "pauses": [["2026-03-30T07:30:00Z","2026-03-30T08:00:00Z"]]}'
    )
    # Half an hour on Friday; on Monday it is summer time, and half an hour of it is paused.
    assert answered(line) == {"id": "a", "due": "2026-03-30T09:00:00Z"}


def test_any_offset_is_taken_and_fractions_are_kept() -> None:
    assert due(start="2026-06-01T12:30:00.25+05:30", target_s=1) == "2026-06-01T07:00:01.250000Z"
    assert due(start="2026-06-01T07:00:00z", target_s=0.5) == "2026-06-01T07:00:00.500000Z"
    assert ask(end="2026-06-01T07:00:00.125Z")["elapsed_s"] == 0.125
    whole = answer_line(
        b'{"kind":"elapsed","hours":null,"start":"2026-06-01T07:00:00.5Z",'
        b'"end":"2026-06-01T07:00:02.5Z"}'
    )
    assert whole == (b'{"id":null,"elapsed_s":2}', True)


def test_round_the_clock() -> None:
    day = {"start": "2026-03-28T12:00:00Z", "hours": None}
    assert due(**day, target_s=86_400) == "2026-03-29T12:00:00Z"
    assert due(**day, target_s=86_400, tz=None) == "2026-03-29T12:00:00Z"
    assert due(**day, target_s=86_400, holidays=["2026-03-29"]) == "2026-03-29T12:00:00Z"
    paused = [["2026-03-28T13:00:00Z", "2026-03-28T14:00:00Z"]]
    assert due(**day, target_s=7200, pauses=paused) == "2026-03-28T15:00:00Z"


@pytest.mark.parametrize(
    ("pauses", "expected"),
    [
        ([], "09:00"),
        ([["07:30", "08:00"]], "09:30"),
        ([["07:30", "08:00"], ["07:45", "08:15"]], "09:45"),  # they overlap
        ([["08:30", "08:45"], ["07:30", "08:00"]], "09:45"),  # not in order
        ([["07:30", "08:00"], ["08:00", "08:30"]], "10:00"),  # one after the other
        ([["05:00", "06:00"]], "09:00"),  # before the start
        ([["05:00", "07:15"]], "09:15"),  # over the start
        ([["09:00", "10:00"]], "09:00"),  # begins at the very due instant
        ([["09:01", "10:00"]], "09:00"),
        ([["08:59", "09:59"]], "10:00"),  # a minute was left
        ([["08:00", "08:00"]], "09:00"),  # an empty one
        ([["10:30", "12:30"]], "09:00"),
        ([["07:00", "11:00"]], "14:00"),  # the whole morning
        ([["07:00", "11:30"]], "14:00"),  # and half of the lunch break
        ([["11:00", "12:00"]], "09:00"),  # the lunch break
    ],
)
def test_pauses(pauses: list[list[str]], expected: str) -> None:
    at = [[f"2026-06-01T{clock}:00Z" for clock in pause] for pause in pauses]
    assert due(target_s=7200, pauses=at) == f"2026-06-01T{expected}:00Z"


def test_elapsed_leaves_pauses_out_once() -> None:
    pauses = [
        ["2026-06-01T08:00:00Z", "2026-06-01T09:00:00Z"],
        ["2026-06-01T08:30:00Z", "2026-06-01T09:30:00Z"],
        ["2026-06-01T10:45:00Z", "2026-06-01T12:15:00Z"],  # over the lunch break
        ["2026-06-02T10:00:00Z", "2026-06-02T11:00:00Z"],  # after the end
    ]
    assert ask(end="2026-06-01T16:00:00Z", pauses=pauses)["elapsed_s"] == (8 - 1.5 - 0.5) * 3600
    assert ask(end="2026-06-01T06:00:00Z", pauses=pauses)["elapsed_s"] == 0
    assert ask(end="2026-06-01T08:45:00Z", pauses=pauses)["elapsed_s"] == 3600


def test_a_target_of_nothing_is_due_at_once() -> None:
    assert due(target_s=0) == "2026-06-01T07:00:00Z"
    assert due(target_s=0, start="2026-06-06T12:00:00Z") == "2026-06-06T12:00:00Z"


def test_special_days() -> None:
    special = {"2026-06-01": [["20:00", "24:00"]]}
    assert due(target_s=3600, special_days=special) == "2026-06-01T19:00:00Z"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"target_s": -1}, "target_s"),
        ({"target_s": 10**12}, "never used up"),
        ({"target_s": 10**40}, "never used up"),
        ({"target_s": 1e300}, "never used up"),
        ({"target_s": "7200"}, "target_s"),
        ({"target_s": True}, "target_s"),
        ({"target_s": None}, "target_s is missing"),
        ({"kind": "elapsed"}, "end is missing"),
        ({"kind": "overdue", "target_s": 1}, "kind"),
        ({"target_s": 1, "start": "2026-06-01T09:00:00"}, "start"),
        ({"target_s": 1, "start": "2026-06-31T09:00:00Z"}, "start"),
        ({"target_s": 1, "start": "0001-01-01T00:00:00Z"}, "start"),
        ({"target_s": 1, "start": 1780300800}, "start"),
        ({"end": "9999-12-31T23:59:59Z"}, "end"),
        ({"target_s": 1, "tz": "Europe/Berlino"}, "Europe/Berlin"),
        ({"target_s": 1, "tz": None}, "tz is missing"),
        ({"target_s": 1, "hours": {}}, "never open"),
        ({"target_s": 1, "hours": {"mon": []}}, "never open"),
        ({"target_s": 1, "hours": {"mon": [["09:00"]]}}, "mon"),
        ({"target_s": 1, "hours": {"mon": [["09:00", None]]}}, "hours"),
        ({"target_s": 1, "hours": {"mon": [["09:00", "13:00"], ["12:00", "14:00"]]}}, "12:00"),
        ({"target_s": 1, "hours": {"mon": [["09:00", "09:00"]]}}, "no minute"),
        ({"target_s": 1, "hours": {"Mon": [["09:00", "10:00"]]}}, "weekday"),
        ({"target_s": 1, "hours": [["09:00", "10:00"]]}, "hours"),
        ({"target_s": 1, "holidays": ["25.12.2026"]}, "25.12.2026"),
        ({"target_s": 1, "holidays": "2026-12-25"}, "holidays"),
        ({"target_s": 1, "special_days": {"2026-12-24": [["09:00"]]}}, "2026-12-24"),
        ({"target_s": 1, "pauses": [["2026-06-01T08:00:00Z", None]]}, "pause 1"),
        ({"target_s": 1, "pauses": [["2026-06-01T08:00:00Z"]]}, "pause 1"),
        ({"target_s": 1, "pauses": [["2026-06-01T08:00:00Z", "2026-06-01T07:00:00Z"]]}, "pause 1"),
        ({"target_s": 1, "pauses": [["2026-06-01T08:00:00", "2026-06-01T09:00:00Z"]]}, "pauses"),
        ({"target_s": 1, "pause": []}, "pause"),
    ],
)
def test_a_bad_line_says_what_is_wrong_with_it(fields: dict[str, Any], words: str) -> None:
    answer = ask(**fields)
    assert list(answer) == ["id", "error"]
    assert answer["id"] == "q"
    assert words in answer["error"]


@pytest.mark.parametrize(
    ("line", "id_"),
    [
        (b"nonsense", None),
        (b'{"id": "a"', None),
        (b"[]", None),
        (b"null", None),
        (b'{"id": "a"}', "a"),
        (b'{"id": 7, "kind": "due"}', 7),
        (b'{"kind": "due"}', None),
        (b'{"id": "\xff"}', None),
        (b'{"id": ["a", {"b": 1}], "kind": 1}', ["a", {"b": 1}]),
        (b'{"id": "a", "hours": NaN}', "a"),
        (b'{"id": "a", "kind": "due",', "a"),
        (b'{"id": -3, "tz": "\xff"}', -3),
        (b'{"id": "\xff", "hours": NaN}', None),
        (b'{"id": "\xed\xa0\x80", "hours": NaN}', None),
        ('{"id": "ñ", "hours": NaN}'.encode(), "ñ"),
        (b'{"id": 12', None),
        (b'{"kind": "due", "id": "a", "hours": NaN}', None),
    ],
)
def test_the_id_of_a_bad_line_is_told_where_it_can_be_read(line: bytes, id_: object) -> None:
    answer = answered(line)
    assert answer["id"] == id_
    assert answer["error"]


@pytest.mark.parametrize(
    ("hours", "special_days", "words"),
    [
        ('{"mon": [["09:00", "10:00"]], "tue": [], "mon": []}', "null", "hours: 'mon' is there"),
        ('{"mon": [["09:00", "10:00"]], "\\u006don": []}', "null", "hours: 'mon' is there"),
        (
            '{"mon": [["09:00", "10:00"]]}',
            '{"2026-06-01": [], "2026-06-01": [["09:00", "10:00"]]}',
            "special_days: '2026-06-01' is there",
        ),
    ],
)
def test_a_day_that_is_there_twice_is_refused(hours: str, special_days: str, words: str) -> None:
    answer = answered(
        f'{{"id": 1, "kind": "due", "tz": "UTC", "hours": {hours}, "target_s": 1,'
        f' "special_days": {special_days}, "start": "2026-06-01T07:00:00Z"}}'
    )
    assert (answer["id"], words in answer["error"]) == (1, True), answer


def test_an_error_quotes_no_more_than_the_beginning_of_a_long_text() -> None:
    told = ask(target_s=1, tz="x" * 10**6)["error"]
    assert "is not a time zone" in told
    assert len(told) < 200
    assert len(ask(target_s=1, kind="x" * 10**6)["error"]) <= 301
