"""Routing: which agent gets which ticket, and why."""
