"""Tensors with parameters at the ends of their ranges, of every scheme and of every dialect's initializers."""

from __future__ import annotations

import inspect
import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from hypothesis import strategies as st

from fanin.dialects import DIALECTS, parameters_of
from fanin.dtypes import STORAGE
from fanin.schemes import SCHEMES
from fanin.schemes.base import Tensor

REALS = (5e-324, 2.3e-308, 1e-300, 1e-150, 1e-38, 2.0**-90, 1e-20, 1e-6, 0.1, 0.5, 1 - 2.0**-53, 1.0, 1 + 2.0**-52)
REALS += (2.0, 13.0, 64.0, 1e6, 2.0**90, 1e38, 1e150, 1e300, 1.7976931348623157e308)
FLOATS = [0.0, *REALS, *(-each for each in REALS)]
INTEGERS = [-64, -1, 0, 1, 2, 3, 16, 64, 2**31, 2**53 - 1]
SHAPES: list[list[int]] = [[], [0], [1], [2], [5], [1, 5], [3, 4], [4, 0], [4, 4], [5, 1, 3], [3, 2, 2], [2, 4, 2]]
SHAPES += [[3, 3, 2, 4], [4, 2, 3, 3], [1, 2, 2, 2, 2], [2, 1, 2, 1, 2]]
PARTS = [
    [{"size": 2, "scheme": "zeros"}, {"size": 1, "scheme": "normal", "std": each}] for each in (5e-324, 1.0, 1e300)
]
COMMON = set(Tensor.model_fields)


def values(annotation: Any, metadata: tuple[Any, ...] = ()) -> st.SearchStrategy[Any]:
    """Return a strategy for the values of a parameter, by its type and bounds."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return values(arguments[0], (*metadata, *arguments[1:]))
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, types.UnionType):
        return st.one_of([values(each, metadata) for each in arguments])
    if origin is tuple:
        return st.lists(values(arguments[0]), max_size=2)
    if annotation is bool:
        return st.booleans()
    if annotation is int:
        return st.sampled_from([each for each in INTEGERS if _within(each, metadata)])
    if annotation is float:
        return st.sampled_from([each for each in FLOATS if _within(each, metadata)])
    if annotation is type(None):
        return st.none()
    if origin is dict or annotation is dict:
        return st.just({})
    return st.sampled_from([*FLOATS, *INTEGERS, "x", None])


def _within(value: float, metadata: tuple[Any, ...]) -> bool:
    bounds = [bound for each in metadata for bound in getattr(each, "metadata", [each])]
    return all(
        not (isinstance(bound, annotated_types.Gt) and not value > bound.gt)  # type: ignore[operator]
        and not (isinstance(bound, annotated_types.Ge) and not value >= bound.ge)  # type: ignore[operator]
        and not (isinstance(bound, annotated_types.Lt) and not value < bound.lt)  # type: ignore[operator]
        and not (isinstance(bound, annotated_types.Le) and not value <= bound.le)  # type: ignore[operator]
        for bound in bounds
    )


def _tensors(fixed: dict[str, Any], required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[Any]:
    shared = {"shape": st.sampled_from(SHAPES), "dtype": st.sampled_from(list(STORAGE))}
    given = {name: st.just(value) for name, value in fixed.items()}
    return st.fixed_dictionaries({**given, **shared, **required}, optional=optional)


def of_scheme(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for tensors of a scheme."""
    fields = {field: each for field, each in SCHEMES[name].model_fields.items() if field not in COMMON}
    known = {
        field: st.sampled_from(PARTS) if field == "parts" else values(each.annotation, tuple(each.metadata))
        for field, each in fields.items()
    }
    required = {field: known[field] for field in fields if fields[field].is_required()}
    return _tensors({"scheme": name}, required, {field: known[field] for field in known if field not in required})


def of_dialect(library: str, name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for tensors of an initializer of a library."""
    parameters = parameters_of(DIALECTS[library].initializers[name])
    known = {each: values(parameter.annotation) for each, parameter in parameters.items()}
    required = {each: known[each] for each in known if parameters[each].default is inspect.Parameter.empty}
    optional = {each: known[each] for each in known if each not in required}
    return _tensors({"dialect": library, "scheme": name}, required, optional)


EVERY: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    **{name: of_scheme(name) for name in SCHEMES},
    **{f"{library}.{name}": of_dialect(library, name) for library in DIALECTS for name in DIALECTS[library]},
}
"""Tensors by scheme, and by library and initializer."""
TENSORS = st.sampled_from(list(EVERY)).flatmap(EVERY.__getitem__)
