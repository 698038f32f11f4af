"""What every page has around it: head, header, main, footer, and the look-again timer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

from nicegui import ui
from starlette.requests import Request

from libs.runtime.errors import Transient
from services.reporting.page.parts import CSS, render

THEMES: Final = {"auto": None, "light": False, "dark": True}
_NEXT: Final = {"auto": "light", "light": "dark", "dark": "auto"}
_KEEP: Final = "document.cookie = 'theme=%s; path=/; max-age=31536000; samesite=lax'"


def fragment(template: str, *, tag: str = "div", **values: object) -> ui.html:
    """A piece of HTML from a template; `update` changes it only when it differs."""
    return ui.html(render(template, **values), sanitize=False, tag=tag)


def update(element: ui.html, template: str, **values: object) -> None:
    content = render(template, **values)
    if element.content != content:
        element.set_content(content)


class Frame:
    """The live mark and the notice of a page."""

    def __init__(self) -> None:
        self.live = fragment("live.html", text="connecting …", ok=True)
        self.notice = ui.html("", sanitize=False)

    def say(self, text: str, *, ok: bool) -> None:
        update(self.live, "live.html", text=text, ok=ok)

    def warn(self, text: str) -> None:
        update(self.notice, "notice.html", text=text)


@contextmanager
def frame(request: Request, title: str) -> Iterator[Frame]:
    """The page's landmarks; what is made inside stands in `main`."""
    ui.page_title(title)
    ui.add_head_html(f"<style>{CSS}</style>")
    chosen = request.cookies.get("theme", "auto")
    chosen = chosen if chosen in THEMES else "auto"
    mode = ui.dark_mode(value=THEMES[chosen])
    ui.query(".nicegui-content").classes("page")
    with ui.header(fixed=False, wrap=False, add_scroll_padding=False).classes("bar"):
        fragment("brand.html", tag="div")
        ui.space()
        live_place = ui.element("div")
        button = ui.element("button").props('type="button"').classes("quiet")

    def show(theme: str) -> None:
        button.props(f'aria-label="Colours: {theme}. Press to change."')
        mode.value = THEMES[theme]
        ui.run_javascript(_KEEP % theme)

    with button:
        label = ui.html(render("theme.html", theme=chosen), sanitize=False, tag="span")
    button.props(f'aria-label="Colours: {chosen}. Press to change."')

    def turn() -> None:
        nonlocal chosen
        chosen = _NEXT[chosen]
        label.set_content(render("theme.html", theme=chosen))
        show(chosen)

    button.on("click", turn)
    with live_place:
        made = Frame()
    # NiceGUI puts the page's content into a <main> of its own.
    with ui.element("div").props('id="main" tabindex="-1"'):
        made.notice.move(ui.context.slot.parent)
        yield made
    with ui.footer(fixed=False, wrap=False).classes("foot"):
        fragment("footer.html")


def look_again(made: Frame, interval_s: float, refresh: Callable[[], Awaitable[None]]) -> None:
    """Call `refresh` at every interval while the page is open; a lost database is said, not fatal."""

    async def tick() -> None:
        try:
            await refresh()
        except Transient as error:
            made.say(f"waiting for the database: {error.detail}", ok=False)

    ui.timer(interval_s, tick)
