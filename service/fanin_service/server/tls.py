"""TLS: the settings as uvicorn's options, tried before the server starts."""

from __future__ import annotations

import ssl
from typing import Any

from fanin_service.settings import Settings, SettingsError, variable

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: with forward secrecy and authenticated alone (RFC 9325 section 4.2); those of TLS 1.3 all are."""


def options(settings: Settings) -> dict[str, Any]:
    """Uvicorn's options; none without a certificate.

    Raises:
        SettingsError: a file cannot be read, or is not what it should be.
    """
    certificate, key, authority = settings.tls_cert, settings.tls_key, settings.tls_client_ca
    if certificate is None or key is None:
        return {}
    for name in ("tls_cert", "tls_key", "tls_client_ca"):
        _check_readable(settings, name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without a password of ours OpenSSL would ask the terminal for that of an encrypted key.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError as error:
        reason = f"{certificate} and {key} are not a PEM certificate and its unencrypted key: {error.reason or error}"
        raise SettingsError([f"{variable('tls_cert')}, {variable('tls_key')}: {reason}"]) from None
    found: dict[str, Any] = {"ssl_certfile": certificate, "ssl_keyfile": key, "ssl_ciphers": CIPHERS}
    if authority is None:
        return found
    try:
        context.load_verify_locations(authority)
    except ssl.SSLError as error:
        reason = f"{authority} has no PEM certificate: {error.reason or error}"
        raise SettingsError([f"{variable('tls_client_ca')}: {reason}"]) from None
    return {**found, "ssl_ca_certs": authority, "ssl_cert_reqs": ssl.CERT_REQUIRED}


def _check_readable(settings: Settings, name: str) -> None:
    path = getattr(settings, name)
    try:
        if path is not None:
            path.read_bytes()
    except OSError as error:
        raise SettingsError([f"{variable(name)}: cannot read {path}: {error.strerror}"]) from None
