"""The signal in a PyTorch model: one forward and one backward pass, measured at every layer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from fanin.inspection.models.torch import LINEAR, is_dense, quietly
from fanin.inspection.models.torch_inputs import inputs_of
from fanin.inspection.rules.signals import Layer

_ACTIVATIONS = ("relu", "hardtanh", "gelu", "silu")
"""Operations whose output is 0, or nearly, for negative input. Those in place have `_` behind the name."""
_DEAD = 1e-6
"""Magnitude, relative to the largest input of an activation, below which its output is 0."""


def measure(model: nn.Module, given: Any = None) -> list[Layer]:
    """Return the layers of a model in the order of their first calls, with the signal at each.

    The model runs in training mode without dropout, so that batch norm uses the statistics of the input, as in the
    first step. Random inputs and the random numbers of the model have a fixed seed. Buffers and modes are restored.

    Raises:
        NoInputError: no input is given and none can be derived.
        Exception: what the model raises.
    """
    parameters = [each for each in model.parameters() if each.is_floating_point()]
    dtype = parameters[0].dtype if parameters else torch.float32
    device = parameters[0].device if parameters else torch.device("cpu")
    with _isolated(model), torch.random.fork_rng([device] if device.type == "cuda" else []), torch.enable_grad():
        torch.manual_seed(0)
        with device:
            positional, named = inputs_of(model, given, dtype)
        recorder = _Recorder(model)
        with recorder:
            output = quietly(lambda: model(*positional, **named))
        recorder.differentiate(output)
    return recorder.layers


@contextmanager
def _isolated(model: nn.Module) -> Iterator[None]:
    """Run the block in training mode without dropout, and restore modes, buffers and requires_grad."""
    modes = [(module, module.training) for module in model.modules()]
    buffers = [
        (module, name, buffer, buffer.detach().clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None and not buffer.is_meta
    ]
    frozen = [each for each in model.parameters() if not each.requires_grad and each.is_floating_point()]
    try:
        model.train()
        for module in model.modules():
            if "Dropout" in type(module).__name__ or "DropPath" in type(module).__name__:
                module.training = False
        for each in frozen:
            each.requires_grad_(True)
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for each in frozen:
            each.requires_grad_(False)
        with torch.no_grad():
            for owner, name, buffer, value in buffers:
                buffer.copy_(value)
                owner._buffers[name] = buffer  # its place may have a new tensor: self.average = 0.9 * self.average


class _Recorder(TorchDispatchMode):
    """Records the signal at every module, and the units of every activation, while a model runs."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.layers: list[Layer] = []
        self._names = {module: name or "(model)" for name, module in model.named_modules()}
        self._outputs: list[tuple[Layer, torch.Tensor]] = []
        self._stack: list[str] = []
        self._called: set[nn.Module] = set()
        self._convolved = False
        self._hooks = ExitStack()

    def __enter__(self) -> _Recorder:
        for module in self._names:
            self._hooks.callback(module.register_forward_pre_hook(self._before, with_kwargs=True).remove)
            self._hooks.callback(module.register_forward_hook(self._after, with_kwargs=True).remove)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._hooks.close()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = func._schema.name.removeprefix("aten::").rstrip("_")
        is_activation = name in _ACTIVATIONS
        scale = float(args[0].detach().abs().max()) if is_activation and args[0].numel() else 0.0
        result = func(*args, **(kwargs or {}))
        if is_activation and scale:
            self._activation(name, result.detach(), scale)
        return result

    def _activation(self, name: str, output: torch.Tensor, scale: float) -> None:
        if output.ndim < 2 or not math.isfinite(scale):
            return
        axis = 1 if self._convolved or output.ndim > 3 else output.ndim - 1
        others = [each for each in range(output.ndim) if each != axis]
        live = output.abs().float().amax(dim=others) > _DEAD * scale
        where = self._stack[-1] if self._stack else "(model)"
        units = len(live)
        self.layers.append(Layer(where, name, "", False, False, dead=units - int(live.sum()), units=units))

    def _before(self, module: nn.Module, *_: Any) -> None:
        self._stack.append(self._names[module])

    def _after(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        self._stack.pop()
        if isinstance(module, LINEAR):
            self._convolved = not isinstance(module, nn.Linear)
        if module in self._called:
            return
        self._called.add(module)
        name = self._names[module]
        own = [each for each in module._parameters.values() if each is not None]
        children = any(True for _ in module.children())
        received, returned = (next(_tensors(each), None) for each in ((args, kwargs), output))
        layer = Layer(
            name,
            type(module).__name__,
            name.rpartition(".")[0],
            isinstance(module, LINEAR) or type(module).__name__ == "Conv1D",
            bool(own) or (children and any(True for _ in module.parameters())),
            _rms(received),
            _rms(returned),
            input_varies=_varies(received) if own else None,
            output_varies=_varies(returned) if own else None,
            zero_parameters=tuple(
                f"{name}.{short}"
                for short, each in module._parameters.items()
                if each is not None and _is_readable(each) and not each.any()
            ),
        )
        # A module of modules may receive zeros for a part that adds them; a layer with a weight multiplies them.
        if not own:
            layer.input = layer.input or None
        self.layers.append(layer)
        if returned is not None and returned.requires_grad:
            self._outputs.append((layer, returned))

    def differentiate(self, output: Any) -> None:
        """Add the gradients of a random projection of the output to the layers."""
        ends = [each for each in _tensors(output) if each.requires_grad]
        if not ends or not self._outputs:
            return
        with torch.no_grad():
            weights = [torch.randn_like(end, dtype=torch.float32).to(end.dtype) for end in ends]
        found = torch.autograd.grad(
            ends, [tensor for _, tensor in self._outputs], weights, allow_unused=True, materialize_grads=False
        )
        for (layer, _), gradient in zip(self._outputs, found, strict=True):
            layer.gradient = _rms(gradient)


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    """Yield the floating-point tensors in nested tuples, lists and mappings."""
    if isinstance(value, torch.Tensor):
        if value.is_floating_point() and value.numel():
            yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _tensors(each)
    elif isinstance(value, Iterable) and isinstance(value, tuple | list):
        for each in value:
            yield from _tensors(each)


def _is_readable(tensor: torch.Tensor) -> bool:
    """Return whether the elements of a tensor can be computed with."""
    return is_dense(tensor) and not tensor.is_meta and not tensor.is_quantized


def _varies(tensor: torch.Tensor | None) -> bool | None:
    """Return whether a tensor differs along its first axis, which has the examples; None if that is unknown."""
    if tensor is None or not _is_readable(tensor) or tensor.ndim < 2 or len(tensor) < 2:
        return None
    plain = tensor.detach()
    return bool((plain != plain[:1]).any())


def _rms(tensor: torch.Tensor | None) -> float | None:
    """Return the root mean square of a tensor; NaN or infinity if an element is, None for None."""
    if tensor is None or not _is_readable(tensor):
        return None
    with torch.no_grad():
        plain = tensor.detach().double()
        largest = float(plain.abs().max())
        if not math.isfinite(largest):
            return largest
        return float((plain / largest).square().mean().sqrt()) * largest if largest else 0.0
