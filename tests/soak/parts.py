"""The parts of the soak, in the order in which they run: what each tries, and where its tests are."""

from __future__ import annotations

from typing import NamedTuple


class Part(NamedTuple):
    """One part: less than 40 minutes on two slow CPUs."""

    about: str
    paths: tuple[str, ...]


SWEEPS = {"transformers": 16, "timm": 16, "torchvision": 2, "diffusers": 2, "torch.nn": 1, "ordinary-code": 1}
"""Collections of models that `record` is tried on, and into how many parts each is divided."""

DIEHARDER = {
    "stream": "one stream",
    "names": "the interleaved streams of 1,000 adjacent names",
    "seeds": "the interleaved streams of 1,000 adjacent seeds",
}
"""Streams that dieharder reads. One run of all its tests takes half an hour."""

PARTS = {
    "statistics": Part("2^26 draws of every distribution and storage type", ("tests/soak/test_statistics.py",)),
    "schemes": Part(
        "millions of draws of every scheme, orthogonal matrices, parameters at their limits",
        ("tests/statistics", "tests/recipe/test_extremes.py"),
    ),
    "quantized": Part(
        "quantized tensors of 2^24 elements in every format, beside compressed-tensors and torchao; loaded",
        ("tests/soak/test_quantized.py", "tests/soak/test_quantized_loaders.py"),
    ),
    **{
        f"dieharder-{name}": Part(f"dieharder on {about}", ("tests/soak/test_dieharder.py",))
        for name, about in DIEHARDER.items()
    },
    "storage": Part("all 2^32 values rounded; all vectors by `reference`", ("tests/backends", "tests/golden")),
    "machine-code": Part(
        "the CUDA kernels as assembled for four architectures; runs on no GPU", ("tests/soak/test_machine_code.py",)
    ),
    "ray": Part(
        "artifacts by Ray, with workers, nodes and drivers that die, and by submitit",
        ("tests/soak/test_ray.py", "tests/soak/test_slurm.py"),
    ),
    "processors": Part("aarch64, s390x and old x86-64 under qemu", ("tests/soak/test_other_machines.py",)),
    "models": Part(
        "GPT-2 small, memory while 50 GB are sent, random programs recorded",
        ("tests/soak/test_whole_models.py", "tests/recording/test_random_programs.py"),
    ),
    "load": Part("1,000 connections, fast, slow and stalled", ("tests/soak/test_load.py",)),
    "traffic": Part("memory under mixed traffic", ("tests/soak/test_mixed_traffic.py",)),
    "requests": Part(
        "mutated requests, parsers, a bad network", ("tests/service", "tests/client/test_hostile_service.py")
    ),
    "histories": Part(
        "random histories of requests against a model of the service", ("tests/service/http/test_machine.py",)
    ),
    "catalogue": Part(
        "every model of the catalogue recorded again, every tiny one loaded and run",
        ("tests/catalogue", "tests/surfaces"),
    ),
    "hub": Part("older clients of the Hub, huggingface.js", ("tests/surfaces",)),
    "frameworks": Part(
        "Keras on every backend, JAX on several processes, meshes of ranks, slow libraries",
        ("tests/jax_and_keras", "tests/torch", "tests/peers"),
    ),
    "signatures": Part("signatures of artifacts by model-signing 1.1.1 and by us", ("tests/soak/test_signatures.py",)),
    "inspect": Part("fanin inspect: sound models at many seeds and types, planted faults again", ("tests/inspection",)),
    "training": Part(
        "torchtitan's models recorded and filled; trainers from a Fanin step 0",
        ("tests/soak/test_training.py", "tests/soak/test_maxtext.py"),
    ),
    "serving": Part(
        "vLLM and llama.cpp serve models, from files, a service or neither", ("tests/soak/test_serving.py",)
    ),
    "artifacts": Part("faults of a real store; memory of large objects", ("tests/artifact",)),
    "images": Part("the images' build steps, their licences and advisories", ("tests/deploy",)),
    **{
        f"recorded-{name}-{number}": Part(
            f"`record` of {name}, {number} of {count}", ("tests/soak/test_recorded_models.py",)
        )
        for name, count in SWEEPS.items()
        for number in range(1, count + 1)
    },
}
