"""Revisions and commit ids: each names one choice of seed and type, and two ids name different choices."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
import rfc8785
from hypothesis import assume, given
from hypothesis import strategies as st

from fanin import RecipeError
from fanin.dtypes import DTypeName
from fanin.recipe import MAX_SEED
from fanin_service.models import template
from fanin_service.models.content import Content, content_key
from fanin_service.models.revisions import DTYPE_CODES, USUAL, Revision, ShardSize, read_commit
from fanin_service.models.snapshot import Snapshot, generated
from fanin_service.models.template import Template
from tests.support import models

MAIN = Revision(7, "BF16")
KEY = content_key("0" * 64)

sizes = st.builds(ShardSize, st.integers(1, 999), st.sampled_from(["kb", "mb", "gb"])).filter(
    lambda size: size.is_valid
)
seeds = st.integers(0, MAX_SEED) | st.integers(0, 5)
dtypes = st.sampled_from([cast(DTypeName, name) for name in DTYPE_CODES])
revisions = st.builds(Revision, seeds, dtypes, sizes)
keys = st.binary(min_size=10, max_size=10)


@given(revisions)
def test_a_revision_has_a_name(revision: Revision) -> None:
    assert MAIN.named(str(revision)) == revision


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("main", MAIN),
        ("seed-42", Revision(42, "BF16")),
        ("seed-0-f32", Revision(0, "F32")),
        ("seed-42-f8_e4m3", Revision(42, "F8_E4M3")),
        ("seed-42-500mb", Revision(42, "BF16", ShardSize(500, "mb"))),
        ("seed-18446744073709551615-f64-49gb", Revision(MAX_SEED, "F64", ShardSize(49, "gb"))),
    ],
)
def test_short_names(text: str, meant: Revision) -> None:
    assert MAIN.named(text) == meant


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "Main",
            "main-bf16",
            "seed",
            "seed-",
            "seed-042",
            "seed--1",
            "seed-+1",
            "seed-1.0",
            "seed-1-",
            "seed-1\n",
        ),
        *("seed-18446744073709551616", "seed-42-BF16", "seed-42-fp16", "seed-42-5gb-bf16", "seed-42-bf16-bf16"),
        *("seed-42-0kb", "seed-42-05gb", "seed-42-1000kb", "seed-42-50gb", "seed-42-1tb", "seed-42-5gib", "seed-٣"),
        *("refs/pr/1", "seed-" + "9" * 5000, "0" * 40, "x" * 40),
    ],
)
def test_no_other_spelling_is_one(text: str) -> None:
    assert MAIN.named(text) is None


@given(keys, revisions)
def test_a_commit_id_is_read_back(key: bytes, revision: Revision) -> None:
    commit = revision.commit(key)
    assert len(commit) == 40
    assert read_commit(commit) == (key, revision)


@given(st.binary(min_size=20, max_size=20))
def test_no_two_commit_ids_are_one_choice(raw: bytes) -> None:
    """A revision that is read from 40 digits has these digits as its commit id."""
    if found := read_commit(raw.hex()):
        key, revision = found
        assert revision.commit(key) == raw.hex()


@given(st.tuples(keys, revisions), st.tuples(keys, revisions))
def test_two_choices_never_share_a_commit_id(one: tuple[bytes, Revision], other: tuple[bytes, Revision]) -> None:
    assume(one != other)
    assert one[1].commit(one[0]) != other[1].commit(other[0])


@pytest.mark.parametrize(
    "text", ["", "0" * 39, "0" * 41, "0" * 40, "f" * 40, "A" * 40, Revision(1, "F32").commit(KEY)[:-1] + "g"]
)
def test_what_is_no_commit_id(text: str) -> None:
    assert read_commit(text) is None


RECIPE = {"tensors": {f"w{n}": {"shape": [16, 8], "scheme": "normal", "std": 0.02} for n in range(12)}}
CONFIG = b'{"dtype": "float32"}'


@given(revisions, revisions)
def test_tags_differ_whenever_bytes_do(one: Revision, other: Revision) -> None:
    """Files of two revisions have equal tags if and only if their bytes are equal."""
    contents = [Content(Template(rfc8785.dumps(TEMPLATES[place])), {"config.json": CONFIG}) for place in (0, 1)]
    tags: dict[str, bytes] = {}
    for content in contents:
        for revision in (one, other):
            snapshot = Snapshot(content, revision)
            for path in snapshot.paths:
                is_weights = snapshot.is_weights(path)
                file = generated(snapshot.layout(path)) if is_weights else snapshot.file(path)
                # The header determines all bytes after it.
                body = file.body if isinstance(file.body, bytes) else file.body.header
                assert tags.setdefault(file.tag, body) == body
                assert len(file.tag) == 40


TEMPLATES = [
    {"stream": "fanin/1", "seed": "0", "dtype": "F32", "tensors": RECIPE["tensors"]},
    {"stream": "fanin/1", "seed": "0", "dtype": "F32", "tensors": {**RECIPE["tensors"], "x": RECIPE["tensors"]["w0"]}},
]


def test_what_is_usual() -> None:
    assert USUAL.bytes == 5 * 10**9


def test_a_recipe_of_tables_is_large_and_its_refusals_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = {"a": {"shape": [400], "scheme": "rwkv_decay", "high": 1000.0}}
    text = json.dumps({"dtype": "F32", "tensors": tensors}).encode()
    put = Content.put({"recipe.json": text}, models.SETTINGS)
    stored = Content.stored(put.all)
    assert put.is_large
    assert stored.is_large
    assert put.template.work == stored.template.work
    assert not models.content().is_large
    read: list[Any] = []
    from_json = template.from_json
    monkeypatch.setattr(template, "from_json", lambda document: (read.append(1), from_json(document))[1])
    errors = set()
    for _ in range(3):
        with pytest.raises(RecipeError, match="F8_E4M3") as caught:
            put.template.typed("F8_E4M3")
        errors.add(str(caught.value))
    assert len(errors) == 1
    assert len(read) == 1
