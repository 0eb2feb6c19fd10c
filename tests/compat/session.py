"""A user's session with client and server, recorded at each release and replayed with every later one."""

from __future__ import annotations

import hashlib
import http.client
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import fanin

RECIPE: dict[str, Any] = {
    "seed": 7,
    "layout": "torch",
    "tensors": {
        "conv.weight": {"shape": [8, 4, 3, 3], "scheme": "he_normal"},
        "conv.bias": {"shape": [8], "scheme": "zeros"},
        "norm.weight": {"shape": [33], "scheme": "ones", "dtype": "F64"},
        "emb": {"shape": [101, 7], "scheme": "normal", "std": 0.02, "dtype": "BF16"},
        "head": {"shape": [7, 101], "scheme": "glorot_uniform", "dtype": "F16"},
        "é.quant": {"shape": [13, 11], "scheme": "truncated_normal", "std": 1, "dtype": "F8_E4M3"},
        "tiny": {"shape": [17], "scheme": "uniform", "low": -1, "high": 1, "dtype": "F8_E5M2"},
        "double": {"shape": [5, 9], "scheme": "truncated_normal", "std": 1, "low": 3, "high": 4, "dtype": "F64"},
        "scalar": {"shape": [], "scheme": "normal", "std": 1},
        "empty": {"shape": [0, 4], "scheme": "he_normal"},
    },
}
DIGEST = fanin.as_recipe(RECIPE).digest
FILE = f"/v1/recipes/{DIGEST}/model.safetensors"
ONE = "/v1/weights?shape=13,5&scheme=glorot_uniform&seed=42"
JSON = {"Content-Type": "application/json"}
CANONICAL = fanin.as_recipe(RECIPE).canonical


@dataclass(frozen=True)
class Request:
    """A request of no client in particular."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""


REQUESTS = [
    Request("GET", f"/v1/recipes/{'0' * 64}", {}),
    Request("POST", "/v1/recipes", JSON, CANONICAL),
    Request("POST", "/v1/recipes", JSON, b'{"tensors":{"a":{"shape":[2],"scheme":"none"}}}'),
    Request("POST", "/v1/recipes", JSON, b"{"),
    Request("POST", "/v1/recipes", {"Content-Type": "text/plain"}, CANONICAL),
    Request("GET", f"/v1/recipes/{DIGEST}", {}),
    Request("HEAD", f"/v1/recipes/{DIGEST}", {}),
    Request("GET", FILE, {}),
    Request("HEAD", FILE, {}),
    Request("GET", FILE, {"Range": "bytes=0-99"}),
    Request("GET", FILE, {"Range": "bytes=1001-"}),
    Request("GET", FILE, {"Range": "bytes=-17"}),
    Request("GET", FILE, {"Range": "bytes=0-1,4-5"}),
    Request("GET", FILE, {"Range": "bytes=999999-"}),
    Request("GET", FILE, {"If-None-Match": f'"{DIGEST}"'}),
    Request("GET", FILE, {"If-Match": '"other"'}),
    Request("GET", FILE, {"Range": "bytes=5-9", "If-Range": f'"{DIGEST}"'}),
    Request("GET", FILE, {"Range": "bytes=5-9", "If-Range": '"other"'}),
    Request("POST", "/v1/weights", JSON, CANONICAL),
    Request("POST", "/v1/weights", JSON, b'{"shape":[13,5],"scheme":"glorot_uniform","seed":42}'),
    Request("GET", ONE, {}),
    Request("HEAD", ONE, {}),
    Request("GET", ONE, {"Range": "bytes=8-"}),
    Request("GET", "/v1/weights?shape=13&scheme=glorot_uniform", {}),
    Request("GET", "/v1/schemes", {}),
    Request("GET", "/livez", {}),
    Request("GET", "/readyz", {}),
    Request("GET", "/nothing", {}),
    Request("DELETE", "/v1/recipes", {}),
]


def send(address: str, request: Request) -> tuple[int, dict[str, str], bytes]:
    """The response: status, headers by their names in lower case, body."""
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request(request.method, request.target, request.body or None, request.headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def use_client(url: str, folder: Path) -> dict[str, str]:
    """All that `fanin.Client` fetches; SHA-256 of what it gave."""
    results: dict[str, str] = {"digest": DIGEST}
    with fanin.Client(url, where="remote", verify="none") as client:
        client.save(RECIPE, folder / "saved")
        client.download(f"{url}{ONE}", folder / "downloaded")
        for name in ("saved", "downloaded"):
            results[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name, array in client.materialize(RECIPE).items():
            results[f"tensor {name}"] = _sha256(array)
        results["slice"] = _sha256(client.slice(RECIPE, "head", (slice(None, None, 2), slice(3, 40))))
        results["one"] = _sha256(client.tensor(RECIPE, "double"))
        results["registered"] = client.register(RECIPE)
        try:
            client.download(f"{url}/v1/recipes/{'0' * 64}/model.safetensors", folder / "none")
        except fanin.ServiceError as error:
            results["unknown"] = str(error.status)
    return results


def _sha256(array: np.ndarray[Any, Any]) -> str:
    shape = json.dumps([str(array.dtype), *array.shape])
    return hashlib.sha256(shape.encode() + array.tobytes()).hexdigest()
