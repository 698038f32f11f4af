"""What intake answers on `tickets.rejections` when it refuses a command."""

from __future__ import annotations

from libs.events.base import Event, Line, Word
from libs.events.registry import EVENTS


@EVENTS.register("bitacora.CommandRejected.v1")
class CommandRejected(Event):
    """Stream id = the command's id; always sequence 1.

    `missing`: with the code `missing_information`, the fields to fill in before the hand-over.
    """

    command_id: Word
    command_type: Word
    ticket_id: Word
    code: Word
    detail: Line
    missing: tuple[Word, ...] = ()
