"""Configuration of Sphinx for the site of these pages: `make site`.

The source directory is the repository. Every page has the same path here and there, so a link between files leads to
the same place on the site, in a checkout and on a code host. docs/README.md is the table of contents.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
CONTENTS = "docs/README"
SECTION = re.compile(r"^## ([^\n]*)(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
ENTRY = re.compile(r"^- \[([^]]*)\]\(([^)#]*)\.md\)", re.MULTILINE)
SAME_ORIGIN = "default-src 'self' 'unsafe-inline' data:"
"""A policy for browsers: pages load nothing from other origins."""

project = "Fanin"
extensions = ["myst_parser"]
root_doc = CONTENTS
exclude_patterns = [".*", "**/.*", "build", "dist", "tests"]
smartquotes = False
suppress_warnings = ["config.cache"]
myst_heading_anchors = 6
html_theme = "furo"
html_title = "Fanin"
html_copy_source = False
html_additional_pages = {"index": "to_readme.html"}
templates_path = ["templates"]


def contents() -> dict[str, dict[str, str]]:
    """Return the pages of docs/README.md by section: the title of each by its path, without suffix, from the root."""
    text = (ROOT / f"{CONTENTS}.md").read_text("utf-8")
    folder = posixpath.dirname(CONTENTS)
    return {
        section: {posixpath.normpath(posixpath.join(folder, page)): title for title, page in ENTRY.findall(entries)}
        for section, entries in SECTION.findall(text)
    }


include_patterns = [f"{CONTENTS}.md", *(f"{page}.md" for pages in contents().values() for page in pages)]


def add_navigation(_app: Sphinx, name: str, source: list[str]) -> None:
    """Append the sections of docs/README.md to it in the form that makes Sphinx' sidebar."""
    if name == CONTENTS:
        for section, pages in contents().items():
            entries = "".join(f"{title} </{page}>\n" for page, title in pages.items())
            source[0] += f"\n```{{toctree}}\n:hidden:\n:caption: {section}\n\n{entries}```\n"


def add_policy(_app: Sphinx, _name: str, _template: str, context: dict[str, Any], _tree: object) -> None:
    tag = f'<meta http-equiv="Content-Security-Policy" content="{SAME_ORIGIN}">'
    context["metatags"] = tag + context.get("metatags", "")


def setup(app: Sphinx) -> None:
    app.connect("source-read", add_navigation)
    app.connect("html-page-context", add_policy)
