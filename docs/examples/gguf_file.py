"""Write a Qwen3 model of the catalogue as a GGUF file for llama.cpp, one tensor after another.

    python docs/examples/gguf_file.py tiny-qwen3 7 model.gguf

It needs the package `gguf`. The vocabulary is invented, because a model of the catalogue has no tokenizer.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import gguf
import numpy as np

import fanin
from fanin import models


def describe(writer: gguf.GGUFWriter, config: dict[str, Any]) -> None:
    """Write the hyperparameters of config.json, under the names that llama.cpp reads."""
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])


def add_vocabulary(writer: gguf.GGUFWriter, size: int) -> None:
    """Write a vocabulary of three special tokens, the bytes of ASCII, and words without a meaning."""
    special = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
    words = [f"word{number}" for number in range(size - len(special) - 128)]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(128)), *words])
    writer.add_token_scores([0.0] * size)
    writer.add_token_types([*special, *[gguf.TokenType.BYTE] * 128, *[gguf.TokenType.NORMAL] * len(words)])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)


def write(name: str, seed: int, path: str) -> None:
    """Write the file. At most one tensor is in memory."""
    model = models.get(name)
    config = json.loads(model.files()["config.json"])
    layout = fanin.FileLayout.of(model.recipe(seed))
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, config["num_hidden_layers"])
    writer = gguf.GGUFWriter(path, "qwen3")
    describe(writer, config)
    add_vocabulary(writer, config["vocab_size"])
    for entry in layout.entries:
        of_file = names.get_name(entry.name, try_suffixes=(".weight",))
        # The writer knows no type of ml_dtypes; it takes the bytes of BF16 with the name of the type.
        kind = gguf.GGMLQuantizationType.BF16 if entry.dtype.name == "BF16" else None
        shape = (*entry.shape[:-1], 2 * entry.shape[-1]) if kind else entry.shape
        stored = np.dtype(np.uint8) if kind else entry.dtype.numpy
        writer.add_tensor_info(of_file, shape, stored, entry.nbytes, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for entry in layout.entries:
        writer.write_tensor_data(fanin.slice(layout, entry.name, ...).view(np.uint8))
    writer.close()


if __name__ == "__main__":
    write(sys.argv[1], int(sys.argv[2]), sys.argv[3])
