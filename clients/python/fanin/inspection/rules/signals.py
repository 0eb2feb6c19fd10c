"""Findings from the signal that was sent through a model: zeros, dead units, gains, and growth by depth."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from fanin.inspection.results import Finding, LayerReport
from fanin.inspection.thresholds import CHAIN, GAIN, LOST, level

_DIGITS = re.compile(r"\d+")


@dataclass(slots=True)
class Layer:
    """Measurements of one call of a layer; root mean squares of the first tensor that it receives and returns."""

    name: str
    type: str
    parent: str
    """Name of the module that contains it."""
    is_linear: bool
    """True for a dense or convolutional layer, or another product with a weight."""
    has_weight: bool
    input: float | None = None
    output: float | None = None
    gradient: float | None = None
    dead: int | None = None
    units: int | None = None
    input_varies: bool | None = None
    """True if examples of the batch give it different inputs; None if it has no weight itself, or there is one example.
    """
    output_varies: bool | None = None
    """True if its outputs for them differ."""
    zero_parameters: tuple[str, ...] = field(default=())
    """Names of parameters of zeros."""

    @property
    def gain(self) -> float | None:
        if self.input is None or self.output is None or not 0 < self.input < math.inf:
            return None
        return self.output / self.input

    def report(self) -> LayerReport:
        return LayerReport(
            self.name, self.type, self.input, self.output, self.gain, self.gradient, self.dead, self.units
        )


def signal_findings(layers: Sequence[Layer]) -> Iterator[Finding]:
    """Yield the findings about layers, which are in the order of their calls."""
    yield from _nonfinite(layers)
    zeros = list(_zero(layers))
    yield from zeros or _constant(layers)
    yield from _gains(layers)
    tested = [layer for layer in layers if layer.dead is not None]
    for layer in tested:
        yield from _dead(layer, len(tested))
    for chain in chains(layers):
        yield from _trend(chain, "forward")
        yield from _trend(chain, "backward")


def chains(layers: Sequence[Layer]) -> list[list[Layer]]:
    """Return groups of numbered layers of one type in one module, in the order of their calls, that are long enough.

    Layers whose names differ by more than a number, such as q_proj and o_proj, are not a chain.
    """
    groups: dict[tuple[str, str], list[Layer]] = {}
    for layer in layers:
        if layer.has_weight and any(map(str.isdigit, layer.name.rpartition(".")[2])):
            key = layer.parent + "." + _DIGITS.sub("*", layer.name.rpartition(".")[2])
            groups.setdefault((key, layer.type), []).append(layer)
    return [group for group in groups.values() if len(group) >= CHAIN]


def _nonfinite(layers: Sequence[Layer]) -> Iterator[Finding]:
    for layer in layers:
        if not layer.has_weight or layer.output is None or math.isfinite(layer.output):
            continue
        if layer.input is None or math.isfinite(layer.input):
            yield Finding(
                "error",
                "nonfinite-signal",
                layer.name,
                "its output has NaN or infinite elements, its input has none",
                "finite outputs",
                "the loss is NaN in the first step",
                "check the weights of this layer and the type that it computes in",
            )
            return


def _zero(layers: Sequence[Layer]) -> Iterator[Finding]:
    """The first layer with a weight that receives zeros alone, and the layer that sent them."""
    for place, layer in enumerate(layers):
        if not (layer.has_weight and layer.input == 0):
            continue
        silent = next((each for each in layers[:place] if each.output == 0 and each.input != 0), None)
        if silent is None and not any(each.output for each in layers[:place]):
            return  # the input of the model is zero
        where = silent or layer
        cause = f"; its parameters of zeros: {', '.join(silent.zero_parameters)}" if silent is not None else ""
        yield Finding(
            "warning",
            "zero-signal",
            where.name,
            f"every output is 0{cause if silent and silent.zero_parameters else ''}" if silent else "every input is 0",
            f"a signal, which {layer.name} needs as its input",
            f"the weights of {layer.name} get a gradient of exactly 0, and nothing behind them depends on the input",
            "initialize the weight; normalizations begin at 1",
        )
        return


def _constant(layers: Sequence[Layer]) -> Iterator[Finding]:
    """Layers whose output is the same for all examples, and the only input of the next layer with a weight.

    Where another signal is added to the output, as in a residual block that starts at zero, the next input varies.
    """
    own = [layer for layer in layers if layer.input_varies is not None]
    for layer, following in pairwise(own):
        if layer.input_varies and layer.output_varies is False and following.input_varies is False:
            cause = f"; its parameters of zeros: {', '.join(layer.zero_parameters)}" if layer.zero_parameters else ""
            yield Finding(
                "warning",
                "constant-signal",
                layer.name,
                f"its output is the same for every example, its input is not{cause}",
                f"a signal, which {following.name} needs as its input",
                "the output of the model does not depend on its input, and the layers before it get no gradient",
                "initialize the weight",
            )


def _gains(layers: Sequence[Layer]) -> Iterator[Finding]:
    for layer in layers:
        # A layer may undo a scale of its input, as the head of T5 does. Then its output is not large.
        if layer.is_linear and GAIN < (layer.gain or 0) < math.inf and (layer.output or 0) > GAIN:
            yield Finding(
                "warning",
                "gain",
                layer.name,
                f"its output has {layer.gain:.3g} times the root mean square of its input",
                f"a gain of about 1, at most {GAIN:g}",
                "a few such layers overflow float16, and attention or softmax behind one of them saturates",
                "divide the standard deviation by the root of fan_in, as LeCun, He and Glorot do",
            )


def _dead(layer: Layer, tested: int) -> Iterator[Finding]:
    """More dead units than symmetric weights can have.

    With symmetric weights and biases, a unit is negative for one example with probability 1/2, and for all examples
    with at most this probability. Units are independent, so the number of dead ones is at most binomial.
    """
    assert layer.dead is not None
    assert layer.units is not None
    if _tail(layer.units, layer.dead) < level(tested):
        yield Finding(
            "warning",
            "dead-units",
            layer.name,
            f"{layer.dead} of {layer.units} units are 0 for every example",
            f"at most about {layer.units // 2}, the median for symmetric weights in the worst case",
            "a dead unit gets no gradient and stays dead",
            "start the biases at 0 or slightly above, and the weights at a mean of 0",
        )


def _tail(count: int, least: int) -> float:
    """Return the probability of `least` heads or more among `count` fair coins; 1 for at most half of them.

    Each binomial coefficient follows from the one before it: `math.comb` for each would take minutes for 16,384 units.
    """
    if 2 * least <= count:
        return 1.0
    term = total = math.comb(count, least)
    for heads in range(least, count):
        term = term * (count - heads) // (heads + 1)
        total += term
    return total / (1 << count)


def _trend(chain: Sequence[Layer], direction: str) -> Iterator[Finding]:
    """A signal that grows or fades by LOST between the first and the last of equal layers, in most of them."""
    ordered = list(chain) if direction == "forward" else list(chain[::-1])
    values = [layer.output if direction == "forward" else layer.gradient for layer in ordered]
    known = [(value, layer) for value, layer in zip(values, ordered, strict=True) if value and math.isfinite(value)]
    if len(known) < CHAIN:
        return
    logs = [math.log(value) for value, _ in known]
    total = logs[-1] - logs[0]
    steps = [after - before for before, after in pairwise(logs)]
    # One step of any size is a change between two parts of a model; a trend is in half of the steps at least.
    steady = sum(step * total > 0 for step in steps) * 2 >= len(steps)
    if abs(total) < math.log(LOST) or not steady:
        return
    each = math.exp(total / len(steps))
    what = "output" if direction == "forward" else "gradient"
    grows = total > 0
    yield Finding(
        "warning",
        ("exploding" if grows else "vanishing") + ("-signal" if direction == "forward" else "-gradient"),
        f"{known[0][1].name} to {known[-1][1].name}",
        f"the {what} changes by {math.exp(total):.3g} over {len(known)} layers, {each:.3g} in each",
        f"less than {LOST:g} in either direction",
        "layers get gradients of different orders of magnitude, so no learning rate suits all of them"
        if direction == "backward"
        else "the output no longer depends on the input in the precision of float16"
        if not grows
        else "the signal overflows narrow types, and softmax behind it saturates",
        "scale residual branches by the root of the depth, or add a normalization"
        if grows
        else "use the gain of the activation: He for ReLU, Glorot for tanh",
    )
