"""vLLM and llama.cpp serve models of Fanin: from files, from the service, and without either.

They need `make serving`, an environment beside the one of the tests. vLLM starts in 30 seconds on two slow CPUs.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fanin
from fanin import models
from fanin.cli.main import main
from fanin.quantization import configuration, quantize
from fanin.recipe.formatting import text
from tests.soak.serving import service
from tests.soak.vllm_runner import COUNT, PROMPTS

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / os.environ.get("SERVING", "build/serving") / "bin" / "python"
pytestmark = [
    pytest.mark.soak("serving"),
    pytest.mark.skipif(not PYTHON.exists(), reason="needs make serving, or its directory in SERVING"),
    pytest.mark.filterwarnings("ignore"),  # warnings of transformers
]
RUN = ["fp8_block", "fp8_channel", "int8", "int4", "int4_asymmetric", "awq", "gptq"]
"""Formats that vLLM's CPU build runs."""
REFUSED = {
    "fp8": "static_scaled_fp8_quant",
    "mxfp4": "Failed to find a kernel that can implement the MXFP4 linear layer",
    "mxfp8": "Failed to find a kernel that can implement the MXFP8 linear layer",
    "nvfp4": "MarlinNvFp4LinearKernel is not supported",
}
"""Formats that it does not run, and a part of its message."""


