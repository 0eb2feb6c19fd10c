"""A service that clients see below a path: with the root path in requests and without it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

import fanin
from fanin_service.settings import Settings
from tests.service.surfaces.test_hub import FILES, put
from tests.support.servers import Running, running

ROOT = "/team/weights"
RECIPE = {"seed": 3, "tensors": {"a": {"shape": [5], "scheme": "normal", "std": 1}}}


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running(Settings(stall_seconds=30, root_path=ROOT)) as found:
        put(found.client)
        yield found


@pytest.fixture(params=["", ROOT], ids=["removed", "forwarded"])
def client(server: Running, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """A client behind a proxy that removes the root path, or forwards it."""
    with httpx.Client(base_url=f"{server.url}{request.param}/", timeout=60) as found:
        yield found


def test_places_are_those_that_clients_see(client: httpx.Client, server: Running) -> None:
    registered = client.post("v1/recipes", json=RECIPE)
    assert registered.headers["Location"] == f"{ROOT}/v1/recipes/{fanin.as_recipe(RECIPE).digest}"
    one = client.post("v1/weights", json=RECIPE)
    assert one.headers["Content-Location"].startswith(f"{ROOT}/v1/recipes/")
    for place in (registered.headers["Location"], one.headers["Content-Location"]):
        assert server.client.get(place).status_code == 200
    assert server.client.get(one.headers["Content-Location"]).content == one.content


def test_a_redirect_stays_below_the_path(client: httpx.Client, server: Running) -> None:
    """Clients of the Hub follow it from a name to its commit."""
    answer = client.get("hf/me/tiny/resolve/seed-42/config.json")
    assert answer.status_code == 307
    assert answer.headers["Location"].startswith(f"{ROOT}/hf/me/tiny/resolve/")
    assert server.client.get(answer.headers["Location"]).content == FILES["config.json"]


def test_the_description_names_the_path(client: httpx.Client) -> None:
    assert client.get("openapi.json").json()["servers"] == [{"url": ROOT}]


@pytest.mark.parametrize("path", ["", "page/page.js", "page/start.json", "docs", "livez", "v1/schemes"])
def test_pages_and_calls(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 200


@pytest.mark.parametrize("path", [f"{ROOT}x/v1/schemes", f"{ROOT}{ROOT}/v1/schemes", ROOT, "/team/v1/schemes"])
def test_other_paths_do_not_exist(server: Running, path: str) -> None:
    assert server.client.get(path).status_code == 404


def test_the_library_and_a_client_of_the_hub(server: Running, tmp_path: object) -> None:
    hub = pytest.importorskip("huggingface_hub")
    with fanin.Client(f"{server.url}{ROOT}") as library:
        assert library.slice(RECIPE, "a", slice(0, 2)).shape == (2,)
    path = hub.hf_hub_download(
        "me/tiny", "config.json", endpoint=f"{server.url}{ROOT}/hf", cache_dir=tmp_path, revision="seed-42"
    )
    with open(path, "rb") as file:
        assert file.read() == FILES["config.json"]


def test_without_a_root_path_nothing_is_removed() -> None:
    with running() as plain:
        assert plain.client.get(f"{ROOT}/v1/schemes").status_code == 404
        assert plain.client.post("/v1/recipes", json=RECIPE).headers["Location"].startswith("/v1/recipes/")
        assert "servers" not in plain.client.get("/openapi.json").json()
