"""Words, numbers and fragments that the pages share. All HTML comes from templates that escape."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined

HERE: Final = Path(__file__).parent
CSS: Final = (HERE / "page.css").read_text(encoding="utf-8")
MINUTE_S: Final = 60
HOUR_S: Final = 3600
DAY_S: Final = 86_400


def number(value: float | None) -> str:
    """12,345, or a dash."""
    return "–" if value is None else f"{value:,.0f}"


def percent(share: float | None) -> str:
    """0.954 → 95.4 %."""
    return "–" if share is None else f"{share:.1%}".replace("%", "\u00a0%")


def duration(seconds: float | None) -> str:
    """A duration in the unit that suits it: 45 s, 12 min, 3.4 h, 5.1 days."""
    if seconds is None:
        return "–"
    size = abs(seconds)
    if size < MINUTE_S:
        return f"{seconds:.0f}\u00a0s"
    if size < 100 * MINUTE_S:
        return f"{seconds / MINUTE_S:.0f}\u00a0min"
    if size < 48 * HOUR_S:
        return f"{seconds / HOUR_S:.1f}\u00a0h"
    return f"{seconds / DAY_S:,.1f}\u00a0days"


def moment(text: str | None) -> str:
    """2016-02-29T01:16:00Z → 2016-02-29 01:16 (UTC, as the page says below)."""
    return "–" if text is None else text[:16].replace("T", " ")


def moment_s(text: str | None) -> str:
    """The same with seconds."""
    return "–" if text is None else text[:19].replace("T", " ")


def word(text: str | None) -> str:
    """on_hold → on hold; nothing → a dash."""
    return "–" if not text else text.replace("_", " ")


def type_name(text: str) -> str:
    """bitacora.StatusChanged.v1 → StatusChanged."""
    return text.removeprefix("bitacora.").rpartition(".v")[0] or text


def link(path: str, parameters: dict[str, Any]) -> str:
    """The address with those parameters that have a value."""
    given = {name: value for name, value in parameters.items() if value not in (None, "")}
    return f"{path}?{urlencode(given)}" if given else path


_ENVIRONMENT: Final = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_FILTERS: Final = (number, percent, duration, moment, moment_s, word, type_name)
_ENVIRONMENT.filters.update({function.__name__: function for function in _FILTERS})


def render(template: str, **values: Any) -> str:
    """The fragment, with every value escaped."""
    return _ENVIRONMENT.get_template(template).render(**values)
