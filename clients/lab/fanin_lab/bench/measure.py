"""Measure every maker in a separate process, in turns, first on one CPU and then on all CPUs."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Self

from fanin.dtypes import DTYPES
from fanin.signals import interrupts_left_to_parent
from fanin_lab.bench.loops import cpus
from fanin_lab.bench.machine import rounded
from fanin_lab.bench.makers import DISTRIBUTIONS, SMALL, Case, Maker
from fanin_lab.bench.pairs import FEWEST, summary, turn_order

SLOW = 16
"""Divisor of the number of elements for slow makers."""
FRESH = 8
"""Factor of the number of elements for the work `fresh`, so that its tensor is large."""
TENSORS = 2
"""Factor of the number of elements for the work `small`: 16,384 tensors by default."""
MOST = 1 << 32
"""Most elements of a tensor. The work `small` has a Python object for every 128 of them."""
PAUSE = 0.003
"""Seconds between turns, so that the threads of the previous maker are asleep."""


class Worker:
    """A process that runs one maker on some CPUs."""

    def __init__(self, maker: Maker, on: Sequence[int]) -> None:
        """Start the process. `hello` waits until it is ready."""
        self.maker, self.threads = maker, len(on)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115, closed by __exit__
        with _limited(on), interrupts_left_to_parent():
            self._process = subprocess.Popen(
                [sys.executable, "-m", "fanin_lab.bench.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env={**os.environ, **maker.environment},
                text=True,
            )
        self._send(asdict(maker))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def hello(self) -> str:
        """Return the version of the library that it runs.

        Raises:
            WorkerError: the library cannot be imported.
        """
        return str(self._answer()["version"])

    def prepare(self, case: Case) -> float:
        """Prepare a case and return the seconds of its first run."""
        self._send({"case": asdict(case)})
        return float(self._answer()["seconds"])

    def turn(self) -> float:
        """Return the seconds of one run of the case."""
        self._send({"turn": True})
        return float(self._answer()["seconds"])

    def _send(self, request: Mapping[str, Any]) -> None:
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the process has ended; the next read reports why

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            last = self._log.read().decode(errors="replace").strip().splitlines()[-1:]
            raise WorkerError(f"its process ended with code {self._process.wait()}: {' '.join(last)}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer


class WorkerError(Exception):
    """A maker could not run a case."""


@contextmanager
def _limited(on: Sequence[int]) -> Iterator[None]:
    """Limit processes started inside the block to these CPUs, so that libraries start no more threads."""
    before = cpus()
    if before == list(on):
        yield
        return
    os.sched_setaffinity(0, on)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True, slots=True)
class Settings:
    """The cases to measure, and the time limit."""

    distributions: Sequence[str]
    dtypes: Sequence[str]
    elements: int
    repeats: int
    seconds: float
    """Time limit in seconds. Every maker of a case is measured `FEWEST` times even after it."""

    def __post_init__(self) -> None:
        for option, values, known in (
            ("distributions", self.distributions, DISTRIBUTIONS),
            ("dtype", self.dtypes, DTYPES),
        ):
            for value in values:
                if value not in known:
                    raise ValueError(f"--{option}: {value!r} is unknown; allowed: {', '.join(known)}")
                if values.count(value) > 1:
                    raise ValueError(f"--{option}: {value} is given twice")
        if self.elements < SMALL:
            raise ValueError(f"--elements: {self.elements} is too small; the minimum is {SMALL}")
        if self.elements > MOST:
            raise ValueError(f"--elements: {self.elements} is too large; the maximum is {MOST}")
        if not 0 <= self.seconds < math.inf:
            raise ValueError(f"--seconds: {self.seconds} is not a finite number of at least 0")
        if not self.distributions or not self.dtypes:
            raise ValueError("`--distributions` and `--dtype` need at least one value each")
        if self.repeats < 1:
            raise ValueError(f"--repeats: {self.repeats} is too small; the minimum is 1")

    def cases(self) -> list[Case]:
        """Return the cases: all distributions in all types, then one distribution for the other kinds of work."""
        cases = [
            Case("fill", distribution, dtype, self.elements)
            for distribution in self.distributions
            for dtype in self.dtypes
        ]
        distribution = "normal" if "normal" in self.distributions else self.distributions[0]
        dtype = "F32" if "F32" in self.dtypes else self.dtypes[0]
        cases.append(Case("fresh", distribution, dtype, self.elements * FRESH))
        cases.append(Case("small", distribution, dtype, SMALL, self.elements * TENSORS // SMALL))
        return cases


@dataclass(frozen=True, slots=True)
class Measured:
    """Results of `measure`, as JSON values."""

    makers: list[dict[str, Any]]
    rows: list[dict[str, Any]]
    failures: list[dict[str, Any]]


def measure(settings: Settings, chosen: Sequence[Maker], tell: Callable[[float, str], object]) -> Measured:
    """Measure every case by every maker that has it.

    `tell` receives the progress, 0 to 1, and the next case. The results report a maker that fails; others continue.
    """
    deadline = time.monotonic() + settings.seconds
    every = cpus()
    one = every[-1:] if hasattr(os, "sched_setaffinity") else every
    found = Measured([], [], [])
    with ExitStack() as stack:
        tell(0, "starting")
        started = [stack.enter_context(Worker(maker, on)) for maker in chosen for on in _on(maker, one, every)]
        workers = []
        for worker in started:
            try:
                version = worker.hello()
            except WorkerError as error:
                _note(found, worker, None, error)
                continue
            workers.append(worker)
            maker = worker.maker
            about = {"name": maker.name, "kind": maker.kind, "version": version, "calls": dict(maker.calls)}
            if about not in found.makers:
                found.makers.append(about)
        cases = settings.cases()
        for number, case in enumerate(cases):
            tell(number / len(cases), f"{case.work} {case.distribution} {case.dtype}")
            share = (deadline - time.monotonic()) / (len(cases) - number)
            _measure_case(case, workers, settings.repeats, time.monotonic() + share, found)
        tell(1, "done")
    return found


def _on(maker: Maker, one: list[int], every: list[int]) -> list[list[int]]:
    return [one] if maker.serial or one == every else [one, every]


def _measure_case(case: Case, workers: Sequence[Worker], repeats: int, until: float, found: Measured) -> None:
    times: dict[Worker, list[float]] = {}
    made: dict[Worker, Case] = {}
    for worker in workers:
        if worker.maker.offers(case):
            slow = case.work in worker.maker.slow and case.distribution != "constant"
            made[worker] = _fewer(case) if slow else case
            try:
                worker.prepare(made[worker])
            except WorkerError as error:
                _note(found, worker, case, error)
            else:
                times[worker] = []
    for turn in range(repeats):
        if turn >= FEWEST and time.monotonic() > until:
            break
        for worker in turn_order(list(times), turn):
            try:
                times[worker].append(worker.turn())
            except WorkerError as error:
                _note(found, worker, case, error)
                del times[worker]
            if worker.threads > 1:
                time.sleep(PAUSE)
    for worker, seconds in times.items():
        elements = made[worker].count * made[worker].tensors
        nanoseconds = [value / elements * 1e9 for value in seconds]
        found_here = summary(nanoseconds)
        found.rows.append(
            {
                "work": case.work,
                "distribution": case.distribution,
                "dtype": case.dtype,
                "threads": worker.threads,
                "maker": worker.maker.name,
                "elements": elements,
                "tensors": made[worker].tensors,
                "ns": rounded(found_here.median),
                "low": rounded(found_here.low),
                "high": rounded(found_here.high),
                "turns": [rounded(value) for value in nanoseconds],
            }
        )


def _fewer(case: Case) -> Case:
    if case.tensors > 1:
        return Case(case.work, case.distribution, case.dtype, case.count, max(1, case.tensors // SLOW))
    return Case(case.work, case.distribution, case.dtype, max(1, case.count // SLOW))


def _note(found: Measured, worker: Worker, case: Case | None, error: WorkerError) -> None:
    what = f"{case.work} {case.distribution} {case.dtype}" if case else "start"
    found.failures.append({"maker": worker.maker.name, "threads": worker.threads, "case": what, "error": str(error)})
