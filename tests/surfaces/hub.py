"""A service with models for clients of the Hub, and clients of several versions, each in a separate process."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fanin
from fanin.file.plan import read_into
from fanin.recipe import formatting
from fanin_service.access import keys
from fanin_service.access.scopes import Right
from fanin_service.settings import Settings
from tests.support.proxy import BadNetwork, Fault
from tests.support.servers import Running, running
from tests.surfaces.front import Route, fronting

ROOT = Path(__file__).parents[2]
TINY: dict[str, Any] = {
    "dtype": "F32",
    "layout": "torch",
    "tensors": {
        "wte.weight": {"shape": [300, 64], "scheme": "normal", "std": 0.02},
        "fc.weight": {"shape": [64, 64], "scheme": "he_normal"},
        "norm.weight": {"shape": [64], "scheme": "ones", "dtype": "F32"},
    },
}
LARGE: dict[str, Any] = {"shape": [7_000_000], "scheme": "normal", "std": 0.02}
"""A tensor larger than 10 MiB: clients resume at multiples of that."""
CUTS = ([Fault("truncate", 12 << 20), Fault("reset", 3 << 20)], [Fault("reset", 21 << 20)])
WORDS = {
    "tokenizer.json": json.dumps(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [],
            "normalizer": None,
            "pre_tokenizer": {"type": "Whitespace"},
            "post_processor": None,
            "decoder": None,
            "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "one": 1, "two": 2}, "unk_token": "[UNK]"},
        }
    ).encode(),
    "tokenizer_config.json": b'{"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]"}',
    "config.json": b'{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}',
}
TEXT = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
TEXT |= {"pad_token_id": None, "bos_token_id": 1, "eos_token_id": 2}
ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "GPT2LMHeadModel": (
        "GPT2Config",
        {
            "n_layer": 2,
            "n_embd": 32,
            "n_head": 4,
            "vocab_size": 60,
            "n_positions": 40,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
    ),
    "LlamaForCausalLM": ("LlamaConfig", TEXT),
    "Qwen3ForCausalLM": ("Qwen3Config", {**TEXT, "head_dim": 8, "num_key_value_heads": 2}),
    "BertForMaskedLM": ("BertConfig", {**TEXT, "pad_token_id": 0}),
    "T5ForConditionalGeneration": (
        "T5Config",
        {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "vocab_size": 60},
    ),
}
WIDE: dict[str, tuple[str, dict[str, Any]]] = {
    "GPT2LMHeadModel": ("GPT2Config", {"n_layer": 2}),
    "LlamaForCausalLM": (
        "LlamaConfig",
        {"hidden_size": 2048, "intermediate_size": 5632, "num_attention_heads": 32, "num_key_value_heads": 4}
        | {"num_hidden_layers": 2},
    ),
    "Qwen3ForCausalLM": (
        "Qwen3Config",
        {"hidden_size": 1024, "intermediate_size": 3072, "num_attention_heads": 16, "num_key_value_heads": 8}
        | {"head_dim": 128, "num_hidden_layers": 2, "tie_word_embeddings": True},
    ),
    "BertForMaskedLM": ("BertConfig", {"num_hidden_layers": 2}),
    "T5ForConditionalGeneration": ("T5Config", {"num_layers": 2}),
}
"""Configurations of the widths of GPT-2 small, TinyLlama, Qwen3 0.6B, BERT base and T5 small, with two layers."""


@dataclass(frozen=True)
class Served:
    """The services with the models, and the file with the facts about them that a client's process reads."""

    server: Running
    facts: Path


@contextmanager
def serving(
    directory: Path, architectures: dict[str, tuple[str, dict[str, Any]]], in_shards: str = "seed-42-40kb"
) -> Iterator[Served]:
    """Serve models from a service, from another that requires keys, and behind bad networks."""
    with ExitStack() as stack:
        server = stack.enter_context(running(Settings(stall_seconds=30)))
        ring = directory / "keys.json"
        key, _ = keys.create(ring, "reader", (Right.MODELS_READ, Right.WEIGHTS_READ))
        writer, _ = keys.create(ring, "writer", (Right.MODELS_WRITE,))
        guarded = stack.enter_context(running(Settings(access="keys", keys_file=ring)))
        small = {"config.json": b'{"model_type": "tiny"}', "vocab/a.txt": b"a\n"}
        with fanin.Client(server.url) as client, fanin.Client(guarded.url, token=writer) as other:
            other.push("me/tiny", TINY, small)
            for name in ("me/tiny", "tiny"):
                client.push(name, TINY, small)
            client.push("me/large", LARGE)
            client.push("me/words", TINY, WORDS)
            for name, (config, options) in architectures.items():
                push(client, f"me/{name.lower()}", name, config, options)
        moving = [stack.enter_context(running()) for _ in range(2)]
        with fanin.Client(server.url) as client:
            literals = push_with_literals(client)
        facts = {
            "url": server.url,
            "guarded": guarded.url,
            "key": key,
            "cutting": [cutting(stack, server, faults) for faults in CUTS],
            "alternating": stack.enter_context(fronting(alternating(moving))),
            "pushed": stack.enter_context(fronting(pushing(server))),
            "by_commit": {move(each, seed): sha256(moved(seed)) for seed, each in enumerate([*moving, server])},
            "literals": literals,
            "sha256": digests(server),
            "in_shards": in_shards,
            "architectures": [f"me/{name.lower()}" for name in architectures],
        }
        path = directory / "facts.json"
        path.write_text(json.dumps(facts))
        yield Served(server, path)


