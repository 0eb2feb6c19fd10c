"""Stacks of orthogonal matrices: independent, with the same bits in every slice and from every backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fanin
from fanin import RecipeError, backends
from fanin.file.layout import FileLayout
from fanin.file.plan import read_into
from fanin.streams import Stream

BACKENDS = [backends.load(name) for name in backends.available()]


def made(**tensor: Any) -> Any:
    return fanin.materialize({"seed": 3, **tensor})["weight"]


def content(backend: backends.Backend, tensor: dict[str, Any], start: int = 0, stop: int | None = None) -> bytes:
    layout = FileLayout.of({"seed": 3, **tensor})
    first = len(layout.header)
    out = bytearray((layout.size - first if stop is None else stop) - start)
    read_into(layout, first + start, memoryview(out), backend)
    return bytes(out)


@pytest.mark.parametrize("layout", ["keras", "torch"])
def test_every_matrix_is_orthogonal_and_another(layout: str) -> None:
    stack = made(shape=[2, 3, 5, 7], scheme="orthogonal", batch_axes=[1, 0], layout=layout, gain=2, dtype="F64")
    matrices = stack.reshape(6, 5, 7)
    for each in matrices:
        assert np.allclose(each @ each.T, 4 * np.eye(5), atol=1e-13)
    assert len({each.tobytes() for each in matrices}) == 6
    assert np.array_equal(matrices[0], made(shape=[5, 7], scheme="orthogonal", layout=layout, gain=2, dtype="F64"))


def test_a_matrix_has_the_words_of_its_own_name() -> None:
    """Section 6.17, from the draw of one matrix."""
    stack = made(shape=[3, 4, 6], scheme="orthogonal", batch_axes=[0])
    layout = FileLayout.of({"seed": 3, "shape": [4, 6], "scheme": "orthogonal"})
    for number in (1, 2):
        out = bytearray(4 * 24)
        stream = Stream("fanin/1", 3, f"weight\0{number}")
        backends.load("reference").fill(layout.entries[0].draw, stream, layout.entries[0].dtype, 0, memoryview(out))
        assert stack[number].tobytes() == bytes(out)


@pytest.mark.parametrize("dtype", ["F32", "BF16", "F64", "F8_E4M3FNUZ"])
def test_backends_and_slices_agree(dtype: str) -> None:
    tensor = {"shape": [5, 61, 67], "scheme": "orthogonal", "batch_axes": [0], "dtype": dtype}
    whole = content(backends.load("reference"), tensor)
    for backend in BACKENDS:
        assert content(backend, tensor) == whole, backend.name
        for start, stop in ((0, 1), (8000, 9000), (4087, 12261), (len(whole) - 5, len(whole))):
            assert content(backend, tensor, start, stop) == whole[start:stop], backend.name


def test_a_chunk_has_the_ends_of_many_matrices() -> None:
    tensor = {"shape": [4096, 5, 5], "scheme": "orthogonal", "batch_axes": [0], "layout": "torch"}
    found = made(**tensor)
    assert np.allclose(found @ found.transpose(0, 2, 1), np.eye(5), atol=1e-6)
    assert len({each.tobytes() for each in found}) == 4096
    angles = found[:, 0, 0]
    assert abs(angles.mean()) < 5 / (5 * 4096) ** 0.5
    assert abs((angles**2).mean() - 1 / 5) < 0.02


def test_gates_of_a_recurrent_kernel() -> None:
    gates = [{"size": 6, "scheme": "orthogonal", "number": number} for number in (1, 2, 3, 4)]
    kernel = made(shape=[24, 6], scheme="blocks", parts=gates, layout="torch")
    for n in range(4):
        gate = kernel[6 * n : 6 * n + 6]
        assert np.allclose(gate @ gate.T, np.eye(6), atol=1e-6)
        assert np.array_equal(gate, made(shape=[6, 6], scheme="orthogonal", number=n + 1, layout="torch"))
    columns = made(shape=[6, 24], scheme="blocks", axis=1, parts=gates)
    assert np.allclose(columns[:, 6:12].T @ columns[:, 6:12], np.eye(6), atol=1e-6)


@pytest.mark.parametrize(
    ("numbers", "batch"), [((1, 1), []), ((None, 1), []), ((None, None), []), ((1, 2), [0]), ((2, 1), [0])]
)
def test_two_matrices_of_one_number_are_refused(numbers: tuple[Any, ...], batch: list[int]) -> None:
    parts = [
        {"size": 4, "scheme": "orthogonal", "batch_axes": batch, **({"number": number} if number else {})}
        for number in numbers
    ]
    with pytest.raises(RecipeError) as caught:
        made(shape=[2, 8, 4], scheme="blocks", axis=1, parts=parts)
    assert [fault.pointer for fault in caught.value.faults] == ["/parts"]


@pytest.mark.parametrize(
    ("spectral", "shape", "norm"),
    [
        ("ratio", [3, 12], 2.0),
        ("ratio", [12, 3], 0.5),
        ("max", [12, 3], 1.0),
        ("max", [3, 12], 2.0),
        ("fan_out", [3, 16], 4.0),
    ],
)
def test_the_spectral_norm_follows_the_fans(spectral: str, shape: list[int], norm: float) -> None:
    for layout in ("keras", "torch"):
        sizes = shape if layout == "keras" else shape[::-1]
        found = made(shape=sizes, scheme="orthogonal", spectral=spectral, layout=layout, gain=3, dtype="F64")
        assert np.linalg.norm(found, 2) == pytest.approx(3 * norm, rel=1e-13)


def test_a_numbered_matrix_cannot_be_quantized() -> None:
    twin = {"shape": [32, 64], "scheme": "orthogonal", "number": 1}
    recipe = {"shape": [32, 64], "dtype": "F8_E4M3", "scheme": "quantized", "format": "fp8_channel", "tensor": twin}
    with pytest.raises(RecipeError, match="cannot be quantized"):
        fanin.as_recipe(recipe)
