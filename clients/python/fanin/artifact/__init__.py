"""Artifacts: checkpoints of step 0 in a directory or a bucket, from any number of processes, and resumable.

>>> import fanin
>>> manifest = fanin.artifact.make({"shape": [784, 10], "scheme": "glorot_uniform"}, "step-0")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fanin.artifact.comparison import Compared, compare
from fanin.artifact.finishing import Manifest
from fanin.artifact.making import begin, finish, make, write_part
from fanin.artifact.parts import Part
from fanin.artifact.plan import Plan
from fanin.artifact.progress import Progress, Status, status
from fanin.artifact.verification import VerifiedArtifact, verify
from fanin.artifact.writing import Record
from fanin.errors import MissingPackageError

if TYPE_CHECKING:
    from fanin.artifact.signatures.keys import SigningKey
    from fanin.artifact.signatures.private_keys import load_key
    from fanin.artifact.signatures.provenance import Provenance
    from fanin.artifact.signatures.signing import Signed, sign, verify_signature

__all__ = [
    "Compared",
    "Manifest",
    "Part",
    "Plan",
    "Progress",
    "Provenance",
    "Record",
    "Signed",
    "SigningKey",
    "Status",
    "VerifiedArtifact",
    "begin",
    "compare",
    "finish",
    "load_key",
    "make",
    "sign",
    "status",
    "verify",
    "verify_signature",
    "write_part",
]

_SIGNING = {
    "Provenance": "provenance",
    "Signed": "signing",
    "SigningKey": "keys",
    "load_key": "private_keys",
    "sign": "signing",
    "verify_signature": "signing",
}
"""Modules of the names that need the extra `sign`."""


# Not for type checkers: they would accept every misspelt name.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Import a name that is for signatures when it is used first.

        Raises:
            MissingPackageError: cryptography is not installed.
        """
        if name not in _SIGNING:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            value = globals()[name] = getattr(import_module(f"{__name__}.signatures.{_SIGNING[name]}"), name)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "cryptography":
                raise
            how = "in a checkout of Fanin, run: pip install '.[sign]'"
            text = f"fanin.artifact.{name} needs the package cryptography, which is not installed; {how}"
            raise MissingPackageError(text, name=error.name) from None
        return value
