"""The public names: available, listed, and imported only at their first use."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import fanin


def test_every_name_is_there() -> None:
    for name in fanin.__all__:
        assert getattr(fanin, name) is not None
    importlib.import_module("fanin.client.coalesce")  # a module that is not public
    assert dir(fanin) == sorted([*fanin.__all__, "__version__"])
    assert fanin.__version__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = fanin.nothing


def test_importing_imports_nothing_that_takes_time() -> None:
    code = "import sys, fanin; print({'numpy', 'pydantic', 'urllib3', 'ml_dtypes'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


@pytest.mark.parametrize("module", ["", "artifact", "torch"])
def test_type_checkers_reject_a_name_that_is_absent(module: str) -> None:
    """A module with a function `__getattr__` that they see has every name."""
    file = Path(fanin.__file__).parent / module / "__init__.py"
    functions = [node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)]
    assert "__getattr__" not in functions


def test_a_name_is_found_by_any_road() -> None:
    code = (
        "import fanin; assert fanin.backends.get('reference').name == 'reference';"
        "from fanin import FileLayout, materialize; from fanin.file import layout;"
        "assert FileLayout is layout.FileLayout;"
        "assert materialize({'shape': [2], 'scheme': 'ones'})['weight'].tolist() == [1, 1]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_adapter_is_imported_when_it_is_named() -> None:
    assert fanin.__getattr__("torch") is importlib.import_module("fanin.torch")


def test_an_adapter_without_its_framework_names_it() -> None:
    code = "import sys, fanin; sys.modules['jax'] = None; print(hasattr(fanin, 'jax')); fanin.jax"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (found.stdout, found.returncode) == ("False\n", 1)
    assert "AttributeError: fanin.jax needs the package jax, which is not installed" in found.stderr
