"""Statistics of tensors, readers of recipes and files, and reports."""

from __future__ import annotations

import io
import json
import re
import struct
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

import fanin
from fanin.cli.main import main
from fanin.dtypes import DTYPE_NAMES, DTYPES, FLOATING, STORAGE
from fanin.inspection import sources, thresholds
from fanin.inspection.measures import kolmogorov
from fanin.inspection.measures.distributions import cdf_of
from fanin.inspection.measures.spectra import spectrum
from fanin.inspection.measures.statistics import statistics
from fanin.inspection.report.page import html
from fanin.inspection.report.text import text

SCHEMES: list[dict[str, Any]] = [
    {"scheme": "normal", "std": 0.02},
    {"scheme": "normal", "mean": 0.5, "std": 0.02},
    {"scheme": "truncated_normal", "std": 0.02},
    {"scheme": "truncated_normal", "mean": 0.5, "std": 0.25, "low": 3.0, "high": 4.0},
    {"scheme": "truncated_normal", "std": 0.25, "low": 1.0, "high": None},
    {"scheme": "uniform", "low": -0.05, "high": 0.05},
    {"scheme": "he_normal"},
    {"scheme": "glorot_uniform"},
    {"scheme": "orthogonal"},
    {"scheme": "sparse", "sparsity": 0.9, "std": 0.01},
    {"scheme": "log_of_uniform", "low": 1.0, "high": 16.0},
    {"scheme": "dt_bias"},
    {"scheme": "rg_lru"},
    {"scheme": "logit_of_uniform", "low": 0.01, "high": 0.99},
    {"scheme": "sinusoidal"},
    {"scheme": "eye"},
    {"scheme": "ones"},
    {"scheme": "blocks", "parts": [{"size": 100, "scheme": "zeros"}, {"size": 156, "scheme": "normal", "std": 1.0}]},
]
LOGS = ("log_of_uniform", "dt_bias", "rg_lru", "logit_of_uniform")


def recipe(dtype: str) -> dict[str, Any]:
    """Return a recipe with a tensor of each scheme that the type can store."""
    tensors = {
        f"t{place}.{each['scheme']}": {"shape": [256, 300], **each}
        for place, each in enumerate(SCHEMES)
        if not (dtype.startswith("F8") and each["scheme"] == "truncated_normal" and "low" in each)
    }
    return {"seed": 3, "layout": "torch", "dtype": dtype, "tensors": tensors}


@pytest.mark.parametrize("dtype", ["F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"])
def test_recipes_follow_themselves(dtype: str) -> None:
    found = fanin.inspect(recipe(dtype))
    loud = [each for each in found.findings if each.level != "note" and each.kind != "underflow"]
    assert not loud
    assert {each.where for each in found.findings if each.kind == "underflow"} <= (
        set() if dtype in ("F64", "F32", "BF16") else {each.name for each in found.tensors}
    )
    compared = [each for each in found.tensors if each.ks_p is not None]
    assert len(compared) >= 10
    assert min(each.ks_p for each in compared if each.ks_p is not None) > 1e-4


@pytest.mark.parametrize("dtype", ["F64", "F32", "BF16", "F8_E4M3", "F8_E5M2", "F8_E5M2FNUZ", "F4"])
@pytest.mark.parametrize(("low", "high"), [(-2, 2), (1, None), (None, -1), (-1.5, 9), (-0.5, 3)])
def test_truncated_normals_follow_themselves_when_clamped(dtype: str, low: float | None, high: float | None) -> None:
    """Bounds are rounded inwards to the type: at F4, 0.8 becomes 0.5. The distribution is that of 0.8, clamped."""
    tensor = {"shape": [300, 300], "scheme": "truncated_normal", "std": 0.4, "low": low, "high": high, "dtype": dtype}
    found = fanin.inspect({"seed": 3, "tensors": {"w": tensor}})
    assert not [each for each in found.findings if each.kind == "recipe"]
    assert found.tensors[0].ks_p is not None


