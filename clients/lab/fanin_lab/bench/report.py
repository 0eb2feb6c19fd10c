"""Write reports from the JSON document of a benchmark: tables for a terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fanin_lab.bench import pairs
from fanin_lab.tables import Table, aligned, piped

Document = dict[str, Any]
Row = dict[str, Any]
DISTRIBUTION_NAMES = {"truncated": "truncated normal, +-2 std"}
WORK_NAMES = {"fill": "", "fresh": ", in fresh memory", "small": ", in small tensors"}


def text(document: Document) -> str:
    """Return the report for a terminal."""
    return "\n".join(_all(document, aligned))


def markdown(document: Document) -> str:
    """Return the same tables in Markdown."""
    return "\n".join(_all(document, piped))


def _all(document: Document, shown: Callable[[Table], str]) -> Iterable[str]:
    yield about(document) + "\n"
    for table in (*_cases(document), ceilings(document), summary(document)):
        yield shown(table)
    for failure in document["failures"]:
        yield "failed: {maker} ({threads} threads), {case}: {error}".format_map(failure)


def about(document: Document) -> str:
    """Return machine, load, date and versions, in two lines."""
    machine = document["machine"]
    family = f" ({machine['family']})" if machine["family"] else ""
    versions = {f"{package(maker)} {maker['version']}" for maker in document["makers"]}
    return (
        f"{machine['cpu']}{family}, {machine['architecture']}, {machine['cpus']} CPUs, load {machine['load']}, "
        f"huge pages: {machine['huge_pages']}. {machine['system']}, {machine['libc']}, Python {machine['python']}. "
        f"{document['date']}\n{', '.join(sorted(versions))}"
    )


def package(maker: dict[str, Any]) -> str:
    """Return the library of a maker."""
    return str(maker["name"]) if maker["kind"] == "peer" else "fanin"


def threads(document: Document) -> list[int]:
    """Return the measured numbers of threads, the smallest first."""
    return sorted({row["threads"] for row in document["rows"]})


def kinds(document: Document) -> dict[str, str]:
    """Return the kind of each maker: fanin, peer or ceiling."""
    return {maker["name"]: maker["kind"] for maker in document["makers"]}


def cases(document: Document) -> list[tuple[str, str, str]]:
    """Return work, distribution and type of each case, in the order of measurement."""
    return list(dict.fromkeys((row["work"], row["distribution"], row["dtype"]) for row in document["rows"]))


def case_name(work: str, distribution: str, dtype: str) -> str:
    """Return a description of the case."""
    return f"{DISTRIBUTION_NAMES.get(distribution, distribution)} {dtype}{WORK_NAMES[work]}"


def find(document: Document, case: tuple[str, str, str], threads: int, maker: str) -> Row | None:
    """Return the results of one maker in a case."""
    for row in document["rows"]:
        if (row["work"], row["distribution"], row["dtype"], row["threads"], row["maker"]) == (*case, threads, maker):
            found: Row = row
            return found
    return None


def best(document: Document, case: tuple[str, str, str], threads: int, kind: str) -> Row | None:
    """Return the fastest maker of a kind."""
    known = kinds(document)
    rows = [find(document, case, threads, maker) for maker in known if known[maker] == kind]
    return min((row for row in rows if row), key=lambda row: float(row["ns"]), default=None)


def measured(row: Row) -> pairs.Summary:
    """Return the time of a row with its interval. Documents of schema 1 have no turns."""
    return pairs.Summary(row["ns"], row["low"], row["high"], len(row.get("turns", ())))


def ratio(longer: Row, shorter: Row) -> pairs.Summary:
    """Return how many times longer one row took: by pairs if both are of one case, else by their intervals."""
    in_pairs = all(longer[name] == shorter[name] for name in ("work", "distribution", "dtype"))
    if in_pairs and "turns" in longer and "turns" in shorter:
        return pairs.ratio(longer["turns"], shorter["turns"])
    return pairs.quotient(measured(longer), measured(shorter))


def _cases(document: Document) -> Iterable[Table]:
    """Return a table for each case: every maker, with one thread and with all threads."""
    counts = threads(document)
    head = ["maker"]
    for count in counts:
        head += [f"ns, {_threads(count)}", "of Fanin", "+-%", "doubt"]
    for case in cases(document):
        rows: list[Sequence[str]] = []
        for maker in kinds(document):
            cells = [find(document, case, count, maker) for count in counts]
            if any(cells):
                line = [maker]
                for count, cell in zip(counts, cells):
                    line += _cell(cell, best(document, case, count, "fanin"))
                rows.append(line)
        yield case_name(*case), head, rows


def _cell(row: Row | None, ours: Row | None) -> list[str]:
    if not row:
        return [""] * 4
    if not ours or ours is row:
        found = measured(row)
        return [number(row["ns"]), "1" if ours else "", f"{100 * found.spread:.0f}", found.doubt]
    found = ratio(row, ours)
    return [number(row["ns"]), f"{found.median:.2f}x", f"{100 * found.spread:.0f}", found.doubt]


def summary(document: Document) -> Table:
    """Return a table with Fanin's best maker, the best peer and the memory ceiling of each case."""
    head = ["Fanin's best, ns an element"]
    counts = threads(document)
    for count in counts:
        head += [_threads(count), "best peer", "peer / Fanin", "+-%", "doubt", "Fanin / memory"]
    rows: list[Sequence[str]] = []
    for case in cases(document):
        line = [case_name(*case)]
        for count in counts:
            ours, peer, memory = (best(document, case, count, kind) for kind in ("fanin", "peer", "ceiling"))
            beside = ratio(peer, ours) if ours and peer else None
            line += [
                number(ours["ns"]) if ours else "",
                f"{peer['maker']} {number(peer['ns'])}" if peer else "",
                f"{beside.median:.2f}x" if beside else "",
                f"{100 * beside.spread:.0f}" if beside else "",
                beside.doubt if beside else "",
                f"{ratio(ours, memory).median:.1f}x" if ours and memory else "",
            ]
        rows.append(line)
    return "Summary", head, rows


def ceilings(document: Document) -> Table:
    """Return the measured speed of memory and sockets."""
    rows: list[Sequence[str]] = [
        (ceiling["name"], number(ceiling["gb_s"]), f"{number(ceiling['low'])} to {number(ceiling['high'])}")
        for ceiling in document["ceilings"]
    ]
    return "This machine", ("ceiling", "GB/s", "range"), rows


def calls(document: Document) -> Table:
    """Return the calls of each maker."""
    makers = (maker for maker in document["makers"] if maker["kind"] != "ceiling")
    told = {(package(maker), distribution): call for maker in makers for distribution, call in maker["calls"].items()}
    return (
        "Calls",
        ("maker", "distribution", "call"),
        [(name, distribution, f"`{call}`") for (name, distribution), call in told.items()],
    )


def number(value: float) -> str:
    """Format a number with three significant digits and without an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"
