"""The table of all goals: rows from the documents of the benchmarks, and what is bold."""

from __future__ import annotations

from docs.bench.page import goals
from tests.bench.rows import growth, http, kernels, orthogonal, ranks, small

RECIPE = {
    "table": "recipes",
    "`as_recipe`": "0.37",
    "layout": "0.06",
    "header": "0.2",
    "digest": "0.01",
    "a name": "0.0",
}


def test_large_recipes() -> None:
    written = {"recipe": "written out", "all / `json.loads`": "2.8", "bytes a tensor": "1,396", **RECIPE}
    line = {"recipe": "one line", "all / `json.loads`": "", "bytes a tensor": "926", **RECIPE}
    asked = {"table": "service", "recipe": "one line", "event loop, seconds": "0.0010"}
    requests = [
        {**asked, "request": "HEAD", "seconds": "0.0020"},
        {**asked, "request": "first byte", "seconds": "0.0210"},
        {**asked, "request": "HEAD, from the recipe store", "seconds": "0.5000"},
    ]
    found = list(growth([written, line, *requests]))
    assert [row.now for row in found] == [
        "2.8 x, 1,396 bytes",
        "430.0 ms, with header, digest and a name 640 ms",
        "21 ms (one line: first byte), loop 1.0 ms",
        "500 ms (one line: HEAD, from the recipe store), loop 1.0 ms",
    ]
    assert not any(row.met for row in found)


def test_requests_and_streams() -> None:
    row = {"found": "6713 a second", "ratio": 0.8, "wanted": ">= 0.75 of bare", "ok": True, "doubt": "2 turns"}
    found = list(http([{"work": "small requests, one worker", **row}, {"work": "raw socket loop", **row}]))
    assert [(row.now, row.met) for row in found] == [("0.80 (2 turns), 6713 a second", True)]


def test_kernels() -> None:
    turns = {"one": [2.0] * 5, "two": [1.0] * 5, "memset": [0.9] * 5, "fill": [1.0] * 5, "torch": [8e-3] * 5}
    times = {**turns, "new": [4e-3] * 5}
    cases = ("uniform, avx2", "constant, F32", "normal, two threads, new", "sparse, 2048 x 2048, avx2")
    found = {row.work: (row.now, row.met) for row in kernels([{"case": case, "seconds": times} for case in cases])}
    assert found == {
        "uniform F32, AVX2, one thread": ("1.91 ns, 2.00 of torch", False),
        "constants in memory, F32": ("0.90", False),
        "normal F32, two threads": ("2.00", True),
        "sparse, all levels, worst": ("2.00 times as fast (2048 x 2048, avx2)", True),
    }


def test_small_tensors_and_ranks() -> None:
    calls = [{"case": f"{name} of 256 elements", "ratio": ratio} for name, ratio in (("normal_", 1.5), ("zeros_", 2.5))]
    assert [(row.now, row.met) for row in small(calls)] == [("2.50 x (zeros_)", False)]
    ways = [{"way": "fanin, distributions of titan", "seconds": [3.0]}, {"way": "torch, titan", "seconds": [4.0]}]
    assert [(row.now, row.met) for row in ranks(ways)] == [("3.0 s, torch 4.0 s", True)]


def test_columns_of_a_matrix_are_compared_with_their_share() -> None:
    eighth = {"size": 4096, "maker": "eighth 8"}
    slow, fast, _ = orthogonal([{**eighth, "ratio": 0.5}, {**eighth, "ratio": 0.21}, {**eighth, "ratio": 0.2}])
    assert (slow.met, fast.met) == (False, True)
    assert fast.goal.startswith("0.205 of the matrix")


def test_a_goal_that_is_met_is_bold_and_has_no_limit() -> None:
    row = {"work": "w", "goal": "g", "now": "n", "limit": "l"}
    assert goals([{**row, "met": True}, {**row, "met": False}]).splitlines()[2:] == [
        "| w | g | **n** |  |",
        "| w | g | n | l |",
    ]
