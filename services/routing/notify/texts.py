"""The words: a subject and a plain text for every kind of notification.

Agents are staff, so the texts are short, say what happened and what to do, and name a ticket by its
number. They never hold anything about its requester or its contents (`Facts` has no such field).
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from services.routing.notify.model import Facts, Kind

SUBJECT_MAX: Final = 200
VALUE_MAX: Final = 200
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")

REASONS: Final = {
    "out_of_office": "you are out of office",
    "offline": "you were offline for too long",
    "retired": "you have left the desk",
    "unavailable": "you were not available",
    "escalated": "it was escalated",
    "needs_changed": "it needs something else now",
    "sla": "its deadline was near",
    "missed_offers": "you let offers pass without an answer",
}
"""Reason codes in words. Others are shown as they are, with spaces."""


_FOOTER: Final = "This message was sent by the help desk. Replies to it are not read."


def words_of(kind: Kind, facts: Facts) -> tuple[str, str]:
    """(subject, plain text) of a notification. The subject is one line."""
    subject, happened, to_do = _said(kind, facts)
    details = [f"{name}: {value}" for name, value in _details(facts)]
    text = "\n\n".join(part for part in (happened, "\n".join(details), to_do, _FOOTER) if part)
    return _line(subject, SUBJECT_MAX), text + "\n"


def _said(kind: Kind, facts: Facts) -> tuple[str, str, str]:
    """(subject, what happened, what to do)."""
    ticket = "A ticket" if facts.number is None else f"Ticket #{facts.number}"
    match kind:
        case "assigned":
            rank = f" ({_line(facts.priority)})" if facts.priority else ""
            subject, happened = f"{ticket} is yours{rank}", f"{ticket} was assigned to you."
            to_do = (
                "Open it on the desk and send a first answer. If you cannot take it, hand it over"
                " there; do not leave it."
            )
        case "offered":
            until = f" until {_clock(facts.until)}" if facts.until else ""
            subject = f"{ticket} is offered to you{until}"
            happened = f"{subject}."
            to_do = (
                "Accept or decline it on the desk before then. Without an answer it goes to the"
                " next agent, and you are set away after several of these."
            )
        case "taken_back":
            subject = f"{ticket} was taken back from you"
            happened = f"{subject}{_why(facts)}."
            to_do = (
                "You need not do anything: it goes to somebody else. If you have promised the"
                " requester something, write it on the ticket as an internal note."
            )
        case "hand_over_limit":
            times = "too often" if facts.count is None else f"{facts.count} times"
            subject = (
                f"{ticket} was {_spaced(facts.reason) if facts.reason else f'handed over {times}'}"
            )
            happened = f"{subject}."
            what = "It stays with its agent now" if facts.reason else "It was escalated"
            to_do = f"{what}, and you lead the group. Decide who keeps it, and tell them."
        case "presence_lowered":
            subject = "You were set away"
            happened = f"{subject}{_why(facts)}. Nothing new is given to you."
            to_do = "Set yourself online on the desk as soon as you can take work again."
        case "sla":
            due = f": due {_clock(facts.due)}" if facts.due else ""
            subject = f"{ticket} is about to miss its deadline{due}"
            happened = f"{ticket} is close to its deadline."
            to_do = "Answer or solve it now, or tell your lead that you cannot."
    return subject, happened, to_do


def _details(facts: Facts) -> list[tuple[str, str]]:
    shown = [
        ("Priority", facts.priority),
        ("Category", facts.category),
        ("Queue", facts.queue),
        ("Due", facts.due and _clock(facts.due)),
    ]
    return [(name, _line(value)) for name, value in shown if value]


def _why(facts: Facts) -> str:
    if not facts.reason:
        return ""
    return f", because {REASONS.get(facts.reason) or _spaced(facts.reason)}"


def _spaced(code: str) -> str:
    return _line(code).replace("_", " ")


def _clock(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%d %H:%M:%S UTC")


def _line(text: str, length_max: int = VALUE_MAX) -> str:
    """One printable line: a category cannot add lines, headers or a hidden direction of writing."""
    line = " ".join(_UNPRINTABLE.sub(" ", text).split())
    return line if len(line) <= length_max else line[: length_max - 1] + "…"
