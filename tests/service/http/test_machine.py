"""Clients that send any requests in any order, over a real socket: every byte equals the reference backend's."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from fanin import FileLayout, backends
from fanin.file.plan import read_into
from fanin_service.access import keys
from fanin_service.access.scopes import Right, sufficient
from fanin_service.settings import Settings
from fanin_service.shared_cache import Kept
from tests.support.corpus import CASES
from tests.support.servers import Running, running

REMEMBERED = 2
"""Number of the recipes below that the server stores."""
RECIPES: list[dict[str, Any]] = [
    {"seed": 1, "tensors": {"a": {"shape": [7], "scheme": "normal", "std": 1.0, "dtype": "F64"}}},
    {
        "seed": 2,
        "tensors": {f"t{n}": {"shape": [n, 3], "scheme": "uniform", "low": -1.0, "high": 1.0} for n in range(9)},
    },
    {"seed": 3, "tensors": {"big": {"shape": [1100, 701], "scheme": "he_normal", "dtype": "BF16"}}},
    {"seed": 4, "tensors": {}},
]
SCOPES: dict[str, tuple[Right, ...] | None] = {
    "all": tuple(Right),
    "reader": (Right.WEIGHTS_READ,),
    "writer": (Right.RECIPES_WRITE,),
    "nobody": None,
}
LAYOUTS = [FileLayout.of(recipe) for recipe in RECIPES]
SMALL = [case for case in CASES if len(case.data) < 1 << 16]
positions = st.integers(0, 2_000_000)


@cache
def content(which: int) -> bytes:
    data = bytearray(b"\xca" * LAYOUTS[which].size)
    read_into(LAYOUTS[which], 0, memoryview(data), backends.load("reference"))
    return bytes(data)


class Machine(RuleBasedStateMachine):
    """The model: the recipes that the server stores, and the content of their files."""

    server: Running
    keys: dict[str, str | None]
    """Keys by name of `SCOPES`; empty if access is open."""

    recipes = st.integers(0, len(RECIPES) - 1)
    people = st.sampled_from(list(SCOPES))

    @initialize()
    def forget_all(self) -> None:
        self.server.app.state.service.recipes.registry = Kept[str, FileLayout](max_count=REMEMBERED, max_bytes=1 << 30)
        self.remembered: dict[str, list[int]] = {}
        """Stored recipes by the client that added them, the least recently used first."""
        self.connection = HTTPConnection(*self.server.address, timeout=60)

    def teardown(self) -> None:
        self.connection.close()

    def ask(
        self, who: str, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[HTTPResponse, bytes]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if key := self.keys.get(who):
            sent["Authorization"] = f"Bearer {key}"
        self.connection.request(method, path, body, sent)
        answer = self.connection.getresponse()
        return answer, answer.read()

    def may(self, who: str, right: Right) -> int | None:
        """Return the status of a refusal; None if the request is allowed."""
        if not self.keys:
            return None
        scopes = SCOPES[who]
        return 401 if scopes is None else 403 if set(sufficient(right)).isdisjoint(scopes) else None

    def use(self, which: int) -> bool:
        """Mark the recipe as used; return whether the server stores it."""
        for own in self.remembered.values():
            if which in own:
                own.remove(which)
                own.append(which)
                return True
        return False

    def add(self, who: str, which: int) -> bool:
        """Add the recipe; return whether it is new. The client with most recipes loses its least recently used one."""
        if self.use(which):
            return False
        owner = who if self.keys else "anybody"
        self.remembered.setdefault(owner, []).append(which)
        if sum(map(len, self.remembered.values())) > REMEMBERED:
            most = max(self.remembered, key=lambda each: len(self.remembered[each]))
            self.remembered[most].pop(0)
            if not self.remembered[most]:
                del self.remembered[most]
        return True

    @rule(who=people, which=recipes)
    def register(self, who: str, which: int) -> None:
        text = LAYOUTS[which].recipe.canonical
        answer, body = self.ask(who, "POST", "/v1/recipes", text, Content_Type="application/json")
        refused = self.may(who, Right.RECIPES_WRITE)
        assert answer.status == (refused or (201 if self.add(who, which) else 200)), body

    @rule(who=people, which=recipes)
    def make(self, who: str, which: int) -> None:
        text = LAYOUTS[which].recipe.canonical
        answer, body = self.ask(who, "POST", "/v1/weights", text, Content_Type="application/json")
        refused = self.may(who, Right.WEIGHTS_READ)
        assert answer.status == (refused or 200)
        if not refused:
            self.add(who, which)
            assert body == content(which)

    @rule(who=people, which=recipes, first=positions, length=positions, method=st.sampled_from(["GET", "HEAD"]))
    def fetch(self, who: str, which: int, first: int, length: int, method: str) -> None:
        path = f"/v1/recipes/{LAYOUTS[which].recipe.digest}/model.safetensors"
        first %= LAYOUTS[which].size + 2
        answer, body = self.ask(who, method, path, Range=f"bytes={first}-{first + length}")
        whole = content(which)
        if refused := self.may(who, Right.WEIGHTS_READ):
            assert answer.status == refused
        elif not self.use(which):
            assert answer.status == 404
        elif method == "HEAD":
            assert (answer.status, body, answer.headers["Content-Length"]) == (200, b"", str(len(whole)))
        elif first >= len(whole):
            assert answer.status == 416
            assert answer.headers["Content-Range"] == f"bytes */{len(whole)}"
        else:
            assert answer.status == 206
            assert body == whole[first : first + length + 1]

    @rule(which=recipes, count=st.integers(0, 300_000))
    def leave(self, which: int, count: int) -> None:
        """Read `count` bytes of a file, and disconnect."""
        path = f"/v1/recipes/{LAYOUTS[which].recipe.digest}/model.safetensors"
        connection = HTTPConnection(*self.server.address, timeout=60)
        key = self.keys.get("all")
        connection.request("GET", path, headers={"Authorization": f"Bearer {key}"} if key else {})
        answer = connection.getresponse()
        known = self.use(which)
        assert answer.status == (200 if known else 404)
        if known:
            assert answer.read(count) == content(which)[:count]
        connection.close()
        answer.close()

    @rule(case=st.sampled_from(SMALL))
    def send_junk(self, case: Any) -> None:
        """Send a hostile request, without a key if keys are required. The stored recipes must not change."""
        if self.keys or 201 not in case.statuses:
            with socket.create_connection(self.server.address, timeout=60) as connection:
                connection.sendall(case.data)


@contextmanager
def machine(directory: Path, *, with_keys: bool) -> Iterator[type[Machine]]:
    access: dict[str, Any] = {}
    found: dict[str, str | None] = {}
    if with_keys:
        path = directory / "keys.json"
        found = {name: scopes and keys.create(path, name, scopes)[0] for name, scopes in SCOPES.items()}
        access = {"access": "keys", "keys_file": path}
    with running(Settings(registry_recipes=REMEMBERED, **access)) as server:

        class Connected(Machine):
            pass

        Connected.server, Connected.keys = server, found
        yield Connected


@pytest.mark.parametrize("examples", [15, pytest.param(2000, marks=pytest.mark.soak("histories"))])
@pytest.mark.parametrize("with_keys", [False, True], ids=["open", "keys"])
def test_any_order(with_keys: bool, examples: int) -> None:
    with TemporaryDirectory() as directory, machine(Path(directory), with_keys=with_keys) as connected:
        run_state_machine_as_test(
            connected,
            settings=settings(
                max_examples=examples,
                stateful_step_count=30,
                deadline=None,
                database=None,
                derandomize=examples < 100,
                suppress_health_check=[*HealthCheck],
            ),
        )
