"""Times on the wire: RFC 3339 in UTC, written in exactly one way, because hashes cover the text."""

from __future__ import annotations

from datetime import UTC, datetime


def format_time(instant: datetime) -> str:
    """RFC 3339 in UTC, ending in Z; microseconds only when there are any.

    Raises ValueError for a datetime without a zone.
    """
    if instant.tzinfo is None:
        raise ValueError("a time without a zone")
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """The reverse of format_time; other zones and other forms of ISO 8601 are understood too.

    Raises ValueError for anything that is not a time with a zone between the years 1 and 9999.
    """
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is UTC:  # as it is nearly always: it ended in Z
        return instant
    if instant.tzinfo is None:
        raise ValueError(f"{text[:100]!r} has no time zone")
    try:
        return instant.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text!r} lies outside the years 1 to 9999 in UTC") from error
