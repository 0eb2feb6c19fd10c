"""The page in Chromium: every control, and its figures beside those of this library."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import math
import shutil
import subprocess
from pathlib import Path
from statistics import NormalDist
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import fanin
from docs import vocabulary
from fanin import FileLayout, as_recipe, backends
from fanin.file.plan import read_into
from tests.js.test_javascript import OFFLINE

CLIENT = Path(__file__).parents[2] / "clients" / "js"
BUILT = CLIENT.parent / "python" / "fanin" / "page"
NODE = shutil.which("node")
CHROMIUM = shutil.which("chromium")
_LARGEST_SEED = 2**64 - 1
_MOST_GZIPPED = 400_000
_PATIENCE = 900
"""Seconds until a browser that hangs is given up."""
_TENSORS: dict[str, dict[str, Any]] = {
    "normal": {"shape": [64, 48], "scheme": "he_normal", "layout": "torch"},
    "truncated BF16": {"shape": [96, 64], "scheme": "truncated_normal", "std": 0.02, "dtype": "BF16"},
    "uniform F8": {"shape": [128, 64], "scheme": "glorot_uniform", "dtype": "F8_E4M3"},
    "float64": {"shape": [50, 40], "scheme": "lecun_normal", "dtype": "F64"},
    "constant": {"shape": [7], "scheme": "constant", "value": 0.1},
    "orthogonal": {"shape": [60, 20], "scheme": "orthogonal", "gain": 1.5},
    "blocks": {
        "shape": [40, 6],
        "scheme": "blocks",
        "parts": [{"size": 10, "scheme": "zeros"}, {"size": 30, "scheme": "uniform", "low": -1, "high": 2}],
    },
    "mapped": {"shape": [500], "scheme": "dt_bias"},
    "sparse": {"shape": [100, 30], "scheme": "sparse", "sparsity": 0.7, "std": 0.1, "dtype": "F16"},
    "complex": {"shape": [30, 30], "scheme": "glorot_normal", "dtype": "C64"},
    "integers": {"shape": [77], "scheme": "arange", "start": -3, "step": 2, "dtype": "I64"},
    "waves": {"shape": [32, 16], "scheme": "sinusoidal"},
    "empty": {"shape": [0, 5], "scheme": "he_normal"},
    "scalar": {"shape": [], "scheme": "ones"},
}

_FANS = {
    "normal": "fan-in 48 (inputs of each output), fan-out 64 (outputs of each input) in the layout torch; n is 48, by",
    "truncated BF16": 'none: the recipe does not say which axes are inputs. Add "layout"',
    "uniform F8": "fan-in 128 (inputs of each output), fan-out 64 (outputs of each input) in the layout keras, which a",
    "float64": "fan-in 50 ",
    "constant": "none: a tensor of one axis has no inputs and outputs",
    "orthogonal": "none: the recipe does not say which axes",
    "blocks": "none: the recipe does not say which axes",
    "mapped": "none: a tensor of one axis",
    "sparse": "none: the recipe does not say which axes",
    "complex": "fan-in 30 ",
    "integers": "none: a tensor of one axis",
    "waves": "none: the recipe does not say which axes",
    "empty": "fan-in 0 (inputs of each output), fan-out 5 ",
    "scalar": "none: a tensor of no axes",
    "seeded": "fan-in 200 ",
    "served": "fan-in 200 ",
    "Firefox": "fan-in 30 ",
}
"""A part of what the page says of the fans."""


def sha256_of(data: Any) -> str:
    return hashlib.sha256(data).hexdigest()


def file_of(recipe: Any) -> bytes:
    layout = FileLayout.of(as_recipe(recipe))
    found = bytearray(layout.size)
    read_into(layout, 0, memoryview(found), backends.get())
    return bytes(found)


def _drawn_bounds(members: dict[str, Any], tensor: dict[str, Any]) -> dict[str, float | None]:
    """Return the bounds before rounding: those at F64, if the tensor is stored in another real type."""
    bounds = {key: tensor[key] for key in ("low", "high")}
    if tensor["dtype"] == "C64":  # other than at F64, bounds are those of a disk
        return {key: None for key, bound in bounds.items() if bound is None}
    if tensor["dtype"] in ("F64", "I64"):
        return bounds
    finer = fanin.describe({"tensors": {"a": members | {"dtype": "F64"}}})["tensors"]["a"]
    # A constant is rounded when the recipe is read.
    keys = ("mean", "std", "low", "high") if members["scheme"] == "constant" else ("low", "high")
    return {key: finer[key] for key in keys}


def _stored(members: dict[str, Any], tensor: dict[str, Any]) -> dict[str, Any]:
    """Return mean and deviation after the rounding to a short type, from the probability of each of its numbers."""
    dtype = {"BF16": ml_dtypes.bfloat16, "F8_E4M3": ml_dtypes.float8_e4m3fn, "F16": np.float16}.get(tensor["dtype"])
    if dtype is None:
        return {}
    if members["scheme"] == "sparse":
        return {"mean": "unknown", "std": "unknown"}
    codes = np.arange(1 << (8 * np.dtype(dtype).itemsize), dtype=f"u{np.dtype(dtype).itemsize}")
    with np.errstate(invalid="ignore"):  # signalling NaN
        numbers = codes.view(dtype).astype(np.float64)
    numbers = np.unique(numbers[np.isfinite(numbers)])
    middles = (numbers[1:] + numbers[:-1]) / 2
    if members["scheme"] == "glorot_uniform":
        edges = (middles / math.sqrt(6 / sum(members["shape"])) + 1) / 2
    else:
        normal = NormalDist(0, members.get("std", tensor["std"]))
        cut = 0 if tensor["low"] is None else NormalDist().cdf(-2)
        edges = np.array([(normal.cdf(middle) - cut) / (1 - 2 * cut) for middle in middles])
    shares = np.diff(np.concatenate([[0], edges.clip(0, 1), [1]]))
    values = numbers.clip(tensor["low"], tensor["high"])
    return {"mean": 0.0, "std": math.sqrt((shares * values**2).sum())}


def _case(title: str, members: dict[str, Any], seed: int = 7) -> dict[str, Any]:
    """Return a recipe of one tensor, and what the page must show of it."""
    name = f"the {title}.weight"
    recipe = json.dumps({"seed": seed, "tensors": {name: members}})
    described, array = fanin.describe(recipe), fanin.materialize(recipe)[name]
    tensor = described["tensors"][name]
    found = {
        "title": title,
        "name": name,
        "recipe": recipe,
        "digest": described["digest"],
        "draw": tensor["draw"],
        "drawn": {key: tensor[key] for key in ("mean", "std")} | _drawn_bounds(members, tensor),
        "stored": {key: tensor[key] for key in ("mean", "std", "low", "high")} | _stored(members, tensor),
        "fans": _FANS[title],
        "sha256": sha256_of(array.tobytes()),
        "file": sha256_of(file_of(recipe)),
    }
    if array.size and array.dtype.kind != "c":
        numbers = np.asarray(array, np.float64)
        found["measured"] = {
            "mean": numbers.mean(),
            "std": numbers.std(),
            "low": numbers.min(),
            "high": numbers.max(),
        }
    if title == "orthogonal":
        found["spectrum"] = "All 20 singular values of this part are 1.5"
    if title in ("truncated BF16", "uniform F8"):
        plain = np.asarray(
            fanin.materialize({**json.loads(recipe), "tensors": {name: members | {"dtype": "F32"}}})[name]
        )
        rounded = plain.astype(array.dtype).astype(np.float64)
        outside = (rounded < tensor["low"]) | (rounded > tensor["high"])
        found["rounding"] = {
            "distinct": len(np.unique(array.astype(np.float64))),
            "clamped": int(outside.sum()),
        }
    return found


def _input() -> dict[str, Any]:
    cases = [_case(title, members, _LARGEST_SEED if title == "normal" else 7) for title, members in _TENSORS.items()]
    members = {"shape": [300, 200], "scheme": "he_normal", "layout": "torch"}
    seeded, after = _case("seeded", members, 42), _case("seeded", members, 43)
    array = fanin.materialize(seeded["recipe"])[seeded["name"]]
    served = _case("served", members, 8)
    layout, data = FileLayout.of(as_recipe(served["recipe"])), file_of(served["recipe"])
    start = json.dumps(
        {"service": True, "recipe": json.loads(cases[0]["recipe"]), "title": "A title <b>of the server</b>"}
    )
    return {
        "chromium": CHROMIUM,
        "start": start,
        "cases": cases,
        "seeded": {**seeded, "next": after, "elements": [float(array[0, 1]), float(array[44, 0])]},
        "served": {
            **served,
            "file": base64.b64encode(data).decode(),
            "digests": {
                "block_size": 100_000,
                "file": sha256_of(data),
                "tensors": {
                    served["name"]: [
                        sha256_of(data[at : min(at + 100_000, layout.size)])
                        for at in range(len(layout.header), layout.size, 100_000)
                    ]
                },
            },
        },
    }


def with_packages(*names: str) -> None:
    missing = [name for name in names if not (CLIENT / "node_modules" / name).exists()]
    if NODE is None or missing:
        pytest.skip(f"node or its packages {missing} are not installed: run make js")


def test_every_control_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_packages("playwright-core", "axe-core")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    assert NODE
    run = subprocess.run(
        [NODE, "tests/page-driver.js"],
        cwd=CLIENT,
        input=json.dumps(_input()),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    empty = {name: report[name] for name in ("failures", "requests", "violations", "errors", "axe")}
    assert empty == {"failures": [], "requests": [], "violations": [], "errors": [], "axe": []}
    assert report["checks"] > 100
    monkeypatch.chdir(tmp_path)
    exec(compile(report["snippets"]["python"], "program", "exec"), {})
    assert fanin.verify("weights.safetensors")


def test_firefox_shows_the_same(tmp_path: Path) -> None:
    with_packages("playwright-core")
    if shutil.which("firefox-esr") is None:
        pytest.skip("firefox-esr is not installed")
    assert NODE
    (tmp_path / "user.js").write_text(OFFLINE)
    case = _case("Firefox", {"shape": [30, 20], "scheme": "glorot_normal", "dtype": "BF16"})
    run = subprocess.run(
        [NODE, "tests/page-firefox.js"],
        cwd=CLIENT,
        input=json.dumps({"recipe": case["recipe"], "profile": str(tmp_path)}),
        capture_output=True,
        text=True,
        check=False,
        timeout=_PATIENCE,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found.pop("std") == pytest.approx(case["drawn"]["std"], rel=1e-8)
    assert found == {"tensor": case["sha256"], "file": case["file"], "errors": []}


def test_the_built_page_is_that_of_the_source(tmp_path: Path) -> None:
    with_packages("esbuild")
    assert NODE
    subprocess.run([NODE, "page/build.js", tmp_path], cwd=CLIENT, check=True)
    for file in tmp_path.iterdir():
        assert file.read_bytes() == (BUILT / file.name).read_bytes(), f"{file.name} is stale: run make js"


def test_the_types_are_right() -> None:
    with_packages("typescript")
    run = subprocess.run(
        [CLIENT / "node_modules" / ".bin" / "tsc", "-p", "page"],
        cwd=CLIENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout


def test_the_page_is_small() -> None:
    sizes = [len(gzip.compress(file.read_bytes())) for file in BUILT.iterdir() if file.suffix != ".py"]
    assert sum(sizes) < _MOST_GZIPPED


def test_the_page_knows_the_words_of_the_library() -> None:
    assert vocabulary.PAGE.read_text("utf-8") == vocabulary.page(), "run docs/vocabulary.py"
