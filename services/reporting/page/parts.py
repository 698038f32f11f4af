"""Words, numbers and fragments that the pages share. All HTML comes from templates that escape."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from babel.dates import format_skeleton
from babel.numbers import format_decimal
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from libs.events import parse_time
from services.reporting.domain import instant_of
from services.reporting.page.i18n import gettext, ngettext, pgettext, reader
from services.reporting.page.i18n import gettext as _

HERE: Final = Path(__file__).parent
CSS: Final = (HERE / "page.css").read_text(encoding="utf-8")
SCRIPT: Final = (HERE / "page.js").read_text(encoding="utf-8")
MINUTE_S: Final = 60
HOUR_S: Final = 3600
DAY_S: Final = 86_400
NONE: Final = "–"


def number(value: float | None, pattern: str = "#,##0") -> str:
    """12,345 (English), or a dash."""
    if value is None:
        return NONE
    locale = reader().locale
    # Spanish would leave 1234 undivided; in a column that looks like another kind of number.
    return format_decimal(value, pattern, locale, group_separator=True).translate(_THIN)


_THIN: Final = str.maketrans({"\u202f": "\u00a0"})


def percent(share: float | None) -> str:
    """0.954 → 95.4 %."""
    return NONE if share is None else number(100 * share, "#,##0.0") + "\u00a0%"


def duration(seconds: float | None) -> str:
    """A duration in the unit that suits it: 45 s, 12 min, 3.4 h, 5.1 days."""
    if seconds is None:
        return NONE
    size = abs(seconds)
    if size < MINUTE_S:
        text, unit = number(seconds), _("s")
    elif size < 100 * MINUTE_S:
        text, unit = number(seconds / MINUTE_S), _("min")
    elif size < 48 * HOUR_S:
        text, unit = number(seconds / HOUR_S, "#,##0.0"), _("h")
    else:
        text, unit = number(seconds / DAY_S, "#,##0.0"), _("days")
    return f"{text}\u00a0{unit}"


def local(us: int) -> datetime:
    """The instant in the reader's zone."""
    at = instant_of(us)
    with suppress(OverflowError):  # the last hours of the year 9999 have no other zone
        at = at.astimezone(reader().zone)
    return at


def moment(text: str | None) -> str:
    """2016-02-29T01:16:00Z → 2016-02-29 01:16 in the reader's zone, as the page says below."""
    return NONE if text is None else _local(text, "minutes")


def moment_s(text: str | None) -> str:
    """The same with seconds."""
    return NONE if text is None else _local(text, "seconds")


def _local(text: str, unit: str) -> str:
    at = parse_time(text)
    with suppress(OverflowError):  # the last hours of the year 9999 have no other zone
        at = at.astimezone(reader().zone)
    return at.replace(tzinfo=None).isoformat(" ", unit)


def instant(us: int | None) -> str:
    """Microseconds since 1970 → 2016-02-29 01:16:00 in the reader's zone."""
    return NONE if us is None else local(us).replace(tzinfo=None).isoformat(" ", "seconds")


def day(us: int) -> str:
    """The day in words: Feb 29, 2016."""
    return str(format_skeleton("yMMMd", local(us), locale=reader().locale))


def word(text: str | None) -> str:
    """on_hold → on hold, in the reader's language where it is known; nothing → a dash."""
    return _(text.replace("_", " ")) if text else NONE


def type_name(text: str) -> str:
    """bitacora.StatusChanged.v1 → StatusChanged."""
    return text.removeprefix("bitacora.").rpartition(".v")[0] or text


def link(path: str, parameters: dict[str, Any]) -> str:
    """The address with those parameters that have a value."""
    given = {name: value for name, value in parameters.items() if value not in (None, "")}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


_ENVIRONMENT: Final = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    extensions=["jinja2.ext.i18n"],
)
_ENVIRONMENT.install_gettext_callables(  # type: ignore[attr-defined]
    gettext, ngettext, newstyle=True, pgettext=pgettext
)
_FILTERS: Final = (number, percent, duration, moment, moment_s, instant, day, word, type_name)
_ENVIRONMENT.filters.update({function.__name__: function for function in _FILTERS})


def render(template: str, **values: Any) -> str:
    """The fragment, with every value escaped."""
    return _ENVIRONMENT.get_template(template).render(**values)
