"""How a backend's certificate is checked."""

from __future__ import annotations

import ssl
from typing import Final

_REASONS: Final = {
    9: "its certificate is not valid yet",
    10: "its certificate has expired",
    18: "its certificate is self-signed and not among the trusted roots",
    19: "its certificate chain ends in a root that is not trusted",
    20: "the issuer of its certificate is not known",
    62: "its certificate is for another host name",
    64: "its certificate is for another address",
}
"""OpenSSL's X509_V_ERR codes that operators meet."""


def backend_context(ca_file: str | None = None) -> ssl.SSLContext:
    """Certificates and host names are checked against the system's roots, which OpenSSL lets `SSL_CERT_FILE` replace,
    and those in `ca_file` (PEM). Raises `OSError` (`ssl.SSLError` among them) when that file cannot be used."""
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    context.set_alpn_protocols(["http/1.1"])
    return context


def explain(error: ssl.SSLError) -> str:
    """What was wrong, in the operator's words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _REASONS.get(error.verify_code, f"its certificate was not accepted: {error.verify_message}")
    if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
        return "it does not speak TLS on this port"
    return f"the TLS handshake failed: {error.reason or error}"
