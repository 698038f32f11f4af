"""Why an agent is not given a ticket: the codes, as bits and as words.

In the order in which they are told::

    out_of_office offline away off_hours    the agent is not on duty
    not_in_group tier channel language skill    does not serve such tickets
    no_capacity channel_full    on duty and able, but has no room (looked at only for those)
    declined    said no to this ticket, or let the offer pass, a short time ago
    kept_for_specialists    is kept for work that nobody of a lower tier can do, and that waits
    no_agents    there is no agent at all
"""

from __future__ import annotations

from typing import Final

OUT_OF_OFFICE: Final = 1
OFFLINE: Final = 2
AWAY: Final = 4
OFF_HOURS: Final = 8
NOT_IN_GROUP: Final = 16
TIER: Final = 32
CHANNEL: Final = 64
LANGUAGE: Final = 128
SKILL: Final = 256
NO_CAPACITY: Final = 512
CHANNEL_FULL: Final = 1024
DECLINED: Final = 2048
KEPT: Final = 4096
GONE: Final = 8192
"""The agent has left: not counted among the agents any more."""

WORDS: Final = {
    OUT_OF_OFFICE: "out_of_office",
    OFFLINE: "offline",
    AWAY: "away",
    OFF_HOURS: "off_hours",
    NOT_IN_GROUP: "not_in_group",
    TIER: "tier",
    CHANNEL: "channel",
    LANGUAGE: "language",
    SKILL: "skill",
    NO_CAPACITY: "no_capacity",
    CHANNEL_FULL: "channel_full",
    DECLINED: "declined",
    KEPT: "kept_for_specialists",
}
BITS: Final = {word: bit for bit, word in WORDS.items()}
NO_AGENTS: Final = "no_agents"


def words(bits: int) -> tuple[str, ...]:
    """The reasons in `bits`, in the order of this module's table."""
    return tuple(word for bit, word in WORDS.items() if bits & bit)
