"""Clients that unmodified generators create from the OpenAPI document are complete, and get the right bytes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest

import fanin
from fanin import backends
from fanin.file import archive
from fanin.file.plan import read_into
from tests.support.servers import Running

RECIPE = {"seed": 1, "layout": "torch", "tensors": {"fc.weight": {"shape": [4, 3], "scheme": "he_normal"}}}
ONE = {"shape": [3, 4], "scheme": "xavier_uniform", "seed": 5}
QUERY = {"shape": [7, 10], "dialect": "torch", "scheme": "kaiming_normal_", "seed": 7}

OPENAPI_PYTHON_CLIENT = """
from fanin_client import Client
from fanin_client.api.models import get_model, put_model
from fanin_client.api.recipes import get_recipe, post_recipe
from fanin_client.api.weights import get_file, get_weights, post_weights
from fanin_client.models import GetWeightsDialect, OneGlorotUniform, Recipe
from fanin_client.types import File

client = Client(url)
dialect = GetWeightsDialect(query.pop("dialect"))
show(get_weights.sync_detailed(client=client, dialect=dialect, **query).content)
show(post_weights.sync_detailed(client=client, body=OneGlorotUniform.from_dict(one)).content)
digest = post_recipe.sync(client=client, body=Recipe.from_dict(recipe)).digest
show(get_file.sync_detailed(digest, client=client).content)
assert get_recipe.sync(digest, client=client).parameters == 12
put_model.sync(name, client=client, body=File(io.BytesIO(model)))
assert get_model.sync(name, client=client).parameters == 12
"""

OPENAPI_GENERATOR = """
from openapi_client import ApiClient, Configuration, ModelsApi, RecipesApi, WeightsApi
from openapi_client import OneGlorotUniform, OneTensor, PostWeightsRequest, Recipe

client = ApiClient(Configuration(host=url))
weights, recipes, models = WeightsApi(client), RecipesApi(client), ModelsApi(client)
show(weights.get_weights(**query))
show(weights.post_weights(PostWeightsRequest(OneTensor(OneGlorotUniform.from_dict(one)))))
digest = recipes.post_recipe(PostWeightsRequest(Recipe.from_dict(recipe))).digest
show(weights.get_file(digest))
assert recipes.get_recipe(digest).parameters == 12
models.put_model(name, model)
assert models.get_model(name).parameters == 12
"""

BEFORE = """
import base64, hashlib, io, json, sys

url, name, query, one, recipe = sys.argv[1], sys.argv[2], *map(json.loads, sys.argv[3:6])
model = base64.b64decode(sys.argv[6])

def show(content):
    print(hashlib.sha256(content).hexdigest())
"""


GENERATORS = {
    "openapi-python-client": (("generate", "--path", "{document}", "--output-path", "{made}"), OPENAPI_PYTHON_CLIENT),
    "openapi-generator-cli": (("generate", "-g", "python", "-i", "{document}", "-o", "{made}"), OPENAPI_GENERATOR),
}


@pytest.mark.parametrize("generator", GENERATORS)
def test_generated_client(generator: str, server: Running, tmp_path: Path) -> None:
    """Every operation is generated, and a program that uses the client gets the library's bytes."""
    options, program = GENERATORS[generator]
    document, made = tmp_path / "openapi.json", tmp_path / "made"
    document.write_bytes(server.client.get("/openapi.json").content)
    tools = Path(sys.executable).parent
    command = [str(tools / generator), *(each.format(document=document, made=made) for each in options)]
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": str(made)}
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=600)
    sources = "".join(f"{path.stem} {path.read_text()}" for path in made.rglob("*.py"))
    for operations in json.loads(document.read_text())["paths"].values():
        for operation in operations.values():
            assert operation["operationId"] in sources

    model = archive.pack({"recipe.json": json.dumps(RECIPE).encode()})
    given = [json.dumps(QUERY), json.dumps(ONE), json.dumps(RECIPE), b64encode(model).decode()]
    name = f"generated/{generator}"
    code = [sys.executable, "-c", BEFORE + program, server.url, name, *given]
    found = subprocess.run(code, env=environment, capture_output=True, text=True, timeout=600)
    assert found.returncode == 0, found.stderr
    expected = [fanin.FileLayout.of(each) for each in (QUERY, ONE, RECIPE)]
    assert found.stdout.split() == [hashlib.sha256(whole(each)).hexdigest() for each in expected]


def whole(layout: fanin.FileLayout) -> bytes:
    content = bytearray(layout.size)
    read_into(layout, 0, memoryview(content), backends.get())
    return bytes(content)
