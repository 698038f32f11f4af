"""The one error of this room: somebody's definition is no good."""

from __future__ import annotations


class InvalidDefinition(ValueError):
    """Hours, a zone, holidays, or what is built upon them, such as a policy's targets.

    `code` is stable and meant for programs; `detail` says what to change.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
