"""The settings of the second channel: a part of routing's (`BITACORA_ROUTING_NOTIFY_…`)."""

from __future__ import annotations

from email.errors import MessageError
from email.headerregistry import Address
from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from libs.runtime.settings import ServiceSettings, is_loopback
from services.routing.notify.model import KINDS
from services.routing.notify.signing import key_of

Tls = Literal["none", "starttls", "tls"]
SECRET_MIN: Final = 16


class NotifySettings(ServiceSettings):
    """Nothing is sent until `notify_smtp_host` or `notify_webhook_url` is set."""

    notify_kinds: str = Field(
        ",".join(KINDS), description="what agents are told of, separated by commas"
    )
    notify_attempts: int = Field(
        14, ge=1, le=30, description="tries before giving up; 14 take about a day"
    )
    notify_keep_days: int = Field(
        30, ge=1, le=3_650, description="days that the log of deliveries is kept"
    )
    notify_smtp_host: str | None = Field(None, description="mail server; unset: no mail")
    notify_smtp_port: int = Field(587, ge=1, le=65_535)
    notify_smtp_tls: Tls = Field(
        "starttls", description="none, starttls (demanded, not only tried) or tls from the start"
    )
    notify_smtp_user: str | None = Field(None, description="unset: no login")
    notify_smtp_password: SecretStr | None = None
    notify_smtp_from: str | None = Field(None, description="sender's address; needed for mail")
    notify_webhook_url: SecretStr | None = Field(
        None, description="http or https address that is sent every notification; unset: none"
    )
    notify_webhook_secret: SecretStr | None = Field(
        None, description="signs what is sent to the webhook; at least 16 characters"
    )

    @property
    def kinds_told(self) -> frozenset[str]:
        return frozenset(_split(self.notify_kinds))

    @field_validator("notify_kinds")
    @classmethod
    def _check_kinds(cls, value: str) -> str:
        if unknown := sorted(set(_split(value)) - set(KINDS)):
            raise ValueError(f"there is no kind {unknown[0]!r}; there are {', '.join(KINDS)}")
        return value

    @field_validator("notify_smtp_from")
    @classmethod
    def _check_from(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                address = Address(addr_spec=value)
            except (MessageError, ValueError, IndexError):
                raise ValueError("it must be one address such as desk@example.com") from None
            if not address.domain or not value.isascii():
                raise ValueError("it must be one address such as desk@example.com, in ASCII")
        return value

    @field_validator("notify_webhook_url")
    @classmethod
    def _check_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parts = urlsplit(value.get_secret_value())
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("it must begin with http:// or https:// and name a host")
        return value

    @field_validator("notify_webhook_secret")
    @classmethod
    def _check_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            if len(value.get_secret_value()) < SECRET_MIN:
                raise ValueError(f"it must have at least {SECRET_MIN} characters")
            key_of(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _check_mail(self) -> NotifySettings:
        if self.notify_smtp_host is None:
            return self
        prefix = "BITACORA_ROUTING_NOTIFY_SMTP"
        if self.notify_smtp_from is None:
            raise ValueError(f"{prefix}_FROM must be set, because {prefix}_HOST is")
        if (self.notify_smtp_user is None) != (self.notify_smtp_password is None):
            raise ValueError(f"{prefix}_USER and {prefix}_PASSWORD must be set together")
        plain = self.notify_smtp_tls == "none" and not is_loopback(self.notify_smtp_host)
        if plain and self.notify_smtp_user is not None:
            raise ValueError(
                f"{prefix}_TLS is none: a password would be sent readable to another machine;"
                " set it to starttls or tls"
            )
        return self


def _split(text: str) -> list[str]:
    return [part for part in (piece.strip() for piece in text.split(",")) if part]
