"""Artifacts: checkpoints of step 0 in a directory or a bucket, from any number of processes, and resumable.

>>> import fanin
>>> manifest = fanin.artifact.make({"shape": [784, 10], "scheme": "glorot_uniform"}, "step-0")
"""

from fanin.artifact.finishing import Manifest
from fanin.artifact.making import begin, finish, make, write_part
from fanin.artifact.parts import Part
from fanin.artifact.plan import Plan
from fanin.artifact.progress import Progress, Status, status
from fanin.artifact.writing import Record

__all__ = [
    "Manifest",
    "Part",
    "Plan",
    "Progress",
    "Record",
    "Status",
    "begin",
    "finish",
    "make",
    "status",
    "write_part",
]
