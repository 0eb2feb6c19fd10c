"""Which tensor first has each random number of a draw."""

from __future__ import annotations

import bisect


class Claims:
    """Ranges of random numbers of one draw, each with the name of the first tensor that has them."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        self._names: list[str] = []

    def claim(self, start: int, stop: int, name: str) -> str | None:
        """Give the numbers [start, stop) to a tensor unless they have one. Return the first tensor with some of them.

        A weight that is cut by columns has a range for each row, so this takes the logarithm of their number.
        """
        index = bisect.bisect_right(self._stops, start)
        found = None
        while start < stop:
            begin = self._starts[index] if index < len(self._starts) else stop
            if start < begin:
                end = min(begin, stop)
                self._starts.insert(index, start)
                self._stops.insert(index, end)
                self._names.insert(index, name)
                start = end
            else:
                found = found or self._names[index]
                start = self._stops[index]
            index += 1
        return found
