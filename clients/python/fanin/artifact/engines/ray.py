"""Ray Core: each item is a task of a cluster, which runs it again when a worker or a node dies.

A task has the URL of the artifact and the number of an item. Its worker reads the plan from there, once. Results are
empty: no bytes of the artifact pass through Ray.
"""

from __future__ import annotations

import functools
import hashlib
import os
import random
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from fanin import backends
from fanin.artifact.destinations.base import Destination
from fanin.artifact.destinations.opening import destination
from fanin.artifact.engines import Task
from fanin.artifact.plan import Plan, read_plan
from fanin.artifact.progress import Tally
from fanin.artifact.writing import may_pass
from fanin.backends import Backend
from fanin.errors import ConflictError, EngineError

AHEAD = 2
"""Tasks in flight for each CPU of the cluster: one that runs and one that waits for its CPU."""
LEAST = 16
"""Least tasks in flight. An autoscaler adds nodes for tasks that wait, also to a cluster without any."""
_FRACTION = 4
"""The driver waits until this part of the tasks has ended, because each wait costs time for each task in flight."""
_SECONDS = 1.0
"""Longest time until the driver sees that a task has ended."""
_PAUSE = 16.0
"""Longest pause before an item is written again after an error that may pass. Ray itself makes none."""
_REFRESH = 5.0
"""Seconds between questions how many CPUs the cluster has."""


@dataclass(frozen=True, slots=True)
class Engine:
    """Tasks of a Ray cluster, one CPU for each. They are spread over its nodes, and few are in flight at a time.

    The nodes need the same versions of Ray, Python and Fanin, and credentials of the bucket in their environment.
    When the driver ends, Ray kills its workers. The same call then continues with the items that are not complete.
    Over a connection that the process had before, tasks in flight still run to their end.
    """

    address: str | None = None
    """Address of the cluster such as `auto` or `10.0.0.1:6379`. By default it is that of RAY_ADDRESS or of the cluster
    that runs on this machine, else a new one on this machine. A connection that the process already has is used."""
    in_flight: int | None = None
    """Most tasks in flight; by default two for each CPU of the cluster, also when it grows."""
    retries: int = 8
    """Further attempts for an item whose worker or node died, or that ended with an error which may pass."""

    def run(self, task: Task, plan: Plan, url: str, items: Iterable[int], *, backend: str | None, tally: Tally) -> None:
        """See `fanin.artifact.engines.Engine`.

        Raises:
            EngineError: the cluster cannot be reached, or it lost the worker of an item in every attempt.
        """
        claim = hashlib.sha256(plan.document()).hexdigest()
        nbytes = plan.arrangement.nbytes
        with connected(self.address):
            kind = ray.remote(
                name="fanin",
                num_cpus=1,
                scheduling_strategy="SPREAD",
                max_retries=self.retries,
                retry_exceptions=[_PassingError],
            )

            # Sent to each worker once. Ray serializes every argument of every call.
            def run(number: int) -> None:
                _run(task, url, claim, number, backend)

            remote = kind(run)
            pending: dict[Any, int] = {}
            numbers, limit = iter(items), _Limit(self.in_flight)
            try:
                while True:
                    for number in islice(numbers, max(0, limit.now() - len(pending))):
                        pending[remote.remote(number)] = number
                    if not pending:
                        return
                    for reference in _ended(list(pending)):
                        tally.add(nbytes(pending.pop(reference)))
                        tally.done()
            except RayTaskError as error:
                cause = error.cause
                raise (cause.args[0] if isinstance(cause, _PassingError) else cause) from error
            except RayError as error:
                raise EngineError(f"Ray: {error}. Complete items stay for the next call") from error


def _run(task: Task, url: str, claim: str, number: int, backend: str | None) -> None:
    """Run the task for an item, in a worker."""
    try:
        plan, place, maker = _opened(url, claim, backend)
        task(plan, number, place, maker, lambda _: None)
    except OSError as error:
        if not may_pass(error):
            raise
        time.sleep(random.uniform(0, _PAUSE))  # nosec B311 (no secret)
        raise _PassingError(error) from error


class _PassingError(Exception):
    """Another attempt may succeed: Ray decides by the type alone. Its argument is the error."""


@functools.lru_cache(maxsize=2)
def _opened(url: str, claim: str, backend: str | None) -> tuple[Plan, Destination, Backend]:
    """Return what a worker needs for every item. Its process reads it once."""
    place = destination(url)
    plan = read_plan(place)
    if hashlib.sha256(plan.document()).hexdigest() != claim:
        raise ConflictError(f"{url}: a worker sees another artifact there than the driver")
    # Tasks with one CPU each run in as many processes as there are CPUs.
    return plan, place, backends.create(backends.get(backend).name, fill_threads=1)


def _ended(pending: list[Any]) -> list[Any]:
    """Return tasks that have ended, after at most a second.

    Raises:
        RayError: one has failed in all its attempts.
    """
    ended, _ = ray.wait(pending, num_returns=-(-len(pending) // _FRACTION), timeout=_SECONDS)
    ray.get(ended)
    return list(ended)


class _Limit:
    """Most tasks in flight."""

    def __init__(self, given: int | None) -> None:
        self._given = given
        self._found = 0
        self._until = 0.0

    def now(self) -> int:
        if self._given is not None:
            return max(1, self._given)
        if time.monotonic() > self._until:
            self._found = max(LEAST, AHEAD * int(ray.cluster_resources().get("CPU", 0)))
            self._until = time.monotonic() + _REFRESH
        return self._found


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Connect to a cluster, unless this process is connected.

    Raises:
        EngineError: the cluster cannot be reached.
    """
    if ray.is_initialized():
        yield
        return
    # Ray sends statistics about a cluster that it starts here, unless this variable is 0.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray replaces the handler of SIGTERM by one with another exit code.
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        try:
            ray.init(address, log_to_driver=False, logging_level="warning")
        except (RayError, ConnectionError, RuntimeError, ValueError) as error:
            raise EngineError(f"Ray at {address or 'its default address'} cannot be used: {error}") from error
        finally:
            if is_main and handler is not None:
                signal.signal(signal.SIGTERM, handler)
        yield
    finally:
        ray.shutdown()
