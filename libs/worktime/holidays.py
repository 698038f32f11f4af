"""Holidays of countries → explicit dates, once, when a calendar is put.

The dates are stored with the version of the calendar. A later version of the library, which knows more or
corrects itself, changes what is put after it, never what was decided before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from importlib.metadata import version
from typing import Any, Final

from libs.worktime.errors import InvalidDefinition

YEARS_BACK: Final = 20
YEARS_AHEAD: Final = 20
COUNTRIES_MAX: Final = 50
UPLOAD: Final = "upload:"
"""How the source of uploaded holidays begins; those of countries begin with `country:`."""
_SOURCE: Final = re.compile(r"^[A-Za-z0-9_. -]{1,100}\Z")


def holidays_version() -> str:
    """The library that knows the holidays of countries, and its version."""
    return f"holidays {version('holidays')}"


def resolved(
    document: Mapping[str, Any], year: int, uploads: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """The document as it is stored: with `resolved_holidays`, a list of sources.

    Each source: `{"source": "country:ES-MD", "library", "from_year", "to_year", "dates": {date: name}}`
    for each of `holiday_countries`, from 20 years before `year` to 20 years after it; then `uploads`,
    as of `uploaded`. What `document` itself has there is dropped. Raises InvalidDefinition
    (too_many_countries, duplicate_country, unknown_country, unknown_subdivision).
    """
    wanted = document.get("holiday_countries") or ()
    if len(wanted) > COUNTRIES_MAX:
        raise InvalidDefinition(
            "too_many_countries", f"{len(wanted)} countries; at most {COUNTRIES_MAX} are taken"
        )
    found: list[dict[str, Any]] = []
    for place in wanted:
        source = _of_country(place["country"], place.get("subdivision"), year)
        if any(source["source"] == other["source"] for other in found):
            raise InvalidDefinition("duplicate_country", f"{source['source']} stands there twice")
        found.append(source)
    return {**document, "resolved_holidays": [*found, *(dict(upload) for upload in uploads)]}


def uploaded(name: str, dates: Mapping[str, str]) -> dict[str, Any]:
    """A source of holidays that somebody uploaded under this name: date → what it is called.
    Raises InvalidDefinition (bad_source)."""
    if _SOURCE.match(name) is None:
        raise InvalidDefinition(
            "bad_source",
            "the name of an upload has 1 to 100 letters, digits, dots, hyphens, underscores or spaces",
        )
    return {"source": f"{UPLOAD}{name}", "dates": dict(dates)}


def with_upload(document: Mapping[str, Any], name: str, dates: Mapping[str, str]) -> dict[str, Any]:
    """A stored document with these dates in place of what was uploaded under this name before.
    Raises InvalidDefinition (bad_source)."""
    new = uploaded(name, dates)
    others = without_upload(document, name)["resolved_holidays"]
    return {**document, "resolved_holidays": [*others, new]}


def without_upload(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A stored document without what was uploaded under this name, if there was anything."""
    sources = document.get("resolved_holidays") or ()
    others = [source for source in sources if source["source"] != f"{UPLOAD}{name}"]
    return {**document, "resolved_holidays": others}


def has_upload(document: Mapping[str, Any], name: str) -> bool:
    """Whether something was uploaded under this name."""
    return any(source["source"] == f"{UPLOAD}{name}" for source in uploads_of(document))


def uploads_of(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The sources in a stored document that were uploaded."""
    return [
        source
        for source in document.get("resolved_holidays") or ()
        if str(source["source"]).startswith(UPLOAD)
    ]


def _of_country(country: str, subdivision: str | None, year: int) -> dict[str, Any]:
    first, last = max(year - YEARS_BACK, 1), min(year + YEARS_AHEAD, 9998)
    return {
        "source": f"country:{country}" + (f"-{subdivision}" if subdivision else ""),
        "library": holidays_version(),
        "from_year": first,
        "to_year": last,
        "dates": dict(_dates(country, subdivision, first, last)),
    }


@lru_cache(maxsize=256)
def _dates(
    country: str, subdivision: str | None, first: int, last: int
) -> tuple[tuple[str, str], ...]:
    """Date and name of each holiday, in order. 100 ms a country, hence kept."""
    import holidays  # 60 ms that only those pay who name a country

    known = holidays.list_supported_countries(include_aliases=False)
    if country not in known:
        raise InvalidDefinition(
            "unknown_country",
            f"the holidays of {country!r} are not known; write a two-letter code such as ES"
            + _hint(country.upper(), list(known)),
        )
    if subdivision is not None and subdivision not in known[country]:
        raise InvalidDefinition(
            "unknown_subdivision",
            f"{country} has no subdivision {subdivision!r} with holidays of its own"
            + (f"; it has {', '.join(known[country])}" if known[country] else ""),
        )
    days = holidays.country_holidays(
        country, subdiv=subdivision, years=range(first, last + 1), language="en_US"
    )
    return tuple((day.isoformat(), name) for day, name in sorted(days.items()))


def _hint(text: str, known: Sequence[str]) -> str:
    near = get_close_matches(text, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""
