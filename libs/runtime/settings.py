"""Settings: read once from the environment, checked, and never changed afterwards.

Names: `BITACORA_<FIELD>` for what all services share, `BITACORA_<SERVICE>_<FIELD>` for what belongs
to one service (its database, its HTTP address, and every field that its own class adds)::

    class RoutingSettings(ServiceSettings, service="routing"):
        hand_over_limit: int = Field(3, ge=1)        # BITACORA_ROUTING_HAND_OVER_LIMIT

    RoutingSettings()                                # from the environment
    RoutingSettings(data_dir=tmp_path)               # tests: values win over the environment
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, get_args

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as SourceError

from libs.runtime.clock import Clock, parse_clock

SERVICES: Final = ("intake", "routing", "sla", "reporting")
HTTP_PORTS: Final = {"intake": 8801, "routing": 8802, "sla": 8803, "reporting": 8804}
PREFIX: Final = "BITACORA_"

LogFormat = Literal["auto", "json", "pretty"]
LogLevel = Literal["debug", "info", "warning", "error"]


class SettingsError(ValueError):
    """A setting has a value that cannot be used. The message names the variable."""


def _shared(name: str) -> Any:
    """The alias of a field whose variable has no service in its name."""
    return PREFIX + name


class ServiceSettings(BaseSettings):
    """What every service is told from outside. Raises SettingsError."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, env_ignore_empty=True
    )

    service: ClassVar[str] = ""

    kafka_bootstrap_servers: str = Field(
        "127.0.0.1:9092",
        min_length=1,
        validation_alias=_shared("KAFKA_BOOTSTRAP_SERVERS"),
        description="host:port, several separated by commas",
    )
    kafka_embedded: bool = Field(
        default=False,
        validation_alias=_shared("KAFKA_EMBEDDED"),
        description="the broker is the embedded one: in memory, no idempotent producer",
    )
    kafka_replication_factor: int = Field(
        1,
        ge=1,
        le=10,
        validation_alias=_shared("KAFKA_REPLICATION_FACTOR"),
        description="of the topics that the services create",
    )
    clock: str = Field(
        "real",
        validation_alias=_shared("CLOCK"),
        description="real, or accelerated:START,EPOCH,RATE",
    )
    data_dir: Path = Field(
        Path(".bitacora"),
        validation_alias=_shared("DATA_DIR"),
        description="where SQLite files and the state of `bitacora up` lie",
    )
    batch_records_max: int = Field(
        1000,
        ge=1,
        le=100_000,
        validation_alias=_shared("BATCH_RECORDS_MAX"),
        description="records that one poll of a consumer hands over at most",
    )
    parked_per_minute_max: int = Field(
        100,
        ge=1,
        validation_alias=_shared("PARKED_PER_MINUTE_MAX"),
        description="a consumer that parks more than this stops and waits for a person",
    )
    log_format: LogFormat = Field(
        "auto",
        validation_alias=_shared("LOG_FORMAT"),
        description="auto: pretty on a terminal, JSON elsewhere",
    )
    log_level: LogLevel = Field("info", validation_alias=_shared("LOG_LEVEL"))
    database_url: str = Field(
        "",
        repr=False,
        description="sqlite:///FILE or postgresql://…; empty: a SQLite file in data_dir",
    )
    http_host: str = Field("127.0.0.1", description="loopback only, while nothing authenticates")
    http_port: int = Field(0, ge=0, le=65_535, description="0: the service's usual port")

    def __init_subclass__(cls, service: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if service:
            cls.service = service

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls.model_config["env_prefix"] = f"{PREFIX}{cls.service.upper()}_"

    def __init__(self, **values: Any) -> None:
        if not self.service:
            raise TypeError(
                "subclass it with the service's name: class X(ServiceSettings, service=…)"
            )
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SettingsError(_explain(type(self), error)) from None
        except SourceError as error:
            raise SettingsError(f"a setting cannot be read: {error}") from None

    @field_validator("clock")
    @classmethod
    def _check_clock(cls, value: str) -> str:
        parse_clock(value)
        return value

    @field_validator("http_host")
    @classmethod
    def _check_host(cls, value: str) -> str:
        if not is_loopback(value):
            raise ValueError(
                "no authentication is configured, so the service may only listen on a loopback"
                " address (127.0.0.1, ::1 or localhost)"
            )
        return value

    @field_validator("database_url")
    @classmethod
    def _check_database(cls, value: str) -> str:
        if value and not value.startswith(("sqlite:", "postgresql:", "postgresql+psycopg:")):
            raise ValueError("it must begin with sqlite: or postgresql:")
        return value

    @model_validator(mode="after")
    def _fill_in(self) -> ServiceSettings:
        # The model is frozen for its users; these two defaults depend on the class and on data_dir.
        if not self.database_url:
            path = self.data_dir / f"{self.service}.sqlite3"
            object.__setattr__(self, "database_url", f"sqlite:///{path}")
        if not self.http_port:
            object.__setattr__(self, "http_port", HTTP_PORTS.get(self.service, 8800))
        return self

    def make_clock(self) -> Clock:
        """The clock that `clock` names."""
        return parse_clock(self.clock)

    @property
    def http_url(self) -> str:
        host = f"[{self.http_host}]" if ":" in self.http_host else self.http_host
        return f"http://{host}:{self.http_port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def settings_of(service: str, **values: Any) -> ServiceSettings:
    """The shared settings of `service`, for tools that do not know its own class.

    Raises SettingsError, and ValueError for a service that does not exist.
    """
    if service not in SERVICES:
        raise ValueError(f"there is no service {service!r}; there are {', '.join(SERVICES)}")

    class Settings(ServiceSettings, service=service):
        pass

    return Settings(**values)


def variable_of(settings: type[ServiceSettings], field: str) -> str:
    """The environment variable that sets `field`."""
    info = settings.model_fields.get(field)
    if info is not None and isinstance(info.validation_alias, str):
        return info.validation_alias
    if field.startswith(PREFIX):
        return field
    return f"{PREFIX}{settings.service.upper()}_{field.upper()}"


def _explain(settings: type[ServiceSettings], error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_url=False):
        field = str(problem["loc"][0]) if problem["loc"] else ""
        variable = variable_of(settings, field) if field else "the settings"
        reason = problem["msg"].removeprefix("Value error, ")
        # Passwords, and addresses that may hold one, are never repeated; nor is the whole input.
        hidden = not field or "database" in field.lower() or _is_secret(settings, field)
        shown = "" if hidden else f" is {problem['input']!r}"
        lines.append(f"{variable}{shown}: {reason}")
    return "\n".join(lines)


def _is_secret(settings: type[ServiceSettings], field: str) -> bool:
    info = settings.model_fields.get(field.lower())
    kinds = (info.annotation, *get_args(info.annotation)) if info is not None else ()
    return SecretStr in kinds
