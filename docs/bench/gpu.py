"""Write the tables of docs/gpu.md from docs/bench/machine-code.json and from what `make gpu` stored for each GPU.

    python docs/bench/gpu.py

The script writes the text between the markers `<!-- name -->` and `<!-- end -->` of the page.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fanin.dtypes import DTYPES
from fanin_lab.bench import pairs
from fanin_lab.tables import piped

HERE = Path(__file__).parent
PAGE = HERE.parent / "gpu.md"
MARKED = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)
LANES = 128
"""Instructions that a multiprocessor of these architectures starts each cycle: 4 schedulers with 32 threads each."""
NARROW = "F64"
"""Type whose units start fewer, a number that differs from GPU to GPU."""
TARGET, HOST_TARGET = 0.8, 0.85

Document = dict[str, Any]


def counts() -> Document:
    """Return the instructions and registers of each kernel, for each compiler and architecture."""
    document: Document = json.loads((HERE / "machine-code.json").read_text("utf-8"))
    return document


def measured() -> list[Document]:
    """Return the documents of `make gpu`, one for each kind of GPU."""
    found = (json.loads(path.read_text("utf-8")) for path in sorted(HERE.glob("*.json")))
    return [document for document in found if "gpu" in document]


def ceilings() -> str:
    """Return instructions for one element, registers, and elements per cycle, of each kernel and architecture."""
    kept = counts()["counts"]
    architectures = list(dict.fromkeys(name.split()[1] for name in kept))
    compilers = list(dict.fromkeys(name.split()[0] for name in kept))
    rows = []
    for kernel in kept[f"{compilers[0]} {architectures[0]}"]:
        dist, _, dtype = kernel.partition("_")
        cells = []
        for architecture in architectures:
            found = [kept[f"{compiler} {architecture}"][kernel] for compiler in compilers]
            least = " / ".join(f"{number:.0f}" for number, _ in found)
            rate = "" if dtype == NARROW else f", {LANES / min(number for number, _ in found):.1f}"
            cells.append(f"{least} ({max(registers for _, registers in found)}){rate}")
        rows.append([f"{dist} {dtype}", *cells])
    return _table(["kernel", *architectures], rows)


def results() -> str:
    """Return for each GPU what passed, and its speed."""
    documents = measured()
    if not documents:
        return "No GPU has run `make gpu` yet.\n"
    return "\n".join(text for document in documents for text in section(document))


def section(document: Document) -> Iterator[str]:
    """Yield the parts of the section of one GPU: its name, its steps, and its speed."""
    gpu, steps = document["gpu"], document["steps"]
    yield f"### {gpu['name']}\n"
    yield (
        f"{gpu['multiprocessors']} multiprocessors, {gpu['clock_hz'] / 1e9:.2f} GHz, {gpu['architecture']}; CuPy "
        f"{gpu['cupy']}, CUDA {gpu['runtime']}, driver {gpu['driver']}\n"
    )
    rows = [
        [
            name,
            found["result"],
            ", ".join(f"{found[key]} {key}" for key in ("passed", "failed", "skipped") if key in found),
            "; ".join(found.get("skips", ())),
            f"{found['seconds']:.0f} s",
            f"fanin {found['fanin']}, {found['date'][:10]}",
        ]
        for name, found in steps.items()
    ]
    yield _table(["step", "result", "tests", "not run because", "time", "version"], rows)
    for step, table in (("device", _device), ("host", _host)):
        cases: dict[tuple[str, str], dict[str, Document]] = {}
        for row in steps.get(step, {}).get("rows", ()):
            if "maker" in row:
                cases.setdefault((row["distribution"], row["dtype"]), {})[row["maker"]] = row
        if cases:
            yield table(gpu, cases)


def _device(gpu: Document, cases: dict[tuple[str, str], dict[str, Document]]) -> str:
    head = ["on the GPU", "10^9 elements/s", "of the fill rate", "of the lower limit", "torch.cuda / Fanin"]
    rows = []
    for (dist, dtype), makers in cases.items():
        if not {"fanin", "set to zero"} <= set(makers):
            continue
        ours, fill = makers["fanin"], makers["set to zero"]
        share = pairs.ratio(fill["seconds"], ours["seconds"])
        rate = ours["elements"] / pairs.summary(ours["seconds"]).median
        limit = min(ours["elements"] / pairs.summary(fill["seconds"]).median, instruction_limit(gpu, dist, dtype))
        reached = rate / limit
        cells = [_cell(share), f"**{reached:.2f}**" if reached >= TARGET else f"{reached:.2f}"]
        cells += [
            _cell(pairs.ratio(makers[peer]["seconds"], ours["seconds"]), 1) if peer in makers else ""
            for peer in ("torch.cuda", "cuRAND")
        ]
        rows.append([f"{dist} {dtype}", f"{rate / 1e9:.1f}", *cells])
    return _table([*head, "cuRAND / Fanin"], rows)


def instruction_limit(gpu: Document, dist: str, dtype: str) -> float:
    """Return the elements a second that the instructions of the kernel allow this GPU; infinity if it is unknown."""
    if dtype == NARROW or not gpu["clock_hz"]:
        return float("inf")
    kept = counts()["counts"].get(f"{gpu['cuda']} {gpu['architecture']}")
    if not kept:
        return float("inf")
    instructions = kept[f"{'uniform' if dist == 'uniform' else 'normal'}_{dtype}"][0]
    return float(gpu["multiprocessors"] * gpu["clock_hz"] * LANES / instructions)


def _host(_: Document, cases: dict[tuple[str, str], dict[str, Document]]) -> str:
    rows = []
    for (dist, dtype), makers in cases.items():
        copy = makers.get("a pinned copy")
        for name in ("fanin, pinned", "fanin, ordinary"):
            if copy and name in makers:
                row = makers[name]
                size = row["elements"] * DTYPES[dtype].itemsize
                rate = size / pairs.summary(row["seconds"]).median / 1e9
                share = pairs.ratio(copy["seconds"], row["seconds"])
                rows.append([f"{dist} {dtype}, {name.split(', ')[1]}", f"{rate:.1f}", _cell(share, HOST_TARGET)])
    return _table(["to host memory", "GB/s", "of a pinned copy"], rows)


def _cell(found: pairs.Summary, least: float = float("inf")) -> str:
    text = f"**{found.median:.2f}**" if found.median >= least else f"{found.median:.2f}"
    return text + (f" ({found.doubt})" if found.doubt else "")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return piped(("", list(head), list(rows))).partition("\n\n")[2]


SECTIONS: dict[str, Callable[[], str]] = {"ceilings": ceilings, "results": results}


def page(text: str) -> str:
    """Return the page with its tables written again."""
    return MARKED.sub(lambda match: match[1] + SECTIONS[match[2]]() + match[3], text)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
