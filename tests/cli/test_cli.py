"""The command line: what it prints, what it leaves behind, and the exit codes that scripts rely on."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fanin
from fanin import MissingPackageError
from fanin.cli import commands, options, schemes
from fanin.cli.main import EXIT_CODES, FAULT, main, parser_of
from fanin.cli.slice import index_of
from fanin.dtypes import FLOATING
from fanin.schemes import SCHEMES
from tests.support.faulty import Faulty, refuse
from tests.support.samples import MIXED

ROOT = Path(__file__).parents[2]
DIGEST = fanin.as_recipe(MIXED).digest
SIZE = fanin.FileLayout.of(MIXED).size


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(MIXED))
    return path


@pytest.fixture
def service() -> Iterator[Faulty]:
    with Faulty() as faulty:
        yield faulty


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Any:
    def give(content: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(content))))  # type: ignore[arg-type]

    return give


def test_make_then_verify_then_show(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = tmp_path / "made.safetensors"
    assert main(["make", str(recipe), "-o", str(made)]) == 0
    assert capsys.readouterr() == (f"{made}: {len(MIXED['tensors'])} tensors, {SIZE} bytes, recipe {DIGEST}\n", "")
    assert main(["make", str(recipe), "--output", str(made), "--quiet"]) == 0
    assert main(["verify", str(made), "-q"]) == 0
    assert capsys.readouterr() == ("", "")
    assert main(["verify", str(made)]) == 0
    assert re.fullmatch(rf".* as recipe {DIGEST} says \([1-9][0-9.]* [kMG]?B/s, \w+\)\n", capsys.readouterr().out)
    assert main(["verify", "--json", str(made)]) == 0
    assert json.loads(capsys.readouterr().out)["recipe"] == DIGEST
    assert main(["show", str(made)]) == 0
    from_file = capsys.readouterr().out
    assert main(["show", str(recipe)]) == 0
    assert capsys.readouterr().out == from_file
    assert "N(0, 0.02^2)" in from_file
    assert "é.quant" in from_file


def test_show_for_programs(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "--json", str(recipe)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["digest"] == fanin.as_recipe(MIXED).digest
    assert document["tensors"]["conv.weight"]["fan_in"] == 36
    assert document["tensors"]["conv.weight"]["std"] == pytest.approx((2 / 36) ** 0.5)
    assert document["tensors"] == fanin.describe(MIXED)["tensors"]


def test_the_recipe_of_a_file_is_shown(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fanin.save(MIXED, tmp_path / "file")
    assert main(["show", "--recipe", str(tmp_path / "file")]) == 0
    assert fanin.as_recipe(capsys.readouterr().out).digest == DIGEST


def test_show_knows_a_file_whose_length_reads_as_a_brace(tmp_path: Path) -> None:
    for count in range(300, 600):
        recipe = {"tensors": {f"{n:04}" + "x" * 20: {"shape": [1], "scheme": "zeros"} for n in range(count)}}
        header = fanin.FileLayout.of(recipe).header
        if header[1:2] == b"{":
            break
    else:
        pytest.fail("no header of such a length")
    fanin.save(recipe, tmp_path / "f")
    assert main(["show", str(tmp_path / "f")]) == 0


def test_show_says_which_layout_was_assumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tensors = {
        "a": {"shape": [3, 4], "scheme": "he_normal"},
        "square": {"shape": [4, 4], "scheme": "he_normal"},
        "sum": {"shape": [3, 4], "scheme": "glorot_normal"},
        "given": {"shape": [3, 4], "scheme": "he_normal", "layout": "keras"},
        "axes": {"shape": [3, 4], "scheme": "he_normal", "in_axes": [0], "out_axes": [1]},
        "dialect": {"shape": [3, 4], "scheme": "HeNormal", "dialect": "keras"},
        "parts": {"shape": [3, 4], "scheme": "blocks", "parts": [{"size": 3, "scheme": "lecun_normal"}]},
        "matrix": {"shape": [3, 4, 2], "scheme": "orthogonal"},
        "plain": {"shape": [3, 4], "scheme": "normal", "std": 1.0},
    }
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps({"tensors": tensors}))
    assert main(["show", str(path)]) == 0
    assert "layout keras, (*k, in, out), assumed for a and 2 more: none is given\n" in capsys.readouterr().out
    assert main(["show", "--json", str(path)]) == 0
    assumed = {"layout": "keras", "tensors": ["a", "parts", "matrix"]}
    assert json.loads(capsys.readouterr().out)["assumed"] == assumed
    path.write_text(json.dumps({"layout": "keras", "tensors": tensors}))
    assert main(["show", str(path)]) == 0
    assert "assumed" not in capsys.readouterr().out


def test_names_that_the_terminal_cannot_show(recipe: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fanin", "show", str(recipe)]
    shown = subprocess.run(command, capture_output=True, check=True, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert b"\\xe9.quant" in shown.stdout


# ---- schemes --------------------------------------------------------------------------------------------------------


def test_schemes_lists_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schemes"]) == 0
    table = capsys.readouterr().out
    assert main(["schemes", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert entries == fanin.catalogue()
    assert all(entry["scheme"] in table for entry in entries)
    assert max(map(len, table.splitlines())) <= 100


@pytest.mark.parametrize("name", SCHEMES)
def test_a_scheme_is_explained_with_an_example_that_works(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (entry,) = (each for each in fanin.catalogue() if each["scheme"] == name)
    explained = schemes.explained(entry)
    words = " ".join(explained.split())
    assert " ".join(entry["formula"].split()) in words
    assert " ".join(entry["source"].split()) in words
    for parameter, schema in entry["parameters"].items():
        (line,) = re.findall(rf"^  {parameter} .*(?:\n {{10}} *\S.*)*", explained, re.MULTILINE)
        # The default of a long line is on one of the next.
        assert "default" in schema or "required" in line
    assert max(map(len, explained.splitlines())) <= 100
    example = re.sub(r"\n    ", " ", explained.partition("fanin show '")[2]).removesuffix("'")
    assert json.loads(example)["scheme"] == name
    assert main(["show", example]) == 0
    assert name in capsys.readouterr().out


def test_schemes_knows_other_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schemes", "kaiming_normal"]) == 0
    assert "negative_slope   a number from 0; default 0.0\n" in capsys.readouterr().out
    assert main(["schemes", "xavier_norml"]) == 2
    assert "did you mean xavier_normal" in capsys.readouterr().err
    assert main(["schemes", "HeNormal"]) == 2
    assert 'did you mean he_normal, or HeNormal with "dialect": "keras"?' in capsys.readouterr().err


# ---- input and output -----------------------------------------------------------------------------------------------


def test_a_recipe_on_standard_input_and_a_file_on_standard_output(tmp_path: Path) -> None:
    def piped(command: str, content: bytes) -> bytes:
        words = [sys.executable, "-m", "fanin", *command.split()]
        return subprocess.run(words, input=content, capture_output=True, check=True, cwd=tmp_path).stdout

    file = piped("make - -o -", json.dumps(MIXED).encode())
    assert len(file) == SIZE
    assert DIGEST in piped("verify -", file).decode()
    assert np.load(io.BytesIO(piped("slice - head 2,::-1 -o - -q", file)), allow_pickle=False).shape == (101,)


def test_standard_input_and_json_are_recipes(tmp_path: Path, stdin: Any) -> None:
    stdin(json.dumps(MIXED).encode())
    assert main(["make", "-", "-o", str(tmp_path / "one")]) == 0
    assert main(["make", json.dumps(MIXED), "-o", str(tmp_path / "two")]) == 0
    assert main(["make", str(tmp_path / "one"), "-o", str(tmp_path / "three")]) == 0
    assert len({(tmp_path / name).read_bytes() for name in ("one", "two", "three")}) == 1
    fanin.verify(tmp_path / "one")


def test_seed_and_dtype_replace_those_of_the_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = {"tensors": {"a": {"shape": [4], "scheme": "ones"}, "b": {"shape": [4], "scheme": "ones", "dtype": "F64"}}}
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(given))
    big = str(2**64 - 1)
    assert main(["show", str(path), "--json", "--seed", big, "--dtype", "BF16"]) == 0
    wanted = fanin.as_recipe({**given, "seed": big, "dtype": "BF16"})
    assert json.loads(capsys.readouterr().out)["digest"] == wanted.digest
    fanin.save(given, tmp_path / "file")
    assert main(["show", str(tmp_path / "file"), "--json", "--seed", "3"]) == 0
    assert json.loads(capsys.readouterr().out)["digest"] == fanin.as_recipe({**given, "seed": 3}).digest
    # Its header gives the type of each tensor.
    assert main(["show", str(tmp_path / "file"), "--dtype", "F16"]) == 2
    assert "the dtype F16 changes nothing" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["local", "remote"])
@pytest.mark.parametrize(
    ("name", "text", "index"),
    [
        ("head", "...", np.s_[...]),
        ("emb", "10:20,:3", np.s_[10:20, :3]),
        ("emb", "::-7, 2", np.s_[::-7, 2]),
        ("conv.weight", "0,...,-1", np.s_[0, ..., -1]),
    ],
)
def test_a_slice_is_a_numpy_file(
    recipe: Path, tmp_path: Path, service: Faulty, where: str, name: str, text: str, index: Any
) -> None:
    out = tmp_path / "part.npy"
    command = [
        "slice",
        str(recipe),
        name,
        text,
        "-o",
        str(out),
        "--where",
        where,
        "--service",
        service.url,
        "--verify=full",
    ]
    assert main(command) == 0
    wanted = fanin.materialize(MIXED)[name][index]
    np.testing.assert_array_equal(
        np.load(out, allow_pickle=False), wanted if name == "head" else wanted.astype(np.float32), strict=True
    )
    assert bool(service.requests) == (where == "remote")


@pytest.mark.parametrize("dtype", FLOATING)
def test_every_storage_type_has_a_slice_that_numpy_reads(tmp_path: Path, dtype: str) -> None:
    """Types of NumPy stay. The others become float32: a file with the type of F8_E5M2 cannot be read."""
    given = {"shape": [6], "scheme": "normal", "std": 0.4, "dtype": dtype}
    assert main(["slice", json.dumps(given), "weight", "-o", str(tmp_path / "a.npy")]) == 0
    values = fanin.materialize(given)["weight"]
    kept = FLOATING[dtype].numpy if dtype in ("F64", "C64", "F32", "F16") else np.float32
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy", allow_pickle=False), values.astype(kept), strict=True)


def test_a_slice_that_does_not_fit_into_memory_is_no_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = json.dumps({"shape": [2**30, 2**30], "scheme": "zeros"})  # four exabytes
    assert main(["slice", given, "weight", "-o", str(tmp_path / "a.npy")]) == 12
    message = capsys.readouterr().err
    assert message.startswith("fanin: Unable to allocate")
    assert message.count("\n") == 1

    def without_words(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("fanin.cli.slice.index_of", without_words)
    assert main(["slice", given, "weight", "-o", str(tmp_path / "a.npy")]) == 12
    assert capsys.readouterr().err == "fanin: there is not enough memory\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "a", "1.5", "1_0", "\u0663", "0:1:2:3", "0:x", "None", ":,,:"])
def test_what_is_not_an_index(text: str) -> None:
    with pytest.raises(ValueError, match="is not an integer, a slice"):
        index_of(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        *(("1", 1), ("1000000", 10**6), ("5GB", 5 * 10**9), ("1.5 kB", 1500), ("2MiB", 2 << 20), ("1tib", 1 << 40)),
        ("1.001kB", 1001),  # in float64 it would be 1000
    ],
)
def test_sizes(text: str, count: int) -> None:
    assert options.size(text) == count


@pytest.mark.parametrize("text", ["", "GB", "0", "-1", "5XB", "5G", "5 GB s", "1e9", "\u0663GB", "9" * 400])
def test_what_is_not_a_size(text: str) -> None:
    with pytest.raises(Exception, match="is not a size such as 5GB"):
        options.size(text)


# ---- services -------------------------------------------------------------------------------------------------------


def test_get_by_recipe_and_by_url(
    recipe: Path, tmp_path: Path, service: Faulty, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FANIN_SERVER", service.url)
    assert main(["get", str(recipe), "-o", str(tmp_path / "one"), "--verify", "full"]) == 0
    url = f"{service.url}/v1/recipes/{DIGEST}/model.safetensors"
    assert main(["get", url, "-o", str(tmp_path / "two"), "--verify=sample"]) == 0
    assert capsys.readouterr().out.count(f"{SIZE} bytes, recipe {DIGEST}\n") == 2
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    fanin.verify(tmp_path / "two")
    assert main(["get", url, "-o", str(tmp_path / "three"), "--seed", "1"]) == 2
    capsys.readouterr()
    command = ["get", str(recipe), "-o", str(tmp_path / "four"), "--where=auto", "--service", "http://127.0.0.1:9"]
    with_warning = subprocess.run([sys.executable, "-m", "fanin", *command], capture_output=True, text=True, check=True)
    assert with_warning.stderr.startswith("fanin: the service is not available")
    assert not (tmp_path / "three").exists()


# ---- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ("make a.json -o b --sead 3", "fanin make"),
        ("make a.json --out b", "fanin make"),
        ("serve --prot 8000", "fanin serve"),
        ("keys list --x", "fanin keys list"),
    ],
)
def test_unknown_arguments_get_the_usage_of_their_command(
    arguments: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments.split())
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"usage: {command} ")
    assert f"{command}: error: " in error


OUT = ["-o", "{out}"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["verify", "{damaged}"], 1, "differs"),
        (["verify", "{recipe}"], 2, "fanin make {recipe} -o FILE"),
        (["verify", "{garbage}"], 5, "not a safetensors file"),
        (["verify", "{missing}"], 4, "No such file"),
        (["make", "{bad}", *OUT], 3, "/scheme: unknown scheme"),
        (["make", "{missing}", *OUT], 4, "No such file"),
        (["make", "shape=784x10", *OUT], 2, 'a recipe is JSON, such as \'{{"shape": [784, 10]'),
        (["make", "http://127.0.0.1/x", *OUT], 2, "fanin get http://127.0.0.1/x"),
        (["make", "{recipe}", "-o", "{missing}/out"], 4, "No such file"),
        (["make", "{recipe}", *OUT, "--backend", "cray"], 9, "unknown backend"),
        (["make", "{recipe}", *OUT, "--dtype", "F33"], 3, "/dtype"),
        (["slice", "{recipe}", "nope", *OUT], 2, "no tensor nope; it has "),
        (["slice", "{recipe}", "emb", "1000", *OUT], 2, "1000"),
        (["slice", "{recipe}", "emb", "a", *OUT], 2, "index: 'a'"),
        (["get", "{recipe}", *OUT, "--service", "http://127.0.0.1:9", "--retries", "0"], 6, "127.0.0.1"),
        (["get", "{recipe}", *OUT, "--service", "http://[bad"], 2, "not a URL"),
        (["get", "{recipe}", *OUT, "--service", "http://127.0.0.1:9/v1"], 2, "so use http://127.0.0.1:9"),
        (["get", "{recipe}", *OUT, "--timeout", "0"], 2, "timeout"),
        (["get", "{recipe}", *OUT, "--token-file", "{missing}"], 4, "No such file"),
        (["push", "a/b", "{recipe}", "--service", "http://127.0.0.1:9", "--retries", "0"], 6, "127.0.0.1"),
        (["show", '{{"shape": ["784x10"], "scheme": "ones"}}'], 3, "sizes are separated by commas: 784,10"),
        (["show", "{bad}"], 3, "glorot_uniform"),
    ],
)
def test_exit_codes(
    arguments: list[str], code: int, words: str, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged, bad, garbage = tmp_path / "damaged", tmp_path / "bad.json", tmp_path / "garbage"
    fanin.save(MIXED, damaged)
    data = bytearray(damaged.read_bytes())
    data[-1] ^= 1
    damaged.write_bytes(data)
    bad.write_text('{"shape": [2, 2], "scheme": "glorot_uniformly"}')
    garbage.write_text("garbage, and no brace")
    places = {"recipe": recipe, "damaged": damaged, "bad": bad, "garbage": garbage}
    places |= {"out": tmp_path / "out", "missing": tmp_path / "none"}
    assert main([argument.format(**places) for argument in arguments]) == code
    output = capsys.readouterr()
    assert words.format(**places) in output.err
    assert output.err.startswith("fanin: ")
    assert output.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["recipe.json", "./recipe.json", "symbolic", "hard"])
@pytest.mark.parametrize(
    "command",
    [["make", "recipe.json"], ["slice", "recipe.json", "emb"], ["get", "recipe.json"], ["make", "-"]],
    ids=lambda command: "-".join(command[:2]),
)
def test_a_command_does_not_write_over_its_recipe(
    command: list[str],
    name: str,
    recipe: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`check_output` refuses a file that the command reads: by another path, by a link, and as standard input."""
    monkeypatch.chdir(recipe.parent)
    Path("symbolic").symlink_to(recipe)
    Path("hard").hardlink_to(recipe)
    before = recipe.read_bytes()
    with recipe.open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert main([*command, "-o", name]) == 2
    assert f"fanin: --output {Path(name)} would overwrite RECIPE {command[1]}" in capsys.readouterr().err
    assert recipe.read_bytes() == before
    assert Path("symbolic").is_symlink()


