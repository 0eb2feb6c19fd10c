"""All places list the same schemes: SPEC.md, vectors, README.md, /v1/schemes, fanin schemes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import PydanticUndefined

from fanin import as_recipe, catalogue
from fanin.cli.main import main
from fanin.schemes import ALIASES, SCHEMES
from fanin.schemes.base import Scaled, Tensor
from tests.support.servers import running

ROOT = Path(__file__).parents[2]
COMMON = set(Tensor.model_fields)
FANS = set(Scaled.model_fields) - COMMON


def rows() -> dict[str, tuple[set[str], str]]:
    """Return the aliases and the text of the parameters of each scheme in SPEC.md's tables."""
    text = (ROOT / "clients" / "SPEC.md").read_text("utf-8")
    found = {}
    for table in re.findall(r"^\| scheme[^\n]*\| parameters[^\n]*\n\|[-|]*\n((?:\|[^\n]*\n)+)", text, re.MULTILINE):
        for row in table.splitlines():
            names, parameters = re.split(r"(?<!\\)\|", row)[1:3]
            name, *aliases = re.findall(r"`(\w+)`", names)
            assert name not in found, f"{name} twice"
            found[name] = set(aliases), parameters
    return found


ROWS = rows()


def test_the_specification_has_each_scheme_once() -> None:
    assert set(ROWS) == set(SCHEMES)
    for name, (aliases, _) in ROWS.items():
        assert aliases == set(SCHEMES[name].names()[1:]), name


@pytest.mark.parametrize("name", list(SCHEMES))
def test_the_specification_has_its_parameters_and_defaults(name: str) -> None:
    cls, text = SCHEMES[name], ROWS[name][1]
    if text.strip().startswith("as `"):
        text = ROWS[re.findall(r"`(\w+)`", text)[0]][1]
    own = {field: info for field, info in cls.model_fields.items() if field not in COMMON}
    if issubclass(cls, Scaled):
        assert text.strip().startswith("fans"), "fans"
        own = {field: info for field, info in own.items() if field not in FANS}
    for field, info in own.items():
        found = re.search(rf"`{field}`[^`(,]*(?:\(([^)]*)\))?", text)
        assert found, field
        said = found[1]
        if info.default is PydanticUndefined:
            assert said is None, field
        else:
            assert said is not None, field
            default = [*info.default] if isinstance(info.default, tuple) else info.default
            assert json.loads(said.rpartition(";")[2].strip(" `")) == default, field
    named = set(re.findall(r"`(\w+)`", text))
    assert named - set(own) <= {str(value) for info in own.values() for value in [info.default]}, "others"


def _vectors() -> list[dict[str, Any]]:
    folder = ROOT / "clients" / "vectors"
    draws, schemes, matrices = (
        json.loads((folder / f"{name}.json").read_text("utf-8")) for name in ("draws", "schemes", "orthogonal")
    )
    found = [vector["tensor"] for vector in draws]
    found += [json.loads(vector["recipe"])["tensors"]["weight"] for vector in schemes]
    found += [vector["recipe"] for vector in matrices]
    later = [json.loads((folder / f"{name}.json").read_text("utf-8")) for name in ("integers", "newer", "quantized")]
    texts = [vector["canonical"] for vectors in later for vector in vectors if "canonical" in vector]
    found += [tensor for text in texts for tensor in json.loads(text)["tensors"].values()]
    for tensor in [*found]:
        found += tensor.get("parts", [])
        found += [inner for part in tensor.get("parts", []) for inner in part.get("parts", [])]
    return found


def test_vectors_have_each_scheme_with_each_of_its_parameters() -> None:
    """A vector has another value than the default: a client that forgets one fails. Fans have separate vectors."""
    given: dict[str, set[str]] = {name: set() for name in SCHEMES}
    for tensor in _vectors():
        name = ALIASES.get(tensor["scheme"], tensor["scheme"])
        given[name] |= set(tensor)
    missing = {
        name: set(cls.model_fields) - COMMON - FANS - given[name]
        for name, cls in SCHEMES.items()
        if name != "zeros"  # has none, and is in files.json
    }
    assert {name: fields for name, fields in missing.items() if fields} == {}


def test_the_service_and_the_command_tell_the_catalogue(capsys: pytest.CaptureFixture[str]) -> None:
    entries = json.loads(json.dumps(catalogue()))
    with running() as server:
        assert server.client.get("/v1/schemes").json() == entries
    assert main(["schemes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == entries
    assert main(["schemes"]) == 0
    listed = " ".join(capsys.readouterr().out.split())
    for entry in entries:
        also = f" also called {', '.join(entry['aliases'])}" if entry["aliases"] else ""
        assert f"{entry['scheme']} {' '.join(entry['formula'].split())}{also} " in listed


def test_readme_names_schemes_that_are_there() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    names = set(re.findall(r'"scheme": "(\w+)"', text)) | set(re.findall(r"[?&]scheme=(\w+)", text))
    assert names
    assert names <= set(SCHEMES) | set(ALIASES)


def test_every_alias_stands_for_its_scheme() -> None:
    examples = {ALIASES.get(tensor["scheme"], tensor["scheme"]): tensor for tensor in reversed(_vectors())}
    for alias, name in ALIASES.items():
        given = {"shape": [6, 4], **examples.get(name, {})}
        given.pop("size", None)
        assert as_recipe({**given, "scheme": alias}) == as_recipe({**given, "scheme": name}), alias
