"""Signatures as Standard Webhooks (standardwebhooks.com) describes them, so that receivers find
libraries that check them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - how a secret in base64 begins


def key_of(secret: str) -> bytes:
    """The bytes of a secret: those that `whsec_` + base64 stands for, or any other text as it is.

    Raises ValueError when what follows `whsec_` is not base64.
    """
    if not secret.startswith(SECRET_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("what follows whsec_ must be base64") from None


def sign(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`: `v1,` and the HMAC-SHA256 of `id.timestamp.body` in base64."""
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
