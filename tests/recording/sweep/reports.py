"""Results of a sweep, stored in docs/record and shown in docs/recording.md.

python -m tests.recording.sweep.reports timm 0 25      # every 25th entry point, from the first
python -m tests.recording.sweep.reports                # writes the page from the stored results
"""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from tests.recording.sweep.collections import COLLECTIONS
from tests.recording.sweep.judging import Verdict, judged

ROOT = Path(__file__).parents[3]
KEPT = ROOT / "docs" / "record"
PAGE = ROOT / "docs" / "recording.md"
BEGIN, END = "<!-- sweep -->\n", "<!-- end of sweep -->\n"
PACKAGES = {"torch.nn": "torch", "ordinary code": "torch"}
COLUMNS = ("tried", "compared", "recorded", "refused", "wrong", "crashed", "not built")


def swept(collection: str, start: int, step: int) -> list[Verdict]:
    """Return the verdicts of every `step`-th model of a collection, and store them for the page."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = COLLECTIONS[collection]()
        verdicts = [judged(case) for case in itertools.islice(cases, start, None, step)]
    KEPT.mkdir(exist_ok=True)
    version = importlib.metadata.version(PACKAGES.get(collection, collection))
    kept = {
        "collection": collection,
        "version": version,
        "verdicts": [
            {key: value for key, value in asdict(verdict).items() if value and key != "detail"}
            | ({"detail": _without_places(verdict.detail)} if verdict.said != "compared" and verdict.detail else {})
            for verdict in verdicts
        ],
    }
    path = KEPT / f"{collection.replace(' ', '-')}-{start}-{step}.json"
    path.write_text(json.dumps(kept, indent=0, ensure_ascii=False) + "\n")
    return verdicts


def page() -> None:
    """Write the table of all stored results."""
    found: dict[str, dict[str, dict[str, object]]] = {}
    versions = {}
    for path in sorted(KEPT.glob("*.json")):
        kept = json.loads(path.read_text())
        found.setdefault(kept["collection"], {}).update({each["name"]: each for each in kept["verdicts"]})
        versions[kept["collection"]] = kept["version"]
    lines = [
        f"| models | {' | '.join(COLUMNS)} | tensors compared |",
        f"|---{'|---' * (len(COLUMNS) + 1)}|",
    ]
    for collection in sorted(found, key=list(COLLECTIONS).index):
        verdicts = found[collection].values()
        counts = Counter(each["said"] for each in verdicts) | Counter({"tried": len(verdicts)})
        compared = sum(int(str(each.get("tensors", 0))) for each in verdicts)
        cells = [str(counts[column]) for column in COLUMNS]
        lines.append(f"| {collection}, {versions[collection]} | {' | '.join(cells)} | {compared:,} |")
    reasons = Counter(_reason(str(each["detail"])) for each in _all(found) if each["said"] == "refused")
    lines += ["", "Reasons for refusal, with the number of models:", ""]
    lines += [
        f"- {count} x {reason}" for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    ]
    before, mark, rest = PAGE.read_text().partition(BEGIN)
    assert mark, f"{PAGE} has no place for the table"
    PAGE.write_text(before + BEGIN + "\n".join(lines) + "\n" + END + rest.partition(END)[2])


def _all(found: dict[str, dict[str, dict[str, object]]]) -> Iterable[dict[str, object]]:
    return itertools.chain.from_iterable(verdicts.values() for verdicts in found.values())


def _without_places(detail: str) -> str:
    """Return the first lines of a message, without paths of this machine."""
    short = re.sub(r"/\S*/(site-packages|tests)/", "", "\n".join(detail.splitlines()[:3]))
    return re.sub(r"(?<!\w)/(?:[\w.-]+/)+", "", short)[:400]


def _reason(detail: str) -> str:
    """Return the first fault, without the name of the tensor and the line."""
    reason = re.sub(r" at \S+:\d+", "", detail.splitlines()[0].partition(": ")[2])
    return re.sub(r"\d{3,}", "n", re.sub(r"^\S+:\d+: ", "", reason))


if __name__ == "__main__":
    if sys.argv[1:]:
        swept(sys.argv[1], *map(int, sys.argv[2:4]))
    page()
