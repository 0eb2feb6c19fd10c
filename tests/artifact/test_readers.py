"""Readers of checkpoints, with artifacts: transformers, torch, and readers of buckets."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from torch.distributed.checkpoint import load
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader

import fanin
from fanin import artifact
from fanin.torch import init_, record

pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled:UserWarning")
RECIPE: Mapping[str, Any] = {
    "seed": 42,
    "layout": "torch",
    "dtype": "BF16",
    "tensors": {
        **{f"layers.{n}.weight": {"shape": [64, 48], "scheme": "glorot_uniform"} for n in range(3)},
        "norm": {"shape": [48], "scheme": "ones", "dtype": "F32"},
        "head": {"shape": [100, 48], "scheme": "normal", "std": 0.02},
    },
}


def octets(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory of Hugging Face with three files."""
    path = tmp_path_factory.mktemp("artifact") / "hf"
    artifact.make(RECIPE, path, shard_bytes=13_000)
    return path


def test_every_file_verifies(directory: Path) -> None:
    files = sorted(directory.glob("*.safetensors"))
    assert len(files) == 3
    assert sum(fanin.verify(file).tensors for file in files) == len(RECIPE["tensors"])


def test_the_reader_of_torch(directory: Path) -> None:
    layout = fanin.FileLayout.of(RECIPE)
    types = {"BF16": torch.bfloat16, "F32": torch.float32}
    state = {entry.name: torch.zeros(entry.shape, dtype=types[entry.dtype.name]) for entry in layout.entries}
    load(state, storage_reader=HuggingFaceStorageReader(str(directory)), no_dist=True)
    assert all(octets(state[name]) == array.tobytes() for name, array in fanin.materialize(RECIPE).items())


BUCKET_READERS = """
import hashlib, json, sys, torch
from obstore.fsspec import register
from runai_model_streamer import SafetensorsStreamer
from torch.distributed.checkpoint import load
from torch.distributed.checkpoint._fsspec_filesystem import FsspecReader

def digest(tensor):
    return hashlib.sha256(tensor.contiguous().cpu().view(torch.uint8).numpy().tobytes()).hexdigest()

register("s3")
reader = FsspecReader("s3://artifacts/dcp")
described = reader.read_metadata().state_dict_metadata.items()
state = {name: torch.zeros(found.size, dtype=found.properties.dtype) for name, found in described}
load(state, storage_reader=reader, no_dist=True)
streamed = {}
with SafetensorsStreamer() as streamer:
    streamer.stream_files(sys.argv[1:])
    for name, tensor in streamer.get_tensors():
        streamed[name] = digest(tensor)
print(json.dumps([{name: digest(tensor) for name, tensor in state.items()}, streamed]))
"""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # warnings of moto and its dependencies
def test_readers_of_a_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.distributed.checkpoint through fsspec and obstore, and the streamer of Run:ai."""
    moto = pytest.importorskip("moto.server", reason="moto is not installed")
    pytest.importorskip("boto3", reason="boto3 is not installed")
    pytest.importorskip("obstore.fsspec", reason="obstore or fsspec is not installed")
    pytest.importorskip("runai_model_streamer_s3", reason="runai-model-streamer-s3 is not installed")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        url = "http://{}:{}".format(*server.get_host_and_port())
        for name, value in {
            "AWS_ENDPOINT_URL": url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ALLOW_HTTP": "true",
            "RUNAI_STREAMER_S3_USE_VIRTUAL_ADDRESSING": "0",
        }.items():
            monkeypatch.setenv(name, value)
        httpx.put(f"{url}/artifacts").raise_for_status()
        artifact.make(RECIPE, "s3://artifacts/dcp", format="dcp", shard_bytes=5_000)
        made = artifact.make(RECIPE, "s3://artifacts/hf", shard_bytes=13_000)
        files = [f"s3://artifacts/hf/{file.name}" for file in made.files if file.name.endswith(".safetensors")]
        arguments = [sys.executable, "-W", "ignore", "-c", BUCKET_READERS, *files]
        found = json.loads(subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True).stdout)
    finally:
        server.stop()
    wanted = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in fanin.materialize(RECIPE).items()}
    assert found == [wanted, wanted]


@pytest.mark.filterwarnings("ignore")  # transformers' own
def test_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = transformers.GPT2Config(vocab_size=300, n_embd=64, n_layer=2, n_head=4, n_positions=32)
    config.architectures = ["GPT2LMHeadModel"]
    config.torch_dtype = "bfloat16"

    def build() -> torch.nn.Module:
        return transformers.GPT2LMHeadModel(config).to(torch.bfloat16)

    recording = record(build, seed=3)
    config_json = config.to_json_string().encode()
    artifact.make(recording, tmp_path / "model", shard_bytes=50_000, files={"config.json": config_json})
    files = sorted((tmp_path / "model").glob("*.safetensors"))
    assert len(files) > 2
    model = init_(build(), recording)
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    for name, tensor in model.state_dict().items():
        assert octets(loaded.state_dict()[name]) == octets(tensor), name
    tokens = torch.arange(7)[None]
    assert torch.equal(loaded(tokens).logits, model.eval()(tokens).logits)
    # The same tensors in the format of torch, with the tied name of the head.
    artifact.make(recording, tmp_path / "dcp", format="dcp", shard_bytes=50_000)
    state = {name: torch.zeros_like(tensor) for name, tensor in model.state_dict().items()}
    load(state, checkpoint_id=tmp_path / "dcp", no_dist=True)
    assert all(octets(state[name]) == octets(tensor) for name, tensor in model.state_dict().items())
