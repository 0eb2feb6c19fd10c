"""Trainers that begin from a step 0 that Fanin generates.

They need `pip install --group training`, and `pip install --no-build-isolation --group deepspeed` after it.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import fanin
import fanin.torch
from tests.soak.losses import reported

pytestmark = [pytest.mark.soak("training"), pytest.mark.filterwarnings("ignore")]  # warnings of the trainers
ROOT = Path(__file__).parents[2]
TITAN = """
import torch
from torchtitan.models.llama3 import model_registry

def build():
    model = model_registry("debugmodel").model.build()
    with torch.no_grad():
        model.init_weights(buffer_device=None)
    return model
"""
TRAIN = [
    *("--module", "llama3", "--config", "llama3_debugmodel", "--checkpoint.enable", "--training.steps", "3"),
    *("--training.seq_len", "64", "--training.local_batch_size", "2", "--training.global_batch_size", "4"),
    *("--hf_assets_path", "tokenizer", "--dataloader.dataset_path", "data"),
    *("--parallelism.spmd_backend", "partial_dtensor"),  # FSDP2 of torch 2.13 does not take the other kinds
]


@pytest.mark.parametrize("family", ["llama3", "qwen3", "gpt_oss", "deepseek_v3"])
def test_a_model_of_torchtitan(family: str) -> None:
    """`init_` gives the parameters what `load_state_dict` makes of the recipe: one fused projection from three."""
    pytest.importorskip("torchtitan", reason="needs pip install --group training")
    config = importlib.import_module(f"torchtitan.models.{family}").model_registry("debugmodel", attn_backend="flex")

    def build() -> nn.Module:
        model: nn.Module = config.model.build()
        with torch.no_grad():
            model.init_weights(buffer_device=None)
        return model

    recording = fanin.torch.record(build, seed=1)
    assert not recording.copies
    with torch.device("meta"):
        filled = config.model.build()
    fanin.torch.init_(filled, recording, device="cpu")
    loaded = build()
    state = {name: torch.from_numpy(made) for name, made in fanin.materialize(recording.recipe).items()}
    state |= dict(recording.literals)
    loaded.load_state_dict(state | {name: state[first] for name, first in recording.tied.items()})
    for (name, mine), (_, theirs) in zip(filled.named_parameters(), loaded.named_parameters(), strict=True):
        assert torch.equal(mine, theirs), name
    for (name, mine), (_, theirs) in zip(filled.named_buffers(), loaded.named_buffers(), strict=True):
        assert torch.equal(mine, theirs), name


def write_assets(folder: Path) -> None:
    """Write a tokenizer of bytes, and a small text."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: index for index, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(["<|begin_of_text|>", "<|end_of_text|>"])
    for name in ("tokenizer", "data"):
        (folder / name).mkdir()
    tokenizer.save(str(folder / "tokenizer" / "tokenizer.json"))
    said = {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"}
    (folder / "tokenizer" / "tokenizer_config.json").write_text(json.dumps(said))
    # Each document is one sequence, and all are equal, so every split among ranks has equal batches.
    line = json.dumps({"text": "A sentence of 63 letters, with which a trainer fills a sequence"})
    (folder / "data" / "data.json").write_text(f"{line}\n" * 64)


def _losses(folder: Path, ranks: int, *arguments: str) -> list[float]:
    """The loss of each step that torchtitan prints in all ranks, with these arguments after the common ones."""
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", f"{ranks}"]
    script = str(ROOT / "tests" / "soak" / "torchtitan_on_cpu.py")
    done = subprocess.run(
        [*run, script, *TRAIN, *arguments, "activation-checkpoint:none"],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    text = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
    assert "Loading the checkpoint from" in text
    printed = sorted(set(re.findall(r"step: +(\d+) +loss: +([\d.]+)", text)))
    assert [step for step, _ in printed] == ["1", "2", "3"]
    return [float(loss) for _, loss in printed]


def test_torchtitan_trains_from_step_0(tmp_path: Path) -> None:
    """One process and two have one loss curve, and another seed has another."""
    pytest.importorskip("torchtitan", reason="needs pip install --group training")
    (tmp_path / "titan.py").write_text(TITAN)
    write_assets(tmp_path)
    curves: dict[str, list[float]] = {}
    for name, ranks, seed in (("one", 1, 1), ("two", 2, 1), ("other", 1, 2)):
        command = [sys.executable, "-m", "fanin", "checkpoint", "torch", "titan:build", "--seed", f"{seed}"]
        target = ["-o", f"{name}/checkpoint/step-0", "-q"]
        subprocess.run([*command, *target], cwd=tmp_path, check=True, env={**os.environ, "PYTHONPATH": "."})
        curves[name] = _losses(tmp_path, ranks, "--dump_folder", name)
    assert curves["two"] == pytest.approx(curves["one"], rel=1e-4)  # sums of gradients differ in their last bits
    assert curves["other"][0] != pytest.approx(curves["one"][0], rel=1e-4)


def test_the_trainer_of_transformers(tmp_path: Path) -> None:
    """A model without memory that `init_` fills trains as one that is loaded from the checkpoint of step 0."""
    accelerate = pytest.importorskip("accelerate", reason="needs pip install --group training")
    from transformers import AutoModelForCausalLM, LlamaConfig, Trainer, TrainingArguments

    config = LlamaConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, vocab_size=256
    )
    recording = fanin.torch.record(lambda: AutoModelForCausalLM.from_config(config), seed=1)
    with accelerate.init_empty_weights():
        empty = AutoModelForCausalLM.from_config(config)
    assert {parameter.device.type for parameter in empty.parameters()} == {"meta"}
    fanin.torch.init_(empty, recording, device="cpu")
    files = {"config.json": json.dumps(config.to_dict()).encode()}
    fanin.torch.save_checkpoint(recording, tmp_path / "step-0", format="safetensors", files=files)
    rows = [{"input_ids": torch.arange(row, row + 16), "labels": torch.arange(row, row + 16)} for row in range(16)]

    def losses(model: Any) -> list[float]:
        arguments = TrainingArguments(
            str(tmp_path / "out"), max_steps=4, logging_steps=1, use_cpu=True, report_to=[], save_strategy="no", seed=3
        )
        trainer = Trainer(model, arguments, train_dataset=rows)
        trainer.train()
        return [step["loss"] for step in trainer.state.log_history if "loss" in step]

    curve = losses(empty)
    assert len(curve) == 4
    assert curve == losses(AutoModelForCausalLM.from_pretrained(tmp_path / "step-0"))


def _run(*module: str, **environment: str) -> str:
    """Run a module of Python with arguments, and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", *module],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("package", "worker", "reason"),
    [
        ("deepspeed", "zero3_worker", "needs pip install --no-build-isolation --group deepspeed"),
        ("modalities", "modalities_worker", "needs an environment with pip install --group modalities"),
    ],
)
def test_one_curve_on_one_rank_and_on_two(package: str, worker: str, reason: str) -> None:
    """Each rank generates its part: of parameters that ZeRO-3 has partitioned, or FSDP2 of Modalities has sharded."""
    pytest.importorskip(package, reason=reason)
    curves = []
    for ranks in (1, 2):
        launcher = ["torch.distributed.run", "--standalone", "--nproc_per_node", f"{ranks}", "-m"]
        curves.append(reported(_run(*launcher, f"tests.soak.{worker}", DS_ACCELERATOR="cpu")))
    assert curves[0] == pytest.approx(curves[1], rel=1e-4)  # sums of gradients differ in their last bits
    assert curves[0][-1] < curves[0][0]


def test_megatron() -> None:
    """`init_` fills a model of Megatron-core with the values of its recipe."""
    pytest.importorskip("megatron.core", reason="needs an environment with pip install --group megatron")
    _run("tests.soak.megatron_worker", TORCHDYNAMO_DISABLE="1")


def test_lightning() -> None:
    lightning = pytest.importorskip("pytorch_lightning", reason="needs pip install --group training")

    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 1))

    recording = fanin.torch.record(build, seed=4)

    class Net(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model: nn.Module | None = None

        def configure_model(self) -> None:
            if self.model is None:
                with torch.device("meta"):
                    self.model = build()
                fanin.torch.init_(self.model, recording, device=self.device)

        def training_step(self, batch: torch.Tensor, _index: int) -> torch.Tensor:
            assert self.model is not None
            loss = self.model(batch).square().mean()
            losses.append(loss.item())
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), 0.1)

    losses: list[float] = []
    rows = torch.randn(32, 8, generator=torch.Generator().manual_seed(1))
    trainer = lightning.Trainer(
        max_steps=4, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(Net(), torch.utils.data.DataLoader(rows, batch_size=8))
    mine = fanin.torch.init_(build(), recording)
    optimizer, expected = torch.optim.SGD(mine.parameters(), 0.1), []
    for batch in rows.split(8):
        loss = mine(batch).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        expected.append(loss.item())
    assert losses == expected
