"""Keras' own tests of its initializers, which its wheel has, run with `fanin.keras.initializers`; run by test_apart.py.

KERAS_BACKEND=jax python keras_own_tests.py; prints as JSON the names of the tests that ran, and of those that failed.
"""

from __future__ import annotations

import importlib
import json
import sys
import unittest
from types import ModuleType, SimpleNamespace
from typing import Any

import keras

import fanin.keras

MODULES = {
    "constant_initializers_test": "ConstantInitializersTest",
    "random_initializers_test": "RandomInitializersTest",
}


def main() -> None:
    ours = {name: getattr(fanin.keras.initializers, name) for name in fanin.keras.initializers.__all__}
    module: Any = ModuleType("conftest")  # stands for the one of Keras' repository
    module.skip_if_backend = lambda *_: lambda test: test
    sys.modules["conftest"] = module
    ran, failed = [], []
    for name, case in MODULES.items():
        tests: Any = importlib.import_module(f"keras.src.initializers.{name}")
        tests.initializers = SimpleNamespace(**{**vars(keras.src.initializers), **ours})
        suite = unittest.defaultTestLoader.loadTestsFromTestCase(getattr(tests, case))
        ran += [test.id().split(".")[-1] for test in suite]  # type: ignore[union-attr]
        result = unittest.TestResult()
        suite.run(result)
        failed += [test.id().split(".")[-1] for test, _ in (*result.failures, *result.errors)]
    print(json.dumps([sorted(ran), sorted(failed)]))


if __name__ == "__main__":
    main()
