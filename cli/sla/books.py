"""Policies and calendars as a running SLA service has them, and as files describe them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from cli.desk import Desk
from cli.output import UsageError
from libs.events import parse_time
from libs.runtime.errors import Poison
from libs.runtime.strict_json import strict_json
from libs.runtime.strict_yaml import SIZE_MAX_BYTES, strict_yaml
from libs.worktime.calendar import calendar_of
from libs.worktime.errors import InvalidDefinition
from libs.worktime.holidays import resolved, uploads_of
from libs.worktime.instants import FIRST_US, to_us
from libs.worktime.timeline import CalendarVersion
from libs.worktime.zones import tzdata_version
from services.sla.bodies import CalendarBody, CalendarsBody, PoliciesBody
from services.sla.defaults import CALENDARS
from services.sla.domain.book import Book
from services.sla.domain.definitions import policy_set_of

_Body = TypeVar("_Body", bound=BaseModel)
NO_UPLOADS: Final[Mapping[str, Sequence[Mapping[str, Any]]]] = {}


class Present(NamedTuple):
    """What a system has: its versions, and by calendar the holidays that were uploaded for it, which stay
    when a new version of the calendar is put."""

    book: Book
    uploads: Mapping[str, Sequence[Mapping[str, Any]]] = NO_UPLOADS


def present(desk: Desk) -> Present:
    """All versions that the running SLA service has. Raises NotRunning, CommandError."""
    calendars: dict[str, list[CalendarVersion]] = {}
    uploads: dict[str, Sequence[Mapping[str, Any]]] = {}
    for entry in reversed(desk.get("sla", "/v1/calendars")["calendars"]):
        document = {key: entry[key] for key in entry if key not in ("version", "effective_from")}
        version = CalendarVersion(
            _effective_us(entry), calendar_of(document, int(entry["version"]))
        )
        calendars.setdefault(str(entry["id"]), []).append(version)
        uploads[str(entry["id"])] = uploads_of(document)  # in the end those of the newest
    sets = [
        policy_set_of(
            entry["policies"],
            version=int(entry["version"]),
            effective_from_us=_effective_us(entry),
            calendars=None,  # what was accepted once is history, whatever calendars say now
        )
        for entry in reversed(desk.get("sla", "/v1/policies")["versions"])
    ]
    versions = {name: tuple(found) for name, found in calendars.items()}
    return Present(Book(tuple(sets), versions, tzdata_version()), uploads)


def book_of_files(policy: Path, calendars: Sequence[Path], known: Present, year: int) -> Book:
    """These policies and calendars, in force at all times. A calendar that no file has is taken from
    `known`, with its versions; one that a file has keeps what was uploaded for it. The holidays of
    countries are looked up around `year`, as the service does around its own when a calendar is put.
    Raises UsageError, which names the file and the place in it."""
    lines = dict(known.book.calendars)
    for path in calendars:
        for body in _calendars_in(path):
            try:
                kept = known.uploads.get(body.id, ())
                document = resolved(body.model_dump(mode="json"), year, kept)
                lines[body.id] = (CalendarVersion(FIRST_US, calendar_of(document, 1)),)
            except InvalidDefinition as error:
                raise UsageError(f"{path}: calendar {body.id!r}: {error.detail}") from None
    found = _read(policy)
    wanted = _checked(
        policy, PoliciesBody, found if isinstance(found, dict) else {"policies": found}
    )
    try:
        policies = policy_set_of(
            [one.document() for one in wanted.policies],
            version=1,
            effective_from_us=FIRST_US,
            calendars={name: versions[-1].calendar for name, versions in lines.items()},
        )
    except InvalidDefinition as error:
        hint = "; name its file with --calendar" if error.code == "unknown_calendar" else ""
        raise UsageError(f"{policy}: {error.detail.partition(';')[0]}{hint}") from None
    return Book((policies,), lines, tzdata_version())


def built_in() -> Present:
    """The calendars that every system begins with."""
    return Present(
        Book(
            (),
            {
                str(one["id"]): (CalendarVersion(FIRST_US, calendar_of(one, 1)),)
                for one in CALENDARS
            },
            tzdata_version(),
        )
    )


def _effective_us(entry: Mapping[str, Any]) -> int:
    return to_us(parse_time(entry["effective_from"]))


def _calendars_in(path: Path) -> Iterable[CalendarBody]:
    """One calendar, a list of them, or the body of `PUT /v1/calendars`."""
    found = _read(path)
    if isinstance(found, dict) and "calendars" not in found:
        found = [found]
    if isinstance(found, list):
        found = {"calendars": found}
    return _checked(path, CalendarsBody, found).calendars


def _read(path: Path) -> Any:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    if len(text) > SIZE_MAX_BYTES:
        raise UsageError(f"{path}: the document has more than {SIZE_MAX_BYTES:,} bytes")
    try:
        return (strict_json if text.lstrip()[:1] in (b"{", b"[") else strict_yaml)(text)
    except Poison as error:
        raise UsageError(f"{path}: {error.detail}") from None


def _checked(path: Path, kind: type[_Body], found: Any) -> _Body:
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise UsageError(f"{path}: {place or 'the document'}: {first['msg']}{more}") from None
