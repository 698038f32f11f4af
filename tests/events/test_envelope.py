from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events import (
    COMMANDS,
    EVENTS,
    CommandEnvelope,
    Event,
    EventEnvelope,
    InvalidData,
    Malformed,
    UnknownEvent,
    commands,
    decode_command,
    decode_event,
    encode_command,
    encode_event,
    evolve,
    format_time,
    parse_time,
)
from libs.events.headers import ID_LENGTH_MAX, LINK_LENGTH_MAX, WORD_LENGTH_MAX
from tests.events.building import (
    MORNING,
    STREAM,
    assigned,
    created,
    envelope_for,
    foreign_events,
    instants,
    status,
    ticket_events,
    words,
)

EVENT = envelope_for(status("solved"))
KEY, VALUE, HEADERS = encode_event(EVENT)
COMMAND = CommandEnvelope(
    command_id="k-1",
    ticket_id=STREAM,
    command=commands.ChangeTags(add=("vip",)),
    actor="agent:7",
    correlation_id="c-1",
    expected_sequence=3,
)
_, COMMAND_VALUE, COMMAND_HEADERS = encode_command(COMMAND)


def with_header(headers: list[tuple[str, bytes]], name: str, value: Any) -> list[tuple[str, Any]]:
    return [*[pair for pair in headers if pair[0] != name], (name, value)]


def refused(answer: EventEnvelope | CommandEnvelope | Malformed) -> Malformed:
    assert isinstance(answer, Malformed), answer
    return answer


lines = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)


@given(
    event=ticket_events | foreign_events,
    stream_id=lines,
    sequence=st.integers(1, 10**17),
    position=st.integers(0, 10**17),
    time=instants,
    recorded=instants,
    actor=lines,
    correlation=st.just("") | lines,
    traceparent=st.none() | lines,
)
def test_what_is_encoded_is_decoded(
    event: Event,
    stream_id: str,
    sequence: int,
    position: int,
    time: datetime,
    recorded: datetime,
    actor: str,
    correlation: str,
    traceparent: str | None,
) -> None:
    envelope = envelope_for(
        event,
        stream_id=stream_id,
        sequence=sequence,
        position=position,
        time=time,
        recorded_time=recorded,
        actor=actor,
        correlation_id=correlation,
        traceparent=traceparent,
    )
    key, value, headers = encode_event(envelope)
    decoded = decode_event(value, headers)
    assert decoded == envelope
    assert isinstance(decoded, EventEnvelope)
    assert decoded.event == event
    assert decoded.computed_hash() == decoded.hash
    assert encode_event(decoded) == (key, value, headers)


@given(
    time=st.none() | instants,
    expected=st.none() | st.integers(0, 10**17),
    correlation=lines,
    tags=st.lists(words, max_size=3).map(tuple),
)
def test_commands_too(
    time: datetime | None, expected: int | None, correlation: str, tags: tuple[str, ...]
) -> None:
    envelope = CommandEnvelope(
        command_id="k-1",
        ticket_id=STREAM,
        command=commands.ChangeTags(add=tags),
        actor="import:servicenow",
        time=time,
        correlation_id=correlation,
        expected_sequence=expected,
        source="/bitacora/routing",
    )
    _, value, headers = encode_command(envelope)
    assert decode_command(value, headers) == envelope


def test_a_command_without_correlation_starts_its_own() -> None:
    envelope = CommandEnvelope("k-9", STREAM, commands.UnassignTicket(), "agent:7")
    decoded = decode_command(*encode_command(envelope)[1:])
    assert isinstance(decoded, CommandEnvelope)
    assert decoded.correlation_id == "k-9"


# ------------------------------------------------------------------------------ foreign messages