@settings(max_examples=20)
@given(
    st.sampled_from(["F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"]),
    st.integers(1, 400_000),
    st.sampled_from(
        [{"scheme": "normal", "std": 1.5}, {"scheme": "uniform", "low": -1, "high": 3}, {"scheme": "ones"}]
    ),
    st.integers(0, 2**64 - 1),
)
def test_statistics_by_blocks_are_those_of_the_tensor(dtype: str, count: int, scheme: Any, seed: int) -> None:
    given = {"seed": seed, "dtype": dtype, "tensors": {"w": {"shape": [count], **scheme}}}
    (tensor,) = fanin.inspect(given).tensors
    whole = fanin.materialize(given)["w"].astype(np.float64)
    assert tensor.mean == pytest.approx(whole.mean(), rel=1e-11, abs=1e-13)
    assert tensor.std == pytest.approx(whole.std(), rel=1e-11)
    assert (tensor.low, tensor.high, tensor.zeros) == (whole.min(), whole.max(), (whole == 0).sum())
    if whole.std():
        assert tensor.kurtosis == pytest.approx(stats.kurtosis(whole, fisher=False), rel=1e-9)
    if tensor.distinct_of == count:
        assert tensor.distinct == len(np.unique(whole))
    assert tensor.distinct_of == (count if DTYPES[dtype].itemsize <= 2 else min(count, thresholds.SAMPLE))


@given(st.lists(st.integers(1, 50_000), min_size=1, max_size=6), st.integers(0, 2**32))
@settings(max_examples=20)
def test_blocks_of_any_length_give_the_same(lengths: list[int], seed: int) -> None:
    values = np.random.default_rng(seed).standard_normal(sum(lengths)).astype(np.float32) + np.float32(100)
    ends = np.cumsum(lengths)
    found = statistics(np.split(values, ends[:-1]), len(values))
    wide = values.astype(np.float64)
    assert found.mean == pytest.approx(wide.mean(), rel=1e-13)
    assert found.std == pytest.approx(wide.std(), rel=1e-9)
    assert found.digest == statistics([values], len(values)).digest
    if len(values) <= thresholds.SAMPLE:
        np.testing.assert_array_equal(found.sample, wide)
    assert len(found.sample) == min(len(values), thresholds.SAMPLE)


