"""What falls due next, in memory: a heap of the timers up to a mark, over the table that has them all.

The heap is for promptness only. Whatever is taken from it is looked up again in the transaction that
fires, so an entry too many does no harm: a timer that was cancelled or put off since, one whose
transaction was rolled back, one that stands here twice. One too few would be late, so whoever sets a
timer says so *before* the commit, and the next page is read in the thread that writes: a transaction of
this process has either told the heap or can be read.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush
from typing import Final

from libs.runtime.share import NOTHING, Share
from services.sla.timers.table import Armed, Due

BEGINNING: Final = Due(-(2**63), "")


class Agenda:
    """The timers of `share` that are due up to and including `mark`. Thread-safe.

    Fewer than `low` entries ask for another page; the entries that are kept are a few pages, however
    many timers there are.
    """

    def __init__(self, *, low: int) -> None:
        self._low = low
        self._lock = threading.Lock()
        self._heap: list[Due] = []
        self.share = NOTHING
        self.mark = BEGINNING

    def begin(self, share: Share) -> None:
        """Forget everything and begin with what is longest overdue: pages are to be read."""
        with self._lock:
            self._heap = []
            self.share, self.mark = share, BEGINNING

    def needs(self, horizon_us: int) -> bool:
        """Is another page to be read, if all that is due by `horizon_us` should be known?"""
        return self.mark.at_us < horizon_us and len(self._heap) < self._low

    def extend(self, page: Sequence[Due], mark: Due) -> None:
        """A page of the table, which reaches to `mark`. Called in the thread that writes."""
        with self._lock:
            self._heap += page
            heapify(self._heap)
            self.mark = mark

    def armed(self, timers: Iterable[Armed]) -> bool:
        """Timers were set: keep those of the share that are due by the mark (the others come with
        their page). Is one of them due earlier than everything else?"""
        with self._lock:
            first = self._heap[0] if self._heap else None
            for at_us, ticket_id, slot in timers:
                if at_us <= self.mark.at_us and self.share.has(slot):
                    heappush(self._heap, Due(at_us, ticket_id))
            return bool(self._heap) and self._heap[0] != first

    def again(self, missed: Iterable[Due]) -> None:
        """Timers that the table has and that were due here, but were not fired."""
        with self._lock:
            for timer in missed:
                heappush(self._heap, timer)

    @property
    def next_us(self) -> int | None:
        """When the earliest entry falls due."""
        with self._lock:
            return self._heap[0].at_us if self._heap else None

    def take(self, now_us: int, limit: int) -> tuple[list[Due], int]:
        """Remove what is due by `now_us`, the earliest first, of at most `limit` tickets.

        Returns it, and the instant up to which its tickets may state what they have to: not beyond
        what is left here or not read yet, so that everything is stated in the order it fell due.
        """
        with self._lock:
            taken: dict[str, Due] = {}
            until_us = min(now_us, self.mark.at_us)
            while self._heap and self._heap[0].at_us <= until_us:
                if len(taken) == limit:
                    until_us = min(until_us, self._heap[0].at_us)
                    break
                timer = heappop(self._heap)
                taken.setdefault(timer.ticket_id, timer)
            return list(taken.values()), until_us
