"""The client: slices, and the bytes that they cost."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, basic_indices

import fanin
from fanin import Client, FileLayout
from tests.support.faulty import Faulty
from tests.support.samples import MIXED

LAYOUT = FileLayout.of(MIXED)


def test_a_tensor_costs_its_own_bytes_only(client: Client, service: Faulty) -> None:
    client.register(MIXED)
    client.tensor(MIXED, "emb")
    entry = LAYOUT.entry("emb")
    assert service.requests[-1].endswith(f"bytes={entry.start}-{entry.stop - 1}")
    client.slice(MIXED, "emb", np.s_[10:20])
    assert service.requests[-1].endswith(f"bytes={entry.start + 140}-{entry.start + 279}")


@settings(max_examples=60, deadline=None)
@given(data=st.data(), shape=array_shapes(max_dims=4, max_side=7))
def test_slices_are_those_of_numpy(data: st.DataObject, shape: tuple[int, ...]) -> None:
    index = data.draw(basic_indices(shape, allow_newaxis=False))
    recipe: dict[str, Any] = {"shape": list(shape), "scheme": "normal", "std": 1, "dtype": "BF16"}
    with Faulty() as service, Client(service.url, backoff=0, where="remote") as client:
        found = client.slice(recipe, "weight", index)
    np.testing.assert_array_equal(found, fanin.materialize(recipe)["weight"][index], strict=True)


@settings(max_examples=30, deadline=None)
@given(data=st.data(), shape=array_shapes(max_dims=3, max_side=5))
def test_slices_of_elements_that_share_a_byte(data: st.DataObject, shape: tuple[int, ...]) -> None:
    shape = (*shape[:-1], 2 * shape[-1])
    index = data.draw(basic_indices(shape, allow_newaxis=False))
    recipe: dict[str, Any] = {"shape": list(shape), "scheme": "uniform", "low": -6, "high": 6, "dtype": "F4"}
    with Faulty() as service, Client(service.url, backoff=0, where="remote") as client:
        found, everything = client.slice(recipe, "weight", index), client.materialize(recipe)["weight"]
    expected = fanin.materialize(recipe)["weight"]
    assert (everything.dtype, everything.tobytes()) == (expected.dtype, expected.tobytes())
    assert (found.dtype, found.shape) == (expected.dtype, expected[index].shape)
    assert found.tobytes() == expected[index].tobytes()


def test_wide_gaps_are_not_fetched(client: Client, service: Faulty) -> None:
    recipe: dict[str, Any] = {"shape": [4, 100_000], "scheme": "normal", "std": 1}
    client.register(recipe)
    service.requests.clear()
    found = client.slice(recipe, "weight", np.s_[:, 5:10])
    np.testing.assert_array_equal(found, fanin.materialize(recipe)["weight"][:, 5:10])
    sizes = [re.search(r"bytes=(\d+)-(\d+)", request) for request in service.requests]
    assert [int(size[2]) - int(size[1]) + 1 for size in sizes if size] == [20, 20, 20, 20]


@pytest.mark.parametrize("step", [200_000, -200_000])
def test_wide_strides_are_not_fetched(client: Client, service: Faulty, step: int) -> None:
    recipe: dict[str, Any] = {"shape": [1_000_000], "scheme": "normal", "std": 1}
    client.register(recipe)
    service.requests.clear()
    found = client.slice(recipe, "weight", np.s_[::step])
    np.testing.assert_array_equal(found, fanin.slice(recipe, "weight", np.s_[::step]))
    sizes = [re.search(r"bytes=(\d+)-(\d+)", request) for request in service.requests]
    assert [int(size[2]) - int(size[1]) + 1 for size in sizes if size] == [4] * 5


def test_narrow_strides_come_in_pieces(service: Faulty) -> None:
    recipe: dict[str, Any] = {"shape": [300_000], "scheme": "normal", "std": 1}
    with Client(service.url, where="remote", request_bytes=100_000) as client:
        client.register(recipe)
        service.requests.clear()
        found = client.slice(recipe, "weight", np.s_[5::7])
    np.testing.assert_array_equal(found, fanin.materialize(recipe)["weight"][5::7])
    assert len(service.requests) == 13  # 1.2 MB in requests of up to 100 kB
