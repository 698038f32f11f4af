"""Pure rules of SLA clocks: no I/O, no clock, no randomness.

Open time is counted by `libs.worktime`, and in its units: whole microseconds (`…_us`, since
1970-01-01T00:00Z where they are instants). `policy` says which target a ticket has, `metrics` which
statuses run a clock, `clocks` is the state machine of one clock, `ticket` drives all clocks of one
ticket by the ticket's events.
"""
