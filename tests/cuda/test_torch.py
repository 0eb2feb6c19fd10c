"""Tensors of torch on a fake GPU: which elements the backend generates, in whose memory and on which stream."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

import fanin
from fanin import BackendError, FileLayout
from fanin.region import Region
from fanin.torch import filling
from fanin.torch.recorder.recording import FLOATING as DTYPES
from tests.cuda.fake_cupy import Make

SCHEMES = [
    {"scheme": "normal", "std": 1.0},
    {"scheme": "constant", "value": 0.5},
    {"scheme": "orthogonal", "layout": "torch"},
    {
        "scheme": "blocks",
        "parts": [{"size": 3, "scheme": "zeros"}, {"size": 17, "scheme": "uniform", "low": -1.0, "high": 1.0}],
    },
]


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme["scheme"])
@pytest.mark.parametrize("dtype", list(DTYPES))
@pytest.mark.parametrize(
    ("rows", "columns", "is_transposed"),
    [(slice(0, 20), slice(0, 37), False), (slice(5, 16), slice(0, 37), False), (slice(3, 19), slice(5, 30), True)],
)
def test_regions_in_memory_of_the_gpu(
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    scheme: dict[str, object],
    dtype: torch.dtype,
    rows: slice,
    columns: slice,
    is_transposed: bool,
) -> None:
    """As a tensor on a device, one of the CPU, which the fake takes for the GPU's memory."""
    if dtype.is_complex and scheme["scheme"] == "orthogonal":
        return  # orthogonal matrices are not complex
    fake, backend = make("eager")
    streams = []
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=77))
    monkeypatch.setattr(fake.cuda, "ExternalStream", lambda pointer, device: streams.append(pointer) or fake._null)
    monkeypatch.setattr(filling, "PIECE", 300)
    recipe = {"shape": [20, 37], "dtype": DTYPES[dtype], **scheme}
    region = Region.of((20, 37), (rows, columns))
    memory = torch.zeros(region.lengths[::-1] if is_transposed else region.lengths, dtype=torch.uint8)
    view = memory.to(dtype).t() if is_transposed else memory.to(dtype)
    filling._fill_gpu(FileLayout.of(recipe).entry("weight"), region, view, backend)
    wanted = fanin.materialize(recipe, backend="reference")["weight"][rows, columns]
    assert view.contiguous().view(torch.uint8).numpy().tobytes() == wanted.tobytes()
    assert set(streams) == {77}, "the stream that torch uses"


def test_where_the_gpu_cannot_be_used_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cupy", None)
    filling._gpu.cache_clear()
    assert filling._gpu(0, None) is None
    assert filling._gpu(0, None) is None
    with pytest.raises(BackendError, match="backend cuda cannot be used"):
        filling._gpu(0, "cuda")
    filling._gpu.cache_clear()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
