"""Record the recipe of a pytree that a JAX program creates, such as the parameters of a Flax module.

The module is long because the rules of primitives call each other: a primitive may contain a program.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from fanin import draws
from fanin.dtypes import DTYPE_NAMES, DTYPES, FLOATING_NAMES, INTEGERS, STORAGE
from fanin.errors import Fault, RecipeError, RecordError, pointer
from fanin.jax.initializers import tensor_of
from fanin.jax.keys import Draws, Keys, followed, is_key, own_name
from fanin.jax.scans import scanned
from fanin.jax.trees import NUMBERS, is_array, path_of
from fanin.names import misnamed
from fanin.recipe import as_recipe
from fanin.recording import integers
from fanin.recording.arithmetic import affine, clamp, erfinv
from fanin.recording.distributions import (
    Constant,
    Distribution,
    Function,
    Matrix,
    Normal,
    Orthogonal,
    Random,
    Uniform,
    Unknown,
    curve,
    is_held,
    reordered,
    transposed,
)
from fanin.recording.literals import Recording
from fanin.recording.to_scheme import RefusedError, scheme
from fanin.schemes.base import Tensor

MOST_VALUES = 1 << 20
"""Largest number of elements of an array that is computed and recorded as a literal."""
CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "remat2": "jaxpr",
    "checkpoint": "jaxpr",
    "closed_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
}
"""Operations that run an inner program, and the name of the parameter that holds it."""
KEEPS_DISTRIBUTION = {
    "convert_element_type",
    "copy",
    "copy_p",
    "device_put",
    "expand_dims",
    "reshape",
    "reshard",
    "sharding_constraint",
    "squeeze",
}
FUNCTIONS: dict[str, Callable[[float], float]] = {
    "exp": math.exp,
    "expm1": math.expm1,
    "log": lambda value: math.log(value) if value else -math.inf,
    "log1p": math.log1p,
    "sqrt": math.sqrt,
}
_KEY = Unknown("a key")


@dataclass(frozen=True)
class Said:
    """An array that an initializer of `fanin.jax.initializers` returned."""

    tensor: Tensor
    """The tensor of a recipe, with the shape that the initializer was called with."""
    dist: Distribution
    """Distribution of its elements, for operations on them."""

    def is_kept_in(self, dtype: Any) -> bool:
        """Return whether an array of this type holds the same elements, apart from rounding."""
        if isinstance(self.dist, Constant):
            return bool(STORAGE[self.tensor.dtype].numpy == dtype)
        is_complex = STORAGE[self.tensor.dtype].is_complex
        return bool(jnp.issubdtype(dtype, np.complexfloating if is_complex else np.floating))


_Value = Distribution | Said | Keys | np.ndarray
"""An array in a program: its distribution, its keys or its elements."""


def record(build: Callable[[], Any], *, seed: int | str = 0) -> Recording:
    """Return the recipe of a pytree, read from the program that JAX traces of the function that initializes it.

    No array above 2^20 elements is allocated.

        >>> fanin.jax.record(lambda: nnx.state(Model(nnx.Rngs(0)), nnx.Param))
        >>> fanin.jax.record(lambda: model.init(jax.random.key(0), x))

    Args:
        build: A function that returns the pytree. It may create its keys itself. Leaves that are neither arrays nor
            numbers, such as functions, are ignored.
        seed: Seed of the recipe.

    Raises:
        RecordError: leaves whose distribution no recipe describes, each with the operation that caused it.
    """
    program, shapes = jax.make_jaxpr(lambda: _traceable(build()), return_shape=True)()
    leaves = jax.tree_util.tree_flatten_with_path(shapes)[0]
    tensors: dict[str, Any] = {}
    literals: dict[str, np.ndarray] = {}
    faults = []
    for (keys, leaf), value in zip(leaves, _run(program.jaxpr, program.consts, [], Draws()), strict=True):
        path = path_of(keys)
        try:
            if path in tensors or path in literals:
                raise RefusedError("two leaves have this path: rename one of them")
            if is_key(leaf):
                raise RefusedError("a key of random numbers is not a weight: leave it out of the pytree")
            said = _said(value, leaf.shape) if leaf.dtype.name in FLOATING_NAMES else None
            if said is not None:
                tensors[path] = {"shape": list(leaf.shape), "dtype": FLOATING_NAMES[leaf.dtype.name], **said}
            elif said := _integers(value, leaf):
                tensors[path] = said
            elif isinstance(value, np.ndarray):
                literals[path] = value
            elif isinstance(value, Constant) and leaf.size <= MOST_VALUES:
                literals[path] = np.full(leaf.shape, value.value, leaf.dtype)
            elif leaf.dtype.name in FLOATING_NAMES:
                raise RefusedError(f"it has {leaf.size} fixed values; at most {MOST_VALUES} are computed")
            else:
                raise RefusedError(f"{leaf.dtype} is not a storage type of a recipe")
        except RefusedError as refusal:
            faults.append(Fault(pointer([path]), str(refusal)))
    faults += [Fault(pointer([path]), reason) for path in literals if (reason := misnamed(path))]
    if faults:
        raise RecordError(faults)
    try:
        return Recording(as_recipe({"seed": seed, "tensors": tensors}), literals)
    except RecipeError as error:
        raise RecordError.from_recipe(error) from None


def _traceable(tree: Any) -> Any:
    """Return the pytree without the leaves that JAX cannot trace."""
    leaves, structure = jax.tree_util.tree_flatten(tree)
    kept = [leaf if is_array(leaf) or isinstance(leaf, NUMBERS) else None for leaf in leaves]
    return jax.tree_util.tree_unflatten(structure, kept) if any(each is None for each in kept) else tree


def _said(value: _Value, shape: Sequence[int]) -> dict[str, Any] | None:
    """Return the scheme and its parameters; `None` for fixed values."""
    if isinstance(value, Said):
        if value.tensor.shape == tuple(shape):
            return {name: member for name, member in value.tensor.given().items() if name not in ("shape", "dtype")}
        value = value.dist
    if isinstance(value, Keys):
        raise RefusedError("the words of a key are not a weight: leave them out of the pytree")
    if not isinstance(value, np.ndarray):
        return scheme(value, shape)
    if np.iscomplexobj(value):
        return None
    flat = value.astype(np.float64).ravel()
    return scheme(Constant(float(flat[0])), shape) if flat.size and (flat == flat[0]).all() else None


def _run(jaxpr: Any, consts: Sequence[Any], arguments: Sequence[_Value], drawn: Draws) -> list[_Value]:
    """Return the outputs of a program, in their order."""
    found: dict[Any, _Value] = dict(zip(jaxpr.constvars, map(_known, consts), strict=True))
    found |= zip(jaxpr.invars, arguments, strict=True)

    def read(place: Any) -> _Value:
        if not isinstance(place, core.Literal):
            return found[place]
        # A literal has the type of Python; the program may use another, which decides how it is rounded.
        return np.asarray(place.val, getattr(place.aval, "dtype", None))

    for equation in jaxpr.eqns:
        made = _equation(equation, [read(place) for place in equation.invars], drawn)
        found |= zip(equation.outvars, made, strict=True)
    return [read(place) for place in jaxpr.outvars]


def _makes_keys(equation: Any) -> bool:
    """Return whether an inner program creates a key. If so, the values are random even if the operands are known."""
    inner = core.jaxprs_in_params(equation.params)
    return any(
        any(is_key(place.aval) for place in each.outvars) or _makes_keys(each) for jaxpr in inner for each in jaxpr.eqns
    )


def _known(array: Any) -> _Value:
    """Return the value of an array that the program received as a constant."""
    return Keys(array) if is_key(array) else np.asarray(array)


def _equation(equation: Any, given: list[_Value], drawn: Draws) -> Sequence[_Value]:
    """Return the outputs of one operation."""
    name, outputs = equation.primitive.name, [place.aval for place in equation.outvars]
    if name in CALLS:
        inner = _closed(equation.params[CALLS[name]])
        called = own_name(inner.jaxpr)
        if drawn_distribution := drawn.called(called, equation, given[:1], [_number(value) for value in given[1:]]):
            return [drawn_distribution]
        if called == "_orthogonal" and len(outputs[0].shape) == 2:
            rows, columns = outputs[0].shape
            return [Orthogonal(rows, columns, 1.0)]
        made = _run(inner.jaxpr, inner.consts, given, drawn)
        if called and any(value is _KEY or isinstance(value, Keys) for value in given):
            made = [Unknown(called) if isinstance(each, Unknown) and each != _KEY else each for each in made]
        return made
    if name == "pure_callback" and (tensor := tensor_of(equation.params["callback"])):
        elements = _distribution(tensor)
        if isinstance(elements, Random):
            elements = drawn.drawn(elements, given[0], equation.invars[0], outputs[0].dtype, "fanin")
        return [Said(tensor, elements)]
    if name in KEEPS_DISTRIBUTION and isinstance(said := given[0], Said) and said.is_kept_in(outputs[0].dtype):
        return [said]
    given = _without_said(given)
    if name == "convert_element_type" and isinstance(given[0], Constant):
        return [_cast(given[0], equation.invars[0].aval.dtype, outputs[0].dtype)]
    if (keys := followed(equation.primitive, given, equation.params)) is not None:
        return keys
    if name == "scan" and (_makes_keys(equation) or not all(isinstance(value, np.ndarray) for value in given)):
        inner = _closed(equation.params["jaxpr"])

        def step(operands: list[Any]) -> list[Any]:
            return _without_said(_run(inner.jaxpr, inner.consts, operands, drawn))

        if (results := scanned(equation.params, given, step, drawn)) is not None:
            is_large = [isinstance(each, np.ndarray) and each.size > MOST_VALUES for each in results]
            return [Unknown(name) if large else each for each, large in zip(results, is_large, strict=True)]
    if name == "convert_element_type" or name not in KEEPS_DISTRIBUTION:
        given = [_used(value, place.aval.dtype) for value, place in zip(given, equation.invars, strict=True)]
    if len(outputs) == 1 and (dist := _by_rule(name, equation.params, given, outputs[0], drawn)) is not None:
        return [dist]
    is_small = all(not is_key(output) and output.size <= MOST_VALUES for output in outputs)
    if is_small and all(isinstance(value, np.ndarray) for value in given) and not _makes_keys(equation):
        made = equation.primitive.bind(*given, **equation.params)
        return [np.asarray(each) for each in (made if equation.primitive.multiple_results else [made])]
    blame = next((value for value in given if isinstance(value, Unknown) and value != _KEY), Unknown(name))
    return [_KEY if is_key(output) else blame for output in outputs]


def _closed(program: Any) -> Any:
    """Return an inner program with its constants. From JAX 0.12 every program has them."""
    return program if hasattr(program, "consts") else core.ClosedJaxpr(program, ())


def _without_said(values: Sequence[_Value]) -> list[_Value]:
    """Return values with the distribution of each array that an initializer of `fanin.jax.initializers` returned."""
    return [value.dist if isinstance(value, Said) else value for value in values]


def _used(value: _Value, dtype: Any) -> _Value:
    """Return an operand of this type; `Unknown` if random elements are infinite, zero or equal in the type."""
    if not isinstance(value, Random):
        return value
    info = jnp.finfo(dtype)  # type: ignore[no-untyped-call]
    is_right = is_held(value, float(info.tiny), float(info.max), float(info.eps))
    return value if is_right else Unknown(f"random values that {dtype} cannot hold")


def _integers(value: _Value, leaf: Any) -> dict[str, Any] | None:
    """Return the members of a tensor of equal or evenly spaced integers; `None` for other values and types."""
    if DTYPE_NAMES.get(leaf.dtype.name) not in INTEGERS:
        return None
    if isinstance(value, Constant):
        number = np.asarray(value.value).astype(leaf.dtype).item()
        return integers.constant(int(number), leaf.shape, DTYPE_NAMES[leaf.dtype.name])
    return integers.members(value) if isinstance(value, np.ndarray) else None


def _cast(dist: Constant, old: Any, new: Any) -> Constant:
    """Return a constant after a cast, rounded to both types."""
    value = np.asarray(dist.value)
    with np.errstate(all="ignore"):
        held = value.astype(old)
        is_same = value.astype(new) == held.astype(new)
    return dist if is_same else Constant(held.astype(new).item())


def _distribution(tensor: Tensor) -> Distribution:
    """Return the distribution of the elements of a tensor of a recipe."""
    if STORAGE[tensor.dtype].is_complex:
        return Unknown(tensor.scheme)
    match tensor.lower(DTYPES["F64"]):
        case draws.Fill(value):
            return Constant(value)
        case draws.Uniform(center, half_width):
            return Uniform(center - half_width, center + half_width)
        case draws.Normal(mean, std):
            return Normal(mean, std)
        case draws.TruncatedNormal(mean, std, low, high):
            return Normal(mean, std, low, high)
        case draws.Orthogonal(gain, rows, columns):
            return Orthogonal(rows, columns, gain)
    return Unknown(tensor.scheme)


def _by_rule(
    name: str, params: Mapping[str, Any], given: list[_Value], output: Any, drawn: Draws
) -> Distribution | None:
    """Return the distribution of an operation's result; `None` without a rule."""
    numbers = [_number(value) for value in given]
    if name == "broadcast_in_dim" and numbers[0] is not None and output.size > MOST_VALUES:
        return Constant(numbers[0])
    if len(given) == 1 and isinstance(given[0], Constant) and name in {*KEEPS_DISTRIBUTION, "transpose"}:
        return given[0]
    dists = [value for value in given if isinstance(value, Random)]
    if not dists or not jnp.issubdtype(output.dtype, np.floating):
        return None
    dist = dists[0]
    match name:
        case _ if name in KEEPS_DISTRIBUTION:
            return dist
        case "tile" if set(params["reps"]) <= {1}:
            return dist
        case "transpose" if isinstance(dist, Matrix):
            # A reshape before it may have given the elements rows that are not those of the matrix.
            is_matrix = params["permutation"] == (1, 0) and output.shape[::-1] == dist.shape
            return transposed(dist) if is_matrix else Unknown(name)
        case "transpose":
            return reordered(dist)
        case "concatenate" | "stack" if len(dists) == len(given) and not isinstance(dist, Matrix):
            return drawn.joined(dists)
        case "erf_inv":
            # JAX draws normal numbers from (-1, 1]: it leaves out -1, where erf_inv is infinite. The end is one step
            # of the type above -1, not a bound of the distribution.
            least = float(np.nextafter(np.array(-1, output.dtype), np.array(0, output.dtype)))
            if isinstance(dist, Uniform) and (dist.low, dist.high) == (least, 1):
                dist = replace(dist, low=-1.0)
            return erfinv(dist, name)
        case "neg":
            return affine(dist, -1.0, 0.0, name)
        case "max" | "min" if (limit := _other(numbers)) is not None:
            return clamp(dist, *((limit, math.inf) if name == "max" else (-math.inf, limit)), name)
        case "mul" | "div" | "add" | "sub" if (number := _other(numbers)) is not None:
            is_second = numbers[0] is not None
            if name == "div":
                return affine(dist, 1 / number, 0.0, name) if number and not is_second else None
            if name == "mul":
                return affine(dist, number, 0.0, name)
            if name == "add":
                return affine(dist, 1.0, number, name)
            return affine(dist, -1.0, number, name) if is_second else affine(dist, 1.0, -number, name)
        case "add" | "sub" if len(dists) == 2 and dists[0].is_same_draw(dists[1]):
            sign = 1.0 if name == "add" else -1.0
            return _function(dists, lambda first, second: first + sign * second, name)
        case _ if name in FUNCTIONS:
            return _function(dists, FUNCTIONS[name], name)
    return None


def _function(dists: Sequence[Distribution], function: Callable[..., float], name: str) -> Distribution | None:
    """Return the distribution of a function of one uniform draw; `None` if the operands are not of one."""
    if not all(isinstance(dist, Uniform | Function) for dist in dists):
        return None
    first = dists[0]
    assert isinstance(first, Uniform | Function)
    try:
        values = tuple(map(function, *(curve(dist) for dist in dists if isinstance(dist, Uniform | Function))))
    except (ValueError, OverflowError):  # no finite value at one end of the draw
        return None
    operation = next((dist.operation for dist in dists if isinstance(dist, Function)), name)
    return Function(values, operation, draw=first.draw, place=first.place, order=first.order)


def _other(numbers: Sequence[float | None]) -> float | None:
    """Return the first operand that is a number; `None` if none is."""
    return next((number for number in numbers if number is not None), None)


def _number(value: _Value) -> float | None:
    """Return the real number that all elements of a value equal, where that is known; else `None`."""
    if isinstance(value, Constant):
        return value.value if isinstance(value.value, int | float) else None
    if not isinstance(value, np.ndarray) or value.size != 1 or np.iscomplexobj(value):
        return None
    return float(value.reshape(()))
