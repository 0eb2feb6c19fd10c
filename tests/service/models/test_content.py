"""Named models: valid archives and their content."""

from __future__ import annotations

import json

import pytest

import fanin
from fanin import RecipeError
from fanin.file import archive
from fanin_service.models.content import Content
from fanin_service.models.errors import ModelError
from fanin_service.models.names import LONG_RULE, NEW_RULE, RULE, is_model, new_fault
from fanin_service.models.revisions import ShardSize
from fanin_service.models.snapshot import Snapshot
from tests.support.models import FILES, RECIPE, SETTINGS, content, snapshot


class TestContent:
    def test_spellings_of_one_model_are_one(self) -> None:
        other = {
            "tensors": {
                "norm.weight": {"scheme": "ones", "shape": [16], "dtype": "F32"},
                "fc.bias": {"shape": [64], "scheme": "zeros"},
                "fc.weight": {"shape": [64, 16], "scheme": "kaiming_normal", "layout": "torch"},
                "wte.weight": {"shape": [101, 16], "scheme": "normal_", "std": 0.02, "dialect": "torch"},
            },
            "seed": "7",
        }
        assert content(other).digest == content().digest
        assert content({**RECIPE, "seed": 8}).digest != content().digest
        assert content({**RECIPE, "dtype": "BF16"}).digest != content().digest
        assert content(files={}).digest != content().digest
        assert content(files={**FILES, "x": b""}).digest != content(files={**FILES, "y": b""}).digest

    def test_the_default_type_is_one_of_floats(self) -> None:
        """A revision chooses it, and a commit id has no place for further types."""
        counter = {"shape": [], "scheme": "zeros", "dtype": "I64"}
        with pytest.raises(RecipeError, match="/dtype: the default type of a model must be one of F64, F32"):
            content({"dtype": "I64", "tensors": {"counter": counter}}, {})
        found = content({**RECIPE, "tensors": {**RECIPE["tensors"], "counter": counter}}, {})
        assert {found.template.typed(dtype).tensors["counter"].dtype for dtype in ("BF16", "F64")} == {"I64"}

    def test_one_tensor(self) -> None:
        short = {"shape": [3, 4], "scheme": "he_normal", "dtype": "BF16", "seed": 3}
        found = content(short, {})
        assert (str(found.main), found.template.has_open_dtype) == ("seed-3-bf16-5gb", True)
        assert Snapshot(found, found.main).recipe == fanin.as_recipe(short)

    def test_repeated_names(self) -> None:
        tensor = {"shape": [4], "scheme": "ones"}
        written = {"a.0": tensor, "a.1": tensor, "b.0": {**tensor, "dtype": "F64"}, "b.1": {**tensor, "dtype": "F64"}}
        repeated = {"a.{0..1}": tensor, "b.{0..1}": {**tensor, "dtype": "F64"}}
        assert content({"tensors": {}, "repeated": repeated}).digest == content({"tensors": written}).digest

    def test_main_is_the_recipe_as_it_was_put(self) -> None:
        main = snapshot("main")
        assert main.recipe.canonical == fanin.as_recipe(RECIPE).canonical
        assert main.paths == ["config.json", "model.safetensors", "spiece.model", "tokenizer/vocab.txt"]
        assert main.layout("model.safetensors").header == fanin.FileLayout.of(RECIPE).header
        assert {path: main.given(path) for path in FILES} == FILES

    def test_what_is_kept_is_what_was_put(self) -> None:
        found = content()
        again = Content.stored(archive.unpack(archive.pack(found.all), 10))
        assert (again.digest, again.main) == (found.digest, found.main)
        assert Snapshot(again, again.main).recipe == Snapshot(found, found.main).recipe
        small = ShardSize(5, "kb")
        assert again.shards("F32", small) == found.shards("F32", small)

    @pytest.mark.parametrize(
        ("files", "words"),
        [
            ({}, "recipe.json: this file is required"),
            ({"recipe.json": b"{", "x": b""}, "not JSON"),
            ({"recipe.json": b" " * (9 << 20)}, "9437184 bytes; the limit is 8388608"),
            ({"config.json": b"["}, "config.json: not JSON"),
            ({"config.json": b" " * (1 << 20) + b"{}"}, "config.json: 1048578 bytes; the limit is 1048576"),
            ({"config.json": b"[]"}, "config.json: must be a JSON object"),
            ({"config.json": b'{"a":' * 100 + b"1" + b"}" * 100}, "config.json: nested more than 64 deep"),
            ({"config.json": b'{"a": "\\ud800"}'}, r"config.json: '\ud800' is half of a surrogate pair"),
            ({"config.json": b"[" * 100_000}, "config.json: not JSON"),
            ({"../x": b""}, "'../x': a file's name"),
            ({"/x": b""}, "'/x': a file's name"),
            ({"a//b": b""}, "'a//b': a file's name"),
            ({"a b": b""}, "'a b': a file's name"),
            ({"é": b""}, "a file's name"),
            ({"x" * 101: b""}, "a file's name"),
            ({"model.safetensors": b""}, "generated from the recipe"),
            ({"diffusion_pytorch_model-00001-of-00002.safetensors": b""}, "generated from the recipe"),
            ({"model-00001-of-00002.safetensors": b""}, "generated from the recipe"),
            ({"model.safetensors.index.json": b""}, "generated from the recipe"),
            ({"a": b"", "a/b": b""}, "'a': is both a file and a directory"),
            ({f"{n}": b"" for n in range(101)}, "101 files beside the recipe; the limit is 100"),
        ],
    )
    def test_what_cannot_be_kept(self, files: dict[str, bytes], words: str) -> None:
        recipe = {} if files == {} else {"recipe.json": json.dumps(RECIPE).encode()}
        with pytest.raises((ModelError, RecipeError)) as caught:
            Content.put({**recipe, **files}, SETTINGS)
        assert words in str(caught.value)
        assert "limit" not in words or str(caught.value).endswith(words)

    def test_names(self) -> None:
        good = ("gpt2", "me/tiny", "a.b_c-d/E.1", "_x/y_", "a" * 96 + "/" + "b" * 96)
        bad = (
            "",
            "/",
            "a/",
            "/a",
            "a/b/c",
            "a--b",
            "a..b",
            "-a",
            "a-",
            ".a",
            "a.",
            "a.git",
            "a b",
            "é",
            "a" * 97,
            "a\n",
        )
        assert [name for name in good if not is_model(name)] == []
        assert [name for name in bad if is_model(name)] == []
        assert [name for name in good if new_fault(name)] == []
        assert {new_fault(name) for name in bad} == {RULE}

    def test_names_that_no_directory_can_have(self) -> None:
        longest = "A" * 96 + "/" + "A" * 30 + "a"
        assert (new_fault(longest), new_fault(longest + "a")) == (None, LONG_RULE)

    def test_names_that_mean_something_about_another_model(self) -> None:
        verbs = ("auth-check", "commits", "paths-info", "raw", "refs", "resolve", "revision", "tree")
        revisions = ("main", "seed-0", "seed-42-bf16", "seed-42-5gb", "0123456789" * 4)
        assert {new_fault(f"me/{second}") for second in (*verbs, *revisions)} == {NEW_RULE}
        others = (*verbs, *revisions, "main/x", "tree/refs2", "me/seed-x", "me/mains", "me/seed-042")
        assert [name for name in others if new_fault(name)] == []