names = st.one_of(
    st.sampled_from([name for name, _ in HEADERS + COMMAND_HEADERS] + ["ce_expectedsequence"]),
    st.text(max_size=5),
    st.none(),
    st.integers(),
    st.binary(max_size=3),
)
values = st.one_of(
    st.none(),
    st.binary(max_size=40),
    st.text(max_size=10),
    st.integers(),
    st.lists(st.integers(), max_size=2),
    st.sampled_from([b"\xff\xfe", b"", b"x" * 100_000, b"0", b"-1", b"9" * 5000, b"NaN"]),
    st.sampled_from([value for _, value in HEADERS + COMMAND_HEADERS]),
)
pairs = st.tuples(names, values) | st.tuples(names) | st.tuples(names, values, values) | st.none()
bodies = st.one_of(
    st.none(),
    st.binary(max_size=60),
    st.text(max_size=10),
    st.integers(),
    st.sampled_from(
        [VALUE, b"", b"null", b"[]", b"{}", b"[" * 5000, b'{"status":"open"}', b"\xff"]
    ),
)


@given(value=bodies, headers=st.lists(pairs, max_size=6) | st.none() | st.integers() | st.text())
def test_decoding_never_raises(value: Any, headers: Any) -> None:
    assert isinstance(decode_event(value, headers), EventEnvelope | Malformed)
    assert isinstance(decode_command(value, headers), CommandEnvelope | Malformed)


@given(
    value=bodies,
    changes=st.lists(st.tuples(names, values), min_size=1, max_size=3),
    keep=st.lists(st.booleans(), min_size=20, max_size=20),
)
def test_decoding_nearly_right_messages_never_raises(
    value: Any, changes: Any, keep: list[bool]
) -> None:
    for headers, decode in ((HEADERS, decode_event), (COMMAND_HEADERS, decode_command)):
        kept = [pair for pair, there in zip(headers, keep, strict=False) if there]
        for mixed in ([*headers, *changes], [*changes, *kept], [*kept, *changes]):
            answer = decode(value, mixed)
            assert isinstance(answer, EventEnvelope | CommandEnvelope | Malformed)


@given(type_name=st.sampled_from([n for n, _ in EVENTS.classes()]), value=bodies)
def test_every_event_type_takes_any_value(type_name: str, value: Any) -> None:
    decode_event(value, with_header(HEADERS, "ce_type", type_name.encode()))


@given(type_name=st.sampled_from([n for n, _ in COMMANDS.classes()]), value=bodies)
def test_every_command_type_takes_any_value(type_name: str, value: Any) -> None:
    decode_command(value, with_header(COMMAND_HEADERS, "ce_type", type_name.encode()))


@pytest.mark.parametrize("name", [name for name, _ in HEADERS if name.startswith("ce_")])
def test_a_null_or_undecodable_header_is_named(name: str) -> None:
    null = refused(decode_event(VALUE, with_header(HEADERS, name, None)))
    assert (null.code, null.detail) == ("null_header", f"header '{name}' is null")
    bad = refused(decode_event(VALUE, with_header(HEADERS, name, b"\xff\xfe")))
    assert (bad.code, bad.detail) == ("bad_header", f"header '{name}' is not UTF-8")


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("ce_sequence", b"0", "impossible_sequence"),
        ("ce_sequence", b"-1", "bad_header"),
        ("ce_sequence", b"1.5", "bad_header"),
        ("ce_sequence", "٣".encode(), "bad_header"),
        ("ce_sequence", b"9" * 19, "bad_header"),
        ("ce_time", b"yesterday", "bad_header"),
        ("ce_time", b"2026-03-02T09:00:00", "bad_header"),
        ("ce_time", b"0001-01-01T00:00:00+14:00", "bad_header"),
        ("ce_actor", b"", "missing_header"),
        ("ce_actor", b"a\0b", "bad_header"),
        ("ce_subject", b"x" * (ID_LENGTH_MAX + 1), "bad_header"),
        ("ce_correlationid", b"x" * (LINK_LENGTH_MAX + 1), "bad_header"),
    ],
)
def test_what_is_wrong_with_a_header_is_said(name: str, value: bytes, code: str) -> None:
    assert refused(decode_event(VALUE, with_header(HEADERS, name, value))).code == code


