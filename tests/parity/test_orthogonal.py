"""Orthogonal matrices: every backend gives the same bits, in full or in parts, and they are orthogonal."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import fanin
from fanin import RecipeError, backends
from fanin.backends import Backend
from fanin.backends.native import NativeBackend
from fanin.backends.philox import words
from fanin.backends.reference import standard_normal
from fanin.draws import WHOLE_SIDE, Orthogonal
from fanin.dtypes import DTYPES, DType
from fanin.file.layout import FileLayout
from fanin.file.plan import read_into
from fanin.streams import Stream

POISON = b"\xa5"
REFERENCE = backends.load("reference")
LEVELS = NativeBackend().levels
FAST = [NativeBackend(level) for level in LEVELS]
STREAM = Stream("fanin/1", 7, "q")
SHAPES = [
    (1, 1),
    (1, 9),
    (9, 1),
    (2, 2),
    (31, 31),
    (32, 32),
    (33, 33),
    (34, 65),
    (67, 64),
    (96, 97),
    (300, 40),
    (40, 301),
]
"""Around panels, groups of columns, padded rows and chunks of them; tall and wide."""
LIMIT = 4e-7


def whole(backend: Backend, shape: tuple[int, int], dtype: DType, gain: float = 1.0) -> bytes:
    """At an odd offset; what lies around must stay as it was."""
    size = shape[0] * shape[1] * dtype.itemsize
    buffer = bytearray(POISON * (size + 16))
    backend.fill(Orthogonal(gain, *shape), STREAM, dtype, 0, memoryview(buffer)[3 : 3 + size])
    assert (buffer[:3], buffer[3 + size :]) == (POISON * 3, POISON * 13)
    return bytes(buffer[3 : 3 + size])


def error(q: NDArray[Any]) -> float:
    """The largest element of Q^T Q - I, or Q Q^T - I."""
    q = q.astype(np.float64)
    gram = q.T @ q if q.shape[0] >= q.shape[1] else q @ q.T
    return float(np.abs(gram - np.eye(len(gram))).max())


@pytest.mark.parametrize("backend", FAST, ids=LEVELS)
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=list(DTYPES))
def test_makes_what_the_reference_does(backend: Backend, dtype: DType) -> None:
    for shape in SHAPES:
        assert whole(backend, shape, dtype, 1.5) == whole(REFERENCE, shape, dtype, 1.5), shape


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("name", ["F32", "F64"])
def test_any_number_of_threads_makes_the_same(name: str, threads: int) -> None:
    for shape in ((290, 260), (150, 333)):
        expected = whole(REFERENCE, shape, DTYPES[name])
        assert whole(NativeBackend(threads=threads), shape, DTYPES[name]) == expected


def test_several_at_a_time() -> None:
    expected = whole(REFERENCE, (200, 180), DTYPES["F32"])
    with ThreadPoolExecutor(6) as pool:
        made = pool.map(lambda _: whole(FAST[-1], (200, 180), DTYPES["F32"]), range(12))
        assert set(made) == {expected}


def test_among_other_tensors() -> None:
    """Many in one call, and in files, where small ones are generated together."""
    tensors = {
        "a": {"shape": [3], "scheme": "ones"},
        "b": {"shape": [40, 5], "scheme": "orthogonal"},
        "c": {"shape": [5], "scheme": "normal", "std": 1},
        "d": {"shape": [2, 2], "scheme": "orthogonal", "dtype": "F16"},
        "e": {"shape": [0, 2], "scheme": "orthogonal"},
    }
    for names in ("abcde", "bd", "b", "e"):
        recipe = {"tensors": {name: tensors[name] for name in names}}
        layout = FileLayout.of(recipe)
        files = [bytearray(POISON * layout.size) for _ in range(2)]
        read_into(layout, 0, memoryview(files[0]), REFERENCE)
        read_into(layout, 0, memoryview(files[1]), FAST[-1])
        assert files[0] == files[1]
        for start in range(0, layout.size, 7):
            part = bytearray(POISON * (min(start + 333, layout.size) - start))
            read_into(layout, start, memoryview(part), FAST[-1])
            assert part == files[0][start : start + 333]
        made, expected = (fanin.materialize(recipe, backend=name) for name in ("native", "reference"))
        assert all(made[name].tobytes() == expected[name].tobytes() for name in names)


def test_levels_agree_on_a_large_one() -> None:
    made = {whole(backend, (1100, 1001), DTYPES["F32"]) for backend in FAST}
    assert len(made) == 1
    assert error(np.frombuffer(made.pop(), np.float32).reshape(1100, 1001)) < LIMIT * 1001**0.5 / 4


@pytest.mark.parametrize("backend", [REFERENCE, FAST[-1]], ids=lambda backend: backend.name)
@pytest.mark.parametrize("dtype", [DTYPES["F32"], DTYPES["F64"], DTYPES["F16"]], ids=lambda dtype: dtype.name)
def test_any_part_is_that_of_the_whole(backend: Backend, dtype: DType) -> None:
    for shape in ((50, 37), (37, 50)):
        layout = FileLayout.of({"shape": shape, "scheme": "orthogonal", "dtype": dtype.name, "seed": 5})
        expected = bytearray(layout.size)
        read_into(layout, 0, memoryview(expected), backend)
        generator = random.Random(1)
        for _ in range(50):
            start, stop = sorted(generator.sample(range(layout.size + 1), 2))
            part = bytearray(POISON * (stop - start))
            read_into(layout, start, memoryview(part), backend)
            assert part == expected[start:stop]
        assert by_threads(layout, backend) == expected


def by_threads(layout: FileLayout, backend: Backend) -> bytearray:
    """The file, by threads that each want their part of one matrix."""
    found, step = bytearray(POISON * layout.size), 301

    def read(start: int) -> None:
        read_into(layout, start, memoryview(found)[start : start + step], backend)

    backend.matrices.clear()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(read, range(0, layout.size, step)))
    return found


@pytest.mark.parametrize("size", [*range(1, 70), 127, 128, 200, 257])
def test_is_orthogonal(size: int) -> None:
    for shape in ((size, size), (size, 2 * size + 1), (2 * size + 3, size), (size + 1, size)):
        for seed in range(4):
            recipe = {"shape": shape, "scheme": "orthogonal", "seed": seed}
            assert error(fanin.materialize(recipe)["weight"]) <= LIMIT * min(shape) ** 0.5
            assert error(fanin.materialize({**recipe, "dtype": "F64"})["weight"]) <= 1e-15 * min(shape) ** 0.5 + 1e-15


def test_float64_refines_float32() -> None:
    single, double = (
        np.frombuffer(whole(FAST[-1], (90, 70), DTYPES[name]), DTYPES[name].numpy) for name in ("F32", "F64")
    )
    assert np.abs(single - double).max() < 1e-6


@pytest.mark.parametrize(("layout", "rows"), [("torch", 4), ("keras", 60)])
def test_the_matrix_of_a_kernel(layout: str, rows: int) -> None:
    kernel = fanin.materialize({"shape": [4, 5, 3, 6], "scheme": "orthogonal", "layout": layout, "gain": 2})["weight"]
    assert error(kernel.reshape(rows, -1) / 2) < LIMIT * 2


@pytest.mark.parametrize("name", ["F32", "F64"])
@pytest.mark.parametrize(("m", "n"), [(1, 1), (5, 3), (36, 34), (67, 65)])
def test_the_text_of_the_specification(name: str, m: int, n: int) -> None:
    """SPEC.md section 6.12 line by line, a number at a time."""
    real, double = (np.float32 if name == "F32" else np.float64), np.float64

    def z(word: int) -> Any:
        low = words(STREAM.key("low"), word, 1) if name == "F64" else None
        return standard_normal(words(STREAM.key("main"), word, 1), low, WHOLE_SIDE[name], WHOLE_SIDE[name])[0]

    def total(kind: Any, terms: Any) -> Any:
        result = kind(0)
        for a, b in terms:
            result = result + kind(a) * kind(b)
        return result

    q = np.zeros((m, n), real)
    value = np.zeros((m, n), real)
    for j in reversed(range(0, n, 32)):
        p, h = min(32, n - j), m - j
        g = [[z(j * m + 32 * (j + i) + t) for t in range(p)] for i in range(h)]
        v = [[g[i][t] if i > t else real(0) for t in range(p)] for i in range(h)]
        for t in range(p):
            r = np.sqrt(total(double, ((g[i][t], g[i][t]) for i in range(t, h))))
            v[t][t] = real(double(g[t][t]) + r) if g[t][t] > 0 else real(double(g[t][t]) - r)
        s = [[total(double, ((v[i][a], v[i][b]) for i in range(h))) for b in range(p)] for a in range(p)]
        t_ = np.zeros((p, p))
        for a in reversed(range(p)):
            d = s[a][a] / double(2)
            for b in range(a + 1, p):
                t_[a, b] = -total(double, ((s[a][c], t_[c, b]) for c in range(a + 1, b + 1))) / d
            t_[a, a] = 1 / d
        for k in range(j + 32, n):
            w = [total(real, ((v[i][a], q[j + i, k]) for i in range(32, h))) for a in range(p)]
            x = [total(real, ((t_[a, b], w[b]) for b in range(a, p))) for a in range(p)]
            for i in range(h):
                q[j + i, k] = q[j + i, k] - total(real, ((v[i][a], x[a]) for a in range(p)))
        for k in range(p):
            x = [total(double, ((t_[a, b], v[k][b]) for b in range(a, p))) for a in range(p)]
            for i in range(h):
                q[j + i, j + k] = real(double(i == k) - total(double, ((v[i][a], x[a]) for a in range(p))))
        for k in range(p):
            value[:, j + k] = real(1.5) if v[k][k] < 0 else -real(1.5)
    value = value * q
    assert value.tobytes() == whole(REFERENCE, (m, n), DTYPES[name], 1.5)
    assert m == n or value.T.tobytes() == whole(FAST[0], (n, m), DTYPES[name], 1.5)


def test_a_matrix_is_no_part_of_a_tensor() -> None:
    part = {"size": 3, "scheme": "orthogonal"}
    with pytest.raises(RecipeError, match="not one of several parts"):
        fanin.as_recipe({"shape": [6, 4], "scheme": "blocks", "parts": [part, part]})
    alone = {"shape": [3, 4], "scheme": "blocks", "parts": [part, {"size": 0, "scheme": "zeros"}]}
    whole = {"shape": [3, 4], "scheme": "orthogonal"}
    assert (fanin.materialize(alone)["weight"] == fanin.materialize(whole)["weight"]).all()
