"""Private keys in PKCS#11 tokens, with SoftHSM."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from fanin.artifact.signatures import keys
from fanin.artifact.signatures.pkcs11 import Uri
from fanin.artifact.signatures.private_keys import load_key
from fanin.artifact.signatures.signing import sign, verify_signature
from tests.support.signatures import CURVES, make, write_key

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "1234"


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Yield the PEM files of keys that a token named `builds` has, one of each curve. Another token has no key."""
    pkcs11 = pytest.importorskip("pkcs11")
    if not (shutil.which("softhsm2-util") and MODULE.exists()):
        pytest.skip("needs Debian's softhsm2")
    folder = tmp_path_factory.mktemp("token")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}/tokens\nlog.level = ERROR\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(folder / "softhsm2.conf"))

        def softhsm(*arguments: str) -> None:
            subprocess.run(["softhsm2-util", *arguments], check=True, capture_output=True)

        for label in ("builds", "other"):
            softhsm("--init-token", "--free", "--label", label, "--so-pin", PIN, "--pin", PIN)
        files = {}
        for number, (name, curve) in enumerate(CURVES.items()):
            files[name] = write_key(folder / f"{name}.pem", ec.generate_private_key(curve))
            place = ["--token", "builds", "--label", name, "--id", f"0{number}", "--pin", PIN]
            softhsm("--import", str(files[name]), *place)
        yield files
        pkcs11.unload(str(MODULE))


def uri(path: str, query: str = "") -> str:
    return f"pkcs11:{path}?module-path={MODULE}{query}"


@pytest.mark.parametrize("curve", CURVES)
def test_sign(token: dict[str, Path], tmp_path: Path, curve: str, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = make(tmp_path / "step-0")
    if curve == "P-256":
        (tmp_path / "pin").write_text(f"{PIN}\n")
        key = load_key(uri(f"token=builds;object={curve}", f"&pin-source=file://{tmp_path}/pin"))
    else:
        monkeypatch.setenv(keys.PASSPHRASE, PIN)
        key = load_key(uri(f"token=builds;id=%0{list(CURVES).index(curve)};type=private"))
    in_file = load_key(token[curve])
    assert key.public_pem == in_file.public_pem
    sign(artifact, key)
    verify_signature(artifact, in_file.public_pem)
    # A signature of the same key, wherever it is.
    assert not sign(artifact, in_file).is_new


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (uri("token=builds;object=nothing"), "the token has no EC key with a public key under this object and id"),
        (uri("token=nothing;object=P-256"), "has 0 tokens that fit the URI; exactly 1 is allowed"),
        (uri("object=P-256"), "has 2 tokens that fit the URI; exactly 1 is allowed"),
        (
            "pkcs11:token=builds;object=P-256?module-path=/nothing.so",
            "module-path /nothing.so is not a PKCS#11 library",
        ),
    ],
)
def test_what_the_token_lacks(token: dict[str, Path], text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        load_key(text, PIN)


def test_wrong_pin(token: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="PinIncorrect"):
        load_key(uri("token=builds;object=P-256"), "9999")
    monkeypatch.delenv(keys.PASSPHRASE, raising=False)
    with pytest.raises(ValueError, match="the PIN of the token is missing: set FANIN_SIGNING_PASSPHRASE"):
        load_key(uri("token=builds;object=P-256"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pkcs11:object=a", "module-path is missing"),
        ("pkcs11:token=a?module-path=/m", "object or id is missing"),
        ("pkcs11:object=a?module-path=/m&pin-value=1", "pin-value in a pkcs11 URI is not supported"),
        ("pkcs11:object=a;color=b?module-path=/m", "'color=b' in a pkcs11 URI: allowed are, once each, id, object, "),
        ("pkcs11:object=a;object=b?module-path=/m", "'object=b' in a pkcs11 URI"),
        ("pkcs11:object=a;type=cert?module-path=/m", "type is cert; allowed is private"),
        ("pkcs11:object=a;slot-id=x?module-path=/m", "slot-id is x; allowed is an integer"),
        ("pkcs11:object=%a?module-path=/m", "% needs two hexadecimal digits"),
    ],
)
def test_wrong_uris(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        load_key(text, PIN)


def test_attributes_of_a_uri() -> None:
    text = "pkcs11:token=My%20token;serial=01;object=a%3Bb;id=%00%ff;slot-id=7?module-path=/m&pin-source=/pin"
    assert Uri.of(text) == Uri("/m", "My token", b"01", 7, "a;b", b"\x00\xff", "/pin")