def test_elements_that_are_not_finite_are_counted_apart() -> None:
    values = np.array([1, np.nan, np.inf, -np.inf, 3], np.float32)
    for array in (values, values.astype(np.float16)):
        found = statistics([array], 5)
        assert (found.nonfinite, found.mean, found.low, found.high) == (3, 2, 1, 3)
    found = statistics([np.array([1e300, -1e300, 2.0])], 3)
    assert (found.low, found.high) == (-1e300, 1e300)
    assert found.std is None or np.isinf(found.std) or found.std == pytest.approx(8.16e299, rel=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float8_e5m2"])
def test_a_large_tensor_whose_sample_has_no_finite_element(dtype: str) -> None:
    """Types of 16 bits and fewer know their finite elements all the same."""
    values = np.full(1 << 20, np.nan, np.float32)
    sampled = statistics([np.arange(len(values), dtype=np.float64)], len(values)).sample.astype(int)
    places = np.setdiff1d(np.arange(4000), sampled)
    values[places] = np.random.default_rng(0).standard_normal(len(places))
    stored = values.astype(STORAGE[DTYPE_NAMES[dtype]].numpy)
    found = fanin.inspect({"layer.weight": stored.reshape(1024, -1)})
    assert [each.kind for each in found.findings] == ["nonfinite"]
    assert found.tensors[0].nonfinite == len(values) - len(places)


@pytest.mark.parametrize("dtype", ["<c8", ">c8", ">f4", ">f2", ">i4", ">f8"])
def test_arrays_of_either_byte_order(dtype: str) -> None:
    (found,) = fanin.inspect({"w": np.arange(8).reshape(2, 4).astype(dtype)}).tensors
    assert (found.low, found.high, found.zeros) == (0, 7, 9 if dtype.endswith("c8") else 1)
    assert found.mean == (1.75 if dtype.endswith("c8") else 3.5)


@pytest.mark.parametrize("count", [50, 1000, 60_000])
def test_the_distance_and_its_probability_are_those_of_scipy(count: int) -> None:
    sample = np.random.default_rng(1).standard_normal(count) * 1.01
    theirs = stats.kstest(sample, "norm")
    ours = kolmogorov.distance(sample, kolmogorov.normal_cdf(0, 1), FLOATING["F64"])
    assert ours == pytest.approx(theirs.statistic, rel=1e-12)
    assert kolmogorov.p_value(ours, count) == pytest.approx(theirs.pvalue, rel=0.05)
    for scaled in (0.3, 1.0, 2.0, 4.0):
        exact = special.kolmogorov(scaled)
        assert kolmogorov.p_value(scaled / 10_000, 10**8) == pytest.approx(exact, rel=1e-2)


@pytest.mark.parametrize("name", [name for name, dtype in FLOATING.items() if not dtype.is_complex])
def test_edges_are_where_the_type_rounds(name: str) -> None:
    dtype = FLOATING[name]
    values = np.unique(np.array([0, 0.3, 1, -1, 2, 1.5, 3.25], np.float64).astype(dtype.numpy).astype(np.float64))
    below, above = kolmogorov.edges(values, dtype)
    for edge, inward in ((below, 1), (above, -1)):
        inside = edge + inward * np.abs(values - edge) * 1e-3
        if name != "F64":
            np.testing.assert_array_equal(inside.astype(dtype.numpy).astype(np.float64), values)
    largest = np.array([dtype.largest])
    assert np.isinf(kolmogorov.edges(largest, dtype)[1])


def test_distribution_functions_are_those_of_scipy() -> None:
    layout = fanin.FileLayout.of(recipe("F64"))
    for name, exact in {
        "t2.truncated_normal": stats.truncnorm(-2, 2, scale=0.02),
        "t3.truncated_normal": stats.truncnorm(3, 4, loc=0.5, scale=0.25),
        "t5.uniform": stats.uniform(-0.05, 0.1),
        "t10.log_of_uniform": None,
    }.items():
        entry = layout.entry(name)
        x = np.sort(fanin.slice(layout, name, np.s_[0, :]))
        cdf = cdf_of(entry.draw, entry.dtype)
        assert cdf is not None
        expected = (np.exp(x) - 1) / 15 if exact is None else exact.cdf(x)
        np.testing.assert_allclose(cdf(x), expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(40, 30), (30, 40), (700, 600)])
def test_singular_values(shape: tuple[int, int]) -> None:
    matrix = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    exact = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)
    found = spectrum(matrix.reshape(-1), shape)
    assert found is not None
    assert found.norm == pytest.approx(exact[0], rel=0.01)
    if min(shape) <= thresholds.EXACT_SPECTRUM:
        assert found.condition == pytest.approx(exact[0] / exact[-1], rel=1e-5)
    singular = spectrum(np.ones(12, np.float32), (3, 4))
    assert singular is not None
    assert singular.condition is None


def changed(path: Path, change: Any) -> None:
    """Rewrite the elements of the first tensor of a file."""
    content = bytearray(path.read_bytes())
    start = 8 + struct.unpack("<Q", content[:8])[0]
    values = np.frombuffer(content, np.float32, offset=start)
    change(values)
    path.write_bytes(content)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "w.safetensors"
    fanin.save({"seed": 1, "layout": "torch", "shape": [256, 256], "scheme": "he_normal"}, path)
    return path


