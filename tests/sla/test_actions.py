"""Actions on warnings and breaches: what is asked, of whom, how often, and that it comes to an end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events import Event, Priority
from libs.events import commands as cmd
from libs.events import sla as e
from libs.events import ticket as t
from libs.worktime.instants import to_us
from services.sla.domain.actions import PRIORITIES
from services.sla.domain.clocks import terms_of
from services.sla.domain.facts import deeds_of
from services.sla.domain.metrics import METRICS
from services.sla.domain.ticket import Cause, advance, expire
from services.sla.store import put_policies
from tests.sla.bench import Bench
from tests.sla.desk import Stream, at, book_of, created, policy, status

HOUR = {"target_s": 3600, "calendar": "always"}
EVERY = dict.fromkeys(PRIORITIES, HOUR)


def put(bench: Bench, *policies: dict[str, Any]) -> None:
    now_us = to_us(bench.clock.now())
    bench.store.write_now(lambda c, _: put_policies(c, bench.books.read(c), list(policies), now_us))


def acting(**values: Any) -> dict[str, Any]:
    return policy(targets={"requester_wait": EVERY}, warn_at=[75, 90], **values)


def test_each_kind_of_action_on_a_breach(bench: Bench) -> None:
    actions = [{"do": "notify", "whom": ["assignee", "leads"]}, "raise_priority", "escalate"]
    put(bench, acting(on_breach={"requester_wait": [*actions, "reroute"]}))
    stream = Stream()
    bench.apply(stream.add("10:00", created(priority="medium", group="desk", agent="7")))
    bench.fire(at("11:00"))
    commands = [envelope.command for envelope in bench.commands()]
    reason = "requester_wait target missed"
    assert commands == [
        cmd.ChangePriority(priority=Priority.HIGH, raise_only=True),
        cmd.EscalateTicket(tier=2, cause="sla", reason=reason),
        cmd.UnassignTicket(reason=reason, if_agent="7"),
    ]
    taken = bench.events(e.SlaActionTaken)
    assert [(one.action, one.whom, one.priority, one.tier) for one in taken] == [
        ("notify", ("agent:7", "leads"), None, None),
        ("raise_priority", (), "high", None),
        ("escalate", (), None, 2),
        ("reroute", (), None, None),
    ]
    assert [one.command_id for one in taken[1:]] == [one.command_id for one in bench.commands()]
    assert {(one.at, one.fraction, one.cause) for one in taken} == {
        (at("11:00"), None, f"{stream.id}:1")
    }
    bench.fire(at("12:00"))
    bench.apply(stream.add("12:00", status("solved")))
    assert len(bench.events(e.SlaActionTaken)) == 4


def test_actions_on_warnings_at_each_or_at_one_of_them(bench: Bench) -> None:
    on_warning = ["notify", {"do": "raise_priority", "at": 90}]
    put(bench, acting(on_warning={"requester_wait": on_warning}))
    bench.apply(Stream().add("10:00", created(priority="low")))
    bench.fire(at("10:50"))
    assert [(one.action, one.fraction) for one in bench.events(e.SlaActionTaken)] == [
        ("notify", 75)
    ]
    bench.fire(at("20:00"))
    taken = bench.events(e.SlaActionTaken)
    assert [(one.action, one.fraction, one.whom) for one in taken] == [
        ("notify", 75, ("leads",)),
        ("notify", 90, ("leads",)),
        ("raise_priority", 90, ()),
    ]
    assert len({one.command_id for one in bench.commands()}) == 1


def test_nothing_is_asked_that_could_do_nothing(bench: Bench) -> None:
    put(bench, acting(on_breach={"requester_wait": ["raise_priority", "escalate", "reroute"]}))
    stream = Stream()
    top = t.Escalated(tier=3, previous_tier=1, cause="manual")
    bench.apply(stream.add("10:00", created(priority="critical")), stream.add("10:01", top))
    bench.fire(at("11:00"))
    assert len(bench.events(e.SlaBreached)) == 1
    assert bench.commands() == []
    solved = Stream("solved")
    bench.apply(solved.add("10:00", created(priority="low")))
    bench.apply(solved.add("11:30", status("solved")))  # the timer had not fired
    assert len(bench.events(e.SlaBreached)) == 2
    assert bench.commands() == []


def test_each_activation_acts_for_itself(bench: Bench) -> None:
    put(bench, policy(targets={"first_reply": EVERY}, on_breach={"first_reply": ["escalate"]}))
    stream = Stream()
    bench.apply(stream.add("10:00", created()))
    bench.fire(at("11:00"))
    bench.apply(stream.add("11:10", status("solved")))
    bench.apply(stream.add("12:00", status("open", "solved")))
    bench.fire(at("13:00"))
    assert len({one.command_id for one in bench.commands()}) == 2
    assert [one.activation for one in bench.events(e.SlaBreached)] == [1, 2]


# ---- loops -------------------------------------------------------------------------------------

ACTIONS = ("notify", "raise_priority", "escalate", "reroute")
some_actions = st.lists(st.sampled_from(ACTIONS), unique=True)
targets = st.dictionaries(
    st.sampled_from(PRIORITIES),
    st.integers(1, 7200).map(lambda s: {"target_s": s, "calendar": "always"}),
    min_size=1,
)


@st.composite
def policies(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Policies that choose by what actions change: priority, tier, group, agent."""
    made = []
    for number in range(draw(st.integers(1, 4))):
        field = draw(st.sampled_from(("priority", "tier", "group", "agent", "")))
        values = {
            "priority": PRIORITIES,
            "tier": ("1", "2", "3"),
            "group": ("desk", "other"),
            "agent": ("7", "8"),
        }.get(field)
        metrics = draw(st.lists(st.sampled_from(tuple(METRICS)), unique=True, min_size=1))
        made.append(
            policy(
                id=f"p{number}",
                when={field: [draw(st.sampled_from(values))]} if values else {},
                targets={metric: draw(targets) for metric in metrics},
                on_warning={metric: draw(some_actions) for metric in metrics},
                on_breach={metric: draw(some_actions) for metric in metrics},
            )
        )
    return made


