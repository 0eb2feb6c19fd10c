"""`fanin bench`: everything it lists really ran, and what it writes agrees with what it measured."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fanin
from fanin.cli.main import main
from fanin_lab.bench import loops, makers, measure, pairs, report, worker

DTYPES = ("F32", "F8_E4M3")
REPEATS = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the output of a tiny run of everything."""
    folder = tmp_path_factory.mktemp("bench")
    command = [sys.executable, "-m", "fanin", "bench", "--elements=1024", f"--repeats={REPEATS}", "--seconds=0"]
    command += [f"--dtype={','.join(DTYPES)}", "--only=native,reference,torch,numpy"]
    command += ["--markdown", "--output=bench.json", "--plot=bench.svg"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "bench.md").write_text(done.stdout)
    return folder


@pytest.fixture(scope="module")
def document(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "bench.json").read_text())
    return found


def test_every_case_ran_by_every_maker_that_has_it(document: dict[str, Any]) -> None:
    settings = measure.Settings(list(makers.DISTRIBUTIONS), DTYPES, 1024, REPEATS, 0)
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    expected = {
        (case.work, case.distribution, case.dtype, threads, maker.name)
        for maker in makers.chosen(["native", "reference", "torch", "numpy"])
        for case in settings.cases()
        if maker.offers(case)
        for threads in ({1} if maker.serial else {1, cpus})
    }
    ran = [(row["work"], row["distribution"], row["dtype"], row["threads"], row["maker"]) for row in document["rows"]]
    assert set(ran) == expected
    assert len(ran) == len(expected)
    assert {"torch", "numpy", "reference", "memory write"} <= {maker for *_, maker in ran}
    for row in document["rows"]:
        assert 0 < row["low"] <= row["ns"] <= row["high"]
        assert len(row["turns"]) == REPEATS
        assert row["ns"] == pytest.approx(np.median(row["turns"]), rel=1e-3)
    assert document["failures"] == []


def test_the_document_keeps_its_schema(document: dict[str, Any]) -> None:
    def fields(values: list[dict[str, Any]]) -> set[tuple[str, ...]]:
        return {tuple(value) for value in values}

    assert document["schema"] == 2
    assert list(document) == ["schema", "date", "machine", "settings", "makers", "rows", "ceilings", "failures"]
    assert fields(document["makers"]) == {("name", "kind", "version", "calls")}
    assert fields(document["ceilings"]) == {("name", "gb_s", "low", "high")}
    assert fields(document["rows"]) == {
        ("work", "distribution", "dtype", "threads", "maker", "elements", "tensors", "ns", "low", "high", "turns")
    }
    assert set(document["machine"]) >= {"cpu", "cpus", "load", "huge_pages", "libc", "python"}
    versions = {maker["name"]: maker["version"] for maker in document["makers"]}
    assert versions["numpy"] == np.__version__
    assert versions["reference"] == fanin.__version__


def test_markdown_says_what_the_document_says(folder: Path, document: dict[str, Any]) -> None:
    """Every time of the document stands once, in the table of its case and the line of its maker."""
    text = (folder / "bench.md").read_text()
    tables = dict(re.findall(r"^\*\*(.*?)\*\*\n\n(.*?)\n\n", text, re.MULTILINE | re.DOTALL))
    counts = sorted({row["threads"] for row in document["rows"]})
    for row in document["rows"]:
        table = tables[report.case_name(row["work"], row["distribution"], row["dtype"])]
        (line,) = (line for line in table.splitlines() if line.startswith(f"| {row['maker']} |"))
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert float(cells[1 + 4 * counts.index(row["threads"])]) == pytest.approx(row["ns"], rel=0.006)
    assert f"NumPy {np.__version__}".lower() in text
    assert document["machine"]["cpu"] in text


def test_ratios_are_to_the_best(document: dict[str, Any]) -> None:
    case = ("fill", "normal", "F32")
    rows = [
        row
        for row in document["rows"]
        if (row["work"], row["distribution"], row["dtype"], row["threads"]) == (*case, 1)
    ]
    times = {row["maker"]: row["ns"] for row in rows}
    (line,) = (line for line in report.summary(document)[2] if line[0] == "normal F32")
    best = min(time for maker, time in times.items() if maker.startswith(("native", "reference")))
    turns = {row["maker"]: np.array(row["turns"]) for row in rows}
    ours = next(maker for maker in times if times[maker] == best)
    peer = min(("torch", "numpy"), key=lambda maker: times[maker])
    assert line[3] == f"{np.median(turns[peer] / turns[ours]):.2f}x"
    assert line[5] == f"{REPEATS} turns"
    assert line[6] == f"{np.median(turns[ours] / turns['memory write']):.1f}x"