def test_the_stream_and_sequence_are_given_when_they_could_be_read() -> None:
    answer = refused(decode_event(b"{", HEADERS))
    assert (answer.code, answer.stream_id, answer.sequence) == ("invalid_data", STREAM, 1)
    too_long = decode_event(VALUE, with_header(HEADERS, "ce_subject", b"x" * 100_000))
    assert refused(too_long).stream_id is None


def test_a_missing_value_is_said() -> None:
    assert refused(decode_event(None, HEADERS)).code == "no_value"
    assert refused(decode_command(None, COMMAND_HEADERS)).code == "no_value"


def test_headers_that_no_attribute_needs_may_be_anything() -> None:
    foreign = [("x-trace", b"\xff"), ("x-null", None), ("x-twice", b"1"), ("x-twice", b"2")]
    assert decode_event(VALUE, [*HEADERS, *foreign]) == EVENT


def test_an_attribute_that_says_two_things_is_refused() -> None:
    twice = [*HEADERS, ("ce_actor", b"agent:8")]
    assert refused(decode_event(VALUE, twice)).code == "duplicate_header"
    assert decode_event(VALUE, [*HEADERS, ("ce_actor", b"agent:7")]) == EVENT
    traced = [*HEADERS, ("traceparent", b"a"), ("traceparent", b"b")]
    assert isinstance(decode_event(VALUE, traced), EventEnvelope)


@pytest.mark.parametrize("command_id", [b"k" * (WORD_LENGTH_MAX + 1), b" ", b"k "])
def test_a_command_id_that_no_refusal_could_name_is_refused(command_id: bytes) -> None:
    headers = with_header(COMMAND_HEADERS, "ce_id", command_id)
    assert refused(decode_command(COMMAND_VALUE, headers)).code == "bad_header"


def test_control_characters_in_a_command_are_refused() -> None:
    for name in ("ce_id", "ce_actor", "ce_correlationid"):
        headers = with_header(COMMAND_HEADERS, name, b"a\nb")
        assert refused(decode_command(COMMAND_VALUE, headers)).code == "bad_header"


def test_a_ticket_id_is_a_uuid_in_one_form() -> None:
    upper = with_header(COMMAND_HEADERS, "ce_subject", STREAM.upper().encode())
    decoded = decode_command(COMMAND_VALUE, upper)
    assert isinstance(decoded, CommandEnvelope)
    assert decoded.ticket_id == STREAM
    wrong = with_header(COMMAND_HEADERS, "ce_subject", b"42")
    assert refused(decode_command(COMMAND_VALUE, wrong)).code == "bad_header"


# ---------------------------------------------------------------------------- unknown and newer


def test_an_event_of_an_unknown_type_is_tolerated() -> None:
    envelope = decode_event(b"whatever", with_header(HEADERS, "ce_type", b"bitacora.New.v1"))
    assert isinstance(envelope, EventEnvelope)
    assert envelope.event == UnknownEvent("bitacora.New.v1")
    before = evolve(None, envelope_for(created()))
    after = evolve(before, envelope)
    assert (after.status, after.sequence) == (before.status, 1)


def test_a_command_of_an_unknown_type_is_refused() -> None:
    headers = with_header(COMMAND_HEADERS, "ce_type", b"bitacora.New.v1")
    assert refused(decode_command(COMMAND_VALUE, headers)).code == "unknown_type"


def test_an_event_is_no_command() -> None:
    headers = with_header(COMMAND_HEADERS, "ce_type", EVENT.type.encode())
    assert refused(decode_command(COMMAND_VALUE, headers)).code == "unknown_type"


def test_unknown_fields_are_ignored_in_events() -> None:
    envelope = decode_event(b'{"status":"solved","previous":"open","mood":{"a":[1]}}', HEADERS)
    assert isinstance(envelope, EventEnvelope)
    assert envelope.event == status("solved")


@pytest.mark.parametrize(
    ("type_name", "data"),
    [
        (b"bitacora.ChangeTags.v1", b'{"add":["vip"],"assignee":"7"}'),
        (
            b"bitacora.CreateTicket.v1",
            b'{"subject":"x","requester":{"id":"c","emial":"a@example.com"}}',
        ),
    ],
)
def test_unknown_fields_are_refused_in_commands(type_name: bytes, data: bytes) -> None:
    answer = refused(decode_command(data, with_header(COMMAND_HEADERS, "ce_type", type_name)))
    assert answer.code == "invalid_data"
    assert "assignee" in answer.detail or "emial" in answer.detail