def test_a_file_is_compared_with_its_recipe(stored: Path) -> None:
    assert fanin.inspect(stored).is_quiet
    for change, evidence in (
        (lambda values: np.multiply(values, np.float32(1.1), values), "Kolmogorov"),
        (lambda values: np.copyto(values[:5], np.nan), "5 of 65536"),
        (lambda values: np.add(values, np.float32(0.01), values), "Kolmogorov"),
    ):
        path = stored.with_name("changed.safetensors")
        path.write_bytes(stored.read_bytes())
        changed(path, change)
        assert evidence in fanin.inspect(path).findings[0].measured


def test_bounds_of_the_recipe_hold(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    fanin.save({"shape": [256, 256], "scheme": "uniform", "low": -1, "high": 1}, path)
    changed(path, lambda values: np.copyto(values[:1], np.float32(1.5)))
    (finding,) = fanin.inspect(path).findings
    assert finding.level == "error"
    assert "1.5, outside of the bounds -1" in finding.measured


def write(path: Path, arrays: dict[str, Any], names: dict[str, str] | None = None) -> None:
    """Write a safetensors file by hand."""
    header, at = {}, 0
    for name, array in arrays.items():
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    encoded = json.dumps({**header, **({"__metadata__": names} if names else {})}).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + b"".join(each.tobytes() for each in arrays.values()))


def test_a_directory_is_read_shard_by_shard(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    arrays = {f"layers.{n}.weight": random.standard_normal((32, 32), np.float32) for n in range(4)}
    arrays["layers.3.weight"] = arrays["layers.1.weight"]
    write(tmp_path / "a.safetensors", {name: arrays[name] for name in list(arrays)[:2]})
    write(tmp_path / "b.safetensors", {name: arrays[name] for name in list(arrays)[2:]})
    (tmp_path / "config.json").write_text("{}")
    found = fanin.inspect(tmp_path)
    assert (found.kind, [each.name for each in found.tensors]) == ("directory", list(arrays))
    assert [(each.kind, each.where) for each in found.findings] == [("equal-tensors", "layers.3.weight")]
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": dict.fromkeys(list(arrays)[:2], "a.safetensors")}))
    assert len(fanin.inspect(tmp_path).tensors) == 2
    for damaged in (
        "",
        "[]",
        '{"weight_map": {"layers.0.weight": "a.safetensors", "layers.0.weight": "b.safetensors"}}',
        '{"weight_map": []}',
        "[" * 100_000,
    ):
        index.write_text(damaged)
        with pytest.raises(fanin.FileError, match="weight_map"):
            fanin.inspect(tmp_path)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({"a": "1.safetensors", "b": "1.safetensors"}, 'names tensor "b" in 1.safetensors, which does not have it'),
        ({"a": "1.safetensors", "c": "1.safetensors"}, 'names tensor "c" in 1.safetensors, which does not have it'),
        ({"c": "3.safetensors"}, 'does not name tensor "a" in 3.safetensors, which has it'),
        (
            {"a": "1.safetensors", "b": "2.safetensors", "c": "3.safetensors"},
            '1.safetensors and 3.safetensors both have tensor "a"',
        ),
        (None, '1.safetensors and 3.safetensors both have tensor "a"'),
        *(
            ({"a": name}, f'weight_map names tensor "a" in {name!r}, which is not a file beside the index')
            for name in (1, "", ".", "..", "absent.safetensors", "../outside.safetensors", "folder/1.safetensors")
        ),
    ],
)
def test_a_directory_whose_index_and_shards_disagree_is_refused(
    tmp_path: Path, index: dict[str, Any] | None, message: str
) -> None:
    array = np.ones((2, 2), np.float32)
    folder = tmp_path / "checkpoint"
    for outside in (tmp_path / "outside.safetensors", folder / "folder/1.safetensors"):
        outside.parent.mkdir(parents=True, exist_ok=True)
        write(outside, {"a": array})
    for shard, names in (("1", "a"), ("2", "b"), ("3", "ca")):
        write(folder / f"{shard}.safetensors", dict.fromkeys(names, array))
    if index is not None:
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    with pytest.raises(fanin.FileError, match=re.escape(message)):
        fanin.inspect(folder)


