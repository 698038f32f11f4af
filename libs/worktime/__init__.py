"""Business time: how much of it lies between two instants, and when an amount of it is used up.

One arithmetic for everybody who counts open hours: SLA clocks, and the figures of reporting. Pure: no
I/O but the pinned time zone database, no clock, no randomness; nothing of the services and nothing of
`libs.runtime`.

Instants and durations are whole microseconds (`…_us`, since 1970-01-01T00:00Z where they are
instants): exact, cheap to compare, and stored as they are.

`calendar` is one version of a calendar, `timeline` all of its versions, `layout` its open and closed
stretches one by one. `hours` reads what people write, `holidays` and `ical` find dates that are
closed. `zones` and `openings` are what a calendar reckons with; `instants` converts.
"""