def led_to(deed: Any, fields: dict[str, str]) -> Sequence[Event]:
    """What intake and routing make of it, as eagerly as can be: another agent takes it at once."""
    match deed.do:
        case "raise_priority":
            new, old = Priority(deed.priority), Priority(fields["priority"])
            return () if new == old else (t.PriorityChanged(priority=new, previous=old),)
        case "escalate":
            old_tier = int(fields["tier"])
            if deed.tier == old_tier:
                return ()
            return (t.Escalated(tier=deed.tier, previous_tier=old_tier, cause="sla"),)
        case "reroute":
            group, agent = ("other", "8") if fields.get("agent") == "7" else ("desk", "7")
            return (t.Unassigned(), t.Assigned(group=group, agent=agent))
        case _:
            return ()


@settings(max_examples=150, deadline=None)
@given(policies())
def test_actions_that_lead_to_changes_that_lead_to_actions_come_to_an_end(
    written: list[dict[str, Any]],
) -> None:
    book = book_of(*written)
    now_us, sequence = to_us(at("10:00")), 1
    first = created(priority="low", group="desk", agent="7")
    ticket, facts = advance(None, first, Cause(now_us, 1), book)
    done: Counter[str] = Counter()
    breaches: Counter[tuple[str, int]] = Counter()
    todo = list(facts)
    rounds = 0
    while todo or rounds < 40:
        rounds += 1
        assert rounds < 1000
        assert ticket is not None
        facts, todo = todo, []
        for fact in facts:
            if fact.kind == "breached":
                breaches[fact.clock.metric, fact.clock.activation] += 1
            for deed in deeds_of(fact, ticket, terms_of(fact.clock, book)):
                done[deed.name("t", fact.clock.metric, fact.clock.activation)] += 1
                for event in led_to(deed, ticket.fields):
                    sequence += 1
                    ticket, more = advance(ticket, event, Cause(now_us, sequence), book)
                    assert ticket is not None
                    todo += more
        now_us += 600_000_000
        ticket, more = expire(ticket, now_us, book)
        todo += more
    assert all(count == 1 for count in breaches.values())
    assert all(count == 1 for count in done.values())
    assert len(done) <= len(METRICS) * 3 * len(ACTIONS)
