"""The one error of this domain: somebody's definition of a calendar or a policy is no good."""

from __future__ import annotations


class InvalidDefinition(ValueError):
    """`code` is stable and meant for programs; `detail` says what to change."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
