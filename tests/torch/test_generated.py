"""Tensors of a recipe without memory: what operations read is what the recipe has, and only that is generated."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import fanin
from fanin import backends, models
from fanin.file.layout import FileLayout
from fanin.torch.generated import Generated
from fanin.vllm.options import Options

LAYOUT = FileLayout.of(
    {
        "seed": 3,
        "tensors": {
            "w": {"shape": [6, 5, 8], "scheme": "normal", "std": 1.0},
            "s": {"shape": [], "scheme": "normal", "std": 1.0},
            "q": {
                "shape": [64, 64], "scheme": "quantized", "format": "int8", "dtype": "I8", "twin": "p",
                "tensor": {"shape": [64, 64], "scheme": "normal", "std": 1.0},
            },
        },
    }
)  # fmt: skip
VIEWS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "complete": lambda t: t,
    "row": lambda t: t[2],
    "narrow": lambda t: t.narrow(1, 1, 3),
    "column": lambda t: t[..., 3],
    "element": lambda t: t[2, 3, 4],
    "transposed": lambda t: t.permute(2, 0, 1)[3:7],
    "flat": lambda t: t.view(-1)[5:99],
    "heads": lambda t: t.view(3, 2, 5, 8)[:, 1],
    "regrouped": lambda t: t.view(6, 40).view(6, 8, 5)[:, 2:5, 1],
    "steps": lambda t: t[::4, :, 1::3],
    "uneven steps": lambda t: t.view(-1)[7::11],
    "matrix": lambda t: t.reshape(30, 8).t(),
    "chunk": lambda t: t.chunk(2, 2)[1],
    "new axis": lambda t: t.unsqueeze(1),
    "expanded": lambda t: t[0:1].expand(4, 5, 8),
    "diagonal": lambda t: t.as_strided((3, 3), (1, 1), 2),
    "across rows": lambda t: t.as_strided((2, 6), (8, 1), 4),
    "empty": lambda t: t[:, :0],
    "data": lambda t: t.data,
}


@pytest.fixture(scope="module")
def whole() -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in fanin.materialize(LAYOUT).items()}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_a_view_has_the_elements_of_the_tensor(
    view: Callable[[torch.Tensor], torch.Tensor], whole: dict[str, torch.Tensor]
) -> None:
    expected, made = view(whole["w"]), view(Generated.of(LAYOUT, "w"))
    assert type(made) is Generated
    assert (made.shape, made.stride(), made.device.type) == (expected.shape, expected.stride(), "cpu")
    assert torch.equal(made.clone(), expected)
    order = tuple(reversed(range(expected.dim())))
    for dtype in (torch.float32, torch.bfloat16):
        for target in (torch.empty(expected.shape), torch.empty(expected.shape[::-1]).permute(order)):
            target = target.to(dtype)
            target.copy_(made)
            assert torch.equal(target, expected.to(dtype))


def test_other_operations_get_the_elements(whole: dict[str, torch.Tensor]) -> None:
    made = Generated.of(LAYOUT, "w")
    assert torch.equal(made * 2, whole["w"] * 2)
    assert torch.equal(torch.cat([made, made[:1]]), torch.cat([whole["w"], whole["w"][:1]]))
    assert torch.equal(made.view(torch.int32), whole["w"].view(torch.int32))
    assert torch.equal(made.permute(2, 1, 0).reshape(8, 30), whole["w"].permute(2, 1, 0).reshape(8, 30))
    assert Generated.of(LAYOUT, "s").item() == whole["s"].item()
    assert torch.equal(Generated.of(LAYOUT, "q")[3:5, 7:].clone(), whole["q"][3:5, 7:])
    parameter = torch.nn.Parameter(torch.zeros(6, 5, 8))
    parameter.data[2:4].copy_(made[2:4])
    assert torch.equal(parameter.data[2:4], whole["w"][2:4])
    target = torch.empty(2, 6, 5, 8)
    target.copy_(made)  # is broadcast
    assert torch.equal(target[1], whole["w"])
    torch.empty(6, 5, 8, device="meta").copy_(made)
    assert type(torch.nn.Parameter(made).data) is Generated


def test_only_what_is_copied_is_generated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rank of eight that copies its rows, or its columns, generates an eighth."""
    layout = FileLayout.of({"tensors": {"w": {"shape": [512, 4096], "scheme": "normal", "std": 1.0}}})
    counted = 0

    class Counting(backends.ForwardingBackend):
        name = "counting"

        def _generate(self, draw, stream, dtype, first, out):  # type: ignore[no-untyped-def]
            nonlocal counted
            counted += len(out) // dtype.itemsize
            super()._generate(draw, stream, dtype, first, out)

    counting = Counting(backends.get())
    monkeypatch.setattr("fanin.torch.filling.backends.get", lambda name=None: counting)
    expected = torch.from_numpy(fanin.materialize(layout)["w"])
    for axis in (0, 1):
        counted, length = 0, expected.shape[axis] // 8
        part = Generated.of(layout, "w").narrow(axis, 3 * length, length)
        assert counted == 0
        target = torch.empty(part.shape)
        target.copy_(part)
        assert counted == target.numel()
        assert torch.equal(target, expected.narrow(axis, 3 * length, length))


