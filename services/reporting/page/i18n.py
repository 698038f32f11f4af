"""The languages of the pages: messages from gettext catalogues, numbers and dates from the CLDR.

The texts in the code and in the templates are English; `locales/*.po` has the others. Whoever reads
a page is a `Reader`, set once per request and found by every function that makes text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Final, Literal
from zoneinfo import ZoneInfo

from babel import Locale, negotiate_locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations

LANGUAGES: Final = {"en": "English", "es": "Español", "ru": "Русский"}
"""Code → what its speakers call it."""
LOCALES: Final = Path(__file__).parent / "locales"
UTC: Final = ZoneInfo("UTC")
PageLanguage = Literal["en-US", "es", "ru"]
_OF_PAGE: Final[Mapping[str, PageLanguage]] = {"en": "en-US", "es": "es", "ru": "ru"}


@dataclass(frozen=True, slots=True)
class Reader:
    """In which language and in which time zone somebody reads."""

    language: str = "en"
    zone: ZoneInfo = UTC

    @property
    def locale(self) -> Locale:
        return locale_of(self.language)

    @property
    def of_page(self) -> PageLanguage:
        """As the page's `lang` attribute says it."""
        return _OF_PAGE[self.language]


_READER: Final[ContextVar[Reader]] = ContextVar("reader")
_SOMEBODY: Final = Reader()


def reader() -> Reader:
    """Who reads what is being made; English and UTC where nothing is known."""
    return _READER.get(_SOMEBODY)


def set_reader(who: Reader) -> None:
    """For the rest of this task (the building of a page, and the timers that it starts)."""
    _READER.set(who)


@contextmanager
def reading(who: Reader) -> Iterator[None]:
    """Make text for this reader inside."""
    token = _READER.set(who)
    try:
        yield
    finally:
        _READER.reset(token)


@cache
def locale_of(language: str) -> Locale:
    return Locale.parse(language)


@cache
def catalogue(language: str) -> NullTranslations:
    """The messages of a language; English needs none."""
    if language == "en":
        return NullTranslations()
    with (LOCALES / f"{language}.po").open("rb") as file:
        messages = read_po(file, locale=language, abort_invalid=True)
    compiled = BytesIO()
    write_mo(compiled, messages)
    compiled.seek(0)
    return Translations(compiled)


def gettext(message: str) -> str:
    return str(catalogue(reader().language).ugettext(message))


def ngettext(one: str, many: str, count: int) -> str:
    """The form that fits `count`; put it in with `.format(n=…)`."""
    return str(catalogue(reader().language).ungettext(one, many, count))


def pgettext(context: str, message: str) -> str:
    """`context` tells apart what is the same word in English only, and names what a text is of."""
    return str(catalogue(reader().language).upgettext(context, message))


def N_(message: str) -> str:  # noqa: N802 - gettext's name for it, which extractors look for
    """Marks a text that is translated where it is shown."""
    return message


def chosen_language(
    parameters: Mapping[str, str], cookies: Mapping[str, str], accepted: str
) -> str:
    """What the address asks for, or else the cookie, or else the browser (`Accept-Language`)."""
    for wanted in (parameters.get("lang", ""), cookies.get("lang", "")):
        if wanted in LANGUAGES:
            return wanted
    found = negotiate_locale(_by_preference(accepted), list(LANGUAGES), sep="-")
    return found or "en"


def _by_preference(accepted: str) -> list[str]:
    """`es-MX,es;q=0.9,en;q=0.8` → es-MX, es, en. What is malformed is passed over."""
    found = []
    for place, part in enumerate(accepted[:500].split(",")):
        name, _, weight = part.strip().partition(";")
        try:
            quality = float(weight.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        if name and quality > 0:
            found.append((-quality, place, name))
    return [name.partition("-")[0] for _, _, name in sorted(found)]
