"""Cost of large recipes: of 100,000 tensors and of the largest open models, in the library and in a service.

    python -m tests.bench.growth [--only PART ...] [--repeats 3] [--json FILE]

Times of the library are CPU seconds of its thread, medians of repeats in separate processes. Times of the service are
seconds until the first byte of a response, and CPU seconds of the event loop meanwhile. Takes about a minute.
"""

from __future__ import annotations

import gc
import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fanin import FileLayout, as_recipe
from fanin.file import archive
from fanin_service.settings import Settings
from tests.bench import command
from tests.support.processes import memory
from tests.support.servers import Running, running

EXAMPLES = Path(__file__).parents[2] / "docs/examples"
FRONTIER = ("deepseek-v3", "kimi-k2", "llama-3.1-405b", "gpt-oss-120b")
TENSORS = 100_000
SPEC = {"shape": [4096, 1024], "scheme": "he_normal", "dtype": "BF16"}
Request = tuple[str, str, dict[str, str]]
"""Method, path and headers."""
TABLES: dict[str, tuple[str, ...]] = {
    "recipes": (
        "recipe", "tensors", "bytes", "`json.loads`", "`as_recipe`", "layout", "header", "digest", "a name",
        "all / `json.loads`", "bytes a tensor",
    ),
    "service": ("recipe", "request", "seconds", "event loop, seconds"),
}  # fmt: skip


def written_out() -> str:
    """Return a recipe of many tensors, each with its own text."""
    names = (f"model.layers.{n // 800}.mlp.experts.{n % 800}.down_proj.weight" for n in range(TENSORS))
    return json.dumps({"seed": 1, "layout": "torch", "tensors": dict.fromkeys(names, SPEC)})


def one_line() -> str:
    """Return a recipe of the experts of DeepSeek-V3, in one line."""
    name = "model.layers.{3..60}.mlp.experts.{0..255}.w{1..3}.weight"
    return json.dumps({"seed": 1, "layout": "torch", "tensors": {}, "repeated": {name: SPEC}})


def texts() -> dict[str, str]:
    """Return the recipes as JSON, by name."""
    largest = {name: (EXAMPLES / f"{name}.json").read_text() for name in FRONTIER}
    return {"written out": written_out(), "one line": one_line(), **largest}


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the CPU seconds of this thread, and the result."""
    gc.collect()
    started = time.thread_time()
    result = work()
    return time.thread_time() - started, result


def measured(text: str) -> dict[str, float]:
    """Return the seconds of each step and the memory of one recipe. Runs in a new process."""
    as_recipe({"tensors": {f"{n}": {"shape": [n, 3], "scheme": "he_normal"} for n in range(1, 100)}})  # imports
    found: dict[str, float] = {"bytes": len(text)}
    found["json"] = timed(lambda: json.loads(text))[0]
    before = memory()
    found["as_recipe"], recipe = timed(lambda: as_recipe(text))
    found["layout"], layout = timed(lambda: FileLayout.of(recipe))
    found["header"] = timed(lambda: layout.header)[0]
    found["digest"] = timed(lambda: recipe.digest)[0]
    found["name"] = timed(lambda: layout.entry(layout.entries.names[-1]))[0]
    gc.collect()
    found["tensors"] = len(recipe.tensors)
    found["memory"] = (memory() - before) / len(recipe.tensors)
    return found


def recipes(repeats: int) -> list[list[str]]:
    """Return the rows of recipes."""
    rows = []
    for name, text in texts().items():
        runs = []
        for _ in range(repeats):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                runs.append(pool.submit(measured, text).result())
        found = {field: statistics.median(run[field] for run in runs) for field in runs[0]}
        steps = [found[step] for step in ("json", "as_recipe", "layout", "header", "digest", "name")]
        rows.append(
            [
                name,
                f"{found['tensors']:,.0f}",
                f"{found['bytes']:,.0f}",
                *(f"{step:.4f}" for step in steps),
                f"{sum(steps[1:]) / steps[0]:.1f}" if found["json"] > 0.01 else "",
                f"{found['memory']:,.0f}",
            ]
        )
    return rows


def busy(server: Running) -> float:
    """Return the CPU seconds of a server's event loop, read in its own thread."""
    found: Future[float] = Future()
    server.server.servers[0].get_loop().call_soon_threadsafe(lambda: found.set_result(time.thread_time()))
    return found.result()


