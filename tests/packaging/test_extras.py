"""The command line where no optional dependency is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("without_extras.py")
COMMANDS = (
    "get",
    "push",
    "make",
    "verify",
    "show",
    "schemes",
    "slice",
    "completion",
    "serve",
    "bench",
    "compare",
    "keys",
    "recipe",
    "checkpoint",
)
ADAPTERS = (
    "import fanin.jax",
    "import fanin.keras",
    "import fanin.mlx",
    "from fanin.torch import init_",
    "from fanin.torch import initializers",
)
NEEDS = {
    ("serve", "--port", "0"): "service",
    ("compare", "--quick"): "compare",
    ("checkpoint", "recipe", "recipe.json", "-o", "out"): "torch",
    ("recipe", "torch", "json:dumps"): "torch",
    ("completion", "fish"): "completion",
    ("bench", "--plot", "chart.png", "--only", "native"): "bench",
}
OPTIONS = {"compare": "--depths", "checkpoint": "recipe", "bench": "--seconds"}


def test_help_and_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text('{"tensors": {}}')
    asked = [*((name, "--help") for name in COMMANDS), *NEEDS, ("make", "recipe.json", "-o", "out.safetensors")]
    run = subprocess.run(
        [sys.executable, SCRIPT], input=json.dumps(asked), cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=True
    )
    told = dict(zip(asked, json.loads(run.stdout), strict=True))
    for name in COMMANDS:
        code, out, err = told[name, "--help"]
        assert (name, code, err) == (name, 0, "")
        assert out.startswith(f"usage: fanin {name}")
        assert OPTIONS.get(name, "") in out
    for words, extra in NEEDS.items():
        code, _, err = told[words]
        assert code == 8, words
        assert err.startswith("fanin: ")
        assert f"pip install '.[{extra}]'" in err
        assert err.count("\n") == 1
    assert told["make", "recipe.json", "-o", "out.safetensors"][0] == 0, "what needs none of them works"


def test_adapters_say_what_is_missing() -> None:
    code = f"""
from tests.packaging.without_extras import block
block()
for statement in {ADAPTERS}:
    try:
        exec(statement)
    except ModuleNotFoundError as error:
        print(error.name, error)
try:
    import fanin
    fanin.jax
except AttributeError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    lines = run.stdout.splitlines()
    for name, line in zip(("jax", "keras", "mlx", "torch", "torch"), lines, strict=False):
        words = f"{name} fanin.{name} needs the package {name}, which is not installed; in a checkout of Fanin, run:"
        assert line == f"{words} pip install '.[{name}]'"
    assert lines[5:] == [lines[0].removeprefix("jax ")]
