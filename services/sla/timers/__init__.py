"""Durable timers: `table` keeps them, `task` fires them."""
