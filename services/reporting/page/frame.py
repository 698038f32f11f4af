"""What every page has around it: head, header with the navigation, main, footer, and the look-again timer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from copy import copy
from typing import Final
from zoneinfo import ZoneInfo

from nicegui import ui
from starlette.requests import Request

from libs.runtime.errors import Transient
from services.reporting.page.i18n import (
    LANGUAGES,
    N_,
    Reader,
    chosen_language,
    reader,
    reading,
    set_reader,
)
from services.reporting.page.i18n import gettext as _
from services.reporting.page.nav import entries
from services.reporting.page.parts import CSS, SCRIPT, link, render, word
from services.reporting.page.view import View

THEMES: Final = {N_("auto"): None, N_("light"): False, N_("dark"): True}
_NEXT: Final = {"auto": "light", "light": "dark", "dark": "auto"}
_KEEP: Final = "document.cookie = '%s=%s; path=/; max-age=31536000; samesite=lax'"


def fragment(template: str, *, tag: str = "div", **values: object) -> ui.html:
    """A piece of HTML from a template; `update` changes it only when it differs."""
    return ui.html(render(template, **values), sanitize=False, tag=tag)


def update(element: ui.html, template: str, **values: object) -> None:
    content = render(template, **values)
    if element.content != content:
        element.set_content(content)


def named(element: ui.element, text: str) -> ui.element:
    """Give it the name that a screen reader says."""
    element.props["aria-label"] = text
    return element


def meet(request: Request, zone: str = "UTC") -> Reader:
    """Find out who reads. Before anything of a page is made: everything after it is in this language."""
    accepted = request.headers.get("accept-language", "")
    language = chosen_language(request.query_params, request.cookies, accepted)
    who = Reader(language, ZoneInfo(zone))
    set_reader(who)
    client = ui.context.client
    client.page = copy(client.page)  # NiceGUI has one per path, for all visitors
    client.page.language = who.of_page
    return who


class Frame:
    """The live mark and the notice of a page."""

    def __init__(self) -> None:
        self._said = _("connecting …")
        self.live = fragment("live.html", text=self._said, ok=True)
        self.notice = ui.html("", sanitize=False)

    def say(self, text: str, *, ok: bool) -> None:
        if ok:
            self._said = text
        update(self.live, "live.html", text=text, ok=ok)

    def goes_on(self) -> None:
        """Whatever was wrong is over: say again what was said before it."""
        self.say(self._said, ok=True)

    def warn(self, text: str) -> None:
        update(self.notice, "notice.html", text=text)


@contextmanager
def frame(
    request: Request, title: str, *, current: str = "", view: View | None = None
) -> Iterator[Frame]:
    """The page's landmarks; what is made inside stands in `main`. `current`: the path of the page in the
    navigation, whose links keep `view`. Call `meet` before."""
    ui.page_title(f"{title} · Bitácora")
    ui.add_head_html(f"<style>{CSS}</style><script>{SCRIPT}</script>")
    mode = ui.dark_mode()
    ui.query(".nicegui-content").classes("page")
    with ui.header(fixed=False, wrap=False, add_scroll_padding=False).classes("bar"):
        fragment("brand.html", tag="div")
        nav = fragment("nav.html", tag="nav", entries=entries(current, view))
        named(nav.classes("places"), _("Main"))
        with ui.element("div").classes("tools"):
            live_place = ui.element("div").classes("live-place")
            _languages(request)
            _theme(request, mode)
    with live_place:
        made = Frame()
    # NiceGUI puts the page's content into a <main> of its own.
    with ui.element("div").props('id="main" tabindex="-1"'):
        made.notice.move(ui.context.slot.parent)
        yield made
    with ui.footer(fixed=False, wrap=False).classes("foot"):
        fragment("footer.html", zone=reader().zone.key)


def _languages(request: Request) -> None:
    now = reader().language
    path, kept = request.url.path, dict(request.query_params)
    links = [
        (code, name, link(path, {**kept, "lang": code}), code == now)
        for code, name in LANGUAGES.items()
    ]
    nav = fragment("languages.html", tag="nav", languages=links)
    named(nav.classes("languages"), _("Language"))
    if request.query_params.get("lang") == now:
        ui.run_javascript(_KEEP % ("lang", now))


def _theme(request: Request, mode: ui.dark_mode) -> None:
    """The button that turns the colours: as the system has them, light, dark."""
    who = reader()
    chosen = request.cookies.get("theme", "auto")
    chosen = chosen if chosen in THEMES else "auto"
    mode.value = THEMES[chosen]
    button = ui.element("button").props('type="button"').classes("quiet")
    with button:
        label = ui.html("", sanitize=False, tag="span")

    def show() -> None:
        text = _("Colours: {theme}. Press to change.").format(theme=word(chosen))
        named(button, text)
        label.set_content(render("theme.html", theme=chosen))

    def turn() -> None:
        nonlocal chosen
        chosen = _NEXT[chosen]
        mode.value = THEMES[chosen]
        with reading(who):
            show()
        ui.run_javascript(_KEEP % ("theme", chosen))

    show()
    button.on("click", turn)


def look_again(made: Frame, interval_s: float, refresh: Callable[[], Awaitable[None]]) -> None:
    """Call `refresh` at every interval while the page is open; a lost database is said, not fatal."""
    who = reader()

    async def tick() -> None:
        set_reader(who)
        try:
            await refresh()
            made.goes_on()
        except Transient as error:
            text = _("waiting for the database: {detail}").format(detail=error.detail)
            made.say(text, ok=False)

    ui.timer(interval_s, tick)
