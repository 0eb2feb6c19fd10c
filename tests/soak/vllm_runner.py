"""Load models with vLLM in one process, one after another, and print the result of each as a line of JSON.

    python vllm_runner.py < CASES

Each line of CASES is JSON: the arguments of `vllm.LLM`. The result has the tokens that follow `PROMPTS`, the SHA-256 of
the parameters as the loader leaves them, and what loading took, or the error of the engine.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROMPTS = [[3, 141, 59, 26, 5], [53, 58, 97, 93], [2, 7, 18, 28, 18, 28, 45]]
COUNT = 12
"""Number of tokens that are generated after each prompt."""


def digest(model: Any) -> str:
    """Return the SHA-256 of names and bytes of all parameters of a model."""
    import torch

    found = hashlib.sha256()
    for name, tensor in sorted(model.named_parameters()):
        found.update(name.encode())
        found.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def resident(field: str) -> int:
    """Return the bytes of this process that are in memory now (`VmRSS`), or were at most (`VmHWM`)."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


@contextmanager
def measured(result: dict[str, Any]) -> Iterator[None]:
    """Note the digest of the parameters, and the time and memory of the loader, in this process."""
    from vllm.model_executor.model_loader import base_loader

    loader = base_loader.BaseModelLoader
    load, process = loader.load_model, base_loader.process_weights_after_loading

    def loading(self: Any, *arguments: Any, **named: Any) -> Any:
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins at what is resident now
        before, cpu, clock = resident("VmRSS"), time.process_time(), time.perf_counter()
        try:
            return load(self, *arguments, **named)
        finally:
            result["load_seconds"] = round(time.perf_counter() - clock, 3)
            result["load_cpu_seconds"] = round(time.process_time() - cpu, 3)
            result["peak_bytes"] = resident("VmHWM") - before

    def processing(model: Any, *arguments: Any) -> None:
        if not os.environ.get("WITHOUT_DIGESTS"):
            result["digest"] = digest(model)
        process(model, *arguments)

    loader.load_model, base_loader.process_weights_after_loading = loading, processing
    try:
        yield
    finally:
        loader.load_model, base_loader.process_weights_after_loading = load, process


def run(case: dict[str, Any], result: dict[str, Any]) -> None:
    """Note the result of one case. An error of the engine leaves what was noted before it."""
    from vllm import LLM, SamplingParams

    with measured(result):
        clock = time.perf_counter()
        engine = LLM(skip_tokenizer_init=True, enforce_eager=True, max_model_len=64, max_num_seqs=4, **case)
        result["ready_seconds"] = round(time.perf_counter() - clock, 2)
        parameters = SamplingParams(temperature=0, max_tokens=COUNT, detokenize=False, ignore_eos=True)
        answers = engine.generate([{"prompt_token_ids": prompt} for prompt in PROMPTS], parameters, use_tqdm=False)
        result["tokens"] = [list(answer.outputs[0].token_ids) for answer in answers]


def main() -> None:
    os.environ |= {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_LOGGING_LEVEL": "WARNING",
    }
    from vllm.distributed import cleanup_dist_env_and_memory

    for line in sys.stdin:
        case = json.loads(line)
        result: dict[str, Any] = {}
        try:
            run(case, result)
        except Exception as error:  # the caller compares the error of the engine
            chain, lowest = [error], error
            while (lowest := lowest.__cause__ or lowest.__context__) is not None:  # type: ignore[assignment]
                chain.append(lowest)
            result["error"] = " <- ".join(f"{type(each).__name__}: {each}"[:600] for each in chain)
            lowest = error = None  # type: ignore[assignment]
        print("RESULT", json.dumps({"case": case, **result}), flush=True)
        cleanup_dist_env_and_memory()
        gc.collect()


if __name__ == "__main__":
    main()