def moved(seed: int) -> dict[str, Any]:
    """Return the recipe of `me/moved` with this seed. Its file has the same size for every seed."""
    return {**TINY, "seed": seed}


def move(server: Running, seed: int) -> str:
    """Replace the recipe of the name, and return its commit id."""
    with fanin.Client(server.url) as client:
        commit: str = client.push("me/moved", moved(seed))["commit"]
    return commit


def alternating(servers: Sequence[Running]) -> Route:
    """Return a route that selects a server at random. The servers have separate stores, with models of equal names."""
    chance = random.Random(1)
    return lambda method, path: (chance.choice(servers).address, False)


def pushing(server: Running) -> Route:
    """Return a route that, in every other GET of weights, replaces the recipe and closes the connection halfway."""
    seeds = itertools.count()

    def route(method: str, path: str) -> tuple[tuple[str, int], bool]:
        is_weights = method == "GET" and path.endswith(".safetensors") and "/api/" not in path
        seed = next(seeds) if is_weights else 1
        if is_cut := seed % 2 == 0:
            move(server, seed // 2 % 2)
        return server.address, is_cut

    return route


def push(client: fanin.Client, name: str, architecture: str, config: str, options: dict[str, Any]) -> None:
    """Put a model of transformers, with its recorded recipe."""
    import transformers

    from fanin.torch import record

    made = getattr(transformers, config)(**options, architectures=[architecture])
    recipe = formatting.text(record(lambda: getattr(transformers, architecture)._from_config(made)).recipe)
    files = {"config.json": made.to_json_string(use_diff=True).encode(), "template.json": recipe.encode()}
    client.push(name, recipe, files)


def push_with_literals(client: fanin.Client) -> dict[str, str]:
    """Put a model of transformers with its recording, in which the magnitudes of a weight norm are literals.

    Return the SHA-256 of each of its tensors, as `init_` fills them.
    """
    import transformers

    from fanin.torch import init_, record

    config = transformers.Wav2Vec2Config(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=48,
        conv_dim=(16, 16),
        conv_stride=(5, 2),
        conv_kernel=(10, 3),
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
        architectures=["Wav2Vec2Model"],
    )
    recording = record(lambda: transformers.Wav2Vec2Model._from_config(config), seed=7)
    assert recording.norms
    client.push("me/wav2vec2", recording, {"config.json": config.to_json_string().encode()})
    filled = init_(transformers.Wav2Vec2Model._from_config(config), recording).state_dict()
    return {name: hashlib.sha256(tensor.numpy().tobytes()).hexdigest() for name, tensor in filled.items()}


def cutting(stack: ExitStack, server: Running, faults: list[Fault]) -> str:
    """Return the URL of a network that forwards the first request, a HEAD, and then applies the faults."""
    network = stack.enter_context(BadNetwork(server.address))
    network.faults += faults
    return network.url


def digests(server: Running) -> dict[str, str]:
    """Return the SHA-256 of the files that clients must get, generated here by the `reference` backend."""
    found = {"me/large seed-42": sha256({**LARGE, "seed": 42})}
    for revision, seed, dtype in (("seed-42", 42, "F32"), ("seed-1", 1, "F32"), ("seed-2", 2, "F32")):
        found[f"me/tiny {revision}"] = sha256({**TINY, "seed": seed, "dtype": dtype})
    found["me/tiny seed-1-bf16"] = sha256({**TINY, "seed": 1, "dtype": "BF16"})
    url = "/hf/me/tiny/resolve/seed-42-20kb/model.safetensors.index.json"
    index = server.client.get(url, follow_redirects=True).json()
    recipe = fanin.as_recipe({**TINY, "seed": 42})
    for file in set(index["weight_map"].values()):
        names = sorted(name for name, place in index["weight_map"].items() if place == file)
        found[f"me/tiny seed-42-20kb {file}"] = sha256(recipe.part(names))
    return found


def sha256(recipe: Any) -> str:
    layout = fanin.FileLayout.of(recipe)
    content = bytearray(layout.size)
    read_into(layout, 0, memoryview(content), fanin.backends.get())
    return hashlib.sha256(content).hexdigest()


def environment(url: str, home: Path, packages: Path | None = None) -> dict[str, str]:
    """Return the environment of clients of the service at `url`, with these packages first on the path."""
    variables = {
        **os.environ,
        "HF_ENDPOINT": f"{url}/hf",
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "0",
        "PYTHONPATH": os.pathsep.join(map(str, [*([packages] if packages else []), ROOT])),
    }
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_DISABLE_XET"):
        variables.pop(name, None)
    return variables


def run(
    served: Served, home: Path, packages: Path | None = None, names: Sequence[str] = ()
) -> tuple[str, dict[str, str | None]]:
    """Run the operations with these packages first on the path. Return the clients' name, and faults by operation."""
    command = [sys.executable, "-m", "tests.surfaces.operations", str(served.facts), *names]
    variables = environment(served.server.url, home, packages)
    done = subprocess.run(command, env=variables, cwd=home, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    first, *lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return first["clients"], {line["operation"]: line["fault"] for line in lines}