@pytest.mark.filterwarnings("error")
def test_numbers_beyond_the_square_root_of_float64_do_not_end_the_program() -> None:
    array = np.random.default_rng(0).standard_normal((8, 8))
    with np.errstate(all="raise"):
        for scale in (1e-200, 1e200):
            (report,) = fanin.inspect({"w": array * scale}).tensors
            assert report.high == array.max() * scale
        blocks = np.repeat([0.0, 1.0], 1 << 16)  # each is read on its own
        for scale, std in ((1e200, None), (1e80, 5e79)):  # the square of the first one, the fourth power of both
            (report,) = fanin.inspect({"w": blocks * scale}).tensors
            assert (report.mean, report.std) == (scale / 2, std)


@pytest.mark.parametrize("scheme", ["uniform", "normal"])
def test_a_suggested_distribution_is_of_the_family_of_the_elements(scheme: str) -> None:
    """Few elements do not tell the families apart, and get none."""
    half = 0.02 * 3**0.5
    parameters = {"low": -half, "high": half} if scheme == "uniform" else {"std": 0.02}
    for count, families in ((64, {""}), (256, {f"{scheme}, "})):
        tensors = {f"b{number}": {"shape": [count], "scheme": scheme, **parameters} for number in range(40)}
        found = fanin.inspect(dict(fanin.materialize({"seed": 1, "tensors": tensors}))).tensors
        assert {each.expected.partition("std")[0] for each in found if each.expected} == families


def test_faults_of_a_file_without_a_recipe(tmp_path: Path) -> None:
    random = np.random.default_rng(0)

    def normal(*shape: int) -> Any:
        return random.standard_normal(shape, np.float32) * np.float32(0.02)

    garbage = random.integers(0, 2**32, 4096, np.uint32)
    garbage[::3] >>= 20
    arrays = {
        "block.0.weight": normal(64, 64),
        "hidden.0.weight": np.zeros((64, 64), np.float32),
        "empty.weight": garbage.view(np.float32).reshape(64, 64),
        "conv.weight": normal(64, 1, 3, 3) * np.float32(np.sqrt(2 / (64 * 9)) / 0.02),
        "attention.qkv.weight": normal(384, 128) * np.float32(np.sqrt(2 / 512) / 0.02),
        "a_log": np.tile(np.log(np.arange(1, 17, dtype=np.float32)), (64, 1)),
        "positions": np.sin(np.arange(64)[:, None] / 100 ** (np.arange(32) / 32)).astype(np.float32),
        "norm.weight": np.zeros(64, np.float32),
        "lora_B.weight": np.zeros((64, 8), np.float32),
        "eye": np.eye(64, dtype=np.float32),
    }
    write(tmp_path / "w.safetensors", arrays)
    found = fanin.inspect(tmp_path / "w.safetensors")
    loud = sorted((each.where, each.kind) for each in found.findings if each.level != "note")
    assert loud == [
        ("attention.qkv.weight", "wrong-fans"),
        ("conv.weight", "wrong-fans"),
        ("empty.weight", "nonfinite"),
        ("empty.weight", "uninitialized"),
        ("hidden.0.weight", "zero-weight"),
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x05\0\0\0\0\0\0\0[",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 10) + b'{"w": [1]}',
        struct.pack("<Q", 62) + b'{"w": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}',
        struct.pack("<Q", 61) + b'{"w": {"dtype": "F32", "shape": [9], "data_offsets": [0, 4]}}' + bytes(64),
        struct.pack("<Q", 1 << 40) + b"{}",
        *(
            struct.pack("<Q", len(header)) + header + bytes(8)
            for header in (
                b'{"w": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}',
                b'{"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}',
                b'{"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "__metadata__": {"a": 1}}',
                b'{"w": {"dtype": "I32", "shape": [2], "data_offsets": [0, 8]},'
                b' "w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}',
                b'{"v": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},'
                b' "w": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}',
                b'{"w\\ud800": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}',
                b'{"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "__metadata__": {"a": "\\uDFFF"}}',
            )
        ),
    ],
)
def test_a_damaged_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises((fanin.FileError, fanin.RecipeError)):
        fanin.inspect(path)