def answers(cases: list[dict[str, Any]], **environment: str) -> list[dict[str, Any]]:
    """Return the result of vLLM for each case."""
    done = subprocess.run(
        [PYTHON, ROOT / "tests" / "soak" / "vllm_runner.py"],
        input="".join(f"{json.dumps(case)}\n" for case in cases),
        env={**os.environ, "PYTHONPATH": "", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    found = [json.loads(line) for line in re.findall(r"^RESULT (.*)$", done.stdout, re.MULTILINE)]
    assert [each["case"] for each in found] == cases, done.stderr[-3000:]
    return found


def pair(directory: Path, **arguments: Any) -> list[dict[str, Any]]:
    """Return two cases of a directory: its files, and the load format of Fanin."""
    return [{"model": str(directory), "load_format": kind, **arguments} for kind in ("auto", "fanin")]


def config_of(name: str, **changed: Any) -> dict[str, Any]:
    """Return the configuration of a tiny model with other sizes: vLLM's attention needs heads of 32 on a CPU."""
    return {**json.loads(models.get(name).files()["config.json"]), **changed}


QWEN = config_of("tiny-qwen3", hidden_size=256, intermediate_size=384, head_dim=64)


def directory_of(path: Path, config: dict[str, Any], form: str | None = None) -> Path:
    """Write a directory with recipe.json, config.json and weights with seed 7, quantized or not."""
    path.mkdir(parents=True)
    source = path / "config.json"
    source.write_text(json.dumps(config))
    assert main(["recipe", "hf", str(source), "--seed", "7", "-o", str(path / "recipe.json")]) == 0
    if form:
        recipe = quantize(fanin.as_recipe(path / "recipe.json"), form)
        (path / "recipe.json").write_text(text(recipe))
        source.write_text(json.dumps(configuration(config, recipe)))
    assert main(["make", str(path / "recipe.json"), "-q", "-o", str(path / "model.safetensors")]) == 0
    return path


def of_transformers(directory: Path) -> list[list[int]]:
    """Return the tokens that transformers generates."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(directory)
    options: Any = {"max_new_tokens": COUNT, "min_new_tokens": COUNT, "do_sample": False, "pad_token_id": 0}
    found = [model.generate(torch.tensor([prompt]), eos_token_id=None, **options)[0] for prompt in PROMPTS]
    return [made.tolist()[len(prompt) :] for made, prompt in zip(found, PROMPTS)]


def test_files_and_the_service_and_the_load_format_are_one_model(tmp_path: Path) -> None:
    source = directory_of(tmp_path / "models" / "me" / "qwen3", QWEN)
    checkpoint = ["checkpoint", "hf", str(source / "config.json"), "--seed", "7", "--format", "safetensors", "-q", "-o"]
    assert main([*checkpoint, str(tmp_path / "one")]) == 0
    assert main([*checkpoint, str(tmp_path / "sharded"), "--shard-size", "1MB"]) == 0
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 2
    (source / "model.safetensors").unlink()
    generated = {"model": str(source), "load_format": "fanin"}
    with service("--models", str(tmp_path / "models")) as served:
        hub = {"model": "me/qwen3", "dtype": "bfloat16"}
        found = answers(
            [
                {"model": str(tmp_path / "one"), "dtype": "float32"},
                {"model": str(tmp_path / "sharded"), "dtype": "float32"},
                {**generated, "dtype": "float32"},
                {**hub, "revision": "seed-9-bf16"},
                {**hub, "revision": "seed-9-bf16-1mb"},
                {**generated, "dtype": "bfloat16", "model_loader_extra_config": {"seed": 9, "dtype": "BF16"}},
            ],
            HF_ENDPOINT=f"{served.url}/hf",
            HF_HOME=str(tmp_path / "hub"),
        )
    digests, tokens = ([each.get(key, each.get("error")) for each in found] for key in ("digest", "tokens"))
    assert digests == [digests[0]] * 3 + [digests[3]] * 3
    assert tokens == [of_transformers(tmp_path / "one")] * 3 + [tokens[3]] * 3
    assert digests[0] != digests[3]


def test_quantized(tmp_path: Path) -> None:
    """Every format has the same parameters from a file and from the load format, or the same message of vLLM."""
    directories = {form: directory_of(tmp_path / form, QWEN, form) for form in [*RUN, *REFUSED]}
    cases = [case for each in directories.values() for case in pair(each, dtype="bfloat16")]
    found = answers(cases)
    for form, of_file, generated in zip(directories, found[::2], found[1::2], strict=True):
        if form in REFUSED:
            assert REFUSED[form] in of_file["error"], form
            assert REFUSED[form] in generated["error"], form
        else:
            assert of_file["digest"] == generated["digest"], form
            assert of_file["tokens"] == generated["tokens"], form


EXPERTS = {
    "qwen3-moe": (config_of("tiny-qwen3-moe", head_dim=32), None),
    "olmoe": (config_of("tiny-olmoe", hidden_size=128), None),
    "mixtral": (config_of("tiny-mixtral", hidden_size=128), "no module or parameter named 'layers.0.mlp'"),
}
"""Models whose class has one tensor for all experts of a layer, and a part of vLLM's message for a file of it."""


def test_experts(tmp_path: Path) -> None:
    """The load format gives vLLM the tensors that it expects, also where a file with those of the class is refused."""
    directories = {name: directory_of(tmp_path / name, config) for name, (config, _) in EXPERTS.items()}
    gpt_oss = directory_of(tmp_path / "gpt-oss", config_of("tiny-gpt-oss", head_dim=64), "mxfp4")
    cases = [case for each in directories.values() for case in pair(each, dtype="float32")]
    found = answers([*cases, *pair(gpt_oss, dtype="bfloat16")])
    for (name, directory), of_file, generated in zip(directories.items(), found[::2], found[1::2]):
        assert generated.get("tokens", generated.get("error")) == of_transformers(directory), name
        if message := EXPERTS[name][1]:
            assert message in of_file["error"], name
        else:
            assert of_file["tokens"] == generated["tokens"], name
            assert of_file["digest"] == generated["digest"], name
    assert found[-2]["tokens"] == found[-1]["tokens"]
    assert found[-2]["digest"] == found[-1]["digest"]


def test_deepseek(tmp_path: Path) -> None:
    """The load format. The CPU build runs experts in BF16 only, and attention with keys of 320, 512 or 576 numbers."""
    sizes = {"hidden_size": 128, "kv_lora_rank": 256, "qk_nope_head_dim": 64, "qk_rope_head_dim": 64, "v_head_dim": 64}
    # Published, and unknown to the configuration of transformers: without it, vLLM has no bias of the router.
    router = {"tiny-deepseek-v2": {}, "tiny-deepseek-v3": {"topk_method": "noaux_tc"}}
    configs = {name: config_of(name, **sizes, **more) for name, more in router.items()}
    directories = [directory_of(tmp_path / name, config) for name, config in configs.items()]
    found = answers([case for each in directories for case in pair(each, dtype="bfloat16")])
    for directory, of_file, generated in zip(directories, found[::2], found[1::2], strict=True):
        assert "KeyError: 'layers.1.mlp.experts.down_proj'" in of_file["error"]
        begins = [tokens[:4] for tokens in of_transformers(directory)]  # in F32, so later tokens differ
        assert [tokens[:4] for tokens in generated.get("tokens", generated.get("error"))] == begins


STATES = {
    "mamba2": config_of("tiny-mamba2"),
    "mamba": config_of("tiny-mamba"),
    "falcon-mamba": config_of("tiny-falcon-mamba"),
    "jamba": config_of("tiny-jamba", hidden_size=128),
}
"""State space models. vLLM's CPU build lacks the kernel of all but the first."""


def test_state_space_models(tmp_path: Path) -> None:
    """A file and the load format have the same parameters; Mamba-2 also the tokens of transformers."""
    directories = {name: directory_of(tmp_path / name, config) for name, config in STATES.items()}
    found = answers([case for each in directories.values() for case in pair(each, dtype="float32")])
    for name, of_file, generated in zip(directories, found[::2], found[1::2], strict=True):
        assert of_file["digest"] == generated["digest"], name
        for result in (of_file, generated):
            if name == "mamba2":
                assert result.get("tokens", result.get("error")) == of_transformers(directories[name])
            else:
                assert "no attribute 'selective_scan_fwd'" in result["error"], name


def test_tensor_parallel(tmp_path: Path) -> None:
    """Two processes, each with its shards."""
    directory = directory_of(tmp_path / "qwen3", QWEN)
    expected = of_transformers(directory)
    cases = pair(directory, dtype="float32", tensor_parallel_size=2)
    for case in answers(cases, VLLM_CPU_OMP_THREADS_BIND="0|1"):  # else vLLM needs a NUMA node for each process
        assert case.get("tokens", case.get("error")) == expected


LLAMA_CPP = """
import json, sys, xllamacpp
options = xllamacpp.CommonParams()
options.model.path, options.n_ctx, options.n_parallel, options.warmup = sys.argv[1], 256, 1, False
server = xllamacpp.Server(options)
for prompt in json.loads(sys.argv[2]):
    asked = {"prompt": prompt, "max_tokens": int(sys.argv[3]), "temperature": 0, "logprobs": 1, "ignore_eos": True}
    answer = server.handle_completions(asked)
    print("TOKENS", json.dumps([token["id"] for token in answer["choices"][0]["logprobs"]["content"]]), flush=True)
"""
READ = """
import sys, gguf, numpy
numpy.savez(sys.argv[2], **{tensor.name: numpy.array(tensor.data) for tensor in gguf.GGUFReader(sys.argv[1]).tensors})
"""


def test_llama_cpp(tmp_path: Path) -> None:
    """A GGUF file has the bits of the recipe, and llama.cpp the tokens of transformers."""
    assert main(["catalogue", "tiny-qwen3", "-o", str(tmp_path / "tiny")]) == 0
    recipe = str(tmp_path / "tiny" / "recipe.json")
    assert main(["make", recipe, "--seed", "7", "-q", "-o", str(tmp_path / "tiny" / "model.safetensors")]) == 0
    path, arrays = str(tmp_path / "tiny.gguf"), str(tmp_path / "tiny.npz")

    def run(*arguments: object) -> str:
        done = subprocess.run(
            [PYTHON, *map(str, arguments)], env={**os.environ, "PYTHONPATH": ""}, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")[-3000:]
        return done.stdout.decode(errors="replace")

    run(ROOT / "docs" / "examples" / "gguf_file.py", "tiny-qwen3", 7, path)
    run("-c", READ, path, arrays)
    made = fanin.materialize(models.get("tiny-qwen3").recipe(7))
    with np.load(arrays) as read:
        assert sorted(read[name].tobytes() for name in read) == sorted(array.tobytes() for array in made.values())
        assert np.array_equal(read["blk.1.attn_k.weight"], made["model.layers.1.self_attn.k_proj.weight"])
    output = run("-c", LLAMA_CPP, path, json.dumps(PROMPTS), COUNT)
    found = [json.loads(line) for line in re.findall(r"TOKENS (\[[^]]*\])", output)]
    assert found == of_transformers(tmp_path / "tiny")


def test_the_page(tmp_path: Path) -> None:
    """The Python of docs/serving.md runs."""
    assert main(["catalogue", "smollm2-135m", "-o", str(tmp_path / "smollm2")]) == 0
    (program,) = re.findall(
        r"^```text\n(.*?)^```", (ROOT / "docs" / "serving.md").read_text(), re.MULTILINE | re.DOTALL
    )
    (tmp_path / "serve.py").write_text(program)
    environment = {**os.environ, "PYTHONPATH": "", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
    done = subprocess.run(
        [PYTHON, "serve.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.search(r"^\[\d+(, \d+){7}\]$", done.stdout, re.MULTILINE)
