"""Ticket events in, clock events, commands and timers out: on every kind of database."""

from __future__ import annotations

from libs.events import CommandEnvelope, UnknownEvent
from libs.events import sla as e
from libs.worktime.instants import to_us
from tests.sla.bench import Bench, apart
from tests.sla.desk import Stream, activated, at, created, priority, reply, status


def test_a_live_ticket_gets_clocks_events_and_timers(bench: Bench) -> None:
    stream = Stream()
    bench.apply(stream.add("10:00", created()))
    started = bench.events()
    assert [(event.metric, event.due) for event in started] == [
        ("first_reply", at("10:15")),
        ("requester_wait", at("14:00")),
    ]
    assert [envelope.stream_id for envelope in bench.envelopes()] == [f"sla:{stream.id}"] * 2
    assert [envelope.sequence for envelope in bench.envelopes()] == [1, 2]
    assert bench.envelopes()[0].causation_id == f"{stream.id}:1"
    assert bench.envelopes()[0].correlation_id == "conversation"
    assert bench.envelopes()[0].actor == "service:sla"
    assert bench.timers() == [
        ("first_reply", "warning", to_us(at("10:11:15"))),
        ("requester_wait", "warning", to_us(at("13:00"))),
    ]
    assert min(timer.at_us for timer in bench.armed) == to_us(at("10:11:15"))


def test_timers_follow_the_clocks(bench: Bench) -> None:
    stream = Stream()
    bench.apply(stream.add("10:00", created()), stream.add("10:05", reply()))
    assert [timer[0] for timer in bench.timers()] == ["requester_wait"]
    bench.apply(stream.add("10:10", status("pending")))
    assert bench.timers() == []
    bench.apply(stream.add("11:10", status("open", "pending")))
    assert bench.timers() == [("requester_wait", "warning", to_us(at("14:00")))]
    bench.apply(stream.add("11:20", status("solved")))
    assert bench.timers() == []


def test_a_breach_escalates_once_with_an_id_that_its_cause_decides(
    bench: Bench, database_url: str
) -> None:
    stream = Stream()
    bench.apply(stream.add("10:00", created()))
    bench.fire(at("10:15"))
    (breach,) = bench.events(e.SlaBreached)
    assert (breach.metric, breach.due, breach.live) == ("first_reply", at("10:15"), True)
    assert [envelope.time for envelope in bench.envelopes()[-2:]] == [at("10:15")] * 2
    (command,) = bench.commands()
    assert isinstance(command, CommandEnvelope)
    assert (command.ticket_id, command.actor) == (stream.id, "service:sla")
    assert command.type == "bitacora.EscalateTicket.v1"
    assert command.command.model_dump() == {
        "tier": 2,
        "cause": "sla",
        "reason": "first_reply target missed",
    }
    (taken,) = bench.events(e.SlaActionTaken)
    assert (taken.action, taken.tier, taken.command_id) == ("escalate", 2, command.command_id)
    assert command.causation_id == f"{stream.id}:1"
    assert bench.fire(at("10:20")) == 0
    bench.apply(stream.add("10:20", reply()))
    assert len(bench.commands()) == 1


def test_an_event_after_the_deadline_finds_the_timer_unfired(bench: Bench) -> None:
    stream = Stream()
    bench.apply(stream.add("10:00", created()))
    bench.apply(stream.add("10:20", reply()))
    (breach,) = bench.events(e.SlaBreached)
    assert breach.due == at("10:15")
    assert bench.fire(at("10:30")) == 0
    assert [event.breached for event in bench.events(e.ClockSatisfied)] == [True]
    assert len(bench.commands()) == 1


def test_a_restart_across_the_deadline_breaches_once_at_the_true_instant(
    bench: Bench, database_url: str
) -> None:
    stream = Stream()
    bench.apply(stream.add("10:00", created()))
    bench.stop()
    again = Bench(database_url)
    assert again.fire(at("13:30")) == 4  # two warnings and a breach, and a warning of the solution
    third = Bench(database_url)
    assert third.fire(at("13:31")) == 0
    (breach,) = third.events(e.SlaBreached)
    assert breach.due == at("10:15")
    warnings = [(event.metric, event.fraction, event.at) for event in third.events(e.SlaWarning)]
    assert warnings == [
        ("first_reply", 75, at("10:11:15")),
        ("first_reply", 90, at("10:13:30")),
        ("requester_wait", 75, at("13:00")),
    ]
    assert len(third.events(e.SlaActionTaken)) == 1
    assert [envelope.sequence for envelope in third.envelopes()] == [1, 2, 3, 4, 5, 6, 7]
    again.stop()
    third.stop()


