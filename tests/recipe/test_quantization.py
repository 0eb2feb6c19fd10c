"""Recipes of quantized checkpoints: which tensors are quantized, and the names of their parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fanin
from fanin import RecipeError, models
from fanin.cli.main import main
from fanin.quantization import FORMATS, configuration, quantize, quantize_as
from fanin.recipe.assumed_layouts import assumed
from fanin.recipe.formatting import text

QWEN = "model.layers.1.mlp.down_proj"  # 64 x 128


def names_of(recipe: fanin.Recipe, module: str) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {
        name.removeprefix(f"{module}."): (tensor.dtype, tensor.shape)
        for name, tensor in recipe.tensors.items()
        if name.startswith(f"{module}.")
    }


@pytest.mark.parametrize(
    ("form", "wanted"),
    [
        ("fp8", {"weight": ("F8_E4M3", (64, 128)), "weight_scale": ("F32", (1,))}),
        ("fp8_channel", {"weight": ("F8_E4M3", (64, 128)), "weight_scale": ("F32", (64, 1))}),
        ("fp8_block", {"weight": ("F8_E4M3", (64, 128)), "weight_scale_inv": ("F32", (1, 1))}),
        ("int8", {"weight": ("I8", (64, 128)), "weight_scale": ("F32", (64, 1))}),
        ("mxfp8", {"weight": ("F8_E4M3", (64, 128)), "weight_scale": ("U8", (64, 4))}),
        ("mxfp4", {"weight_packed": ("U8", (64, 64)), "weight_scale": ("U8", (64, 4))}),
        (
            "nvfp4",
            {
                "weight_packed": ("U8", (64, 64)),
                "weight_scale": ("F8_E4M3", (64, 8)),
                "weight_global_scale": ("F32", (1,)),
            },
        ),
        (
            "int4",
            {"weight_packed": ("I32", (64, 16)), "weight_scale": ("F32", (64, 4)), "weight_shape": ("I64", (2,))},
        ),
        (
            "int4_asymmetric",
            {
                "weight_packed": ("I32", (64, 16)),
                "weight_scale": ("F32", (64, 4)),
                "weight_zero_point": ("I32", (8, 4)),
                "weight_shape": ("I64", (2,)),
            },
        ),
        ("awq", {"qweight": ("I32", (128, 8)), "qzeros": ("I32", (4, 8)), "scales": ("F16", (4, 64))}),
        (
            "gptq",
            {
                "qweight": ("I32", (16, 64)),
                "qzeros": ("I32", (4, 8)),
                "scales": ("F16", (4, 64)),
                "g_idx": ("I32", (128,)),
            },
        ),
    ],
)
def test_linear_layers_become_the_parts_of_the_format(form: str, wanted: dict[str, Any]) -> None:
    plain = models.get("tiny-qwen3").recipe(seed=5)
    quantized = quantize(plain, form, group_size=32)
    assert names_of(quantized, QWEN) == wanted
    for name in ("model.embed_tokens.weight", "lm_head.weight", "model.layers.0.self_attn.q_norm.weight"):
        assert quantized.tensors[name] == plain.tensors[name]
    assert quantized.seed == 5
    # Written in few lines, and equal when read again.
    written = text(quantized)
    assert fanin.as_recipe(written) == quantized
    assert len(written.splitlines()) < 60


def test_every_format_has_names() -> None:
    from fanin.draws import FORMATS as OF_THE_SCHEME

    assert set(FORMATS) == set(OF_THE_SCHEME)


def test_a_dequantized_weight_is_that_of_the_plain_recipe() -> None:
    plain = models.get("tiny-qwen3").recipe(seed=5)
    name = f"{QWEN}.weight"
    made = fanin.materialize(quantize(plain, "int8").part([name, f"{name}_scale"]))
    error = np.abs(made[name] * made[f"{name}_scale"] - fanin.materialize(plain.part([name]))[name])
    assert np.all(error <= 0.5001 * made[f"{name}_scale"])


def test_the_experts_of_gpt_oss_become_blocks_and_scales() -> None:
    """Names and shapes as in the published checkpoints; attention, router and embeddings stay as they are."""
    plain = models.get("tiny-gpt-oss").recipe()
    quantized = quantize(plain, "mxfp4")
    mlp = "model.layers.0.mlp.experts"
    assert names_of(quantized, mlp) == {
        "gate_up_proj_blocks": ("U8", (4, 256, 2, 16)),
        "gate_up_proj_scales": ("U8", (4, 256, 2)),
        "gate_up_proj_bias": ("F32", (4, 256)),
        "down_proj_blocks": ("U8", (4, 64, 4, 16)),
        "down_proj_scales": ("U8", (4, 64, 4)),
        "down_proj_bias": ("F32", (4, 64)),
    }
    assert "model.layers.0.self_attn.q_proj.weight" in quantized.tensors


@pytest.mark.parametrize("names", [("fc.weight", "fc.weight_scale"), ("fc.weight_scale", "fc.weight")])
def test_no_part_replaces_another_tensor(names: tuple[str, str]) -> None:
    recipe = fanin.as_recipe({"tensors": {name: {"shape": [32, 64], "scheme": "ones"} for name in names}})
    with pytest.raises(ValueError, match=r"'fc\.weight_scale' would be both a tensor of the recipe and a part"):
        quantize(recipe, "fp8")


@pytest.mark.parametrize("layout", ["keras", "torch"])
def test_the_twin_has_the_layout_that_was_given(layout: str) -> None:
    gates = [{"size": 16, "scheme": "lecun_normal"}, {"size": 16, "scheme": "zeros"}]
    tensors = {
        "a.weight": {"shape": [32, 64], "scheme": "lecun_normal"},
        "b.weight": {"shape": [32, 64], "scheme": "blocks", "parts": gates},
    }
    assert assumed(fanin.as_recipe({"tensors": tensors})) == [*tensors]
    assert not assumed(quantize(fanin.as_recipe({"layout": layout, "tensors": tensors}), "fp8"))


def test_embeddings_and_heads_in_lists_stay_as_they_are() -> None:
    law = {"shape": [32, 64], "scheme": "ones"}
    kept = ["embed_tokens.0", "lm_heads.{2..3}", "classifier.1", "layer.0.SelfAttention.relative_attention_bias"]
    names = {True: "repeated", False: "tensors"}
    given: dict[str, dict[str, Any]] = {"tensors": {}, "repeated": {}}
    for module in (*kept, "mlp.0", "experts.{0..1}"):
        given[names["{" in module]][f"{module}.weight"] = law
    quantized = quantize(fanin.as_recipe(given), "fp8").tensors
    assert {name for name, tensor in quantized.items() if tensor.scheme == "quantized"} == {
        f"{module}.{part}" for module in ("mlp.0", "experts.0", "experts.1") for part in ("weight", "weight_scale")
    }


def test_what_cannot_be_quantized_is_refused() -> None:
    plain = models.get("tiny-qwen3").recipe()
    with pytest.raises(RecipeError, match="64 columns are not a multiple of 128") as caught:
        quantize(plain, "int4")
    # One fault for each weight of the recipe that was given, and none for its parts.
    names = [f"{module}_proj" for module in ("self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o")]
    names += ["mlp.gate_proj", "mlp.up_proj"]
    assert [fault.pointer for fault in caught.value.faults] == [
        f"/repeated/model.layers.{{0..1}}.{name}.weight" for name in names
    ]
    with pytest.raises(ValueError, match="unknown format 'int3': fp8, fp8_channel"):
        quantize(plain, "int3")
    for form in ("int8", "gptq"):
        with pytest.raises(
            ValueError, match=r"h\.\{0\.\.1\}\.attn\.c_attn\.weight is \(in, out\), as the Conv1D layers"
        ):
            quantize(models.get("tiny-gpt2").recipe(), form, group_size=32)
    with pytest.raises(ValueError, match="group_size is 0, and a group has at least 1 column"):
        quantize(plain, "int4", group_size=0)
    with pytest.raises(ValueError, match="no weights of linear layers"):
        quantize({"shape": [4], "scheme": "ones"}, "fp8")
    with pytest.raises(ValueError, match="no weights of linear layers within repeated layers"):
        quantize({"tensors": {"fc.weight": {"shape": [128, 128], "scheme": "ones"}}}, "gptq")


def test_every_form_of_a_recipe_is_quantized(tmp_path: Path) -> None:
    document = {"seed": 3, "tensors": {"fc.weight": {"shape": [8, 128], "scheme": "normal", "std": 0.02}}}
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(document), "utf-8")
    wanted = quantize(fanin.as_recipe(document), "int8")
    for form in (document, path, json.dumps(document)):
        assert quantize(form, "int8") == wanted
        assert quantize_as(form, {"quant_method": "fp8", "weight_block_size": [128, 128]}) == quantize(
            form, "fp8_block"
        )
    assert configuration({}, wanted.canonical) == configuration({}, wanted)


def _config(**weights: Any) -> dict[str, Any]:
    group = {"targets": ["Linear"], "weights": weights}
    return {"quant_method": "compressed-tensors", "version": "0.20.1", "config_groups": {"group_0": group}}


@pytest.mark.parametrize(
    ("config", "form"),
    [
        ({"quant_method": "fp8", "weight_block_size": [128, 128], "fmt": "e4m3"}, "fp8_block"),
        ({"quant_method": "awq", "bits": 4, "group_size": 32, "zero_point": True, "version": "gemm"}, "awq"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 32, "sym": True, "desc_act": False}, "gptq"),
        (_config(num_bits=8, type="float", strategy="tensor", symmetric=True), "fp8"),
        (_config(num_bits=8, type="float", strategy="channel", symmetric=True), "fp8_channel"),
        (_config(num_bits=8, type="float", strategy="block", block_structure=[128, 128]), "fp8_block"),
        (_config(num_bits=8, type="int", strategy="channel", symmetric=True), "int8"),
        (_config(num_bits=4, type="int", strategy="group", group_size=32, symmetric=True), "int4"),
        (_config(num_bits=4, type="int", strategy="group", group_size=32, symmetric=False), "int4_asymmetric"),
        (_config(num_bits=4, type="float", strategy="tensor_group", group_size=16), "nvfp4"),
        (_config(num_bits=4, type="float", strategy="group", group_size=32), "mxfp4"),
    ],
)
def test_a_quantization_config_names_a_format(config: dict[str, Any], form: str) -> None:
    plain = models.get("tiny-qwen3").recipe()
    assert quantize_as(plain, config) == quantize(plain, form, group_size=32)


@pytest.mark.parametrize(
    "config",
    [
        {"quant_method": "bitsandbytes", "load_in_4bit": True},
        {"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": True},
        {"quant_method": "awq", "bits": 8, "group_size": 32},
        {"quant_method": "fp8", "weight_block_size": [64, 64]},
        {"quant_method": "fp8", "weight_block_size": [128, 128], "scale_fmt": "ue8m0"},
        {"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "static"},
        {**_config(num_bits=8, type="int", strategy="channel"), "kv_cache_scheme": {"num_bits": 8, "type": "float"}},
        _config(num_bits=4, type="int", strategy="channel", symmetric=True),
        {"quant_method": "gptq", "bits": 4, "group_size": 32, "checkpoint_format": "gptq_v2"},
        {"quant_method": "gptq", "bits": 4, "group_size": 32, "lm_head": True},
        {"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemv"},
        {**_config(num_bits=8, type="int", strategy="channel"), "sparsity_config": {"format": "sparse-24-bitmask"}},
        _config(num_bits=4, type="int", strategy="group", group_size=32, actorder="group"),
        {
            "quant_method": "compressed-tensors",
            "config_groups": {
                "a": {
                    "weights": {"num_bits": 8, "type": "float", "strategy": "tensor"},
                    "input_activations": {"num_bits": 8, "type": "float", "dynamic": False},
                }
            },
        },
        {
            "quant_method": "compressed-tensors",
            "config_groups": {
                "a": {"targets": ["re:.*mlp.*"], "weights": {"num_bits": 8, "type": "int", "strategy": "channel"}}
            },
        },
        {},
    ],
)
def test_another_quantization_config_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"no format of fp8, .* is that of this quantization_config"):
        quantize_as(models.get("tiny-qwen3").recipe(), config)


def test_modules_that_are_not_converted_stay_as_they_are() -> None:
    plain = models.get("tiny-qwen3").recipe()
    config = {**_config(num_bits=8, type="int", strategy="channel"), "ignore": ["lm_head", "re:.*self_attn.*"]}
    kept = quantize_as(plain, config)
    assert "model.layers.0.self_attn.q_proj.weight_scale" not in kept.tensors
    assert f"{QWEN}.weight_scale" in kept.tensors


FP8 = {"quant_method": "fp8", "weight_block_size": [128, 128]}


@pytest.mark.parametrize("entry", ["model.layers.*.self_attn", "self_attn", r"model.layers.\d+.self_attn", "q_proj"])
def test_names_that_are_not_converted_are_those_of_transformers(entry: str) -> None:
    """gpt-oss has `model.layers.*.self_attn`, which is a pattern."""
    plain = models.get("tiny-qwen3").recipe()
    made = quantize_as(plain, {**FP8, "modules_to_not_convert": [entry]}).tensors
    assert "model.layers.1.self_attn.q_proj.weight_scale_inv" not in made
    assert f"{QWEN}.weight_scale_inv" in made


def test_the_start_of_a_name_ends_at_a_component() -> None:
    law = {"shape": [128, 128], "scheme": "normal", "std": 1}
    names = [f"layers.{n}.fc.weight" for n in (1, 11)]
    plain = fanin.as_recipe({"layout": "torch", "tensors": dict.fromkeys(names, law)})
    made = quantize_as(plain, {**FP8, "modules_to_not_convert": ["layers.1"]}).tensors
    assert [made[name].scheme for name in names] == ["normal", "quantized"]


def test_compressed_tensors_ignores_complete_names() -> None:
    """Its loader gives every other module a scale, also one whose name begins or ends with an entry of `ignore`."""
    plain = models.get("tiny-qwen3").recipe()
    config = _config(num_bits=8, type="int", strategy="channel")
    for entry in ("model.layers.1.mlp", "down_proj", "re:mlp"):
        assert f"{QWEN}.weight_scale" in quantize_as(plain, {**config, "ignore": [entry]}).tensors
    for entry in (QWEN, "re:.*mlp"):
        assert f"{QWEN}.weight_scale" not in quantize_as(plain, {**config, "ignore": [entry]}).tensors


def test_experts_that_a_checkpoint_has_quantized_are_refused() -> None:
    plain = models.get("tiny-qwen3-moe").recipe()
    with pytest.raises(ValueError, match=r"experts\.gate_up_proj' has the weights of several experts, and stays"):
        quantize_as(plain, FP8)
    kept = quantize_as(plain, {**FP8, "modules_to_not_convert": ["experts"]})
    assert kept == quantize(plain, "fp8_block")


@pytest.mark.parametrize(
    ("members", "where"),
    [
        ({"ignore": 5}, "ignore"),
        ({"modules_to_not_convert": "lm_head"}, "modules_to_not_convert"),
        ({"modules_to_not_convert": [None]}, "modules_to_not_convert/0"),
        ({"modules_to_not_convert": ["*.mlp"]}, "modules_to_not_convert: .*regular expression"),
        ({"ignore": ["re:*"]}, "ignore: .*regular expression"),
        ({"group_size": "128"}, "group_size"),
        ({"weight_block_size": 128}, "weight_block_size"),
        ({"config_groups": [1]}, "config_groups"),
        ({"config_groups": {"a": {"weights": {"num_bits": [8]}}}}, "config_groups/a/weights/num_bits"),
        ({"sparsity_config": "dense"}, "sparsity_config"),
    ],
)
def test_a_malformed_quantization_config_is_refused(members: dict[str, Any], where: str) -> None:
    with pytest.raises(ValueError, match=f"^quantization_config: {where}"):
        quantize_as(models.get("tiny-qwen3").recipe(), {**FP8, **members})


def test_a_quantization_config_is_an_object() -> None:
    with pytest.raises(ValueError, match=r"^quantization_config: Input should be .*, not 'fp8'"):
        quantize_as(models.get("tiny-qwen3").recipe(), "fp8")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["tiny-qwen3", "tiny-qwen3-moe", "tiny-gpt-oss", "tiny-roberta", "tiny-t5"])
def test_the_configuration_names_the_recipe(name: str) -> None:
    """Read again, it selects the same tensors, so a loader quantizes the layers that the file has quantized."""
    plain = models.get(name).recipe(seed=4)
    for form in FORMATS:
        recipe = quantize(plain, form, group_size=16 if name == "tiny-t5" else 32)
        config = configuration({"model_type": "some", "dtype": "float32"}, recipe)
        assert quantize_as(plain, config["quantization_config"]) == recipe
        assert config["model_type"] == "some"


def test_gptq_lists_the_modules_of_a_layer_that_it_quantizes() -> None:
    plain = models.get("tiny-qwen3").recipe()
    assert (
        "modules_in_block_to_quantize"
        not in configuration({}, quantize(plain, "gptq", group_size=32))["quantization_config"]
    )
    recipe = quantize(plain, "gptq", group_size=32, keep=lambda module: "mlp" in module)
    config = configuration({}, recipe)["quantization_config"]
    own = [f"self_attn.{part}_proj" for part in "koqv"]
    assert [sorted(group) for group in config["modules_in_block_to_quantize"]] == [own]
    assert quantize_as(plain, config) == recipe
    flat = quantize_as(plain, {**config, "modules_in_block_to_quantize": own})
    assert flat == recipe
    # The list holds for all layers.
    some = quantize(plain, "gptq", group_size=32, keep=lambda module: module.startswith("model.layers.1.mlp"))
    with pytest.raises(ValueError, match=r"model\.layers\.1\.mlp\.\w+ is not quantized, .* GPTQ cannot state it"):
        configuration({}, some)


def test_gptq_leaves_what_is_outside_of_the_layers() -> None:
    """Its loader converts modules of one list of layers alone, so others have no tensors of GPTQ in a file."""
    plain = models.get("tiny-roberta").recipe()
    recipe = quantize(plain, "gptq", group_size=32)
    assert "lm_head.dense.weight" in recipe.tensors
    assert "roberta.encoder.layer.0.attention.self.query.qweight" in recipe.tensors
    # optimum does not know this list, and raises without its name.
    config = configuration({}, recipe)["quantization_config"]
    assert config["block_name_to_quantize"] == "roberta.encoder.layer"
    assert "lm_head.dense.weight" not in quantize(plain, "awq", group_size=32).tensors


def test_gptq_names_the_modules_of_two_lists() -> None:
    """One name of a list cannot be that of an encoder and a decoder, and every name begins with the empty one."""
    recipe = quantize(models.get("tiny-t5").recipe(), "gptq", group_size=16)
    config = configuration({}, recipe)["quantization_config"]
    assert config["block_name_to_quantize"] == ""
    assert "layer.1.EncDecAttention.q" in config["modules_in_block_to_quantize"][0]


def test_the_list_of_layers_that_a_configuration_of_gptq_names() -> None:
    plain = models.get("tiny-bart").recipe()
    config = {"quant_method": "gptq", "bits": 4, "group_size": 32}
    decoder = quantize_as(plain, config)
    assert {"model.encoder.layers.0.fc1.weight", "model.decoder.layers.0.fc1.qweight"} <= decoder.tensors.keys()
    encoder = quantize_as(plain, {**config, "block_name_to_quantize": "model.encoder.layers"})
    assert {"model.encoder.layers.0.fc1.qweight", "model.decoder.layers.0.fc1.weight"} <= encoder.tensors.keys()


@pytest.mark.parametrize(
    ("name", "output"),
    [("tiny-bert", "cls.predictions.decoder"), ("tiny-roberta", "lm_head.decoder"), ("tiny-whisper", "proj_out")],
)
def test_a_tied_output_layer_is_not_quantized(name: str, output: str) -> None:
    """It has no tensor in the file, so a loader that quantized it would miss its scale."""
    config = configuration({}, quantize(models.get(name).recipe(), "int8"))["quantization_config"]
    assert output in config["ignore"]


def test_there_is_one_configuration_for_one_format() -> None:
    plain = models.get("tiny-qwen3").recipe()
    with pytest.raises(ValueError, match="0 formats of quantized tensors"):
        configuration({}, plain)
    mixed = quantize(quantize(plain, "int8", keep=lambda module: "mlp" in module), "fp8")
    with pytest.raises(ValueError, match="2 formats of quantized tensors"):
        configuration({}, mixed)


def test_transformers_loads_the_directory_of_a_quantized_model(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    directory = tmp_path / "model"
    assert main(["catalogue", "tiny-gpt-oss", "--quantize", "mxfp4", "-o", str(directory), "-q"]) == 0
    recipe = ["make", str(directory / "recipe.json"), "--seed", "1", "-q"]
    assert main([*recipe, "-o", str(directory / "model.safetensors")]) == 0
    loaded, report = transformers.AutoModelForCausalLM.from_pretrained(
        directory, quantization_config=transformers.Mxfp4Config(dequantize=True), output_loading_info=True
    )
    assert not any(report.values()), report
    twins = fanin.materialize(models.get("tiny-gpt-oss").recipe(seed=1))
    assert loaded.state_dict().keys() == twins.keys()
    for name, weight in loaded.state_dict().items():
        twin = twins[name]
        if name.endswith(("down_proj", "gate_up_proj")):
            # Groups of 32 along the second axis. A unit is at most 2 scales; what exceeds 6 scales becomes 6.
            groups = np.abs(twin).reshape(len(twin), -1, 32, twin.shape[2]).max(2, keepdims=True)
            scale = np.exp2(np.floor(np.log2(groups)) - 2)
            error = np.abs(weight.float().numpy() - twin).reshape(len(twin), -1, 32, twin.shape[2])
            assert np.all(error <= np.where(groups > 6 * scale, 2, 1) * scale * 1.001)
            assert error.mean() < 0.5 * scale.mean()
        else:
            assert np.array_equal(weight.float().numpy(), twin)
    with torch.no_grad():
        assert loaded(torch.arange(1, 9)[None]).logits.isfinite().all()


def test_the_catalogue_quantizes_only_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalogue", "tiny-qwen3", "--quantize", "int8"]) != 0
    assert "--quantize needs --output" in capsys.readouterr().err


def test_the_command_quantizes_a_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "quantize", "tiny-qwen3", "int4", "--group-size", "32", "--seed", "3"]) == 0
    written = capsys.readouterr().out
    assert fanin.as_recipe(written) == quantize(models.get("tiny-qwen3").recipe(seed=3), "int4", group_size=32)
    output = tmp_path / "recipe.json"
    assert main(["recipe", "quantize", "tiny-qwen3", "fp8", "-o", str(output)]) == 0
    assert json.loads(output.read_text())["dtype"] == "F32"
    assert main(["recipe", "quantize", "tiny-qwen3", "int3"]) != 0
    assert "unknown format 'int3'" in capsys.readouterr().err