def test_the_chart_shows_every_distribution_and_maker(folder: Path, document: dict[str, Any], tmp_path: Path) -> None:
    from fanin_lab.bench import plot

    drawn = (folder / "bench.svg").read_text()
    for text in ("uniform", "truncated normal", "constant", "torch", "numpy", "Fanin reference"):
        assert text in drawn, text
    plot.draw(document, tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_text() == drawn
    plot.draw(document, tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--only=torch,tortch"], "--only: 'tortch' is unknown or not usable here; allowed: "),
        (["--distributions=normal,cauchy"], "--distributions: 'cauchy' is unknown; allowed: uniform, normal"),
        (["--dtype=F32,I8"], "--dtype: 'I8' is unknown; allowed: F64, F32"),
        (["--dtype="], "need at least one value each"),
        (["--dtype=F32,F32"], "--dtype: F32 is given twice"),
        (["--only=,"], "--only: no name is given; allowed: "),
        (["--seconds=nan"], "--seconds: nan is not a finite number of at least 0"),
        (["--seconds=-1"], "--seconds: -1.0 is not a finite number of at least 0"),
        (["--elements=3"], "--elements: 3 is too small"),
        (["--elements=1000000000000"], "--elements: 1000000000000 is too large"),
        (["--plot=a.svg", "--output=a.svg"], "--plot a.svg would overwrite --output a.svg, the same file"),
        (["--repeats=0"], "--repeats: 0 is too small"),
        (["--plot=chart.pdf"], "--plot: 'chart.pdf' must end in .png or .svg"),
    ],
)
def test_wrong_options_are_named(arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *arguments]) == 2
    captured = capsys.readouterr()
    assert error in captured.err
    assert captured.out == ""


def test_a_missing_folder_is_told_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--output", str(tmp_path / "missing" / "bench.json")]) == 4
    assert "does not exist" in capsys.readouterr().err
    assert main(["bench", "--output", str(tmp_path)]) == 4
    assert "is a folder: give the name of a file" in capsys.readouterr().err


def test_a_peer_that_is_not_installed_is_told_from_an_unknown_one(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = dataclasses.replace(makers.PEERS[0], package="not_installed_anywhere")
    monkeypatch.setattr(makers, "PEERS", (gone,))
    with pytest.raises(ValueError, match="'torch' is not installed here"):
        makers.chosen(["torch"])


def test_a_maker_that_fails_is_reported_and_the_others_go_on() -> None:
    plain = makers.Maker(
        "plain", "peer", "math", {"F32": "4"}, dict.fromkeys(makers.DISTRIBUTIONS, "sum(range(count))")
    )
    bad = {
        "missing": dataclasses.replace(plain, name="missing", setup="import not_installed_anywhere"),
        "refuses": dataclasses.replace(plain, name="refuses", calls={"normal": "int('x')"}),
        "dies": dataclasses.replace(plain, name="dies", calls={"normal": "__import__('os').abort()"}),
    }
    settings = measure.Settings(["normal"], ["F32"], 1024, 1, 0)
    found = measure.measure(settings, [*bad.values(), plain], lambda done, what: None)
    assert {row["maker"] for row in found.rows} == {"plain"}
    errors = {failure["maker"]: failure["error"] for failure in found.failures}
    assert "not_installed_anywhere" in errors["missing"]
    assert "invalid literal" in errors["refuses"]
    assert "ended with code" in errors["dies"]


def test_the_makers_make_what_the_case_says() -> None:
    case = makers.Case("fill", "truncated", "F32", 1 << 12)
    for maker in makers.chosen(["native", "reference", "torch", "numpy"]):
        if maker.kind == "ceiling":
            continue
        names: dict[str, Any] = {"threads": 1}
        exec(maker.setup, names)
        kept: list[Any] = []
        keeping = dataclasses.replace(maker, empty=f"kept.append({maker.empty}) or kept[-1]")
        worker.ready(keeping, case, names | {"kept": kept})()
        values = np.frombuffer(kept[0], np.float32) if maker.kind == "fanin" else np.asarray(kept[0])
        assert abs(values).max() <= 0.04
        assert values.std() == pytest.approx(0.0176, rel=0.1)  # 0.02 times the std of a normal truncated at +-2


def test_numpys_truncated_normal() -> None:
    out = np.empty(100_000, np.float32)
    loops.truncated_normal(np.random.default_rng(1), 2, out)
    assert abs(out).max() <= 2
    assert out.std() == pytest.approx(0.8796, abs=0.01)


def test_memset_writes_everything() -> None:
    memory = bytearray(2 * loops.PART + 7)
    loops.Memset()(memory)
    assert set(memory) == {1}


def test_the_benchmark_is_not_imported_with_the_library() -> None:
    code = (
        "import sys, fanin, fanin.cli.main; print([name for name in sys.modules if name.startswith('fanin_lab.bench')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_machine_that_slows_down_does_not_change_ratios() -> None:
    """Turns ten times slower, as by another program: the medians of the two rows are of different turns."""
    case = {"work": "fill", "distribution": "normal", "dtype": "F32", "threads": 1}
    load = [1, 10, 1, 10, 1, 10, 1, 10, 10, 1, 1]

    def row(maker: str, ns: float, **more: Any) -> dict[str, Any]:
        turns = [ns * by for by in load]
        found = pairs.summary(turns)
        return {**case, "maker": maker, "ns": found.median, "low": found.low, "high": found.high, "turns": turns} | more

    ours, peer = row("native", 2), row("torch", 7)
    assert report.measured(ours).doubt.startswith("noisy")
    assert report.ratio(peer, ours) == pairs.Summary(3.5, 3.5, 3.5, len(load))
    # Rows of different cases have no turns in common, and their ratio is as uncertain as both together.
    other = report.ratio(row("native", 7, distribution="uniform"), ours)
    assert (other.low, other.high) == (0.35, 35)
    assert other.doubt.startswith("noisy")
    del ours["turns"]
    assert report.ratio(peer, ours).doubt == "not in pairs"
