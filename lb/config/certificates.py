"""Files of trusted roots."""

import ssl

from lb.config.values import Wrong, text


def certificate_file(value: object) -> str:
    """The path of a PEM file that OpenSSL can take roots from."""
    path = text(value)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise Wrong("a PEM file with at least one certificate") from None
    except (OSError, ValueError) as failed:
        reason = getattr(failed, "strerror", None) or "no path"
        raise Wrong(f"a readable PEM file of certificates ({reason})") from None
    return path