def test_memory_does_not_grow_with_a_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a block, the first elements and a sample exist at a time."""
    monkeypatch.setattr(sources, "BLOCK", 1 << 12)
    sizes: list[int] = []
    given = fanin.FileLayout.of({"shape": [1 << 16, 16], "scheme": "normal", "std": 1.0})
    (source,) = sources.of_recipe(given)
    blocks = list(map(len, source.blocks()))
    sizes += blocks
    assert max(sizes) == 1 << 12
    assert sum(sizes) == 1 << 20
    found = statistics(source.blocks(), source.count)
    assert len(found.sample) == thresholds.SAMPLE
    assert len(found.head) <= thresholds.HEAD


class Page(HTMLParser):
    """Elements and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = io.StringIO()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text.write(data)


def test_nothing_from_a_name_is_html() -> None:
    name = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;"
    found = fanin.inspect({name: np.zeros((8, 8), np.float32)}, name=name)
    assert found.findings
    page = Page()
    page.feed(html(found))
    assert not page.tags & {"script", "img", "link", "iframe"}
    assert not {each for each in page.attributes if each.startswith("on") or each in ("src", "href")}
    assert page.text.getvalue().count(name) >= 3
    assert "default-src 'none'" in html(found).replace("&#x27;", "'")


def test_names_that_no_recipe_allows_are_shown() -> None:
    arrays = {f"layers.{'9' * 5000}{n}.weight": np.zeros((8, 8), np.float32) for n in range(2)}
    assert "and 1 more" in text(fanin.inspect(arrays))
    assert "layers.{0..1}.weight (2)" in text(
        fanin.inspect({f"layers.{n}.weight": np.zeros((8, 8), np.float32) for n in range(2)})
    )


def test_a_terminal_gets_no_control_characters() -> None:
    found = fanin.inspect({"a\x1b[31m\nb": np.zeros((8, 8), np.float32)}, name="x\x1b]0;y\x07")
    assert "\x1b" not in text(found)
    assert "\\x1b[31m\\nb" in text(found)


def test_the_command(stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    assert main(["inspect", str(stored), "-o", str(page)]) == 0
    assert "1 tensor, 0 errors, 0 warnings, 0 notes" in capsys.readouterr().out
    assert page.read_text().startswith("<!doctype html>")
    assert main(["inspect", str(stored), "-o", str(stored)]) == 2
    changed(stored, lambda values: np.copyto(values, np.float32(0)))
    assert main(["inspect", str(stored), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["quiet"] is False
    assert document["findings"][0]["kind"] == "recipe"
    assert main(["inspect", str(tmp_path / "absent.safetensors")]) == 4
    assert main(["inspect", '{"shape": [8, 8], "scheme": "he_normal", "layout": "torch"}']) == 0
    longer_than_a_path = {f"w{i}": {"shape": [2], "scheme": "zeros"} for i in range(200)}
    assert main(["inspect", json.dumps({"tensors": longer_than_a_path})]) in (0, 1)
    assert main(["inspect", "tests.inspection.faulty_models:mlp"]) == 0
    assert main(["inspect", "tests.inspection.faulty_models:cloned", "--no-signal"]) == 1
    assert main(["inspect", str(stored), "--input", "a:b"]) == 2
    assert main(["inspect", "tests.inspection.faulty_models:absent"]) == 2
    assert main(["inspect", str(tmp_path)]) == 1
