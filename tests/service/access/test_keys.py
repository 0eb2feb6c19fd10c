"""The command `fanin keys` and its file."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fanin.cli.main import main
from fanin_service.access import keys
from fanin_service.access.scopes import Right


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "keys.json"
    monkeypatch.setenv("FANIN_KEYS_FILE", str(path))
    return path


def test_create_list_revoke(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = "keys create --name ci --scope weights:read models:write:me/* --expires 12h --bytes-per-day 1TB"
    assert main(command.split()) == 0
    told = capsys.readouterr()
    key = told.out.strip()
    assert key not in told.err
    assert "weights:read" in told.err
    (record,) = keys.read(path)
    assert (record.name, record.bytes_per_day) == ("ci", 10**12)
    assert record.scopes == (Right.WEIGHTS_READ, "models:write:me/*")
    assert record.sha256 == hashlib.sha256(key.encode()).hexdigest()
    assert record.expires
    assert timedelta(hours=11) < record.expires - datetime.now(UTC) <= timedelta(hours=12)
    principal = keys.KeyRing(path).principal(key)
    assert (principal.id, principal.name, principal.method) == (f"key:{record.id}", "ci", "key")
    assert (principal.scopes, principal.bytes_per_day) == (set(record.scopes), 10**12)

    assert main(["keys", "create", "--name", "other", "--expires", "never"]) == 0
    other = capsys.readouterr().out.strip()
    assert main(["keys", "list"]) == 0
    table = capsys.readouterr().out
    assert len(table.splitlines()) == 4
    assert main(["keys", "list", "--json"]) == 0
    listed = capsys.readouterr().out
    assert [each["state"] for each in json.loads(listed)] == ["active", "active"]
    assert main(["keys", "revoke", "ci"]) == 0
    told = capsys.readouterr()
    for text in (table, listed, told.out, path.read_text()):
        for secret in (key, other):
            assert secret not in text
            assert secret.split("_")[2] not in text
    assert [each.state(datetime.now(UTC)) for each in keys.read(path)] == ["revoked", "active"]
    assert main(["keys", "revoke", record.id]) == 2
    assert record.id in capsys.readouterr().err


def test_keys_are_long_and_unlike(path: Path) -> None:
    made = [keys.create(path, "x", ())[0] for _ in range(50)]
    assert len(set(made)) == 50
    assert all(len(bytes.fromhex(key.split("_")[2])) >= 32 for key in made)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ("--name ci --scope weights:write", "weights:write"),
        ("--name ci --scope read", f"'read' is not a scope; the scopes are {', '.join(Right)}"),
        ("--name ci --scope models:write:*", "models:write:namespace/*"),
        ("--name ci --scope models:write:me/tiny/*", "'models:write:me/tiny/*' is not a scope"),
        ("--name ci --scope weights:read:me/*", "'weights:read:me/*' is not a scope"),
        ("--name ci --expires 90", "90"),
        ("--name ci --expires 0d", "0d"),
        ("--name ci --bytes-per-day many", "many"),
        ("", "--name"),
    ],
)
def test_wrong_usage(path: Path, options: str, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["keys", "create", *options.split()])
    assert stopped.value.code == 2
    assert word in capsys.readouterr().err
    assert not path.exists()


def test_wrong_names(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("", "a b", "x" * 65, "a\nb", "é"):
        assert main(["keys", "create", "--name", name]) == 2
        assert "--name" in capsys.readouterr().err
    assert not path.exists()


def test_no_file_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("FANIN_KEYS_FILE", raising=False)
    assert main(["keys", "list"]) == 2
    assert "FANIN_KEYS_FILE" in capsys.readouterr().err
    monkeypatch.setenv("FANIN_KEYS_FILE", "")
    assert main(["keys", "list"]) == 2
    assert "FANIN_KEYS_FILE" in capsys.readouterr().err


def test_the_file_is_the_owners(path: Path, tmp_path: Path) -> None:
    key, _ = keys.create(path, "ci", ())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)  # as a mounted secret has
    keys.KeyRing(path).principal(key)
    link = tmp_path / "link.json"
    link.symlink_to(path)
    keys.create(link, "other", ())
    assert link.is_symlink()
    assert len(keys.read(path)) == 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o620)
    with pytest.raises(keys.KeyFileError, match="chmod"):
        keys.create(path, "third", ())


def test_nothing_is_half_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys.create(path, "ci", ())
    before = path.read_bytes()

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space"):
        keys.create(path, "other", ())
    assert path.read_bytes() == before
    assert {each.name for each in path.parent.iterdir()} == {"keys.json", "keys.json.lock"}


def test_edits_at_the_same_time(path: Path) -> None:
    threads = [threading.Thread(target=keys.create, args=(path, f"n{n}", ())) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {each.name for each in keys.read(path)} == {f"n{n}" for n in range(16)}


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert main(["keys", "create", "--name", "ci"]) == 0
    assert main(["keys", "create", "--name", "other"]) == 0
    assert main(["keys", "revoke", "ci"]) == 0
    assert [each.name for each in keys.read(path) if each.revoked is None] == ["other"]

    code = errno.EIO
    assert main(["keys", "create", "--name", "third"]) == 4


def test_a_damaged_file_is_kept_as_it_is(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = f"fanin_{'1' * 12}_{'2' * 64}"
    for damaged in ("", "nonsense", "[]", '{"keys": 7}', f'{{"keys": [{{"id": "{secret}"}}]}}'):
        path.write_text(damaged)
        for command in (["create", "--name", "ci"], ["list"], ["revoke", "ci"]):
            assert main(["keys", *command]) == 2
            told = capsys.readouterr()
            assert str(path) in told.err
            assert secret not in told.err + told.out
        assert path.read_text() == damaged
