"""Settings: names of variables, defaults, and clear words for what cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field

from libs.runtime.clock import AcceleratedClock
from libs.runtime.settings import HTTP_PORTS, ServiceSettings, SettingsError, settings_of


class RoutingSettings(ServiceSettings, service="routing"):
    hand_over_limit: int = Field(3, ge=1)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("BITACORA_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(("service", "port"), HTTP_PORTS.items())
def test_each_service_has_its_port_and_its_sqlite_file(service: str, port: int) -> None:
    settings = settings_of(service)
    assert settings.http_url == f"http://127.0.0.1:{port}"
    assert settings.database_url == f"sqlite:///.bitacora/{service}.sqlite3"
    assert settings.kafka_bootstrap_servers == "127.0.0.1:9092"


def test_shared_variables_have_no_service_in_their_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITACORA_KAFKA_BOOTSTRAP_SERVERS", "kafka:9093,kafka2:9093")
    monkeypatch.setenv("BITACORA_KAFKA_EMBEDDED", "true")
    monkeypatch.setenv("BITACORA_DATA_DIR", "/var/lib/desk")
    settings = RoutingSettings()
    assert settings.kafka_bootstrap_servers == "kafka:9093,kafka2:9093"
    assert settings.kafka_embedded
    assert settings.database_url == "sqlite:////var/lib/desk/routing.sqlite3"


def test_own_variables_carry_the_name_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITACORA_ROUTING_DATABASE_URL", "postgresql://db/routing")
    monkeypatch.setenv("BITACORA_ROUTING_HTTP_PORT", "9902")
    monkeypatch.setenv("BITACORA_ROUTING_HAND_OVER_LIMIT", "5")
    monkeypatch.setenv("BITACORA_INTAKE_HTTP_PORT", "9901")
    settings = RoutingSettings()
    assert settings.database_url == "postgresql://db/routing"
    assert settings.http_port == 9902
    assert settings.hand_over_limit == 5
    assert settings_of("intake").http_port == 9901


def test_values_given_in_code_win(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BITACORA_DATA_DIR", "/elsewhere")
    assert RoutingSettings(data_dir=tmp_path).data_dir == tmp_path


def test_an_empty_variable_is_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITACORA_LOG_LEVEL", "")
    assert RoutingSettings().log_level == "info"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org", ""])
def test_no_address_but_loopback_while_nothing_authenticates(host: str) -> None:
    with pytest.raises(SettingsError, match=r"BITACORA_ROUTING_HTTP_HOST.*no authentication"):
        RoutingSettings(http_host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.53", "::1", "localhost"])
def test_loopback_addresses_are_fine(host: str) -> None:
    assert RoutingSettings(http_host=host).http_host == host


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("BITACORA_ROUTING_HAND_OVER_LIMIT", "many", "valid integer"),
        ("BITACORA_ROUTING_HTTP_PORT", "70000", "less than or equal to 65535"),
        ("BITACORA_CLOCK", "fast", "accelerated:START,EPOCH,RATE"),
        ("BITACORA_CLOCK", "accelerated:x,y,z", "could not convert"),
        ("BITACORA_LOG_LEVEL", "loud", "'debug', 'info'"),
        ("BITACORA_KAFKA_EMBEDDED", "perhaps", "valid boolean"),
        ("BITACORA_BATCH_RECORDS_MAX", "0", "greater than or equal to 1"),
    ],
)
def test_a_bad_value_is_told_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        RoutingSettings()
    assert str(caught.value).startswith(f"{variable} is '{value}': ")
    assert says in str(caught.value)


def test_a_bad_database_url_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITACORA_ROUTING_DATABASE_URL", "mysql://root:secret@db/x")
    with pytest.raises(SettingsError) as caught:
        RoutingSettings()
    assert "BITACORA_ROUTING_DATABASE_URL: it must begin with" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(RoutingSettings(database_url="postgresql://u:secret@db/x"))


def test_the_clock_comes_from_the_settings() -> None:
    text = "accelerated:2026-01-05T08:00:00Z,2026-01-01T00:00:00Z,60"
    clock = RoutingSettings(clock=text).make_clock()
    assert isinstance(clock, AcceleratedClock)
    assert clock.rate == 60


def test_settings_do_not_change() -> None:
    settings = RoutingSettings()
    with pytest.raises(ValueError, match="frozen"):
        settings.http_port = 1  # type: ignore[misc]


def test_a_service_that_does_not_exist_has_no_settings() -> None:
    with pytest.raises(ValueError, match="there are intake, routing, sla, reporting"):
        settings_of("billing")
