"""What many tests share."""

from __future__ import annotations

import os
import signal

import pytest

# Read when huggingface_hub is imported: what it asks besides, and keeps in the home directory.
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"


@pytest.fixture(scope="session", autouse=True)
def _default_dispositions() -> None:
    """Start the processes of tests with default dispositions, also where `nohup` or a background job started pytest.

    A handler that does nothing is not inherited across exec, as an ignored signal is.
    """
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Soak tests run only when asked for by `-m soak`; everything else always."""
    if "soak" in (config.getoption("markexpr") or ""):
        return
    soak = [item for item in items if item.get_closest_marker("soak")]
    config.hook.pytest_deselected(items=soak)
    items[:] = [item for item in items if item not in soak]
