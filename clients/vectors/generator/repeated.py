"""Recipes with repeated names: section 2.5."""

from __future__ import annotations

from typing import Any

from generator.recipes import canonical, refused

NOT_REPEATED_NAMES = (
    "a",
    "{}",
    "a{0..2",
    "a}{0..2}",
    "a{0..2}{b}",
    "{{0..2}}",
    "a{2..1}",
    "a{0..2..0}",
    "a{0..4..3}",
    "a{0..4..02}",
    "a{01}",
    "a{1000000000}",
    "a{0, 2}",
    "a{0,}",
    "a{0...2}",
    "a{-1..2}",
    "a{2,1}",
    "a{0..2,2}",
    "a{1,1}",
    "a{\uff11}",
    "a\\u0007{0..2}",
)


REPEATED = (
    '{"tensors": {}, "repeated": {}}',
    '{"tensors": {}, "repeated": {"a{0..2}": {"shape": [1], "scheme": "zeros"}}}',
    '{"tensors": {}, "repeated": {"a{9..11}": {"shape": [1], "scheme": "zeros"}}}',
    '{"tensors": {}, "repeated": {"a{7}": {"shape": [1], "scheme": "zeros"}}}',
    '{"tensors": {}, "repeated": {"a{0..3,5..11}": {"shape": [1], "scheme": "zeros"}}}',
    '{"tensors": {}, "repeated": {"a{1..31..2}": {"shape": [1], "scheme": "zeros"}}}',
    '{"tensors": {}, "repeated": {"a{4..28..8,40,41..41}": {"shape": [1], "scheme": "zeros"}}}',
    '{"tensors": {}, "repeated": {"{0..1}.b{2,4}.{999999999}": {"shape": [1], "scheme": "zeros"}}}',
    '{"tensors": {"a{0..2}": {"shape": [1], "scheme": "ones"}, "{}": {"shape": [1], "scheme": "ones"}}, "repeated": {}}',  # noqa: E501
    '{"seed": 3, "dtype": "BF16", "layout": "torch", "tensors": {"norm": {"shape": [3], "scheme": "ones"}}, "repeated": {"layers.{0..1}.w": {"shape": [3, 2], "scheme": "he_normal"}, "layers.{0..1}.b": {"shape": [3], "scheme": "zeros", "dtype": "F32"}}}',  # noqa: E501
    '{"dialect": "torch", "tensors": {}, "repeated": {"layers.{0..1}.w": {"shape": [3, 2], "scheme": "kaiming_normal_"}, "layers.{2}.w": {"shape": [3, 2], "scheme": "he_normal", "dialect": "fanin"}}}',  # noqa: E501
)


NOT_REPEATED = (
    *(
        '{"tensors": {}, "repeated": {"' + name + '": {"shape": [1], "scheme": "zeros"}}}'
        for name in NOT_REPEATED_NAMES
    ),
    '{"repeated": {"a{0..2}": {"shape": [1], "scheme": "zeros"}}}',
    '{"tensors": {}, "repeated": null}',
    '{"tensors": {}, "repeated": {"a{0..1048576}": {"shape": [1], "scheme": "zeros"}}}',
    '{"tensors": {"a1": {"shape": [1], "scheme": "zeros"}}, "repeated": {"a{0..2}": {"shape": [1], "scheme": "zeros"}}}',  # noqa: E501
    '{"tensors": {}, "repeated": {"a{1..2}{3}": {"shape": [1], "scheme": "zeros"}, "a{13}": {"shape": [1], "scheme": "zeros"}}}',  # noqa: E501
    '{"tensors": {}, "repeated": {"a{0..1}": {"shape": [1], "scheme": "zeros"}, "a{0,1}": {"shape": [1], "scheme": "zeros"}}}',  # noqa: E501
    '{"shape": [1], "scheme": "zeros", "repeated": {}}',
)


def repeated() -> list[Any]:
    """Recipes with repeated names: what they stand for, and what must be refused."""
    return [*map(canonical, REPEATED), *map(refused, NOT_REPEATED)]
