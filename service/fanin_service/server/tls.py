"""TLS: converts the settings to uvicorn's options, and checks the files before the server starts."""

from __future__ import annotations

import ssl
from typing import Any

from fanin_service.settings import Settings, SettingsError, variable

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Cipher suites of TLS 1.2: only authenticated ones with forward secrecy (RFC 9325 section 4.2). All of TLS 1.3 are so.
"""


def options(settings: Settings) -> dict[str, Any]:
    """Return uvicorn's options for TLS; none without a certificate.

    Raises:
        SettingsError: a file cannot be read, or is not a certificate or key.
    """
    certificate, key, authority = settings.tls_cert, settings.tls_key, settings.tls_client_ca
    if certificate is None or key is None:
        return {}
    for name in ("tls_cert", "tls_key", "tls_client_ca"):
        _check_readable(settings, name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without this password OpenSSL would prompt on the terminal for the one of an encrypted key.
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
