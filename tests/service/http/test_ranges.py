"""Range and conditional logic, compared with a second implementation of RFC 9110."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fanin_service.http.ranges import ByteRange, Conditions, Verdict, parse_range, select

SIZES = st.integers(1, 2**63 - 1) | st.integers(1, 100)
POSITIONS = st.integers(0, 2**64) | st.integers(0, 120) | st.integers(0, 10**30)
ETAG = '"0123abcd"'


@given(SIZES, POSITIONS, POSITIONS, st.text("0", max_size=3))
def test_first_to_last(size: int, first: int, last: int, zeros: str) -> None:
    found = parse_range(f"bytes={zeros}{first}-{zeros}{last}", size)
    if last < first:
        assert found is Verdict.WHOLE
    elif first >= size:
        assert found is Verdict.UNSATISFIABLE
    else:
        assert found == ByteRange(first, min(last + 1, size))


@given(SIZES, POSITIONS)
def test_first_to_end(size: int, first: int) -> None:
    expected = ByteRange(first, size) if first < size else Verdict.UNSATISFIABLE
    assert parse_range(f"bytes={first}-", size) == expected


@given(SIZES, POSITIONS)
def test_suffix(size: int, length: int) -> None:
    expected = ByteRange(max(0, size - length), size) if length else Verdict.UNSATISFIABLE
    assert parse_range(f"bytes=-{length}", size) == expected


@given(st.text(max_size=20) | st.text("bytes=-, 0123456789+_\t", max_size=20), SIZES)
@example("bytes=0-1_0", 100)
@example("bytes=+1-5", 100)
@example("bytes=1-\u0665", 100)
@example("bytes=-", 100)
@example("bytes=0-1,", 100)
@example("bytes=,0-1", 100)
@example("bytes=0-1,3-4", 100)
@example("BYTES=0-1", 100)
@example("bytes =0-1", 100)
@example("items=0-1", 100)
@example("bytes=0 -1", 100)
@example("bytes=0-1\n", 100)
def test_any_text(header: str, size: int) -> None:
    """No text raises an exception, and only a single range by the grammar selects a part."""
    found = parse_range(header, size)
    one_range = re.fullmatch(r"(?i:bytes)=[ \t,]*([0-9]+-[0-9]*|-[0-9]+)[ \t,]*", header)
    if not one_range:
        assert found is Verdict.WHOLE
    if isinstance(found, ByteRange):
        assert 0 <= found.start < found.stop <= size


@pytest.mark.parametrize("header", ["bytes=" + "9" * 60_000 + "-", "bytes=0-" + "9" * 60_000, "bytes=-" + "9" * 60_000])
def test_numbers_that_int_refuses(header: str) -> None:
    assert parse_range(header, 10) == (Verdict.UNSATISFIABLE if header.endswith("9-") else ByteRange(0, 10))


def test_long_numbers_keep_their_order() -> None:
    assert parse_range(f"bytes={10**40}-{10**39}", 10) is Verdict.WHOLE
    assert parse_range(f"bytes={10**39}-{10**40}", 10) is Verdict.UNSATISFIABLE
    assert parse_range(f"bytes={10**19}-{10**19 - 1}", 10) is Verdict.WHOLE


@given(SIZES, st.data())
def test_content_range(size: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, size - 1))
    stop = data.draw(st.integers(start + 1, size))
    assert ByteRange(start, stop).content_range(size) == f"bytes {start}-{stop - 1}/{size}"


PART = ByteRange(1, 3)
MATRIX = [
    # No conditions.
    ("GET", Conditions(), Verdict.WHOLE),
    ("HEAD", Conditions(), Verdict.WHOLE),
    ("GET", Conditions(range=["bytes=1-2"]), PART),
    # Range applies to GET only. Two lines are not a valid header.
    ("HEAD", Conditions(range=["bytes=1-2"]), Verdict.WHOLE),
    ("HEAD", Conditions(range=["bytes=99-"]), Verdict.WHOLE),
    ("GET", Conditions(range=["bytes=1-2", "bytes=1-2"]), Verdict.WHOLE),
    ("GET", Conditions(range=["bytes=99-"]), Verdict.UNSATISFIABLE),
    # If-Match compares strongly.
    ("GET", Conditions(if_match=["*"]), Verdict.WHOLE),
    ("GET", Conditions(if_match=[ETAG]), Verdict.WHOLE),
    ("GET", Conditions(if_match=[f'"other", {ETAG}']), Verdict.WHOLE),
    ("GET", Conditions(if_match=['"other"', ETAG]), Verdict.WHOLE),
    ("GET", Conditions(if_match=[f'"a,b",W/"c",{ETAG}']), Verdict.WHOLE),
    ("GET", Conditions(if_match=[f"W/{ETAG}"]), Verdict.PRECONDITION_FAILED),
    ("GET", Conditions(if_match=['"other"']), Verdict.PRECONDITION_FAILED),
    ("GET", Conditions(if_match=["0123abcd"]), Verdict.PRECONDITION_FAILED),
    ("GET", Conditions(if_match=[""]), Verdict.PRECONDITION_FAILED),
    # Empty elements of a list are ignored.
    ("GET", Conditions(if_match=[f', "other", , {ETAG},']), Verdict.WHOLE),
    ("GET", Conditions(if_match=["", ETAG]), Verdict.WHOLE),
    ("GET", Conditions(if_none_match=[f'"other",,{ETAG}']), Verdict.NOT_MODIFIED),
    ("GET", Conditions(if_none_match=[", ,"]), Verdict.WHOLE),
    ("GET", Conditions(if_none_match=[f'"other" {ETAG}']), Verdict.WHOLE),
    # If-None-Match compares weakly.
    ("GET", Conditions(if_none_match=["*"]), Verdict.NOT_MODIFIED),
    ("HEAD", Conditions(if_none_match=[ETAG]), Verdict.NOT_MODIFIED),
    ("GET", Conditions(if_none_match=[f"W/{ETAG}"]), Verdict.NOT_MODIFIED),
    ("GET", Conditions(if_none_match=[f'"x" , W/{ETAG}']), Verdict.NOT_MODIFIED),
    ("GET", Conditions(if_none_match=['"other"']), Verdict.WHOLE),
    ("GET", Conditions(if_none_match=["0123abcd"]), Verdict.WHOLE),
    # If-Range: an equal strong tag, or the full file.
    ("GET", Conditions(if_range=[ETAG], range=["bytes=1-2"]), PART),
    ("GET", Conditions(if_range=[f"W/{ETAG}"], range=["bytes=1-2"]), Verdict.WHOLE),
    ("GET", Conditions(if_range=['"other"'], range=["bytes=1-2"]), Verdict.WHOLE),
    ("GET", Conditions(if_range=["Wed, 21 Oct 2015 07:28:00 GMT"], range=["bytes=1-2"]), Verdict.WHOLE),
    ("GET", Conditions(if_range=[ETAG, ETAG], range=["bytes=1-2"]), Verdict.WHOLE),
    ("GET", Conditions(if_range=['"other"'], range=["bytes=99-"]), Verdict.WHOLE),
    ("GET", Conditions(if_range=[ETAG]), Verdict.WHOLE),
    # Order of evaluation.
    ("GET", Conditions(if_match=['"other"'], if_none_match=[ETAG], range=["bytes=99-"]), Verdict.PRECONDITION_FAILED),
    ("GET", Conditions(if_match=[ETAG], if_none_match=[ETAG], range=["bytes=99-"]), Verdict.NOT_MODIFIED),
    ("GET", Conditions(if_match=[ETAG], if_none_match=['"other"'], if_range=[ETAG], range=["bytes=1-2"]), PART),
]


@pytest.mark.parametrize(("method", "conditions", "expected"), MATRIX)
def test_conditions(method: str, conditions: Conditions, expected: ByteRange | Verdict) -> None:
    assert select(method, conditions, ETAG, 10) == expected