@pytest.mark.parametrize(
    "view",
    [lambda t: t.conj(), lambda t: t[2].mH, lambda t: t.conj().imag, torch._neg_view, lambda t: t[1:].conj().mT],
    ids=["conjugate", "adjoint", "imaginary", "negative", "transposed"],
)
def test_views_with_other_values(view: Callable[[torch.Tensor], torch.Tensor]) -> None:
    layout = FileLayout.of({"tensors": {"c": {"shape": [4, 3, 2], "dtype": "C64", "scheme": "normal", "std": 1.0}}})
    expected = view(torch.from_numpy(fanin.materialize(layout)["c"]))
    made = view(Generated.of(layout, "c"))
    assert torch.equal(made.clone(), expected)
    assert torch.equal(torch.empty(expected.shape, dtype=expected.dtype).copy_(made), expected)


@pytest.mark.parametrize(
    "write",
    [
        lambda t: t.add_(1),
        lambda t: t.view(-1)[3:].fill_(1),
        lambda t: t[0].copy_(t[1]),
        lambda t: torch.add(torch.ones(6, 5, 8), 1, out=t),
        lambda t: torch._foreach_add_([t], 1),
        lambda t: setattr(torch.nn.Parameter(t), "data", torch.zeros(6, 5, 8)),
    ],
    ids=["add_", "view", "copy_", "out", "list", "data"],
)
def test_writing_to_it_is_an_error(write: Callable[[torch.Tensor], object]) -> None:
    with pytest.raises(RuntimeError, match=r"writes to the tensor 'w', which is generated: clone it"):
        write(Generated.of(LAYOUT, "w"))


def test_a_type_that_torch_does_not_have_is_refused() -> None:
    layout = FileLayout.of({"shape": [4, 2], "scheme": "zeros", "dtype": "F4"})
    with pytest.raises(
        TypeError, match="dtype F4: torch has no type for its elements, only float4_e2m1fn_x2 for pairs"
    ):
        Generated.of(layout, "weight")


def test_options_of_the_load_format(tmp_path: Path) -> None:
    """A recipe is an object, a file, a name of the catalogue, or the file in the directory of the model."""
    plain = models.get("tiny-qwen3").recipe(seed=5)
    document = models.get("tiny-qwen3").files()["recipe.json"]
    (tmp_path / "recipe.json").write_bytes(document)
    for recipe in (None, json.loads(document), str(tmp_path / "recipe.json"), "tiny-qwen3", "catalogue/tiny-qwen3"):
        options, others = Options.split({"recipe": recipe, "seed": 5, "enable_weights_track": True})
        assert others == {"enable_weights_track": True}
        assert options.layout(str(tmp_path)).recipe == plain
    options, _ = Options.split({"dtype": "BF16"})
    assert {tensor.dtype for tensor in options.layout(str(tmp_path)).recipe.tensors.values()} == {"BF16"}
    given = {"tensors": {"w": {"shape": [4], "scheme": "ones", "dtype": "F32"}}}
    with pytest.raises(ValueError, match="the dtype BF16 changes nothing"):
        Options.split({"recipe": given, "dtype": "BF16"})[0].layout("me/tiny")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(fanin.RecipeError):
        Options.split({"recipe": str(tmp_path / "list.json"), "dtype": "BF16"})[0].layout("me/tiny")
    with pytest.raises(ValueError, match=r"'me/tiny' is not a directory with a recipe.json"):
        options.layout("me/tiny")
    with pytest.raises(ValueError, match="did you mean tiny-qwen3"):
        Options.split({"recipe": "tiny-qwen33"})[0].layout("me/tiny")
    open_layout = {"tensors": {"w": {"shape": [4, 8], "scheme": "he_normal"}}}
    with pytest.raises(fanin.RecipeError, match="layout"):
        Options.split({"recipe": open_layout})[0].layout("me/tiny")
    with pytest.raises(ValueError, match="must be a JSON object"):
        Options.split(SimpleNamespace())
