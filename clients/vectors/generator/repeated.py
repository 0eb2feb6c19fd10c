"""Recipes with repeated names: section 2.5."""

from __future__ import annotations

from typing import Any

from generator.recipes import accepted, canonical, refused

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


ITEMS = (
    "a{0..4..2,6}",
    "a{0..4..4,5}",
    "a{0..8..4,9..11..2,12}",
    "a{0..0..1}",
    "a{3..3..7}",
    "a{3..3,4}",
    "a{0..8..8}",
    "a{0..2}.b{1..3..2}",
    "{5}a",
    "a{1}{0..1}",
    "a{999999998..999999999}",
)
NOT_ITEMS = (
    "a{0..4..2,4}",
    "a{0..4..2,3}",
    "a{0..8..4,8..10}",
    "a{0..2..3}",
    "a{0..4..2..1}",
    "a{0..}",
    "a{..2}",
    "a{0..2,}",
    "a{,0}",
    "a{0..02}",
    "a{00..2}",
    "a{0..1000000000}",
    "a{0..2..1000000000}",
    "a{ 0..2}",
    "a{+1}",
    "a{0-2}",
    "a{0.2}",
    "a{0..2}}",
    "a{{0}..2}",
    "__meta{0}data__\\u009f",
    "x" * 1022 + "{0..9,10}",
)
MORE_REPEATED = (
    *('{"tensors": {}, "repeated": {"' + name + '": {"shape": [1], "scheme": "zeros"}}}' for name in ITEMS),
    '{"dtype": "F16", "dialect": "keras", "layout": "torch", "tensors": {"a1": {"shape": [2, 3], "scheme": "he_normal"}}, "repeated": {"a{0,2}": {"shape": [2, 3], "scheme": "he_normal"}, "b{0..1}": {"shape": [2, 3], "scheme": "he_normal", "dialect": "fanin", "dtype": "F32"}, "c{0}": {"shape": [2, 3], "scheme": "he_normal", "dialect": "fanin", "layout": "keras"}}}',  # noqa: E501
    '{"dialect": "jax", "seed": 5, "repeated": {"a{0,2}": {"shape": [2, 3], "scheme": "he_normal"}}, "tensors": {}}',
)
MORE_NOT_REPEATED = (
    *('{"tensors": {}, "repeated": {"' + name + '": {"shape": [1], "scheme": "zeros"}}}' for name in NOT_ITEMS),
    '{"tensors": {"b": {"shape": [1], "scheme": "zeros"}}, "repeated": {"a{0..1048575}": {"shape": [1], "scheme": "zeros"}}}',  # noqa: E501
    '{"tensors": {}, "repeated": {"a{0..1023}{0..1023}b{0..1}": {"shape": [1], "scheme": "zeros"}}}',
    '{"tensors": {}, "repeated": {"a{0..999999999}{0..999999999}": {"shape": [1], "scheme": "zeros"}}}',
    '{"tensors": {}, "repeated": {"a{0..1}": {"shape": [1], "scheme": "zeros", "layout": "keras"}}}',
    '{"tensors": {}, "repeated": {"a{0..1}": {"shape": [1]}}}',
    '{"tensors": {}, "repeated": [{"a{0..1}": {"shape": [1], "scheme": "zeros"}}]}',
    '{"tensors": {}, "repeated": {"a{0..1}": {"shape": [1], "scheme": "zeros"}, "a{0..1}": {"shape": [1], "scheme": "zeros"}}}',  # noqa: E501
)


def header(seed: int) -> str:
    """A recipe whose file has a header of 100,000,000 bytes if its seed has two digits, and of one more if three."""
    name = '\\"' * 1006 + "{10000..26238}"
    return (
        f'{{"seed": {seed}, "tensors": {{"xxxxxxxxxxx": {{"shape": [0], "scheme": "zeros"}}}}, '
        f'"repeated": {{"{name}": {{"shape": [0], "scheme": "zeros"}}}}}}'
    )


def repeated() -> list[Any]:
    """Recipes with repeated names: what they stand for, and what a client must refuse."""
    return [
        *map(canonical, REPEATED),
        *map(refused, NOT_REPEATED),
        *map(canonical, MORE_REPEATED),
        *map(refused, MORE_NOT_REPEATED),
        accepted(header(10)),
        refused(header(100)),
    ]