@pytest.mark.parametrize("option", ["--token-file", "--ca-certs", "--client-cert"])
def test_a_command_does_not_write_over_its_secrets(
    option: str, recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = recipe.with_name("secret")
    secret.write_text("a secret")
    key = [str(recipe.with_name("key"))] if option == "--client-cert" else []
    assert main(["get", str(recipe), option, str(secret), *key, "-o", str(secret)]) == 2
    assert f"would overwrite {option}" in capsys.readouterr().err
    assert secret.read_text() == "a secret"


def test_a_slice_is_written_completely_or_not_at_all(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = recipe.with_name("rows.npy")
    out.write_bytes(b"of an earlier run")

    def fail(file: Any, array: Any) -> None:
        file.write(b"the beginning")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", fail)
    assert main(["slice", str(recipe), "emb", "-o", str(out)]) == 4
    assert f"No space left on device: {str(out)!r}" in capsys.readouterr().err
    assert out.read_bytes() == b"of an earlier run"
    assert sorted(path.name for path in recipe.parent.iterdir()) == ["recipe.json", "rows.npy"]


@pytest.mark.parametrize(("status", "code"), [(403, 7), (422, 7), (503, 6), (429, 6)])
def test_refusals_of_the_service(recipe: Path, tmp_path: Path, service: Faulty, status: int, code: int) -> None:
    service.faults = [refuse(status)]
    command = ["get", str(recipe), "-o", str(tmp_path / "out"), "--service", service.url, "--retries", "0"]
    assert main(command) == code


def test_a_fault_of_the_program_is_not_a_difference(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python exits with 1 after an exception, as `verify` does for another byte."""
    monkeypatch.setattr("fanin.schemes.catalogue", lambda: 1 / 0)
    assert main(["schemes"]) == FAULT == 70
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_missing_package_is_8(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 8
    assert "needs the package shtab" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    monkeypatch.delitem(sys.modules, "fanin.client.async_transport", raising=False)
    with pytest.raises(MissingPackageError, match=r"pip install '\.\[async\]'"):
        fanin.AsyncClient("http://127.0.0.1:9")


@pytest.mark.parametrize(
    "arguments",
    [[], ["nope"], ["make"], ["get", "a", "-o", "b", "--verify=some"], ["make", "a", "-o", "b", "--seed=-1"]],
)
def test_wrong_usage_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: fanin" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_stop_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "big.json").write_text('{"shape": [100000, 100000], "scheme": "normal", "std": 1}')
    command = [sys.executable, "-m", "fanin", "make", "big.json", "-o", "big"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 300
        while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(number)
        assert process.wait(300) == 128 + number
    assert [path.name for path in tmp_path.iterdir()] == ["big.json"]


def test_an_interrupt_is_130_however_early() -> None:
    """The signal is pending when the program starts: a traceback of some import must not be the result."""

    # Mask and pending signals survive exec.
    program = (
        "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT]);"
        " os.kill(os.getpid(), signal.SIGINT); os.execv(sys.executable, [sys.executable, '-m', 'fanin', 'schemes'])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (found.returncode, found.stdout, found.stderr) == (130, b"", b"fanin: interrupted\n")


def test_an_interrupt_is_130_while_an_extension_is_imported(tmp_path: Path) -> None:
    """The C API of NumPy prints an interrupt and raises an ImportError in its place, as this module does."""
    (tmp_path / "ml_dtypes.py").write_text(
        "import os, signal, sys\n"
        "try:\n    os.kill(os.getpid(), signal.SIGINT)\n    sum(0 for _ in range(1000))\n"
        "except KeyboardInterrupt:\n    sys.excepthook(*sys.exc_info())\n"
        "raise ImportError('numpy._core.umath failed to import')\n"
    )
    command = [sys.executable, "-m", "fanin", "make", '{"shape": 1, "scheme": "zeros"}', "-o", tmp_path / "made"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    found = subprocess.run(command, capture_output=True, check=False, env=environment)
    assert (found.returncode, found.stdout, found.stderr) == (130, b"", b"fanin: interrupted\n")


def test_verify_reads_a_pipe_once(recipe: Path, tmp_path: Path) -> None:
    """To open a named pipe again would wait for another writer."""
    made = tmp_path / "made"
    assert main(["make", str(recipe), "-o", str(made), "-q"]) == 0
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen([sys.executable, "-m", "fanin", "verify", tmp_path / "pipe", "-q"]) as process:
        (tmp_path / "pipe").write_bytes(made.read_bytes())
        try:
            assert process.wait(120) == 0
        finally:
            process.kill()


def test_an_output_that_is_a_pipe_is_named(recipe: Path) -> None:
    command = f"'{sys.executable}' -m fanin make '{recipe}' -o /dev/stdout | cat"
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=False)
    assert (done.stdout, done.stderr) == (b"", b"fanin: [Errno 22] not a regular file: '/dev/stdout'\n")


def test_a_closed_pipe_is_not_an_error(recipe: Path) -> None:
    command = f"set -o pipefail; '{sys.executable}' -m fanin schemes --json | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"[\n", b"")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_the_parent_closed(recipe: Path, tmp_path: Path, closed: str) -> None:
    """A daemon or a cron job can start a command without standard streams."""
    command = f"exec '{sys.executable}' -m fanin make '{recipe}' -o '{tmp_path}/made' {closed}"
    assert subprocess.run(["bash", "-c", command], check=False).returncode == 0
    fanin.verify(tmp_path / "made")


def test_a_file_to_a_closed_output_is_refused(recipe: Path) -> None:
    command = f"exec '{sys.executable}' -m fanin make '{recipe}' -o - >&-"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "fanin: standard output is closed: use -o FILE, or a pipe\n")


def test_a_program_without_a_console_shows_no_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    fanin.save(MIXED, tmp_path / "made", progress=True)
    monkeypatch.undo()
    fanin.verify(tmp_path / "made")


def test_text_of_others_does_not_control_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "evil.json").write_text(json.dumps({"shape": [1], "scheme": "ones", "\x1b[31mred": 1}))
    assert main(["show", str(tmp_path / "evil.json")]) == 3
    assert "\x1b" not in capsys.readouterr().err


# ---- help and completion --------------------------------------------------------------------------------------------


def test_help_has_a_line_for_every_command_and_imports_none(capsys: pytest.CaptureFixture[str]) -> None:
    code = (
        "import sys; from fanin.cli.main import parser_of; print(parser_of(['--help']).format_help());"
        " print([name for name in ('numpy', 'pydantic', 'fastapi', 'torch', 'urllib3') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.endswith("[]\n")
    words = " ".join(told.split())
    assert {"serve", "keys", "bench", "compare"} < set(commands.available())
    for name, command in commands.available().items():
        assert f"{name} {command.summary}" in words


def test_the_same_option_has_one_meaning() -> None:
    """An option of several commands has the same names and the same metavar in each."""
    found: dict[str, set[tuple[Any, ...]]] = {}
    for name, parser in leaves(parser_of(None)):
        if name.startswith(("fanin serve", "fanin compare", "fanin bench", "fanin keys")):
            continue
        for action in parser._actions:
            for option in action.option_strings:
                metavar = "FILE" if action.metavar == "DIRECTORY" else action.metavar
                found.setdefault(option, set()).add((*action.option_strings, metavar))
    assert {option: kinds for option, kinds in found.items() if len(kinds) > 1} == {}
    assert found["-o"] == {("-o", "--output", "FILE")}


def leaves(parser: Any) -> Iterator[tuple[str, Any]]:
    """Every command without commands below it."""
    groups = [action for action in parser._actions if isinstance(action.choices, dict)]
    if not groups:
        yield parser.prog, parser
    for group in groups:
        for each in group.choices.values():
            yield from leaves(each)


def test_serve_comes_from_the_service(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["serve", "--help"])
    assert caught.value.code == 0
    assert "--max-recipe-bytes" in capsys.readouterr().out


def test_help_and_the_page_have_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    page = (ROOT / "docs" / "cli.md").read_text()
    for code in {0, *EXIT_CODES, FAULT, 130}:
        assert re.search(rf"[:;] {code} [a-z]", told), code
        assert re.search(rf"^\| {code} \|", page, re.MULTILINE), code
    for code, (_, meaning) in EXIT_CODES.items():
        assert f"| {code} | {meaning} |" in page


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_of_the_shell(shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for word in ("checkpoint", "shard-size", "verify", "max-recipe-bytes"):
        assert word in script
    if not shutil.which(shell):
        return
    (tmp_path / "script").write_text(script)
    subprocess.run([shell, "-n", tmp_path / "script"], check=True)
    if shell == "bash":
        commands_of = (
            f"source {tmp_path / 'script'}; COMP_WORDS=(fanin sch); COMP_CWORD=1; _shtab_fanin fanin sch fanin;"
            " echo ${COMPREPLY[@]}"
        )
        done = subprocess.run(["bash", "-c", commands_of], capture_output=True, text=True, check=True)
        assert done.stdout == "schemes\n"
