"""The public vectors hold for every backend, and are what the reference backend makes."""

from __future__ import annotations

import hashlib
import json
import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from generate import generate
from generator.distributions import plain, table

from fanin import RecipeError, backends
from fanin.backends import philox, reference
from fanin.dtypes import DTYPES
from fanin.file.layout import FileLayout
from fanin.file.plan import read_into
from fanin.recipe import as_recipe
from fanin.schemes import ALIASES, SCHEMES
from fanin.streams import Stream

VECTORS = Path(__file__).parents[2] / "clients" / "vectors"
LATER = ["integers", "f8", "f4", "newer", "quantized"]
"""Files for clients that have newer types and schemes."""
BACKENDS = [backends.load(name) for name in backends.available()]


def vectors(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text("utf-8"))


def bits(element: bytes) -> str:
    return bytes(reversed(element)).hex()


def test_philox_known_answers() -> None:
    lines = [line for line in (VECTORS / "philox.txt").read_text().splitlines() if not line.startswith("#")]
    assert len(lines) == 3
    for line in lines:
        numbers = [int(number, 16) for number in line.split()]
        (c0, c1, c2, c3), (k0, k1), expected = numbers[:4], numbers[4:6], numbers[6:]
        block = np.array([c1 << 32 | c0], np.uint64)
        assert philox.philox4x32((k0, k1, c2, c3), block)[0].tolist() == expected


def test_keys() -> None:
    for vector in vectors("keys"):
        stream = Stream(vector["version"], int(vector["seed"]), vector["name"])
        assert [f"{word:08x}" for word in stream.key(vector["purpose"])] == vector["key"]


def test_words() -> None:
    for vector in vectors("words"):
        key = Stream("fanin/1", int(vector["seed"]), vector["name"]).key(vector["purpose"])
        row = philox.philox4x32(key, np.array([int(vector["block"])], np.uint64))[0].tolist()
        assert [f"{word:08x}" for word in row] == vector["words"]


@pytest.mark.parametrize("name", ["recipes", "repeated", "dialects", "dtypes", *LATER])
def test_recipes(name: str) -> None:
    for vector in vectors(name):
        if "canonical" not in vector:
            continue  # test_errors has it
        recipe = as_recipe(vector["recipe"])
        assert recipe.canonical.decode() == vector["canonical"]
        assert recipe.digest == vector["digest"] == hashlib.sha256(vector["canonical"].encode()).hexdigest()
        assert as_recipe(vector["canonical"]) == recipe


def test_every_alias_has_a_vector() -> None:
    texts = [vector["recipe"] for vector in vectors("recipes")]
    assert all(any(f'"scheme": "{alias}"' in text for text in texts) for alias in ALIASES)


@pytest.mark.parametrize("name", ["errors", "repeated", "dialects", "dtypes", *LATER])
def test_errors(name: str) -> None:
    for vector in vectors(name):
        if "canonical" in vector:
            continue
        if vector["refused"]:
            with pytest.raises(RecipeError) as caught:
                _ = FileLayout.of(vector["recipe"]).header  # the layout encodes it, and checks its size, on first use
            assert set(vector["fields"]) <= {fault.pointer for fault in caught.value.faults}
        else:
            assert as_recipe(vector["recipe"]).digest == vector["digest"]


def test_fans() -> None:
    for vector in vectors("fans"):
        fans = as_recipe({**vector["kernel"], "scheme": "lecun_normal"}).tensors["weight"].fans
        assert (fans.fan_in, fans.fan_out) == (vector["fan_in"], vector["fan_out"])


def test_storage() -> None:
    for name, pairs in vectors("storage").items():
        values = np.array([int(source, 16) for source, _ in pairs], np.uint32).view(np.float32)
        raw, size = reference.store(values, DTYPES[name]).tobytes(), DTYPES[name].itemsize
        assert [bits(raw[n * size :][:size]) for n in range(len(pairs))] == [stored for _, stored in pairs]


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_elements_far_out(backend: backends.Backend) -> None:
    for vector in vectors("far"):
        dtype = DTYPES[vector["tensor"]["dtype"]]
        draw = as_recipe({"shape": [1], **vector["tensor"]}).tensors["weight"].draw
        out = bytearray(b"\xaa" * (8 * dtype.itemsize))
        backend.fill(
            draw, Stream("fanin/1", int(vector["seed"]), "weight"), dtype, int(vector["first"]), memoryview(out)
        )
        assert [bits(out[n * dtype.itemsize :][: dtype.itemsize]) for n in range(8)] == vector["bits"]


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_schemes_far_out(backend: backends.Backend) -> None:
    for vector in vectors("far_schemes"):
        layout = FileLayout.of(vector["recipe"])
        size = layout.entries[0].dtype.itemsize
        data = bytearray(b"\xaa" * (8 * size))
        read_into(layout, len(layout.header) + int(vector["first"]) * size, memoryview(data), backend)
        assert data.hex() == vector["data"], vector["recipe"]


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_files(backend: backends.Backend) -> None:
    for vector in vectors("files"):
        layout = FileLayout.of(vector["recipe"])
        file = bytearray(b"\xaa" * layout.size)
        read_into(layout, 0, memoryview(file), backend)
        assert file.hex() == vector["file"]
        assert hashlib.sha256(file).hexdigest() == vector["sha256"]


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
@pytest.mark.parametrize("name", LATER)
def test_later_types(name: str, backend: backends.Backend) -> None:
    for vector in vectors(name):
        if vector.get("refused"):
            continue  # test_errors has it
        layout = FileLayout.of(vector["recipe"])
        first = int(vector["first"]) if "first" in vector else None
        size = layout.entries[0].dtype.itemsize
        start, length = (0, layout.size) if first is None else (len(layout.header) + first * size, 8 * size)
        content = bytearray(b"\xaa" * length)
        read_into(layout, start, memoryview(content), backend)
        assert content.hex() == vector["file" if first is None else "data"], vector["recipe"]


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_long_streams(backend: backends.Backend) -> None:
    every = vectors("streams")
    # The reference backend takes a minute for all; the test below makes it write them in the soak.
    for vector in every if backend.name != "reference" else every[::12]:
        layout = FileLayout.of({**vector["tensor"], "seed": vector["seed"]})
        data = bytearray(b"\xaa" * (layout.size - len(layout.header)))
        read_into(layout, len(layout.header), memoryview(data), backend)
        assert hashlib.sha256(data).hexdigest() == vector["sha256"], vector["tensor"]


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_later_schemes(backend: backends.Backend) -> None:
    for vector in vectors("schemes"):
        layout = FileLayout.of(vector["recipe"])
        assert layout.recipe.canonical.decode() == vector["recipe"]
        assert layout.recipe.digest == vector["digest"]
        data = bytearray(b"\xaa" * (layout.size - len(layout.header)))
        read_into(layout, len(layout.header), memoryview(data), backend)
        assert data.hex() == vector["data"], vector["recipe"]


