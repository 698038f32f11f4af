"""Version 1 of calendars and policies, in force from the beginning of time until somebody puts others.

The same documents that `PUT /v1/calendars` and `PUT /v1/policies` take.
"""

from __future__ import annotations

from typing import Any, Final

_DAY: Final = [["09:00", "13:00"], ["14:00", "18:00"]]
_MINUTE_S: Final = 60
_HOUR_S: Final = 3600

CALENDARS: Final[tuple[dict[str, Any], ...]] = (
    {"id": "always", "zone": "UTC", "hours": None, "holidays": []},
    {
        "id": "business",
        "zone": "Europe/Madrid",
        "hours": {"mon": _DAY, "tue": _DAY, "wed": _DAY, "thu": _DAY, "fri": _DAY},
        "holidays": [],
    },
)

POLICIES: Final[tuple[dict[str, Any], ...]] = (
    {
        "id": "default",
        "when": {},
        "warn_at": [75, 90],
        "targets": {
            "first_reply": {
                "critical": {"target_s": 15 * _MINUTE_S, "calendar": "always"},
                "high": {"target_s": 1 * _HOUR_S, "calendar": "business"},
                "medium": {"target_s": 4 * _HOUR_S, "calendar": "business"},
                "low": {"target_s": 8 * _HOUR_S, "calendar": "business"},
            },
            "requester_wait": {
                "critical": {"target_s": 4 * _HOUR_S, "calendar": "always"},
                "high": {"target_s": 8 * _HOUR_S, "calendar": "business"},
                "medium": {"target_s": 24 * _HOUR_S, "calendar": "business"},
                "low": {"target_s": 40 * _HOUR_S, "calendar": "business"},
            },
        },
        "on_breach": {"first_reply": ["escalate"], "requester_wait": ["escalate"]},
    },
)
