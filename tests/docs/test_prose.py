"""The linter of prose: what docs/prose/lint.py reports, and what it leaves alone."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = runpy.run_path(str(ROOT / "docs" / "prose" / "lint.py"))


@pytest.fixture
def reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], list[str]]:
    """Return the findings in a text, without the name of its file: line, and the words that were found."""
    monkeypatch.setitem(LINT["findings"].__globals__, "ROOT", tmp_path)

    def report(name: str, text: str) -> list[str]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        return [line.removeprefix(f"{name}:").partition(" -> ")[0] for line in LINT["findings"](tmp_path / name)]

    return report


def test_markdown_is_read_without_its_code(reported: Callable[[str, str], list[str]]) -> None:
    text = "# Asked\n\nPlain `whole`.\n\n```\nfor ever\n```\n\n    at last\n\n- It\n  is no\n  tensor.\n| a | told |\n"
    assert reported("page.md", text) == ["1: 'Asked'", "11: 'is no'", "14: 'told'"]


def test_sentences(reported: Callable[[str, str], list[str]]) -> None:
    text = "Fine. What it reads\nis data. Of these, one. What is data?\n\n" + "word " * 41 + "\n\na; b; c.\n"
    starts = [line[:18] for line in reported("page.md", text)]
    assert starts == ["1: 'What it reads ", "1: 'Of'", "4: 41 words: 'word", "6: '; b;'"]


def test_docstrings_comments_and_messages_of_python(reported: Callable[[str, str], list[str]]) -> None:
    text = '"""Kept."""\nx = "asked"  # for\n# ever\n# for\n# ever\nclass A:\n    b = 1\n    """Of X."""\n'
    text += 'raise ValueError(f"{x} is no number")\n'
    assert sorted(reported("module.py", text)) == ["1: 'Kept'", "3: 'for ever'", "8: 'Of'", "9: 'is no'"]


def test_every_string_of_a_package_is_read(reported: Callable[[str, str], list[str]]) -> None:
    text = 'HELP = "keys are kept here"\nlog(f"{x} was told a; b; c")\nname = "kept"\n'
    assert reported("service/module.py", text) == ["1: 'kept'", "2: 'told'"]
    assert reported("tests/module.py", text) == []


def test_comments_of_c_and_of_configurations(reported: Callable[[str, str], list[str]]) -> None:
    assert reported("a.c", "int asked; /* told\n */\n// for\n// ever\nint b; // whole\nint kept;\n") == [
        "1: 'told'",
        "3: 'for ever'",
        "5: 'whole'",
    ]
    assert reported("a.toml", 'kept = "asked"\n# for\n# ever\n') == ["2: 'for ever'"]


def test_names_of_files_are_not_prose(reported: Callable[[str, str], list[str]]) -> None:
    assert reported("page.md", "See [law.py](law.py) and tests/told/kept.md.\n") == []


def test_known_answers_and_third_parties_may_be_named(reported: Callable[[str, str], list[str]]) -> None:
    assert (
        reported("page.md", "A known-answer test. A third party. It answers the question. It is no longer so.\n") == []
    )


def test_a_file_that_the_baseline_does_not_allow_for_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page, baseline = tmp_path / "page.md", tmp_path / "baseline.json"
    page.write_text("Asked and told.\n")
    inside = LINT["main"].__globals__
    monkeypatch.setitem(inside, "ROOT", tmp_path)
    monkeypatch.setitem(inside, "BASELINE", baseline)
    monkeypatch.setitem(inside, "subprocess", Listing())
    for allowed, status in ({"page.md": 2}, 0), ({"page.md": 1}, 1), ({}, 1):
        baseline.write_text(json.dumps(allowed))
        assert LINT["main"]([]) == status
    assert "page.md:1: 'Asked' -> requested" in capsys.readouterr().out
    assert LINT["main"](["--baseline"]) == 0
    assert json.loads(baseline.read_text()) == {"page.md": 2}


class Listing:
    """Stands for `git ls-files` in a folder of one page."""

    stdout = "page.md\n"

    def run(self, *_: object, **__: object) -> Listing:
        return self
