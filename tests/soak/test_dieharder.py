"""The words of streams, alone and interleaved, under dieharder. docs/statistics.md has the results."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from fanin.backends import native, philox
from fanin.recipe import STREAM
from fanin.streams import Key, Stream
from tests.soak.parts import DIEHARDER

HERE = Path(__file__).parent
CSRC = Path(native.__file__).with_name("csrc")
RAW_STDIN = ("-g", "200")
TESTS = 110
"""Minimum number of p-values of dieharder -a."""
MOST_WEAK = 8
"""A p-value below 0.005 or above 0.995 is WEAK: 1.1 of 114 expected, and 9 or more three times in a million."""


@dataclass(frozen=True)
class Verdict:
    """One line of dieharder's report."""

    test: str
    ntuple: int
    p: float
    assessment: str


def _keys(seeds: range, names: list[str]) -> list[Key]:
    return [Stream(STREAM, seed, name).key("main") for seed in seeds for name in names]


STREAMS = {
    "stream": _keys(range(1), ["weight"]),
    "names": _keys(range(1), [f"layers.{n}.weight" for n in range(1000)]),
    "seeds": _keys(range(1000), ["weight"]),
}
EACH = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.soak(f"dieharder-{name}")) for name in DIEHARDER]
)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generator of words."""
    program: Path = tmp_path_factory.mktemp("words") / "words"
    subprocess.run(["gcc", "-O3", f"-I{CSRC}", HERE / "words.c", "-o", program], check=True)
    return program


@EACH
def test_dieharder(words: Path, name: str) -> None:
    report = _dieharder(words, STREAMS[name], "-a", "-k", "1")
    weak = [verdict for verdict in report if verdict.assessment == "WEAK"]
    sys.stdout.write("".join(f"{name}: {verdict}\n" for verdict in weak))
    assert len(report) >= TESTS
    assert [verdict for verdict in report if verdict.assessment not in ("PASSED", "WEAK")] == []
    assert len(weak) <= MOST_WEAK


@EACH
def test_streams_are_interleaved(words: Path, name: str) -> None:
    """dieharder is fed what the keys say, and its report is understood."""
    keys = STREAMS[name]
    with _generating(words, keys) as generator:
        assert generator.stdout
        found = np.frombuffer(generator.stdout.read(4 * 8 * len(keys)), np.uint32).reshape(8, len(keys))
        generator.stdout.close()
    np.testing.assert_array_equal(found.T, [philox.words(key, 0, 8) for key in keys])
    (verdict,) = _dieharder(words, keys, "-d", "0")
    assert (verdict.test, verdict.assessment) == ("diehard_birthdays", "PASSED")


@pytest.mark.soak("dieharder-stream")
def test_a_poor_generator_fails() -> None:
    poor = (np.arange(1 << 25, dtype=np.uint32) * np.uint32(69069)).tobytes()
    report = _report(lambda command: subprocess.run(command, input=poor, stdout=subprocess.PIPE, check=True), "-d", "0")
    assert [verdict.assessment for verdict in report] == ["FAILED"]


def _generating(words: Path, keys: list[Key]) -> subprocess.Popen[bytes]:
    generator = subprocess.Popen([words], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert generator.stdin
    generator.stdin.write("".join(f"{' '.join(f'{word:08x}' for word in key)}\n" for key in keys).encode())
    generator.stdin.close()
    return generator


def _dieharder(words: Path, keys: list[Key], *options: str) -> list[Verdict]:
    """dieharder's verdicts on the interleaved words of these streams."""
    with _generating(words, keys) as generator:
        assert generator.stdout
        report = _report(
            lambda command: subprocess.run(command, stdin=generator.stdout, stdout=subprocess.PIPE, check=True),
            *options,
        )
        generator.stdout.close()  # which ends the generator
    return report


def _report(run: Callable[[list[str]], subprocess.CompletedProcess[bytes]], *options: str) -> list[Verdict]:
    text = run(["dieharder", *RAW_STDIN, *options]).stdout.decode()
    rows = [[cell.strip() for cell in line.split("|")] for line in text.splitlines()]
    return [
        Verdict(row[0], int(row[1]), float(row[4]), row[5])
        for row in rows
        if len(row) == 6 and row[5] in ("PASSED", "WEAK", "FAILED")
    ]
