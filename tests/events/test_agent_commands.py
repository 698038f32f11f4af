"""Commands on agents on the wire: their own envelope, the code of the other one."""

from __future__ import annotations

from datetime import datetime
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events import (
    AGENT_COMMANDS,
    AgentCommandEnvelope,
    CommandEnvelope,
    Malformed,
    commands,
    decode_agent_command,
    decode_command,
    encode_agent_command,
    encode_command,
)
from libs.events.agent_commands import AcceptOffer, AgentRequest, DeclineOffer, SetAgentPresence
from libs.events.headers import WORD_LENGTH_MAX
from libs.events.routing import AgentCommandRefused
from tests.events.building import STREAM, instants, words
from tests.events.test_envelope import bodies, names, values, with_header

ASKED = AgentCommandEnvelope("k-1", "7", AcceptOffer(offer_id="d-1"), "agent:7", source="/x")
KEY, VALUE, HEADERS = encode_agent_command(ASKED)

lines = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)
requests: st.SearchStrategy[AgentRequest] = st.one_of(
    st.builds(
        SetAgentPresence,
        presence=st.sampled_from(["online", "away", "offline"]),
        reason=st.none() | words,
    ),
    st.builds(AcceptOffer, offer_id=words),
    st.builds(DeclineOffer, offer_id=words, reason=st.none() | words),
)


def refused(answer: AgentCommandEnvelope | CommandEnvelope | Malformed) -> Malformed:
    assert isinstance(answer, Malformed), answer
    return answer


def test_every_command_on_agents_is_registered() -> None:
    assert {cls for _, cls in AGENT_COMMANDS.classes()} == set(get_args(AgentRequest))


@given(
    command=requests,
    command_id=lines,
    agent_id=lines,
    actor=lines,
    time=st.none() | instants,
    expected=st.none() | st.integers(0, 10**17),
    correlation=lines,
    causation=st.just("") | lines,
    traceparent=st.none() | lines,
)
def test_what_is_encoded_is_decoded(
    command: AgentRequest,
    command_id: str,
    agent_id: str,
    actor: str,
    time: datetime | None,
    expected: int | None,
    correlation: str,
    causation: str,
    traceparent: str | None,
) -> None:
    envelope = AgentCommandEnvelope(
        command_id=command_id,
        agent_id=agent_id,
        command=command,
        actor=actor,
        time=time,
        correlation_id=correlation,
        causation_id=causation,
        expected_sequence=expected,
        traceparent=traceparent,
        source="/bitacora/reporting",
    )
    key, value, headers = encode_agent_command(envelope)
    assert key == f"agent:{agent_id}".encode()
    decoded = decode_agent_command(value, headers)
    assert decoded == envelope
    assert isinstance(decoded, AgentCommandEnvelope)
    assert encode_agent_command(decoded) == (key, value, headers)
    # Whatever is decoded can be refused: the refusal holds its ids as they are.
    said = AgentCommandRefused(
        command_id=decoded.command_id,
        command_type=decoded.type,
        agent=decoded.agent_id,
        code="any",
        detail="",
    )
    assert (said.command_id, said.agent) == (command_id, agent_id)


@given(
    value=bodies,
    changes=st.lists(st.tuples(names, values), max_size=3),
    keep=st.lists(st.booleans(), min_size=len(HEADERS), max_size=len(HEADERS)),
)
def test_decoding_nearly_right_messages_never_raises(
    value: Any, changes: Any, keep: list[bool]
) -> None:
    kept = [pair for pair, there in zip(HEADERS, keep, strict=True) if there]
    for mixed in ([*changes, *kept], [*kept, *changes], [*HEADERS, *changes]):
        answer = decode_agent_command(value, mixed)
        assert isinstance(answer, AgentCommandEnvelope | Malformed)


@given(type_name=st.sampled_from([n for n, _ in AGENT_COMMANDS.classes()]), value=bodies)
def test_every_type_takes_any_value(type_name: str, value: Any) -> None:
    answer = decode_agent_command(value, with_header(HEADERS, "ce_type", type_name.encode()))
    assert isinstance(answer, AgentCommandEnvelope | Malformed)


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("ce_subject", b"7", "bad_header"),
        ("ce_subject", b"agent:", "bad_header"),
        ("ce_subject", b"agent: 7", "bad_header"),
        ("ce_subject", b"agent:a\nb", "bad_header"),
        ("ce_subject", b"agent:" + b"x" * (WORD_LENGTH_MAX + 1), "bad_header"),
        ("ce_subject", b"", "missing_header"),
        ("ce_id", b"x" * (WORD_LENGTH_MAX + 1), "bad_header"),
        ("ce_id", b" k", "bad_header"),
        ("ce_actor", None, "null_header"),
        ("ce_type", b"bitacora.AssignTicket.v1", "unknown_type"),
        ("ce_type", b"bitacora.SetAgentPresence.v1", "invalid_data"),
        ("ce_expectedsequence", b"-1", "bad_header"),
    ],
)
def test_what_is_wrong_is_said(name: str, value: bytes | None, code: str) -> None:
    assert refused(decode_agent_command(VALUE, with_header(HEADERS, name, value))).code == code


def test_unknown_fields_are_refused_and_the_stream_is_told() -> None:
    answer = refused(decode_agent_command(b'{"offer_id":"d-1","agent":"8"}', HEADERS))
    assert (answer.code, answer.stream_id) == ("invalid_data", "agent:7")


def test_neither_service_takes_what_is_meant_for_the_other() -> None:
    ticket = CommandEnvelope("k-2", STREAM, commands.UnassignTicket(), "agent:7")
    subject = with_header(encode_command(ticket)[2], "ce_subject", b"agent:7")
    assert refused(decode_agent_command(b"{}", subject)).code == "unknown_type"
    swapped = with_header(HEADERS, "ce_subject", STREAM.encode())
    assert refused(decode_command(VALUE, swapped)).code == "unknown_type"
