"""The client: one download over several connections."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fanin
from fanin import Client, MismatchError, ServiceError
from tests.client.expected import BIG, assert_equal, whole
from tests.support.faulty import Faulty, Handler, cut, ignore_range, refuse, well


def test_parts_over_several_connections(four: Client, service: Faulty, tmp_path: Path) -> None:
    """Cut at all places, and once a complete file instead of a part."""
    four.register(BIG)  # or the faults would hit the connection that registers the recipe
    service.faults = [well, cut(1000), ignore_range, cut(0), cut(60_000), refuse(503), cut(1), well]
    four.save(BIG, tmp_path / "got", verify="full")
    assert (tmp_path / "got").read_bytes() == whole(tmp_path, BIG)
    asked = {
        tuple(map(int, found[0]))
        for request in service.requests
        if (found := re.findall(r"bytes=(\d+)-(\d+)", request))
    }
    size = (tmp_path / "got").stat().st_size
    assert {(first, min(first + (1 << 16), size) - 1) for first in range(0, size, 1 << 16)} <= asked
    assert_equal(four.materialize(BIG), fanin.materialize(BIG))
    np.testing.assert_array_equal(
        four.slice(BIG, "weight", np.s_[7:150_001]), fanin.materialize(BIG)["weight"][7:150_001]
    )


def test_an_interrupt_does_not_wait_for_the_service(service: Faulty) -> None:
    """The threads of a download wait for a service that sends nothing, up to `patience` and four times `timeout`."""
    is_over, arrived = threading.Event(), threading.Semaphore(0)

    def silent(handler: Handler) -> bool:
        arrived.release()
        handler.close_connection = True
        return is_over.wait(120)

    service.faults = [silent] * 4
    program = (
        "import sys, fanin\n"
        "with fanin.Client(sys.argv[1], connections=4, request_bytes=1000, timeout=600) as client:\n"
        "    client.materialize({'shape': 4000, 'scheme': 'zeros'})\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, service.url],
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        try:
            for _ in range(4):
                assert arrived.acquire(timeout=60)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == -signal.SIGINT
        finally:
            process.kill()
            is_over.set()


def test_what_parts_had_brought_is_kept_in_order(four: Client, service: Faulty, tmp_path: Path) -> None:
    """All or nothing; what stays for the next call has no holes."""
    four.register(BIG)

    def broken(handler: Any) -> bool:
        found = re.search(r"bytes=(\d+)", handler.headers["Range"])
        return found is not None and int(found[1]) >= 5 << 16 and refuse(500)(handler)

    service.faults = [broken] * 99
    with pytest.raises(ServiceError, match="500"):
        four.save(BIG, tmp_path / "got")
    (partial,) = tmp_path.iterdir()
    assert partial.suffix == ".partial"
    expected = whole(tmp_path, BIG)
    assert partial.read_bytes() == expected[: 5 << 16]
    service.faults = []
    four.save(BIG, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == expected


def test_a_wrong_bit_in_a_part_is_found(four: Client, service: Faulty) -> None:
    def damage(start: int, data: bytearray) -> None:
        if start <= 400_000 < start + len(data):
            data[400_000 - start] ^= 1

    service.damage = damage
    with pytest.raises(MismatchError, match="byte 400000 "):
        four.materialize(BIG, verify="full")
