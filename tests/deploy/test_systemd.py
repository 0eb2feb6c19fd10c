"""The systemd unit, by systemd's own judge."""

from __future__ import annotations

import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from fanin_service.settings import Settings

UNIT = Path(__file__).parents[2] / "deploy" / "systemd" / "fanin.service"
PROGRAM = shutil.which("systemd-analyze")
EXPOSURE = 15
"""Most that `systemd-analyze security` may find, in tenths; it calls up to 2.0 OK, and the network takes 0.8."""

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="systemd-analyze is not installed")


def analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(PROGRAM), *map(str, arguments)], capture_output=True, text=True)


def test_verify(tmp_path: Path) -> None:
    text = UNIT.read_text()
    program = re.findall(r"^ExecStart=(\S+) serve$", text, re.MULTILINE)
    (tmp_path / UNIT.name).write_text(text.replace(program[0], f"{sysconfig.get_path('scripts')}/fanin"))
    found = analyze("verify", "--man=no", tmp_path / UNIT.name)
    assert (found.returncode, found.stdout + found.stderr) == (0, "")


def test_verify_finds_faults(tmp_path: Path) -> None:
    (tmp_path / UNIT.name).write_text(UNIT.read_text().replace("ProtectSystem=strict", "ProtectSystems=strict"))
    assert "ProtectSystems" in analyze("verify", "--man=no", tmp_path / UNIT.name).stderr


def test_security() -> None:
    found = analyze("security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", UNIT)
    assert found.returncode == 0, found.stdout.splitlines()[-1]


def test_settings_and_the_time_to_stop() -> None:
    text = UNIT.read_text()
    for name in re.findall(r"^Environment=FANIN_([A-Z_]+)=", text, re.MULTILINE):
        assert name.lower() in Settings.model_fields, name
    stop = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert int(stop[0]) > sum(Settings.model_fields[name].default for name in ("drain_seconds", "shutdown_seconds"))