def asked(server: Running, method: str, path: str, headers: dict[str, str]) -> tuple[float, float]:
    """Return the seconds until the first byte of the response, and those of the event loop."""
    before, started = busy(server), time.perf_counter()
    with server.client.stream(method, path, headers=headers, follow_redirects=True) as response:
        assert response.status_code in (200, 206), (path, response.status_code, response.read())
        next(response.iter_raw(1), b"")
        seconds = time.perf_counter() - started
    return seconds, busy(server) - before


def stored(server: Running, name: str, text: str, repeats: int) -> dict[str, list[Request]]:
    """Give a recipe to the service, and return requests for its files, by what they are."""
    answer = server.client.post("/v1/recipes", content=text, headers={"Content-Type": "application/json"})
    packed = archive.pack({"recipe.json": text.encode()})
    put = server.client.put(f"/v1/models/me/{name}", content=packed, headers={"Content-Type": archive.MEDIA_TYPE})
    assert answer.status_code == put.status_code == 201, (answer.text, put.text)
    path, middle = f"/v1/recipes/{answer.json()['digest']}/model.safetensors", answer.json()["size"] // 2
    part = {"Range": f"bytes={middle}-{middle + (1 << 20) - 1}"}
    listing = server.client.get(f"/hf/api/models/me/{name}/tree/main").json()
    file = [entry["path"] for entry in listing if entry["path"].endswith(".safetensors")][-1]
    return {
        "HEAD": [("HEAD", path, {})] * repeats,
        "first byte": [("GET", path, {"Range": "bytes=0-0"})] * repeats,
        "1 MiB from the middle": [("GET", path, part)] * repeats,
        "HEAD of a file of the Hub, each time of another seed": [
            ("HEAD", f"/hf/me/{name}/resolve/seed-{n}/{file}", {}) for n in range(100, 100 + repeats)
        ],
        "Hub's list of files, each time of another seed": [
            ("GET", f"/hf/api/models/me/{name}/tree/seed-{n}", {}) for n in range(200, 200 + repeats)
        ],
        "S3's list of files, each time of another seed": [
            ("GET", f"/s3/models?list-type=2&prefix=me/{name}/seed-{n}/", {}) for n in range(300, 300 + repeats)
        ],
    }


def service(repeats: int) -> list[list[str]]:
    """Return the rows of the service."""
    rows, files = [], {}
    with TemporaryDirectory() as directory:
        settings = Settings(max_file_bytes=1 << 50, max_recipe_bytes=32 << 20, recipe_store=Path(directory))
        with running(settings) as server:
            for name, text in texts().items():
                asks = stored(server, name.replace(" ", "-"), text, repeats)
                files[name] = asks["HEAD"][0]
                rows += [row(server, name, what, requests) for what, requests in asks.items()]
        # Another process, or this one after a restart, finds the canonical texts on disk.
        with running(settings) as server:
            rows += [row(server, name, "HEAD, from the recipe store", [file]) for name, file in files.items()]
    return rows


def row(server: Running, name: str, what: str, requests: list[Request]) -> list[str]:
    """Return the medians of these requests."""
    seconds, loop = (statistics.median(each) for each in zip(*(asked(server, *each) for each in requests), strict=True))
    return [name, what, f"{seconds:.4f}", f"{loop:.4f}"]


def main() -> None:
    chosen, report = command.parser(__doc__, tuple(TABLES), 3).parse_args(), command.Report()
    for name, rows in (("recipes", recipes), ("service", service)):
        if name in chosen.only:
            head = TABLES[name]
            report.add(f"| {' | '.join(head)} |\n| {' | '.join(['---'] * len(head))} |")
            for line in rows(chosen.repeats):
                report.add(f"| {' | '.join(line)} |", table=name, **dict(zip(head, line, strict=True)))
            report.add("")
    report.write(chosen.json)


if __name__ == "__main__":
    main()
