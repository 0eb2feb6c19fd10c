"""The cost of a recipe, which is counted before any of it is created: no spelling of a table evades it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fanin import RecipeError, scalars
from fanin.cli.schemes import EXAMPLES
from fanin.dialects import DIALECTS
from fanin.schemes import ALIASES, SCHEMES
from fanin_service.recipes import limits
from fanin_service.settings import Settings

_NAMES = [
    *((None, name) for name in (*SCHEMES, *ALIASES)),
    *((dialect, name) for dialect, library in DIALECTS.items() for name in (*library, *library.aliases)),
]
_PER_DISTRIBUTION = 40
"""Numbers that become decimals or are rounded, for each distribution: four values of a table take up to ten each."""


def _spellings() -> Iterator[dict[str, Any]]:
    for (dialect, name), shape in itertools.product(_NAMES, ([128], [0, 128], [2, 128], [128, 1, 9], [3, 32, 4, 4])):
        parameters = {"std": 0.5, **EXAMPLES.get(ALIASES.get(name, name), {})} if dialect is None else {}
        known = {} if dialect else SCHEMES[ALIASES.get(name, name)].model_fields
        tensor = {field: value for field, value in parameters.items() if field in known}
        tensor |= {"scheme": name, "shape": shape} | ({"dialect": dialect} if dialect else {})
        yield tensor
        if dialect is None and len(shape) == 2:
            part = {field: value for field, value in tensor.items() if field != "shape"}
            yield {"scheme": "blocks", "shape": [4, 128], "parts": [{**part, "size": 1}] * 4}
            nested = {"scheme": "blocks", "axis": 1, "parts": [{**part, "size": 128}]}
            yield {"scheme": "blocks", "shape": [4, 128], "parts": [{**nested, "size": 4}]}
            twin = {"scheme": "quantized", "format": "int8", "tensor": tensor, "dtype": "I8"}
            yield {**twin, "shape": shape}
            yield {"scheme": "blocks", "shape": shape, "dtype": "I8", "parts": [{**twin, "size": shape[0]}]}


def test_no_spelling_of_a_table_costs_more_than_it_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = [0]

    def counting(function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            calls[0] += 1
            return function(*arguments)

        return counted

    for name in ("_decimal", "rounded"):
        monkeypatch.setattr(scalars, name, counting(getattr(scalars, name)))
    kept = [each for each in vars(scalars).values() if hasattr(each, "cache_clear")]
    settings, valid = Settings(max_distributions=10**6), set()
    for tensor in _spellings():
        for each in kept:
            each.cache_clear()
        calls[0] = 0
        checked = limits.check({"tensors": {"a": tensor}}, settings)
        try:
            limits.layout_of(checked, settings)
            valid.add(tensor["scheme"])
        except RecipeError:
            pass
        assert calls[0] <= _PER_DISTRIBUTION * (checked.distributions + 4), tensor
    assert {
        "rwkv_decay",
        "mamba_a_log",
        "power_range",
        "alibi_slopes",
        "sinusoidal",
        "stft",
        "STFTInitializer",
    } <= valid


def test_the_fields_of_schemes_that_hold_tensors_are_counted() -> None:
    """A tensor in a field that `distributions_of` does not know would cost nothing."""
    holders = {
        field
        for scheme in SCHEMES.values()
        for field, info in scheme.model_fields.items()
        if "dict" in str(info.annotation)
    }
    assert holders == {"parts", "tensor"}
