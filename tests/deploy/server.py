"""A Prometheus of this test's own, on the rules of the house and on running services."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import yaml

from libs.runtime.localserver import free_port
from tests.backends.shared import PrometheusTools
from tests.deploy.rules import CONFIG, RULE_FILES, load
from tests.e2e.desk import until


class Prometheus:
    """Its HTTP API."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=20)

    def ready(self) -> bool:
        try:
            return self._http.get("/-/ready").is_success
        except httpx.TransportError:
            return False

    def get(self, path: str, **query: str) -> Any:
        """The data of what must succeed."""
        answer = self._http.get(f"/api/v1/{path}", params=query).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an expression, as of now."""
        return list(self.get("query", query=expression)["result"])

    def value(self, expression: str) -> float | None:
        """The value of the one series; None when there is none."""
        found = self.query(expression)
        return float(found[0]["value"][1]) if found else None

    def rules(self) -> list[dict[str, Any]]:
        return [rule for group in self.get("rules")["groups"] for rule in group["rules"]]

    def close(self) -> None:
        self._http.close()


@contextmanager
def prometheus(
    tools: PrometheusTools, directory: Path, urls: Mapping[str, str]
) -> Iterator[Prometheus]:
    """It scrapes these services every second, with the house's configuration otherwise."""
    config = load(CONFIG)
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(file) for file in RULE_FILES]
    for one in config["scrape_configs"][0]["static_configs"]:
        one["targets"] = [urlsplit(urls[one["labels"]["service"]]).netloc]
    file = directory / "prometheus.yml"
    file.write_text(yaml.safe_dump(config), "utf-8")
    address = f"127.0.0.1:{free_port()}"
    with (directory / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                tools.server,
                f"--config.file={file}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    made = Prometheus(f"http://{address}")
    try:
        until(lambda: made.ready() or process.poll() is not None, "Prometheus is ready")
        assert process.poll() is None, (directory / "prometheus.log").read_text("utf-8")[-2000:]
        yield made
    finally:
        made.close()
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
