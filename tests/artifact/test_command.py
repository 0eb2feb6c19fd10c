"""`fanin artifact`: its subcommands, output and exit codes."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

import fanin
from fanin.cli.main import main
from tests.support.checkpoints import FILES, RECIPE, files_of, made
from tests.support.servers import wait_for
from tests.support.signatures import write_key

DIGEST = fanin.as_recipe(RECIPE).digest


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    """Return the path of the recipe."""
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(RECIPE))
    return str(path)


def test_one_command(recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_bytes(FILES["config.json"])
    options = ["--shard-size", "10300", "--file", str(tmp_path / "config.json")]
    url = str(tmp_path / "made")
    for words in (["artifact", recipe, url], ["artifact", "make", recipe, url]):
        assert main([*words, *options]) == 0
        out = capsys.readouterr().out.splitlines()
        size = sum(len(each) for name, each in files_of(tmp_path / "made").items() if "done/" not in name)
        size -= len(files_of(tmp_path / "made")[".fanin/manifest.json"])
        assert out[-1] == f"{url}: complete, 7 files, {size} bytes, recipe {DIGEST}"
    made(tmp_path / "other", files={"config.json": FILES["config.json"]})
    assert files_of(tmp_path / "made") == files_of(tmp_path / "other")
    assert main(["artifact", recipe, url, "--quiet", *options]) == 0
    assert capsys.readouterr() == ("", "")


def test_the_last_part_completes_the_artifact(recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = str(tmp_path / "made")
    for part, last in (
        ("1/2", f"{url}: 2 of 3 items are missing: model-00001-of-00003.safetensors, model-00003-of-00003.safetensors"),
        ("0/2", f"{url}: complete, 6 files"),
        ("1/2", f"{url}: complete, 6 files"),
    ):
        assert main(["artifact", recipe, url, "--shard-size", "10300", "--part", part, "--finish"]) == 0
        assert capsys.readouterr().out.splitlines()[-1].startswith(last)
    made(tmp_path / "other", files={})
    assert files_of(tmp_path / "made") == files_of(tmp_path / "other")


def test_parts(recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    url = str(tmp_path / "made")
    assert main(["artifact", "begin", recipe, url, "--shard-size", "10300"]) == 0
    assert capsys.readouterr().out == f"{url}: begun, 3 items, 26.2 kB, recipe {DIGEST}\n"
    assert main(["artifact", "write", url, "--part", "0/2", "--threads", "1"]) == 0
    assert capsys.readouterr().out == f"{url}: part 0/2 is written, 2 items, 16.2 kB\n"
    assert main(["artifact", "status", url]) == 11
    shown = f"{url}: not complete, 2 of 3 items, 16.2 kB of 26.2 kB, format hf, recipe {DIGEST}\n"
    assert capsys.readouterr().out == shown
    assert main(["artifact", "finish", url]) == 11
    assert "1 of 3 items are missing: model-00002-of-00003.safetensors" in capsys.readouterr().err
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["artifact", recipe, url, "--shard-size", "10300", "--part", "auto", "-q"]) == 0
    assert main(["artifact", "finish", url]) == 0
    assert capsys.readouterr().out.startswith(f"{url}: complete, 6 files, ")
    assert main(["artifact", "status", url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "url": url,
        "recipe": DIGEST,
        "format": "hf",
        "items": 3,
        "items_done": 3,
        "bytes": 26_200,
        "bytes_done": 26_200,
        "is_complete": True,
    }


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["{recipe}", "{made}", "--seed", "3"], 10, "has another artifact: files is "),
        (["status", "{tmp}/nothing"], 10, "has no artifact"),
        (["{recipe}", "ftp://x"], 2, "ftp:// is not a kind of destination"),
        (["{recipe}", "{tmp}/new", "--part", "3/3"], 2, "part 3/3: a part is I/N"),
        (["{recipe}", "{tmp}/new", "--address", "auto"], 2, "--address is an option of the engine ray, not of threads"),
        (["{recipe}", "{recipe}/below"], 4, "Not a directory"),
        (["{recipe}", "{tmp}/new", "--file", "{tmp}/absent"], 4, "No such file"),
        (["{recipe}", "s3://bucket/x"], 8, "needs the package boto3, which is not installed"),
    ],
)
def test_errors(
    words: list[str],
    code: int,
    message: str,
    recipe: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made(tmp_path / "made")
    if code == 8:
        monkeypatch.setitem(__import__("sys").modules, "boto3", None)
        monkeypatch.delitem(__import__("sys").modules, "fanin.artifact.destinations.s3", raising=False)
    places = {"recipe": recipe, "made": str(tmp_path / "made"), "tmp": str(tmp_path)}
    assert main(["artifact", *(word.format(**places) for word in words)]) == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_verify(recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = str(tmp_path / "made")
    assert main(["artifact", recipe, url, "-q"]) == 0
    words = ["artifact", "verify", url]
    assert main(words) == 0
    assert f"as recipe {DIGEST} says; compared: every byte\n" in capsys.readouterr().out
    assert main([*words, "--read", "0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recipe"] == DIGEST
    assert main([*words, "--against", recipe]) == 0
    assert f"all as recipe {DIGEST} says\n" in capsys.readouterr().out
    for wrong, message in [
        (["--read", "2"], "read is a fraction from 0 to 1, not 2.0"),
        (["--contents", "none"], "--contents is an option of --key"),
        (["--read", "1", "--against", recipe], "--read is an option without --key and --against"),
        (["--part", "0/2", "--key", "public.pem"], "--part is an option without --key and --against"),
    ]:
        assert main([*words, *wrong]) == 2
        assert message in capsys.readouterr().err
    (tmp_path / "made" / "more").write_bytes(b"x")
    assert main(words) == 1
    assert "more is not a file of the artifact" in capsys.readouterr().err


def test_sign_and_verify(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = str(write_key(tmp_path / "key.pem", ec.generate_private_key(ec.SECP256R1()), "secret"))
    url = str(tmp_path / "made")
    assert main(["artifact", "begin", recipe, url]) == 0
    monkeypatch.setenv("FANIN_SIGNING_PASSPHRASE", "secret")
    assert main(["artifact", "sign", url, "--key", key]) == 11
    assert main(["artifact", recipe, url, "-q"]) == 0
    capsys.readouterr()
    assert main(["artifact", "sign", url, "--key", key, "--builder", "https://example.com/x"]) == 0
    name = hashlib.sha256(fanin.artifact.load_key(key).public_pem).hexdigest()
    out = capsys.readouterr().out
    assert out == f"{url}: signed, 5 files, recipe {DIGEST}, key {name}, builder https://example.com/x\n"
    assert main(["artifact", "sign", url, "--key", key, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "key": name,
        "files": 5,
        "recipe": DIGEST,
        "builder": "https://example.com/x",
        "is_new": False,
    }
    public = tmp_path / "public.pem"
    public.write_bytes(fanin.artifact.load_key(key).public_pem)
    words = ["artifact", "verify", url, "--key", str(public)]
    assert main([*words, "--against", recipe]) == 0
    out = capsys.readouterr().out
    assert out == f"{url}: as signed, 5 files, key {name}, recipe {DIGEST}, builder https://example.com/x\n"
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["key"], found["files"], found["provenance"]["recipe"]) == (name, 5, DIGEST)
    assert main([*words, "--against", '{"shape": [2], "scheme": "ones"}']) == 1
    assert f"the signed recipe is {DIGEST}; the expected one is " in capsys.readouterr().err
    (tmp_path / "made" / "more").write_bytes(b"x")
    assert main([*words, "--contents", "none"]) == 1
    assert "not signed, but in the artifact: more" in capsys.readouterr().err
    (tmp_path / "made" / "more").unlink()
    other = str(write_key(tmp_path / "other.pem", ec.generate_private_key(ec.SECP256R1())))
    assert main(["artifact", "sign", url, "--key", other]) == 1
    assert "fanin: model.sig exists. Nothing was replaced. model.sig: signed by the key" in capsys.readouterr().err
    monkeypatch.setenv("FANIN_SIGNING_PASSPHRASE", "wrong")
    assert main(["artifact", "sign", url, "--key", key]) == 2
    assert "the passphrase is wrong" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("package", "key", "message"),
    [
        ("cryptography", "key.pem", "needs the package cryptography, which is not installed; in a checkout of Fanin, "),
        ("pkcs11", "pkcs11:object=a?module-path=/m", "a pkcs11 URI needs the package python-pkcs11; in a checkout"),
    ],
)
def test_packages_of_signatures(tmp_path: Path, package: str, key: str, message: str) -> None:
    program = (
        "import sys; sys.modules[sys.argv[1]] = None; from fanin.cli.main import main;"
        " sys.exit(main(['artifact', 'sign', 'x', '--key', sys.argv[2]]))"
    )
    command = [sys.executable, "-c", program, package, key]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (ended.returncode, message in ended.stderr) == (8, True), ended.stderr


def test_wrong_usage(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in (
        (["artifact"], "COMMAND"),
        (["artifact", recipe], "the following arguments are required: URL"),
        (["artifact", recipe, "x", "--threads", "0"], "'0' is not an integer of at least 1"),
        (["artifact", recipe, "x", "--format", "onnx"], "invalid choice: 'onnx'"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main(words)
        assert message in capsys.readouterr().err


def test_a_command_that_is_ended_leaves_nothing_unfinished(tmp_path: Path) -> None:
    """SIGTERM, as a cluster sends it before it takes a machine away."""
    recipe = json.dumps({"tensors": {"large": {"shape": [1_000_000_000], "scheme": "normal", "std": 1}}})
    fanin.artifact.begin(recipe, tmp_path / "made")
    partial = tmp_path / "made" / ".fanin" / "partial"
    assert not any(partial.iterdir())
    command = [sys.executable, "-m", "fanin", "artifact", "write", str(tmp_path / "made")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            wait_for(lambda: any(partial.iterdir()))
            process.terminate()
            assert process.wait(60) == 143
        finally:
            process.kill()
    assert not any(partial.iterdir())
    assert not fanin.artifact.status(tmp_path / "made").items_done
