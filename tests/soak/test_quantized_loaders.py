"""Quantized checkpoints in transformers: it loads every format, runs the model, and has the twin's weights.

compressed-tensors, accelerate and gptqmodel have to be installed; otherwise their formats are skipped.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fanin
from fanin import models
from fanin.cli.main import main
from fanin.quantization import FORMATS, configuration, quantize
from fanin.recipe.formatting import text
from tests.schemes import test_quantized as small

pytestmark = [
    pytest.mark.soak("quantized"),
    pytest.mark.filterwarnings("ignore:You passed `quantization_config`:UserWarning"),
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings(
        "ignore:.*finalize object:pytest.PytestUnraisableExceptionWarning"
    ),  # gptqmodel leaves a directory open
]
# The sizes are multiples of 128, as blocks and groups need.
CONFIG = {
    **json.loads(models.get("tiny-qwen3").files()["config.json"]),
    "hidden_size": 256,
    "intermediate_size": 384,
    "num_hidden_layers": 1,
    "head_dim": 64,
}
PARTS = {
    "scale": ("weight_scale", "weight_scale_inv", "scales"),
    "data": ("weight_packed", "weight", "qweight"),
    "zero_point": ("weight_zero_point", "qzeros"),
    "global_scale": ("weight_global_scale",),
    "group_index": ("g_idx",),
}
LOADS = [*((form, False) for form in FORMATS), *((form, True) for form in FORMATS if form not in ("awq", "gptq"))]
"""Formats, and whether the model keeps them. transformers has one way to load AWQ and GPTQ."""


def needed(form: str) -> None:
    pytest.importorskip("accelerate")
    if form in ("awq", "gptq"):
        pytest.importorskip("gptqmodel")
        pytest.importorskip("optimum")
    elif form != "fp8_block":
        pytest.importorskip("compressed_tensors")


def options_of(form: str, compressed: bool) -> dict[str, Any]:
    """Return the arguments of `from_pretrained`; `compressed` keeps weights as they are until the first forward."""
    import torch
    import transformers

    if form == "awq":
        backend = transformers.utils.quantization_config.AwqBackend.TORCH_AWQ
        return {"dtype": torch.float16, "quantization_config": transformers.AwqConfig(backend=backend)}
    if form == "gptq":
        return {"dtype": torch.float16, "quantization_config": transformers.GPTQConfig(bits=4, backend="torch")}
    if compressed:
        return {}
    if form == "fp8_block":
        return {"quantization_config": transformers.FineGrainedFP8Config(dequantize=True)}
    return {"quantization_config": transformers.CompressedTensorsConfig(dequantize=True)}


@pytest.mark.parametrize(("form", "compressed"), LOADS)
def test_transformers_has_the_weights_of_the_twin(
    form: str, compressed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if form == "int4_asymmetric" and compressed:
        pytest.skip("compressed-tensors 0.20.1 refuses its own files: it expects zero points that are not packed")
    needed(form)
    torch = pytest.importorskip("torch")
    import transformers

    source = tmp_path / "config.json"
    source.write_text(json.dumps(CONFIG))
    assert main(["recipe", "hf", str(source), "--seed", "1", "-o", str(tmp_path / "plain.json")]) == 0
    plain = fanin.as_recipe((tmp_path / "plain.json").read_text())
    recipe = quantize(plain, form)
    source.write_text(json.dumps(configuration(CONFIG, recipe)))
    (tmp_path / "recipe.json").write_text(text(recipe))
    assert main(["make", str(tmp_path / "recipe.json"), "-q", "-o", str(tmp_path / "model.safetensors")]) == 0

    arguments = options_of(form, compressed)
    pair: Any = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True, **arguments)
    model, report = pair
    assert not any(report.values()), report
    with torch.no_grad():
        assert model(torch.arange(1, 9)[None]).logits.isfinite().all()
    file, twins = fanin.materialize(recipe), fanin.materialize(plain)
    for name, twin in twins.items():
        module = model.get_submodule(name.rpartition(".")[0])
        if name in file and file[name].dtype == twin.dtype:
            assert np.allclose(
                module.weight.detach().float().numpy(), twin, rtol=2**-8, atol=2**-24
            )  # F16 has subnormals
            continue
        if form in ("awq", "gptq"):
            with torch.no_grad():
                loaded = module(torch.eye(twin.shape[1], dtype=torch.float16)).float().numpy().T
        else:
            loaded = module.weight.detach().float().numpy()
        stem = name.removesuffix("weight")
        parts = {part: file[stem + key] for part, keys in PARTS.items() for key in keys if stem + key in file}
        monkeypatch.setattr(small, "ROWS", twin.shape[0])
        monkeypatch.setattr(small, "COLUMNS", twin.shape[1])
        numbers, unit = small.dequantized(form, parts)
        close = 2**-8 if form in ("mxfp8", "mxfp4", "nvfp4", "awq", "gptq") else 2**-22
        assert np.all(np.abs(loaded - numbers) <= close * np.abs(numbers)), name
        largest = {"mxfp4": 6, "mxfp8": 448}.get(form)
        if largest:
            ratio = np.abs(numbers) / np.repeat(2.0 ** (parts["scale"].astype(np.float64) - 127), 32, 1)
            unit = np.where((ratio == largest) & (np.abs(twin) > np.abs(numbers)), np.inf, unit)
        assert np.all(np.abs(loaded - twin) <= 0.5001 * unit + close * np.abs(numbers)), name
