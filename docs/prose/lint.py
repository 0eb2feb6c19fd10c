"""Check prose against glossary.toml: Markdown, docstrings, comments and the messages of errors.

    python docs/prose/lint.py               # fails if a file has more findings than baseline.json allows
    python docs/prose/lint.py FILE ...      # print every finding in these files
    python docs/prose/lint.py --baseline    # write baseline.json: the current number of findings in each file

The baseline allows for old text. A file that it does not name must have no finding, so new text meets the rules.
"""

from __future__ import annotations

import ast
import inspect
import io
import json
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
BASELINE = Path(__file__).with_name("baseline.json")
GLOSSARY = tomllib.loads(Path(__file__).with_name("glossary.toml").read_text("utf-8"))
WORDS = {re.compile(word, re.IGNORECASE): better for word, better in GLOSSARY["words"].items()}
SENTENCES = {re.compile(start, re.IGNORECASE): better for start, better in GLOSSARY["sentences"].items()}
FENCED = re.compile(r"^ *(```|~~~).*?^ *\1", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"``.+?``|`[^`]*`|<!--.*?-->|<[^<>\n]*>|https?://\S+|[\w/.-]+\.(py|md|json|h|c)\b", re.DOTALL)
LINK = re.compile(r"!?\[([^]]*)\](\([^)]*\)|\[[^]]*\])")
MARK = re.compile(r"\s*([-*+]|\d+\.|#+|>)\s+")
HASH_COMMENT = re.compile(r"(?:^[ \t]*#(?!!).*\n?)+", re.MULTILINE)
C_COMMENT = re.compile(r"/\*.*?\*/|(?:^[ \t]*//[^\n]*\n?)+|//[^\n]*", re.MULTILINE | re.DOTALL)
EDGES = re.compile(r"^[ \t]*(/?\*+/?|//+|#+:?) ?|\*/", re.MULTILINE)

PACKAGES = ("clients/lab", "clients/python", "service")
PHRASE = 3
"""Words of a string that is read as text."""

Text = tuple[int, str]
"""The line where a text begins, counted from 1, and the text."""


def texts(path: Path) -> Iterator[Text]:
    """Yield the pieces of a file that people read."""
    if path.suffix in {".safetensors", ".wasm"} or path.match("clients/python/fanin/page/*.js"):
        return
    content = path.read_text("utf-8")
    if path.suffix == ".md":
        yield 1, content
    elif path.suffix == ".py":
        yield from python(content, is_package=any(path.is_relative_to(ROOT / package) for package in PACKAGES))
    elif path.suffix in {".c", ".h", ".js", ".ts", ".inc"}:
        yield from comments(C_COMMENT, content)
    elif path.suffix in {".toml", ".yaml", ".yml"} or path.name in {"Makefile", "Dockerfile"}:
        yield from comments(HASH_COMMENT, content)


def comments(pattern: re.Pattern[str], content: str) -> Iterator[Text]:
    for found in pattern.finditer(content):
        yield content.count("\n", 0, found.start()) + 1, EDGES.sub("", found[0])


def python(content: str, *, is_package: bool = False) -> Iterator[Text]:
    """Yield docstrings, those of attributes included, messages of errors, and comments.

    With `is_package`, yield every other string of several words, too: messages, help, descriptions.
    """
    inner: set[ast.AST] = set()
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, inspect.cleandoc(node.value.value)
            inner.add(node.value)
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            for part in (*node.exc.args, *(keyword.value for keyword in node.exc.keywords)):
                yield part.lineno, message(part)
                inner.update((part, *ast.walk(part)))
        elif is_package and node not in inner and isinstance(node, ast.Constant | ast.JoinedStr):
            if len((words := message(node)).split()) >= PHRASE:
                yield node.lineno, words.replace(";", ".")  # lists of sources, and code, have many
            inner.update(ast.walk(node))
    blocks: list[tuple[int, int, list[str]]] = []
    for token in tokenize.generate_tokens(io.StringIO(content).readline):
        if token.type == tokenize.COMMENT:
            line, column = token.start
            if blocks and blocks[-1][:2] == (line - len(blocks[-1][2]), column):
                blocks[-1][2].append(token.string)
            else:
                blocks.append((line, column, [token.string]))
    for line, _, block in blocks:
        yield line, EDGES.sub("", "\n".join(block))


def message(node: ast.AST) -> str:
    """Return the text of a string, with X in place of each value."""
    pieces = node.values if isinstance(node, ast.JoinedStr) else [node]
    return "".join(str(piece.value) if isinstance(piece, ast.Constant) else "X" for piece in pieces)


def paragraphs(line: int, text: str) -> Iterator[Text]:
    """Split at empty lines, list items, headings and cells; leave out code, which is fenced or indented."""
    text = FENCED.sub(lambda found: "\n" * found[0].count("\n"), text)
    text = LINK.sub(r"\1", CODE.sub(lambda found: "X" + "\n" * found[0].count("\n"), text))
    start, words, code = line, "", True
    for number, row in enumerate(text.split("\n"), line):
        code = row.startswith("    ") and code
        if not row.strip() or code or MARK.match(row) or row.lstrip().startswith("|"):
            yield start, words
            start, words, code = number, "", not row.strip() or code
        if row.lstrip().startswith("|"):
            yield from ((number, cell) for cell in re.split(r"(?<!\\)\|", row))
        elif not code:
            start, words = start if words else number, f"{words} {MARK.sub('', row).strip()}".strip()
    yield start, words


def findings(path: Path) -> Iterator[str]:
    """Yield a line for each finding in a file: where, what, and the replacement."""
    for line, words in (each for text in texts(path) for each in paragraphs(*text)):
        for sentence in re.split(r"(?<=[.!?])[*)_\"]*\s+(?=[*(_\"]*[A-Z]|\w+: )", words):
            sentence = sentence.strip(" *_")
            for pattern, better in (*WORDS.items(), *SENTENCES.items()):
                for found in pattern.finditer(sentence):
                    yield f"{path.relative_to(ROOT)}:{line}: '{found[0][:60]}' -> {better}"
            if (count := len(sentence.split())) > GLOSSARY["longest"]:
                yield f"{path.relative_to(ROOT)}:{line}: {count} words: '{sentence[:60]}...'"


def main(arguments: list[str]) -> int:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    names = [name for name in listed.stdout.splitlines() if name not in GLOSSARY["copies"]]
    tracked = [ROOT / name for name in names if (ROOT / name).is_file()]
    named = [Path(name).resolve() for name in arguments if not name.startswith("-")]
    found = {str(path.relative_to(ROOT)): list(findings(path)) for path in named or tracked}
    counts = {name: len(lines) for name, lines in sorted(found.items()) if lines}
    allowed = {} if named else json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    print(f"{sum(counts.values())} findings; the baseline allows {sum(allowed.values())}")
    if "--baseline" in arguments:
        BASELINE.write_text(json.dumps(counts, indent=1) + "\n")
        return 0
    worse = [name for name, count in counts.items() if count > allowed.get(name, 0)]
    for name in worse:
        print(*found[name], f"{name}: {counts[name]} findings, {allowed.get(name, 0)} allowed", sep="\n")
    return bool(worse)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
