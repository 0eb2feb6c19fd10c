"""Recording of torch: orthogonal matrices, stacks of them, and matrices within a tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import fanin
import fanin.torch
from fanin.torch import RecordError, record
from tests.recording.comparing import initialized, members_of


@pytest.mark.parametrize(
    ("initialize", "shape", "expected"),
    [
        (lambda w: nn.init.orthogonal_(w), (32, 8, 3, 3), {"layout": "torch"}),
        (lambda w: nn.init.orthogonal_(w, 0.01), (1, 64), {"layout": "torch", "gain": 0.01}),
        (lambda w: nn.init.orthogonal_(w), (64, 1), {"layout": "torch"}),
        (lambda w: nn.init.orthogonal_(w.t()), (64, 8), {"layout": "torch"}),
        (lambda w: nn.Parameter(nn.init.orthogonal_(torch.empty(8, 64)).t()), (64, 8), {"layout": "torch"}),
        (lambda w: w.copy_(nn.init.orthogonal_(torch.empty(64, 8)).view(8, 8, 8)), (8, 8, 8), {}),
        (
            lambda w: w.copy_(
                (lambda q, r: q * torch.diagonal(r).sign().unsqueeze(0))(*torch.linalg.qr(w.normal_(0, 3)))
            ),
            (64, 20),
            {"layout": "torch"},
        ),
    ],
)
def test_orthogonal_matrices(
    initialize: Callable[[torch.Tensor], Any], shape: tuple[int, ...], expected: dict[str, Any]
) -> None:
    assert members_of(initialize, shape) == {"scheme": "orthogonal", **expected}


def _each(tensors: Iterable[torch.Tensor]) -> None:
    for tensor in tensors:
        nn.init.orthogonal_(tensor)


def _scheme(part: Mapping[str, Any]) -> Any:
    """Return the scheme of a part, its size and number, and those of the parts within it."""
    inner = [_scheme(each) for each in part.get("parts", ())]
    return (part["scheme"], part.get("size"), part.get("number"), *([part.get("axis", 0), inner] if inner else []))


@pytest.mark.parametrize(
    ("initialize", "shape", "axis", "parts"),
    [
        (lambda w: _each(w.chunk(4)), (256, 64), 0, [("orthogonal", 64, n) for n in (1, 2, 3, 4)]),
        (lambda w: _each(w.chunk(3, 1)), (48, 144), 1, [("orthogonal", 48, n) for n in (1, 2, 3)]),
        (lambda w: (w.zero_(), nn.init.orthogonal_(w[16:])), (64, 64), 0, [("zeros", 16, None), ("orthogonal", 48, 1)]),
        (
            lambda w: _each(part for expert in w for part in expert.chunk(2)),
            (8, 32, 16),
            1,
            [("orthogonal", 16, 1), ("orthogonal", 16, 9)],
        ),
        (
            lambda w: (nn.init.orthogonal_(w[:32]), nn.init.eye_(w[32:64]), w[64:].normal_()),
            (96, 32),
            0,
            [("orthogonal", 32, 1), ("eye", 32, None), ("normal", 32, None)],
        ),
        (
            lambda w: w.copy_(torch.block_diag(*(nn.init.orthogonal_(torch.empty(8, 8)) for _ in range(2)))),
            (16, 16),
            0,
            [
                ("blocks", 8, None, 1, [("orthogonal", 8, 1), ("zeros", 8, None)]),
                ("blocks", 8, None, 1, [("zeros", 8, None), ("orthogonal", 8, 2)]),
            ],
        ),
        (
            lambda w: (w.normal_(), w[:5, 2:9].zero_()),
            (64, 64),
            0,
            [
                ("blocks", 5, None, 1, [("normal", 2, None), ("zeros", 7, None), ("normal", 55, None)]),
                ("normal", 59, None),
            ],
        ),
    ],
    ids=["gates", "columns", "rest", "experts", "kinds", "block-diagonal", "corner"],
)
def test_matrices_and_parts_within_a_tensor(
    initialize: Callable[[torch.Tensor], Any], shape: tuple[int, ...], axis: int, parts: list[Any]
) -> None:
    recipe = record(lambda: initialized(initialize, shape)).recipe
    said = recipe.tensors["weight"].given()
    assert (said["scheme"], said["axis"], [_scheme(part) for part in said["parts"]]) == ("blocks", axis, parts)
    (made,) = fanin.materialize(recipe).values()
    run = initialized(initialize, shape).weight.detach().numpy()
    for each in (made, run):
        _check_parts(each, said)


def _check_parts(values: np.ndarray, said: Mapping[str, Any]) -> None:
    """Check that the parts of a tensor are orthogonal matrices, identities or zeros, as its scheme says."""
    ends = np.cumsum([part["size"] for part in said["parts"]])[:-1]
    for block, part in zip(np.split(values, ends, said.get("axis", 0)), said["parts"], strict=True):
        stack = block.reshape(-1, *block.shape[-2:])
        match part["scheme"]:
            case "blocks":
                _check_parts(block, part)
            case "orthogonal":
                unit = np.broadcast_to(np.eye(block.shape[-1]), (len(stack), block.shape[-1], block.shape[-1]))
                wide = stack if block.shape[-2] >= block.shape[-1] else stack.transpose(0, 2, 1)
                np.testing.assert_allclose(
                    wide.transpose(0, 2, 1) @ wide, unit[:, : wide.shape[-1], : wide.shape[-1]], atol=1e-5
                )
            case "eye" | "zeros":
                assert (block == (np.eye(*block.shape) if part["scheme"] == "eye" else 0)).all()


@pytest.mark.parametrize(("shape", "axes"), [((6, 16, 8), (0,)), ((2, 3, 8, 16), (0, 1))])
def test_experts_are_a_stack_of_matrices(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    build = lambda: initialized(lambda w: _each(w.view(-1, *w.shape[-2:])), shape)  # noqa: E731
    recipe = record(build).recipe
    tensor = recipe.tensors["weight"]
    assert tensor.given() == {
        "shape": shape,
        "dtype": "F32",
        "scheme": "orthogonal",
        "gain": 1.0,
        "layout": "torch",
        "batch_axes": axes,
    }
    (made,) = fanin.materialize(recipe).values()
    stack = made.reshape(-1, *shape[-2:])
    tall = stack if shape[-2] >= shape[-1] else stack.transpose(0, 2, 1)
    np.testing.assert_allclose(tall.transpose(0, 2, 1) @ tall, np.broadcast_to(np.eye(8), (6, 8, 8)), atol=1e-6)
    assert len({matrix.tobytes() for matrix in stack}) == 6


def test_a_draw_and_an_identity_are_blocks_of_a_small_matrix() -> None:
    build = lambda size: initialized(lambda w: w.copy_(torch.eye(size) + w.normal_(0, 0.01)), (size, size))  # noqa: E731
    (made,) = fanin.materialize(record(lambda: build(60)).recipe).values()
    assert abs(made - np.eye(60)).max() < 0.05 < 0.9 < made.diagonal().min()
    assert made.std() > 0.009
    with pytest.raises(RecordError, match="more than 256"):
        record(lambda: build(128))
