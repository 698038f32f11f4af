"""Intake: channels in and out, and the only writer of the ticket streams."""
