"""Store the figures of `make bench`, and write the tables of docs/performance.md from the stored ones.

    python docs/bench/page.py [FOLDER]

With FOLDER, where `make bench` wrote its JSON, the figures are stored first: one file for each kind of machine, and an
entry of `history.json` for each release and machine. The script writes the text between the markers `<!-- name -->` and
`<!-- end -->` of the page. The rest is written by hand.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fanin_lab.bench import history, report
from fanin_lab.bench.pairs import Summary
from fanin_lab.tables import dumps, piped

HERE = Path(__file__).parent
PAGE = HERE.parent / "performance.md"
HISTORY = HERE / "history.json"
GOALS = HERE / "goals.json"
PARTS = ("fill", "http")
"""Parts that `make bench` measures; each is a JSON document."""
MARKED = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)

Kept = dict[str, Any]
"""Documents of one machine, by part."""


def keep(folder: Path) -> Path:
    """Put the documents that `make bench` left in `folder` into the file of this machine."""
    measured = {name: json.loads(path.read_text()) for name in PARTS if (path := folder / f"{name}.json").exists()}
    machine = next(iter(measured.values()))["machine"]
    words = f"{machine['cpu']} {machine['family']} {machine['cpus']} cpus".lower().replace("(r)", "")
    target = HERE / f"{re.sub('[^a-z0-9]+', '-', words)}.json"
    kept = {**(json.loads(target.read_text()) if target.exists() else {}), **measured}
    lines = [f"{json.dumps(name)}: {dumps(kept[name]).strip()}" for name in PARTS if name in kept]
    target.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    if "fill" in kept:
        releases = history.recorded(released(), _release(target.stem, kept))
        HISTORY.write_text(dumps({"releases": releases}))
    chart = folder / "fill.svg"
    if chart.exists():
        target.with_suffix(".svg").write_text(chart.read_text())
    return target


def machines() -> dict[str, Kept]:
    """Return the documents of every machine, by the name of its file. The folder has other documents too."""
    found = {path.stem: json.loads(path.read_text()) for path in sorted(HERE.glob("*.json"))}
    return {name: parts for name, parts in found.items() if "fill" in parts}


def released() -> list[history.Release]:
    """Return the history: an entry for each release and machine, the earliest first."""
    return list(json.loads(HISTORY.read_text())["releases"]) if HISTORY.exists() else []


def _release(name: str, parts: Kept) -> history.Release:
    fill = parts["fill"]
    (version,) = {maker["version"] for maker in fill["makers"] if maker["kind"] == "fanin"}
    figures = {f"{work}: {what}": found for work, what, _, reached in BAR if (found := reached(fill))}
    for row in parts["http"]["rows"] if "http" in parts else ():
        if row["ratio"] is not None:
            value = row["ratio"]
            figures[row["work"]] = Summary(value, row.get("low") or value, row.get("high") or value, 0)
    return history.release(version, fill["date"], name, figures)


def page(text: str) -> str:
    """Return the page with its tables written again."""
    kept = machines()
    return MARKED.sub(lambda match: match[1] + SECTIONS[match[2]](kept) + match[3], text)


def bar(kept: dict[str, Kept]) -> str:
    """Return targets and measurements of each machine: ratios of times, then figures over HTTP."""
    head = ["work", "ratio", "at least", *map(_machine, kept.values())]
    rows = []
    for work, what, least, reached in BAR:
        values = [reached(parts["fill"]) for parts in kept.values()]
        rows.append([work, what, f"{least:.3g}", *("" if one is None else _ratio(one, least) for one in values)])
    found: dict[tuple[str, str], dict[str, str]] = {}
    for name, parts in kept.items():
        for row in parts["http"]["rows"] if "http" in parts else ():
            ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}x, "
            found.setdefault((row["work"], row["wanted"]), {})[name] = _bold(f"{ratio}{row['found']}", row["ok"])
    over_http = [[work, wanted, *(cells.get(name, "") for name in kept)] for (work, wanted), cells in found.items()]
    tables = [_table(head, rows)]
    if over_http:
        tables.append(_table(["over HTTP", "target", *head[3:]], over_http))
    return "\n".join(tables)


def _ratio(found: Summary, least: float) -> str:
    return _bold(f"{found.median:.2f}", found.median >= least) + (f" ({found.doubt})" if found.doubt else "")


def _bold(text: str, reached: bool | None) -> str:
    return f"**{text}**" if reached else text


def fills(kept: dict[str, Kept]) -> str:
    """Return for each machine its description, a chart, the summary, and the speed of its memory and sockets."""
    text = []
    for name, parts in kept.items():
        document = parts["fill"]
        text += [f"### {_machine(parts)}\n", report.about(document) + "\n"]
        text += [f"![Elements per second of every library, by distribution](bench/{name}.svg)\n"]
        text += [_table(*report.summary(document)[1:]), _table(*report.ceilings(document)[1:])]
    return "\n".join(text)


def releases(_: dict[str, Kept]) -> str:
    """Return the history as a table, and the figures that fell from one release to the next."""
    found = released()
    machines = dict.fromkeys(one["machine"] for one in found)
    named = "\n".join(f"{number}. {name}" for number, name in enumerate(machines, 1))
    fallen = history.regressions(found)
    told = "\n".join(f"- {one}" for one in fallen) or "No figure fell from one release to the next."
    return f"{_table(*history.table(found)[1:])}\n{named}\n\n{told}\n"


def calls(kept: dict[str, Kept]) -> str:
    """Return a table of the measured calls of each library."""
    told: dict[tuple[str, str], Sequence[str]] = {}
    for parts in kept.values():
        told |= {
            (name, distribution): (name, distribution, call)
            for name, distribution, call in report.calls(parts["fill"])[2]
        }
    return _table(("maker", "distribution", "call"), told.values())


def all_goals(_: dict[str, Kept]) -> str:
    """Return the goals of the last run of `make rows`, and its machine and date."""
    if not GOALS.exists():
        return "No run is stored yet.\n"
    document = json.loads(GOALS.read_text())
    machine = document["machine"]
    described = f"{machine['cpu']}, {machine['family']}, {machine['cpus']} CPUs, load {machine['load']:.2f}"
    return f"{described}, {document['date']}\n\n{goals(document['rows'])}"


def goals(rows: Iterable[dict[str, Any]]) -> str:
    """Return rows of `tests.bench.rows` as a table. A figure that meets its goal is bold, and needs no limit."""
    head = ["work", "goal", "now", "limit"]
    return _table(
        head,
        [[row["work"], row["goal"], _bold(row["now"], row["met"]), "" if row["met"] else row["limit"]] for row in rows],
    )


SECTIONS: dict[str, Callable[[dict[str, Kept]], str]] = {
    "bar": bar,
    "fills": fills,
    "releases": releases,
    "calls": calls,
    "goals": all_goals,
}


def _machine(parts: Kept) -> str:
    machine = next(iter(parts.values()))["machine"]
    return ", ".join(filter(None, (machine["cpu"], machine["family"], f"{machine['cpus']} CPUs")))


def _table(head: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    return piped(("", list(head), list(rows))).partition("\n\n")[2]


Side = tuple[str, str, str, str]
"""Work, distribution, storage type and library; `native` is the best level of the machine."""
Reached = Callable[[report.Document], Summary | None]


def ratio(longer: Side, shorter: Side, threads: tuple[int, int] = (0, 0)) -> Reached:
    """Return how many times longer one side takes; with the fewest threads (0) or the most (-1)."""

    def value(document: report.Document) -> Summary | None:
        counts = report.threads(document)
        above, below = (_row(document, side, counts[place]) for side, place in zip((longer, shorter), threads))
        return report.ratio(above, below) if above and below else None

    return value


def _row(document: report.Document, side: Side, threads: int) -> report.Row | None:
    *case, maker = side
    names = [name for name in report.kinds(document) if maker in (name, name.split()[0])]
    return report.find(document, (case[0], case[1], case[2]), threads, names[0]) if names else None


def _bar() -> Iterator[tuple[str, str, float, Reached]]:
    def beside(work: str, distribution: str, dtype: str, peer: str, least: float) -> tuple[str, str, float, Reached]:
        name = report.case_name(work, distribution, dtype)
        reached = ratio((work, distribution, dtype, peer), (work, distribution, dtype, "native"))
        return f"{name}, 1 thread", f"{peer} / Fanin", least, reached

    yield beside("fill", "normal", "F32", "torch", 3)
    yield beside("fill", "normal", "F32", "numpy", 7)
    yield beside("fill", "normal", "F32", "jax", 15)
    yield beside("fill", "uniform", "F32", "torch", 5)
    yield beside("fill", "truncated", "F32", "torch", 50)
    yield beside("fill", "truncated", "F32", "jax", 15)
    native, truncated = ("fill", "normal", "F32", "native"), ("fill", "truncated", "F32", "native")
    yield "truncated normal F32, 1 thread", "normal / truncated", 1 / 1.1, ratio(native, truncated)
    for distribution in ("uniform", "normal", "truncated"):
        wide, narrow = ("fill", distribution, "F32", "native avx512"), ("fill", distribution, "F32", "native avx2")
        yield f"{report.case_name('fill', distribution, 'F32')}, 1 thread", "AVX-512 / AVX2", 0.5, ratio(wide, narrow)
    for dtype in ("BF16", "F16"):
        yield f"normal {dtype}, 1 thread", f"F32 / {dtype}", 1, ratio(native, ("fill", "normal", dtype, "native"))
    for distribution in ("uniform", "normal", "truncated"):
        side = ("fill", distribution, "F32", "native")
        yield report.case_name("fill", distribution, "F32"), "1 thread / all threads", 1.85, ratio(side, side, (0, -1))
    for dtype in ("F32", "BF16"):
        yield beside("fill", "constant", dtype, "memory write", 1)
    yield beside("small", "normal", "F32", "torch", 1)
    yield beside("fresh", "normal", "F32", "torch", 1)


BAR = tuple(_bar())


if __name__ == "__main__":
    for folder in sys.argv[1:]:
        print(keep(Path(folder)))
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
