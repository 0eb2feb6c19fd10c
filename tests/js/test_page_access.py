"""The page of a running service that requires keys, in Chromium: what works without a key and with one."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

import fanin
from fanin_service.access import keys
from fanin_service.access.scopes import Right
from tests.js.test_page import CHROMIUM, CLIENT, NODE, file_of, sha256_of, with_packages
from tests.support.processes import serving

RECIPE = {"seed": 11, "tensors": {"fc.weight": {"shape": [300, 40], "scheme": "he_normal"}}}
NAME = "fc.weight"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what the page said, for a service with a key for weights and one for recipes alone."""
    with_packages("playwright-core")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    file = tmp_path_factory.mktemp("keys") / "keys.json"
    good, _ = keys.create(file, "good", (Right.WEIGHTS_READ,))
    other, _ = keys.create(file, "other", (Right.RECIPES_READ,))
    with serving("--access", "keys", "--keys-file", str(file)) as (url, _):
        return _drive(url, {"good": good, "other": other, "unknown": f"{good[:-4]}AAAA"})


def _drive(url: str, known: dict[str, str]) -> dict[str, Any]:
    assert NODE
    given = {
        "chromium": CHROMIUM,
        "url": f"{url}/",
        "keys": known,
        "recipe": json.dumps(RECIPE),
        "digest": fanin.as_recipe(RECIPE).digest,
    }
    run = subprocess.run(
        [NODE, "tests/page-access.js"], cwd=CLIENT, input=json.dumps(given), capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    assert found["errors"] == []
    return found


@pytest.mark.parametrize(
    ("key", "said", "status"),
    [
        ("none", "The service requires a key.", "401"),
        ("unknown", "The service does not accept this key.", "401"),
        ("other", "The service accepts this key, but not for this.", "403"),
    ],
)
def test_digests_and_the_file_are_refused(told: dict[str, Any], key: str, said: str, status: str) -> None:
    for message, detail in told["refusals"][key]:
        assert message == said
        assert status in detail, detail
        assert key != "other" or "this needs the scope" in detail, detail


def test_a_key_with_the_scope_gets_both(told: dict[str, Any]) -> None:
    assert told["sha"] == sha256_of(fanin.materialize(RECIPE)[NAME].tobytes())
    assert told["file"] == sha256_of(file_of(RECIPE))


def test_the_key_is_in_a_header_of_calls_alone(told: dict[str, Any]) -> None:
    assert told["leaks"] == []
    assert told["carried"]
    assert all(path.startswith("/v1/recipes") for path in told["carried"]), told["carried"]
    assert told["afterReload"] == ""
