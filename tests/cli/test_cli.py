"""The command line: what it prints, what it leaves behind, and the exit codes that scripts rely on."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import fanin
from fanin.cli.main import EXIT_CODES, main
from tests.support.faulty import Faulty, refuse
from tests.support.samples import MIXED


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(MIXED))
    return path


@pytest.fixture
def service() -> Iterator[Faulty]:
    with Faulty() as faulty:
        yield faulty


def test_make_then_verify_then_show(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = tmp_path / "made.safetensors"
    assert main(["make", str(recipe), str(made)]) == 0
    assert capsys.readouterr() == ("", "")
    assert main(["verify", str(made)]) == 0
    assert fanin.as_recipe(MIXED).digest in capsys.readouterr().out
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


def test_names_that_the_terminal_has_not(recipe: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fanin", "show", str(recipe)]
    shown = subprocess.run(command, capture_output=True, check=True, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert b"\\xe9.quant" in shown.stdout


def test_schemes_lists_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schemes"]) == 0
    table = capsys.readouterr().out
    assert main(["schemes", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert entries == fanin.catalogue()
    assert all(entry["scheme"] in table for entry in entries)


def test_a_recipe_on_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(json.dumps(MIXED).encode()))))
    assert main(["make", "-", str(tmp_path / "made")]) == 0
    fanin.verify(tmp_path / "made")


def test_get_by_recipe_and_by_url(recipe: Path, tmp_path: Path, service: Faulty) -> None:
    assert main(["get", str(recipe), str(tmp_path / "one"), "--verify", "full", "--server", service.url]) == 0
    url = f"{service.url}/v1/recipes/{fanin.as_recipe(MIXED).digest}/model.safetensors"
    assert main(["get", url, str(tmp_path / "two"), "--verify=sample"]) == 0
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    fanin.verify(tmp_path / "two")


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ("make a.json b --seed 3", "fanin make"),
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
    assert f"{command}: error: unrecognized arguments: --" in error


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["verify", "{damaged}"], 1, "differs"),
        (["verify", "{recipe}"], 1, "not a safetensors file"),
        (["verify", "{missing}"], 4, "No such file"),
        (["make", "{bad}", "{out}"], 2, "/scheme: unknown scheme"),
        (["make", "{missing}", "{out}"], 4, "No such file"),
        (["make", "{recipe}", "{missing}/out"], 4, "No such file"),
        (["make", "{recipe}", "{out}", "--backend", "cray"], 3, "unknown backend"),
        (["get", "{recipe}", "{out}", "--server", "http://127.0.0.1:9", "--retries", "0"], 3, "127.0.0.1"),
        (["show", "{bad}"], 2, "glorot_uniform"),
        (["get", "{recipe}", "{out}", "--server", "http://[bad"], 2, "not a URL"),
        (["get", "{recipe}", "{out}", "--timeout", "0"], 2, "timeout"),
    ],
)
def test_exit_codes(
    arguments: list[str],
    code: int,
    words: str,
    recipe: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damaged, bad = tmp_path / "damaged", tmp_path / "bad.json"
    fanin.save(MIXED, damaged)
    data = bytearray(damaged.read_bytes())
    data[-1] ^= 1
    damaged.write_bytes(data)
    bad.write_text('{"shape": [2, 2], "scheme": "glorot_uniformly"}')
    places = {"recipe": recipe, "damaged": damaged, "bad": bad, "out": tmp_path / "out", "missing": tmp_path / "none"}
    assert main([argument.format(**places) for argument in arguments]) == code
    output = capsys.readouterr()
    assert words in output.err
    assert output.err.startswith("fanin: ")
    assert not (tmp_path / "out").exists()


def test_a_refusal_of_the_service_is_3(recipe: Path, tmp_path: Path, service: Faulty) -> None:
    service.faults = [refuse(403)]
    assert main(["get", str(recipe), str(tmp_path / "out"), "--server", service.url]) == 3


@pytest.mark.parametrize("arguments", [[], ["nope"], ["make"], ["get", "a", "b", "--verify=some"]])
def test_wrong_usage_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: fanin" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_told_to_stop_it_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "big.json").write_text('{"shape": [100000, 100000], "scheme": "normal", "std": 1}')
    command = [sys.executable, "-m", "fanin", "make", "big.json", "big"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(number)
        assert process.wait(30) == 128 + number
    assert [path.name for path in tmp_path.iterdir()] == ["big.json"]


def test_an_interrupt_is_130_however_early(tmp_path: Path) -> None:
    """The signal is pending when the program starts: a traceback of some import must not be the answer."""

    def interrupted() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        os.kill(os.getpid(), signal.SIGINT)

    found = subprocess.run([sys.executable, "-m", "fanin", "schemes"], capture_output=True, preexec_fn=interrupted)
    assert (found.returncode, found.stdout, found.stderr) == (130, b"", b"fanin: interrupted\n")


def test_what_others_wrote_does_not_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "evil.json").write_text(json.dumps({"shape": [1], "scheme": "ones", "\x1b[31mred": 1}))
    assert main(["show", str(tmp_path / "evil.json")]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_a_file_of_fanin_is_a_recipe_too(recipe: Path, tmp_path: Path) -> None:
    assert main(["make", str(recipe), str(tmp_path / "one")]) == 0
    assert main(["make", str(tmp_path / "one"), str(tmp_path / "two")]) == 0
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_serve_comes_from_the_service(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["serve", "--help"])
    assert caught.value.code == 0
    assert "--max-recipe-bytes" in capsys.readouterr().out


def test_help_has_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    for code in {0, *EXIT_CODES.values()}:
        assert re.search(rf"[:;] {code} [a-z]", told), code
