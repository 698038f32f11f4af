"""The three families of failure, each treated one way everywhere.

::

    Failure
    ├── Rejected     a business rule says no: HTTP 404/409/412, a rejection event on Kafka
    ├── Transient    try again later: HTTP 503, bounded retry, nothing is acknowledged
    └── Poison       this input can never work: HTTP 422, parked with the reason

Anything else is a bug: the process stops without acknowledging, and its supervisor restarts it.
"""

from __future__ import annotations


class Failure(Exception):
    """`code` is stable and meant for programs; `detail` is a sentence for people."""

    status = 500

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class Rejected(Failure):
    status = 409

    def __init__(self, code: str, detail: str, *, status: int = 409, **extra: object) -> None:
        super().__init__(code, detail)
        self.status = status
        self.extra = extra


class Transient(Failure):
    status = 503


class Poison(Failure):
    status = 422
