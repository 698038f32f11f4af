"""The SLA service: policies, business calendars, clocks, timers."""
