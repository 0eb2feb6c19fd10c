"""Fixtures that many tests share."""

from __future__ import annotations

import gc
import os
import signal

import hypothesis
import pytest

from tests.soak.parts import PARTS

# Read when huggingface_hub is imported: what it asks besides, and keeps in the home directory.
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"


# Neither a deadline for an example nor the check that examples come fast: both fail on a busy machine.
hypothesis.settings.register_profile("fanin", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("fanin")


@pytest.fixture(scope="session", autouse=True)
def _default_dispositions() -> None:
    """Start the processes of tests with default dispositions, also where `nohup` or a background job started pytest.

    A handler that does nothing is not inherited across exec, as an ignored signal is.
    """
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", metavar="PART", help="run the soak tests of this part, and nothing else; see tests/soak")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep soak tests for `--soak`, and then those of the part alone; everything else runs always."""
    wanted = config.getoption("soak")
    left_out = [item for item in items if soak_part(item) != wanted]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def pytest_collection_finish() -> None:
    """Exclude what exists after collection from garbage collections, whose time grows with the number of objects."""
    gc.collect()
    gc.freeze()


def soak_part(item: pytest.Item) -> str | None:
    """Return the part of the soak that a test belongs to, as its marker says; None for a test that always runs.

    Raises:
        pytest.UsageError: no run of the soak would find the test.
    """
    marker = item.get_closest_marker("soak")
    if not marker:
        return None
    (part,) = marker.args
    if part not in PARTS or not item.nodeid.startswith(PARTS[part].paths):
        raise pytest.UsageError(f"{item.nodeid}: tests/soak/parts.py has no part {part!r} with this file")
    return str(part)
