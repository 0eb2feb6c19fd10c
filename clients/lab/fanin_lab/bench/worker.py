"""Run one maker in one process, controlled by lines of JSON on standard input.

The first line is the maker. `case` prepares a case and runs it once; `turn` measures it. Both return
{"seconds": time of one run}, or {"error": message of the library}.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

from fanin_lab.bench.loops import cpus
from fanin_lab.bench.makers import Case, Maker

SAMPLE = 0.005
"""Minimum seconds of one measurement. Shorter work is repeated."""


def main() -> None:
    """Process commands until standard input ends."""
    # Redirect the output of libraries to standard error, because standard output has only responses.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    maker = Maker(**json.loads(sys.stdin.readline()))
    names: dict[str, Any] = {"threads": len(cpus())}
    try:
        exec(maker.setup, names)
        hello = {"version": str(getattr(import_module(maker.package), "__version__", ""))}
    except Exception as error:
        hello = _what(error)
    print(json.dumps(hello), file=answers)
    work: Callable[[], object] = int
    fresh, times = False, 1
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "case" in request:
                del work  # free the previous case's memory before more is allocated
                work = ready(maker, Case(**request["case"]), names)
                work()
                once = _seconds(work, 1)
                fresh, times = request["case"]["work"] == "fresh", max(1, math.ceil(SAMPLE / once))
                answer: dict[str, Any] = {"seconds": once}
            else:
                if fresh:  # the host may have taken back memory that this process freed: see machine.ceilings
                    work()
                answer = {"seconds": _seconds(work, times)}
        except Exception as error:
            work = int
            answer = _what(error)
        print(json.dumps(answer), file=answers)


def ready(maker: Maker, case: Case, names: dict[str, Any]) -> Callable[[], object]:
    """Return a function that runs the case once. Its memory is allocated, and the first run touches it."""
    call = maker.calls[case.distribution]
    names = {**names, "recipe": case.recipe, "count": case.count}
    names["dtype"] = eval(maker.dtypes[case.dtype], names)
    exec(maker.prepare.format(call=call), names)
    run = maker.run.format(call=call)
    exec(f"def make(out): {maker.fresh.format(run=run) if case.work == 'fresh' else run}", names)
    make, empty = names["make"], eval(f"lambda: {maker.empty}", names)
    if case.work == "fresh":
        return lambda: make(empty())
    outs = [empty() for _ in range(1 if maker.whole else case.tensors)]

    def fill() -> None:
        for out in outs:
            make(out)

    return fill


def _what(error: Exception) -> dict[str, str]:
    return {"error": f"{type(error).__name__}: {error}"}


def _seconds(work: Callable[[], object], times: int) -> float:
    started = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - started) / times


if __name__ == "__main__":
    main()
