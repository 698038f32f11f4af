"""Holidays of countries and from iCalendar files."""

from __future__ import annotations

from datetime import date, datetime
from importlib.metadata import version

import pytest
from dateutil.rrule import rrulestr

from libs.worktime.calendar import calendar_of
from libs.worktime.errors import InvalidDefinition
from libs.worktime.holidays import (
    holidays_version,
    resolved,
    uploaded,
    uploads_of,
    with_upload,
    without_upload,
)
from libs.worktime.ical import ICAL_LIMIT_BYTES, holidays_of_ical
from libs.worktime.instants import SECOND_US, to_us
from tests.worktime.test_calendar import business

DOCUMENT = {"id": "c", "zone": "Europe/Berlin", "hours": {"thu": [["09:00", "17:00"]]}}


def with_countries(*countries: tuple[str, str | None]) -> dict[str, object]:
    places = [{"country": country, "subdivision": part} for country, part in countries]
    return {**DOCUMENT, "holiday_countries": places}


def ical(*events: str) -> bytes:
    """A file with these events; ` | ` stands between the lines of one."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Bitácora//Tests//EN"]
    for number, event in enumerate(events):
        lines += ["BEGIN:VEVENT", f"UID:event-{number}", "DTSTAMP:20260101T000000Z"]
        lines += [*event.split(" | "), "END:VEVENT"]
    return "\r\n".join([*lines, "END:VCALENDAR", ""]).encode()


def test_the_holidays_of_a_country_and_its_parts_become_dates() -> None:
    stored = resolved(with_countries(("DE", "BY"), ("ES", None)), 2026)
    bavaria, spain = stored["resolved_holidays"]
    assert bavaria["source"] == "country:DE-BY"
    assert bavaria["library"] == holidays_version() == f"holidays {version('holidays')}"
    assert (bavaria["from_year"], bavaria["to_year"]) == (2006, 2046)
    assert {"2026-01-06", "2026-06-04", "2016-12-25", "2046-12-26"} <= bavaria["dates"].keys()
    assert bavaria["dates"]["2026-06-04"] == "Corpus Christi"
    assert "2026-10-12" in spain["dates"]
    assert "2026-10-12" not in bavaria["dates"]
    # Corpus Christi is a Thursday.
    span = (to_us(datetime.fromisoformat(f"2026-06-0{day}T00:00:00Z")) for day in (4, 5))
    assert calendar_of(stored, 1).elapsed_us(*span) == 0


def test_what_was_resolved_stays_as_it_is() -> None:
    stored = resolved(with_countries(("DE", None)), 2026)
    older = {
        **stored["resolved_holidays"][0],
        "library": "holidays 0.1",
        "dates": {"2026-06-11": "x"},
    }
    calendar = calendar_of({**stored, "resolved_holidays": [older]}, 1)
    assert [str(day) for day in calendar.holidays] == ["2026-06-11"]


def test_uploads_are_kept_beside_the_countries() -> None:
    upload = uploaded("plant.ics", {"2026-06-11": "Plant closed"})
    stored = resolved(with_countries(("DE", None)), 2026, [upload])
    assert uploads_of(stored) == [upload]
    assert len(stored["resolved_holidays"]) == 2
    assert any(str(day) == "2026-06-11" for day in calendar_of(stored, 1).holidays)
    assert uploads_of(DOCUMENT) == []


def test_an_upload_takes_the_place_of_the_one_before_it_and_can_be_taken_back() -> None:
    stored = resolved(with_countries(("DE", None)), 2026)
    once = with_upload(stored, "plant.ics", {"2026-06-11": "Plant closed"})
    twice = with_upload(once, "plant.ics", {"2026-06-18": "Plant closed"})
    assert [source["dates"] for source in uploads_of(twice)] == [{"2026-06-18": "Plant closed"}]
    assert without_upload(twice, "plant.ics") == stored
    assert without_upload(stored, "country:DE") == stored
    with pytest.raises(InvalidDefinition, match="letters"):
        with_upload(stored, "../plant", {"2026-06-18": "x"})


@pytest.mark.parametrize(
    ("countries", "code", "hint"),
    [
        ([("de", None)], "unknown_country", "DE"),
        ([("Germany", None)], "unknown_country", "two-letter"),
        ([("DE", "XX")], "unknown_subdivision", "BY"),
        ([("DE", "BY"), ("DE", "BY")], "duplicate_country", "twice"),
        ([("DE", None)] * 51, "too_many_countries", "51"),
    ],
)
def test_places_that_are_not_known(
    countries: list[tuple[str, str | None]], code: str, hint: str
) -> None:
    with pytest.raises(InvalidDefinition, match=hint) as refusal:
        resolved(with_countries(*countries), 2026)
    assert refusal.value.code == code


@pytest.mark.parametrize(
    ("event", "days"),
    [
        ("DTSTART;VALUE=DATE:20261225", ["2026-12-25"]),
        ("DTSTART;VALUE=DATE:20261225 | DTEND;VALUE=DATE:20261225", ["2026-12-25"]),
        (
            "DTSTART;VALUE=DATE:20261230 | DTEND;VALUE=DATE:20270102",
            ["2026-12-30", "2026-12-31", "2027-01-01"],
        ),
        ("DTSTART;VALUE=DATE:20261225 | DURATION:P2D", ["2026-12-25", "2026-12-26"]),
        (
            "DTSTART;VALUE=DATE:20001225 | RRULE:FREQ=YEARLY",
            ["2025-12-25", "2026-12-25", "2027-12-25"],
        ),
        (
            "DTSTART;VALUE=DATE:20001231 | DURATION:P2D | RRULE:FREQ=YEARLY",
            "2025-01-01 2025-12-31 2026-01-01 2026-12-31 2027-01-01 2027-12-31".split(),
        ),
        (
            "DTSTART;VALUE=DATE:20251127 | RRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH",
            ["2025-11-27", "2026-11-26", "2027-11-25"],
        ),
        (
            (
                "DTSTART;VALUE=DATE:20241225 | EXDATE;VALUE=DATE:20251225"
                " | RRULE:FREQ=YEARLY;UNTIL=20261225T000000Z"
            ),
            ["2026-12-25"],
        ),
        ("DTSTART;VALUE=DATE:20250601 | RRULE:FREQ=YEARLY;COUNT=2", ["2025-06-01", "2026-06-01"]),
        ("DTSTART;VALUE=DATE:20240229 | RRULE:FREQ=YEARLY;INTERVAL=1", None),
        (
            "DTSTART;VALUE=DATE:20260105 | RDATE;VALUE=DATE:20260112,20260119",
            ["2026-01-05", "2026-01-12", "2026-01-19"],
        ),
        ("DTSTART;VALUE=DATE:20261225 | STATUS:CANCELLED", None),
        ("DTSTART;VALUE=DATE:19991225", None),
    ],
)
def test_all_day_events_become_dates(event: str, days: list[str] | None) -> None:
    always = "DTSTART;VALUE=DATE:20270707"
    found = holidays_of_ical(ical(f"SUMMARY:Ñandú day | {event}", always), 2025, 2027)
    assert list(found) == sorted([*(days or []), "2027-07-07"])
    assert {name for day, name in found.items() if day != "2027-07-07"} <= {"Ñandú day"}


def test_an_occurrence_that_was_moved() -> None:
    file = ical(
        "DTSTART;VALUE=DATE:20201225 | RRULE:FREQ=YEARLY",
        "DTSTART;VALUE=DATE:20261228 | RECURRENCE-ID;VALUE=DATE:20261225",
    ).replace(b"UID:event-1", b"UID:event-0")
    assert list(holidays_of_ical(file, 2026, 2027)) == ["2026-12-28", "2027-12-25"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no all-day event"),
        (b"hello", "cannot be read"),
        (b"<html></html>", "cannot be read"),
        (b"\xff\xfe\x00", "cannot be read"),
        (ical("DTSTART:20261225T090000Z"), "not all-day"),
        (ical("DTSTART;VALUE=DATE:20261325"), "cannot be read"),
        (ical("SUMMARY:x"), "no DTSTART"),
        (ical("DTSTART;VALUE=DATE:20261225 | DTEND;VALUE=DATE:20261201"), "lasts"),
        (ical("DTSTART;VALUE=DATE:20200101 | DTEND;VALUE=DATE:20300101"), "lasts"),
        (ical("DTSTART;VALUE=DATE:20261225 | RRULE:FREQ=DAILY"), "FREQ=YEARLY"),
        (ical("DTSTART;VALUE=DATE:20261225 | RRULE:FREQ=YEARLY;BYHOUR=9"), "FREQ=YEARLY"),
        (ical("DTSTART;VALUE=DATE:20261225 | RRULE:FREQ=YEARLY;INTERVAL=0"), "INTERVAL"),
        (ical("DTSTART;VALUE=DATE:20261225 | RRULE:FREQ=YEARLY;BYDAY=XX"), "cannot be read"),
        (
            ical("DTSTART;VALUE=DATE:00010101 | RRULE:FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR,SA,SU"),
            "more than 5000",
        ),
    ],
)
def test_files_that_are_no_good(data: bytes, words: str) -> None:
    with pytest.raises(InvalidDefinition, match=words) as refusal:
        holidays_of_ical(data, 2025, 2027)
    assert refusal.value.code == "bad_icalendar"


def test_files_that_are_too_large() -> None:
    with pytest.raises(InvalidDefinition, match="may have") as refusal:
        holidays_of_ical(b" " * (ICAL_LIMIT_BYTES + 1), 2025, 2027)
    assert refusal.value.code == "too_large"


def test_a_whole_year_of_listed_holidays_is_closed() -> None:
    of = business(*(f"2026-06-{day:02}" for day in range(1, 31)))
    june = (to_us(datetime.fromisoformat(f"2026-0{m}-01T00:00:00Z")) for m in (6, 7))
    assert of.elapsed_us(*june) == 0
    start_us = to_us(datetime.fromisoformat("2026-06-01T00:00:00Z"))
    assert of.add_us(start_us, SECOND_US) == to_us(datetime.fromisoformat("2026-07-01T07:00:01Z"))


RULES = (
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",  # never
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
    "FREQ=YEARLY;INTERVAL=3;BYMONTH=11;BYDAY=4TH",
    "FREQ=YEARLY;BYWEEKNO=53;BYDAY=MO",
    "FREQ=YEARLY;BYYEARDAY=-1;COUNT=4",
    "FREQ=YEARLY;INTERVAL=2;BYDAY=-1SU;BYMONTH=3,10;UNTIL=20351231",
)


@pytest.mark.parametrize("rule", RULES)
def test_the_search_for_occurrences_ends_with_the_years_that_count(rule: str) -> None:
    """What dateutil finds up to the year 9999 is the same up to the last year that counts."""
    file = ical(f"DTSTART;VALUE=DATE:20200229 | RRULE:{rule}")
    whole = {day.date() for day in rrulestr(rule, dtstart=datetime(2020, 2, 29))}  # noqa: DTZ001
    expected = {str(day) for day in whole | {date(2020, 2, 29)} if day.year <= 2040}
    assert set(holidays_of_ical(file, 2020, 2040)) == expected


def test_a_small_file_does_not_search_for_ever() -> None:
    never = "DTSTART;VALUE=DATE:{}0101 | RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"
    assert set(holidays_of_ical(ical(*[never.format("2026")] * 200), 2006, 2046)) == {"2026-01-01"}
    with pytest.raises(InvalidDefinition, match="through 101,250 years together"):
        holidays_of_ical(ical(*[never.format("0021")] * 50), 2006, 2046)
