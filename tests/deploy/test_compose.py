"""The compose file, against the Compose Specification and against what the images need."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from fanin_service.settings import Settings
from tests.deploy import image

compose_spec = pytest.importorskip("compose_spec", reason="compose-spec has no binary for this platform")

FILE = Path(__file__).parents[2] / "deploy" / "compose.yaml"
SERVICES = ("fanin", "fanin-gpu", "prometheus", "grafana")


def composed() -> dict[str, Any]:
    """Return the file with its merge keys resolved."""
    found: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return found


def check(document: dict[str, Any]) -> None:
    """Raises ValueError for what the specification does not know."""
    compose = compose_spec.PyCompose.from_yaml(yaml.safe_dump(document))
    compose.validate()


def test_the_specification_takes_it() -> None:
    check(composed())


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("read_onli", True),
        ("cap_drop", "ALL"),
        ("pids_limit", "many"),
        ("stop_grace_period", "long"),
        ("networks", ["nowhere"]),
    ],
)
def test_the_specification_finds_faults(name: str, wrong: Any) -> None:
    document = composed()
    document["services"]["fanin"][name] = wrong
    with pytest.raises((ValueError, TypeError)):
        check(document)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_confined(name: str) -> None:
    service = composed()["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"]
    assert service["deploy"]["resources"]["limits"]["memory"]
    assert service["healthcheck"]["test"][0] == "CMD", "no shell"
    assert re.search(r":[^/]+$", service["image"]) or service["build"]
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:")


def test_there_is_no_other_service() -> None:
    assert tuple(composed()["services"]) == SERVICES


@pytest.mark.parametrize("name", ["fanin", "fanin-gpu"])
def test_the_service_s_settings(name: str) -> None:
    service = composed()["services"][name]
    for variable in service["environment"]:
        assert variable.removeprefix("FANIN_").lower() in Settings.model_fields
    seconds = int(service["environment"]["FANIN_SHUTDOWN_SECONDS"])
    assert int(service["stop_grace_period"].removesuffix("s")) > seconds
    assert service["build"]["target"] in image.stages()
    port = image.final("cpu").variables("ENV")["FANIN_PORT"]
    assert service["ports"][0].endswith(f":{port}")
    assert f":{port}/readyz" in service["healthcheck"]["test"][-1]


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_from_here_is_here(name: str) -> None:
    for volume in composed()["services"][name].get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("."):
            assert (FILE.parent / source).exists(), source
            assert volume.endswith(":ro")
        else:
            assert source in composed()["volumes"]
