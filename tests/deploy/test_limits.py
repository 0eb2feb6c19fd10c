"""Limits in deploy/, each held against the defaults of the settings that it stands in front of."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ByteSize, TypeAdapter

from fanin.file import digests
from fanin_service import recipe_reader, service, threads
from fanin_service.artifacts import capacity, outlines
from fanin_service.models import models
from fanin_service.recipes import digests as digest_jobs
from fanin_service.server import protocol
from fanin_service.settings import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
MIB, GIB = 1 << 20, 1 << 30
CROWDED_STREAM = 768 << 10
"""Bytes that a stream holds where there are many (docs/operations.md)."""
MATRIX_WORK = 256 * MIB
"""Bytes for making the largest orthogonal tensor: 197 MB measured for 2^24 elements in F64, the matrix among them."""
DESCRIBED = 512
"""Bytes of a cached short description of a file."""
INTERPRETER = 256 * MIB
"""Bytes of an idle process, its connections and what the allocator keeps; about 100 MB idle."""


def defaults() -> Settings:
    return Settings.model_construct(**{name: field.default for name, field in Settings.model_fields.items()})


def memory() -> int:
    """Most bytes that one process takes with the default settings: the sum in docs/deploy.md."""
    settings = defaults()
    return (
        settings.max_streams * CROWDED_STREAM
        + settings.max_held_bytes
        + settings.registry_bytes
        + recipe_reader.QUERY_BYTES
        + service.DESCRIPTION_BYTES
        + models.MAX_BYTES
        + models.MAX_LAYOUT_BYTES
        + models.MAX_LISTED_BYTES
        + models.MAX_DESCRIBED * DESCRIBED
        + service.SMALL_BODIES_BYTES
        + digest_jobs.MAX_BYTES
        + digests.BLOCK
        + protocol.MAX_UNREAD_BYTES
        + capacity.MAX_BYTES
        + outlines.MAX_BYTES
        + settings.matrix_bytes
        + threads.MATRIX_MAKERS * MATRIX_WORK
        + INTERPRETER
    )


def size(text: str) -> int:
    """Bytes of a quantity of Kubernetes, Compose or nginx."""
    number, unit = re.fullmatch(r"([0-9.]+)([kmgKMG]?)i?B?", text).groups()  # type: ignore[union-attr]
    return int(float(number) * 1024 ** " kmg".index(unit.lower() or " "))


def setting(text: str) -> int:
    return int(TypeAdapter(ByteSize).validate_python(text))


def chart() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "helm" / "fanin" / "values.yaml").read_text())
    return found


def composed(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"][name]
    return found


def nginx(directive: str) -> str:
    (value,) = set(
        re.findall(rf"^\s*{directive}\s+(\S+);", (DEPLOY / "nginx" / "fanin.conf").read_text(), re.MULTILINE)
    )
    return str(value)


def alert(name: str) -> str:
    groups = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]
    (rule,) = (rule for group in groups for rule in group["rules"] if rule["alert"] == name)
    return str(rule["expr"])


@pytest.mark.parametrize(
    "largest",
    [
        nginx("client_max_body_size"),
        chart()["ingress"]["annotations"]["nginx.ingress.kubernetes.io/proxy-body-size"],
    ],
)
def test_a_front_takes_every_body_that_the_service_takes(largest: str) -> None:
    wanted = max(defaults().max_model_bytes, defaults().max_recipe_bytes)
    assert wanted < size(largest) <= wanted + 2 * MIB


def test_nginx_waits_as_long_as_the_service() -> None:
    settings = defaults()
    assert nginx("client_header_timeout") == f"{settings.head_seconds}s"
    assert nginx("send_timeout") == f"{settings.stall_seconds}s"
    # nginx closes idle connections to a replica after 60 s, by default; the replica must not be the first.
    assert settings.keep_alive_seconds > 60


def test_models_without_a_store_fit_in_the_pod() -> None:
    values = chart()
    kept, tmp = setting(values["models"]["storeBytes"]), size(values["tmpSizeLimit"])
    assert kept + 512 * MIB <= tmp
    assert tmp < size(values["resources"]["limits"]["ephemeral-storage"])
    assert 0 < size(values["resources"]["requests"]["ephemeral-storage"]) <= tmp
    assert values["replicaCount"] == 1 or values["models"]["store"]


def test_memory_of_a_pod() -> None:
    limit = size(chart()["resources"]["limits"]["memory"])
    threshold = float(alert("FaninMemory").split(">")[1])
    assert memory() < threshold < limit
    assert chart()["settings"] in (None, {}), "the sum is that of the default settings"


@pytest.mark.parametrize("name", ["fanin", "fanin-gpu"])
def test_memory_of_a_container(name: str) -> None:
    found = composed(name)
    (tmpfs,) = found["tmpfs"]
    tmp = size(re.search(r"size=(\w+)", tmpfs)[1])  # type: ignore[index]
    assert setting(found["environment"]["FANIN_MODEL_STORE_BYTES"]) + 512 * MIB <= tmp
    assert memory() + tmp < size(found["deploy"]["resources"]["limits"]["memory"])
    # One replica, because the models have no shared store.
    assert "FANIN_MODEL_STORE" in found["environment"] or "replicas" not in found["deploy"]
    assert len(found["ports"]) == 1


def test_the_unit_keeps_recipes_and_models() -> None:
    text = (DEPLOY / "systemd" / "fanin.service").read_text()
    (directories,) = re.findall(r"^StateDirectory=(.*)$", text, re.MULTILINE)
    for name in ("RECIPE_STORE", "MODEL_STORE"):
        (place,) = re.findall(rf"FANIN_{name}=%S/(\S+)", text)
        assert place in directories.split()


def test_the_page_has_the_sum() -> None:
    page = (DEPLOY.parent / "docs" / "deploy.md").read_text()
    assert f"{memory() / GIB:.1f} GiB" in page
    rows = re.findall(r"^\| .* \| (\d+) \| .*\|$", page.partition("## Memory and disk")[2], re.MULTILINE)
    assert abs(sum(map(int, rows)) - memory() / MIB) < 1