def test_more_due_timers_than_one_batch(bench: Bench) -> None:
    streams = [Stream(f"ticket {number}") for number in range(25)]
    bench.apply(*(stream.add("10:00", created()) for stream in streams))
    batches = []
    while stated := bench.fire(at("10:15"), limit=10):
        batches.append(stated)
    assert sum(batches) == 75
    assert len(batches) == 3
    assert len({event.ticket_id for event in bench.events(e.SlaBreached)}) == 25


def test_imported_history_gives_verdicts_but_no_timers_and_no_commands(bench: Bench) -> None:
    stream = Stream()
    bench.apply(
        stream.add("10:00", created(imported_from="servicenow"), "import:servicenow"),
        stream.add("10:20", status("pending", "new"), "import:servicenow"),
        stream.add("+1 10:00", status("solved", "pending"), "import:servicenow"),
    )
    said = [(type(event).__name__, event.metric) for event in bench.events()]
    assert said == [
        ("SlaWarning", "first_reply"),
        ("SlaWarning", "first_reply"),
        ("SlaBreached", "first_reply"),
        ("ClockSatisfied", "first_reply"),
        ("ClockSatisfied", "requester_wait"),
    ]
    assert not any(event.live for event in bench.events())
    assert bench.events(e.ClockSatisfied)[1].elapsed_s == 1200
    assert bench.timers() == []
    assert bench.commands() == []
    assert bench.armed == []


def test_an_activated_import_becomes_live_and_what_is_past_keeps_its_due_instant(
    bench: Bench,
) -> None:
    stream = Stream()
    bench.apply(
        stream.add("10:00", created(imported_from="servicenow"), "import:servicenow"),
        stream.add("10:05", reply(), "import:servicenow"),
    )
    bench.apply(stream.add("13:30", activated()))
    (warning,) = bench.events(e.SlaWarning)
    assert (warning.at, warning.live) == (at("13:00"), True)
    assert bench.timers() == [("requester_wait", "warning", to_us(at("13:36")))]
    late = Stream("late")
    bench.apply(late.add("10:00", created(imported_from="servicenow"), "import:servicenow"))
    bench.apply(late.add("20:00", activated()))
    assert [event.due for event in bench.events(e.SlaBreached)] == [at("10:15"), at("14:00")]
    assert len(bench.commands()) == 2


def test_every_edge_of_imports_can_be_asked_for(database_url: str) -> None:
    bench = Bench(database_url, edges_of_imports=True)
    bench.apply(Stream().add("10:00", created(imported_from="x")))
    assert [type(event).__name__ for event in bench.events()] == ["ClockStarted"] * 2
    bench.stop()


def history(name: str) -> Stream:
    stream = Stream(name)
    stream.add("10:00", created(priority="high", imported_from="x" if name == "old" else None))
    stream.add("10:30", status("pending", "new"))
    stream.add("11:40", status("open", "pending"))
    stream.add("13:00", priority("critical", "high"))
    stream.add("+1 09:00", reply())
    stream.add("+1 09:30", status("solved"))
    stream.add("+2 09:30", status("open", "solved"))
    stream.add("+3 09:30", status("solved"))
    return stream


def test_polls_of_any_size_and_tickets_mixed_say_the_same(database_url: str) -> None:
    streams = [history("one"), history("two"), history("old")]
    mixed = [
        envelope for row in zip(*(s.envelopes for s in streams), strict=True) for envelope in row
    ]
    said = []
    for number, size in enumerate((1, 5, 100)):
        # One database: tickets of other names do not touch each other.
        bench = Bench(database_url)
        for stream in streams:
            stream.id = f"{stream.id[:-1]}{number}"
            for envelope in stream.envelopes:
                envelope.stream_id = stream.id
        for poll in apart(mixed, size):
            bench.apply(*poll)
        ids = {stream.id for stream in streams}
        said.append(
            sorted(
                (
                    event.ticket_id[:-1],
                    type(event).__name__,
                    event.model_dump_json(exclude={"cause", "command_id"})[60:],
                )
                for event in bench.events()
                if event.ticket_id in ids
            )
        )
        bench.stop()
    assert said[0] == said[1] == said[2]
    assert said[0]


def test_unknown_tickets_and_events_are_ignored(bench: Bench) -> None:
    stream = Stream()
    envelope = stream.add("10:00", status("open", "new"))
    bench.apply(envelope)
    assert bench.rows() == []
    known = Stream("known")
    bench.apply(known.add("10:00", created()))
    unknown = known.add("10:01", reply())
    unknown._event = UnknownEvent("bitacora.Sung.v1")
    bench.apply(unknown)
    assert len(bench.events()) == 2
