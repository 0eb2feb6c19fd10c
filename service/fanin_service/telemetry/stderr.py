"""Standard error, written by a thread, so that the service does not wait for the program that reads it."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TextIO

MAX_LINES = 10_000
"""Maximum number of log lines that wait. Later ones are dropped and counted."""
FLUSH_SECONDS = 2.0
"""Maximum seconds for which the end of the process waits for lines that are not yet written."""
_PAUSE_SECONDS = 0.01
"""Seconds of which the lines are written together: a thread that wakes for each line would slow the event loop down."""


class StandardErrorHandler(logging.StreamHandler[TextIO]):
    """A handler that writes to standard error in a daemon thread.

    A pipe that nobody reads, such as that of a container whose log driver is stuck, blocks its writer. That would stop
    all requests if the writer were the event loop.
    """

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self._descriptor: int | None = None
        with suppress(OSError, ValueError):
            self._descriptor = sys.stderr.fileno()
        self._waiting: deque[logging.LogRecord | str] = deque()
        """Records that the thread formats, and lines."""
        self._dropped = 0
        self._wake = threading.Event()
        self._is_writing = False
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if len(self._waiting) >= MAX_LINES:
            self._dropped += 1
            return
        # Arguments may change, and so may a message that is an object. A traceback keeps everything alive that its
        # frames refer to. Other records are formatted together, which takes a third of the time.
        refers = record.args or record.exc_info or not isinstance(record.msg, str)
        self._waiting.append(self._line(record) if refers else record)
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_lines, name="fanin-log", daemon=True)
            self._thread.start()
        if not self._wake.is_set():  # costs less than to set it again
            self._wake.set()

    def _line(self, record: logging.LogRecord) -> str:
        try:
            return f"{self.format(record)}\n"
        except Exception:
            self.handleError(record)
            return ""

    def flush(self) -> None:
        """Wait until all lines are written, at most `FLUSH_SECONDS`."""
        end = time.monotonic() + FLUSH_SECONDS
        while (self._waiting or self._is_writing) and time.monotonic() < end:
            time.sleep(_PAUSE_SECONDS / 5)

    def _write_lines(self) -> None:
        while True:
            self._wake.wait()
            time.sleep(_PAUSE_SECONDS)
            self._wake.clear()
            self._is_writing = True
            found = [self._waiting.popleft() for _ in range(len(self._waiting))]
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                text = f"{dropped} log lines were dropped: standard error was not read"
                found.append(logging.LogRecord(__name__, logging.WARNING, "", 0, text, None, None))
            lines = [each if isinstance(each, str) else self._line(each) for each in found]
            with suppress(OSError, ValueError):  # the reader is gone, or the stream is closed
                self._write("".join(lines))
            self._is_writing = False

    def _write(self, text: str) -> None:
        if self._descriptor is None:
            self.stream.write(text)
            self.stream.flush()
            return
        # Write without the stream: its lock, held by a thread that is blocked here, would abort the end of the process.
        rest = text.encode(self.stream.encoding, "backslashreplace")
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
