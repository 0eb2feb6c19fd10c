"""Prometheus's own tools, and a real server, on the configuration, alerts and dashboard that are shipped."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support.processes import serving
from tests.support.servers import wait_for

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "deploy" / "prometheus" / "prometheus.yml"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
ALERT_TESTS = Path(__file__).with_name("alerts_test.yml")
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboard.json"
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}
NAME = re.compile(r"\b(?:fanin|process)_[a-z_]+")


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed (Debian: prometheus)")


def promtool(*arguments: object) -> str:
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def dashboard_expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", ())]


@needs("promtool")
def test_the_configuration_is_valid() -> None:
    assert "SUCCESS" in promtool("check", "config", CONFIGURATION)
    assert f"{len(rules())} rules found" in promtool("check", "rules", ALERTS)


@needs("promtool")
def test_alerts_fire_when_they_should() -> None:
    assert "SUCCESS" in promtool("test", "rules", ALERT_TESTS)


def test_every_alert_is_tested_firing_and_silent_and_has_a_runbook() -> None:
    tested: dict[str, set[bool]] = {}
    for case in yaml.safe_load(ALERT_TESTS.read_text())["tests"]:
        for each in case["promql_expr_test"]:
            name = re.search(r'alertname="(\w+)"', each["expr"])
            assert name
            tested.setdefault(name[1], set()).add(bool(each["exp_samples"]))
    assert tested == {rule["alert"]: {True, False} for rule in rules()}
    page = (ROOT / "docs" / "operations.md").read_text()
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"].keys() == {"summary", "runbook"}
        assert f"`{rule['alert']}`" in page


def test_the_dashboard_is_what_its_script_writes() -> None:
    script = runpy.run_path(str(DASHBOARD.with_suffix(".py")))
    assert script["text"]() == DASHBOARD.read_text(), "run: python deploy/grafana/dashboard.py"


def test_panels_do_not_overlap() -> None:
    taken = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_every_metric_that_is_used_is_exported() -> None:
    with serving() as (url, _):
        exported = {
            family.name + suffix
            for family in text_string_to_metric_families(httpx.get(f"{url}/metrics", timeout=60).text)
            for suffix in SUFFIXES.get(family.type, ("",))
        }
    used = {
        name for text in (*dashboard_expressions(), *(rule["expr"] for rule in rules())) for name in NAME.findall(text)
    }
    assert used - exported == set()
    of_fanin = {name for name in used if name.startswith("fanin_")}
    assert len(of_fanin) > 15


@contextmanager
def prometheus(directory: Path, targets: list[str]) -> Iterator[httpx.Client]:
    """A server with the shipped configuration, in a hurry and for these targets."""
    configuration = yaml.safe_load(CONFIGURATION.read_text())
    configuration["global"] = {"scrape_interval": "300ms", "evaluation_interval": "300ms"}
    (scrape,) = configuration["scrape_configs"]
    scrape["static_configs"] = [{"targets": targets}]
    (directory / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    shutil.copy(ALERTS, directory)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = ["prometheus", f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/data"]
    log = (directory / "log").open("w")
    with log, subprocess.Popen([*command, f"--web.listen-address={address}"], stdout=log, stderr=log) as process:
        try:
            with httpx.Client(base_url=f"http://{address}", timeout=30) as client:
                wait_for(lambda: process.poll() is not None or is_ready(client))
                assert process.poll() is None, (directory / "log").read_text()
                yield client
        finally:
            process.terminate()


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/-/ready").status_code == 200
    except httpx.TransportError:
        return False


def query(client: httpx.Client, expression: str) -> list[dict[str, Any]]:
    answer = client.get("/api/v1/query", params={"query": expression}).json()
    assert answer["status"] == "success", (expression, answer)
    result: list[dict[str, Any]] = answer["data"]["result"]
    return result


@needs("prometheus")
def test_a_server_scrapes_and_evaluates(tmp_path: Path) -> None:
    with serving("--workers", "2") as (url, _), socket.create_server(("127.0.0.1", 0)) as dead:
        gone = f"127.0.0.1:{dead.getsockname()[1]}"
        dead.close()
        with prometheus(tmp_path, [url.removeprefix("http://"), gone]) as client:
            for seed in range(5):
                path = f"/v1/weights?shape=100000&scheme=normal&std=1&seed={seed}"
                httpx.get(url + path, timeout=60).raise_for_status()
            wait_for(lambda: bool(query(client, 'fanin_http_requests_total{route="/v1/weights", status="200"} == 5')))
            assert query(client, "fanin_generated_bytes_total >= 5 * 400000")
            # 0 until the last worker has started and was scraped
            wait_for(lambda: bool(query(client, "fanin_ready == 1")))
            assert query(client, 'fanin_backend_info{backend="reference"}')
            for expression in dashboard_expressions():
                expression = expression.replace("$__rate_interval", "5s").replace('=~"$job"', '=~".+"')
                query(client, expression.replace('=~"$instance"', '=~".+"'))
            wait_for(lambda: {rule["health"] for rule in loaded(client)} == {"ok"})
            assert len(loaded(client)) == len(rules())
            # FaninNotReady is pending until the last worker is ready.
            wait_for(lambda: alarmed(client) == {"FaninDown"})
            assert query(client, 'count_over_time(ALERTS{alertstate="firing"}[1h])') == []


def loaded(client: httpx.Client) -> list[dict[str, Any]]:
    (group,) = client.get("/api/v1/rules").json()["data"]["groups"]
    return [*group["rules"]]


def alarmed(client: httpx.Client) -> set[str]:
    """Return the names of the alerts that are firing or pending."""
    return {rule["name"] for rule in loaded(client) if rule["state"] != "inactive"}