def test_every_scheme_has_a_vector() -> None:
    tensors = [vector["tensor"] for vector in vectors("draws")]
    tensors += [json.loads(vector["recipe"])["tensors"]["weight"] for vector in vectors("schemes")]
    texts = "".join(str(vectors(name)) for name in ("integers", "newer", "quantized"))
    with_vector = {scheme for scheme in SCHEMES if f'"scheme":"{scheme}"' in texts}
    with_vector |= {ALIASES.get(tensor["scheme"], tensor["scheme"]) for tensor in tensors}
    assert with_vector | {"zeros", "orthogonal"} == set(SCHEMES)


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_orthogonal(backend: backends.Backend) -> None:
    for vector in vectors("orthogonal"):
        layout = FileLayout.of(vector["recipe"])
        data = bytearray(b"\xaa" * (layout.size - len(layout.header)))
        read_into(layout, len(layout.header), memoryview(data), backend)
        size = layout.entries[0].dtype.itemsize
        if "bits" in vector:
            assert [bits(data[at : at + size]) for at in range(0, len(data), size)] == vector["bits"], vector["recipe"]
        else:
            assert hashlib.sha256(data).hexdigest() == vector["sha256"], vector["recipe"]


def test_draws_at_edge_words() -> None:
    for vector in vectors("draws"):
        draw = as_recipe(vector["tensor"]).tensors["weight"].draw
        assert plain(draw) == vector["draw"]
        dtype = DTYPES[vector["tensor"]["dtype"]]
        for *source, expected in vector.get("elements", []):
            numbers = [np.array([int(word, 16)], np.uint32) for word in source]
            high, low = numbers[0], numbers[1] if len(numbers) > 1 else None
            assert bits(reference.store(reference.values(draw, high, low), dtype).tobytes()) == expected


@pytest.mark.parametrize("width", [32, 64])
def test_the_public_tables_are_those_the_kernels_include(width: int) -> None:
    assert (VECTORS / f"normal_f{width}_table.txt").read_text() == table(f"normal_f{width}.inc")


def test_the_page_of_the_vectors_names_every_field() -> None:
    page = (VECTORS / "README.md").read_text()
    for path in VECTORS.glob("*.json"):
        (row,) = (line for line in page.splitlines() if line.startswith(f"| `{path.name}`"))
        found = vectors(path.stem)
        fields = {field for vector in found for field in vector} if isinstance(found, list) else set()
        assert all(f"`{field}`" in row for field in fields), path.name
    assert all((VECTORS / name).exists() for name in re.findall(r"`(\w+\.(?:json|txt|py))`", page))
    drawn = [vector["draw"] for vector in vectors("draws")]
    sides = [draw["negative"] for draw in drawn if "negative" in draw]
    assert all(f"`{field}`" in page for each in (*drawn, *sides) for field in each)


def test_the_worked_example_is_what_its_steps_give_and_what_the_library_makes() -> None:
    example = runpy.run_path(str(VECTORS / "example.py"))
    specification = example["SPECIFICATION"].read_text("utf-8")
    assert example["page"](specification) == specification, "run: python clients/vectors/example.py"
    for steps, recipe, element in zip(
        ("normal", "truncated"), ("NORMAL", "TRUNCATED"), example["ELEMENTS"], strict=True
    ):
        layout = FileLayout.of(example[recipe])
        for backend in BACKENDS:
            data = bytearray(layout.size - len(layout.header))
            read_into(layout, len(layout.header), memoryview(data), backend)
            size = layout.entries[0].dtype.itemsize
            made = int.from_bytes(data[element * size :][:size], "little")
            assert made == example[steps]()[0], (backend.name, recipe)


@pytest.mark.soak("storage")
def test_the_reference_backend_writes_exactly_these_files(tmp_path: Path) -> None:
    generate(tmp_path)
    written = sorted(path.name for path in tmp_path.iterdir())
    assert written == sorted(path.name for path in [*VECTORS.glob("*.json"), *VECTORS.glob("normal_*.txt")])
    for name in written:
        assert (tmp_path / name).read_bytes() == (VECTORS / name).read_bytes(), name
