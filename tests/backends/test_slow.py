"""Without the compiled backend, a user who did not select another one gets one warning."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from fanin.backends import ENVIRONMENT, SLOW

RECIPE = {"layout": "torch", "tensors": {"w": {"shape": [3, 4], "scheme": "he_normal"}}}
HIDDEN = """
import sys
from fanin import backends
from fanin.errors import NotBuiltError
def missing(matrix_bytes, fill_threads):
    raise NotBuiltError("hidden")
backends._FACTORIES["native"] = missing
"""
COMMAND = HIDDEN + "from fanin.cli.main import main; sys.exit(main(sys.argv[1:]))"
LIBRARY = HIDDEN + "import fanin\nfor _ in range(3): fanin.materialize({'shape': [3], 'scheme': 'zeros'})"
UNASKED = {name: value for name, value in os.environ.items() if name != ENVIRONMENT}


def told(code: str, *words: str, **environment: str) -> str:
    """Return the text on standard error."""
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, env=UNASKED | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_commands(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps(RECIPE))
    made = ["make", str(recipe), "-o", str(tmp_path / "file"), "-q"]
    assert told(COMMAND, *made) == f"fanin: {SLOW}\n"
    assert told(COMMAND, *made, "--backend", "reference") == ""
    assert told(COMMAND, *made, FANIN_BACKEND="reference") == ""


def test_the_library() -> None:
    said = told(LIBRARY)
    assert said.count(SLOW) == 1
    assert "RuntimeWarning" in said


def test_the_service() -> None:
    command = [sys.executable, "-c", COMMAND, "serve", "--port", "0"]
    with subprocess.Popen(command, env=UNASKED, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        try:
            lines = [process.stderr.readline() for _ in range(2)]
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
    assert "with the reference backend" in lines[0]
    assert f"Slow: {SLOW}" in lines[1]