def test_the_refusal_does_not_repeat_the_data() -> None:
    secret = b'{"subject":"x","requester":{"id":"c","email":["me@example.com"]}}'
    headers = with_header(COMMAND_HEADERS, "ce_type", b"bitacora.CreateTicket.v1")
    assert "me@example.com" not in refused(decode_command(secret, headers)).detail


@pytest.mark.parametrize(
    "data",
    [
        b'{"reason":"a\\u0000b"}',
        b'{"\\u0000":1}',
        b'{"more":[{"deep":"\\u0000"}]}',
        b'{"reason":"\\ud800"}',
        b'{"more":NaN',
    ],
)
def test_text_that_no_database_takes_is_refused(data: bytes) -> None:
    headers = with_header(HEADERS, "ce_type", b"bitacora.Unassigned.v1")
    assert refused(decode_event(data, headers)).code == "invalid_data"


def test_a_backslash_before_u0000_is_only_text() -> None:
    headers = with_header(HEADERS, "ce_type", b"bitacora.Unassigned.v1")
    envelope = decode_event(b'{"reason":"\\\\u0000"}', headers)
    assert isinstance(envelope, EventEnvelope)
    assert envelope.event.reason == "\\u0000"


def test_numbers_that_no_database_holds_are_refused() -> None:
    with pytest.raises(InvalidData):
        EVENTS.decode(
            "bitacora.TicketCreated.v1",
            b'{"number":9007199254740992,"subject":"","requester":{"id":"c"},"channel":"api"}',
        )
    for score in (b"NaN", b"Infinity", b"1e999"):
        with pytest.raises(InvalidData):
            EVENTS.decode(
                "bitacora.TicketRouted.v1",
                b'{"decision_id":"d","ticket_id":"t","outcome":"nobody","trigger":"x",'
                b'"rule_version":"1","candidates":[{"agent":"7","score":' + score + b"}]}",
            )


def test_personal_data_stays_out_of_the_representation() -> None:
    envelope = envelope_for(created(subject="my secret"))
    assert "secret" not in repr(envelope)
    assert envelope.event.subject == "my secret"
    assert "secret" not in repr(envelope)


def test_an_envelope_is_decoded_once() -> None:
    envelope = envelope_for(assigned("tier-1"))
    assert envelope.event is envelope.event


# ------------------------------------------------------------------------------------------ times


@given(instants)
def test_times_round_trip(instant: datetime) -> None:
    text = format_time(instant)
    assert text.endswith("Z")
    assert parse_time(text) == instant
    assert format_time(parse_time(text)) == text


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2026-03-02T09:00:00Z", "2026-03-02T09:00:00Z"),
        ("2026-03-02T09:00:00.000000Z", "2026-03-02T09:00:00Z"),
        ("2026-03-02T09:00:00.5Z", "2026-03-02T09:00:00.500000Z"),
        ("2026-03-02T11:00:00.120+02:00", "2026-03-02T09:00:00.120000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
    ],
)
def test_a_time_is_written_in_one_way(text: str, written: str) -> None:
    assert format_time(parse_time(text)) == written


@pytest.mark.parametrize(
    "text", ["", "now", "2026-03-02", "2026-03-02T09:00:00", "9999-12-31T23:59:59-01:00"]
)
def test_a_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_time(text)


def test_a_zone_is_demanded_and_turned_to_utc() -> None:
    with pytest.raises(ValueError, match="zone"):
        format_time(datetime(2026, 3, 2, 9, 0))  # noqa: DTZ001 - the point of the test
    madrid = datetime(2026, 3, 2, 10, 0, tzinfo=timezone(timedelta(hours=1)))
    assert format_time(madrid) == format_time(MORNING) == "2026-03-02T09:00:00Z"
    assert parse_time("2026-03-02T10:00:00+01:00").tzinfo is UTC
