"""The two documents for browsers: the page, and the form before it where a key is asked for.

Each is one file without an address of anybody else. What it may do is said by its Content-Security-Policy: run the
script and the style that stand in it, known by their hashes, and talk to where it came from.
"""

import re
from base64 import b64encode
from hashlib import sha256
from importlib.resources import files

from aiohttp import web

HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
"""For every answer of the operator listener."""
NOTHING = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)
_PROBLEM = "<!-- problem -->"


class Document:
    """An HTML file of this package and its policy."""

    def __init__(self, name: str) -> None:
        self.text = files("lb.admin").joinpath(name).read_text("utf-8")
        hashes: dict[str, list[str]] = {"script": [], "style": []}
        for kind, content in _INLINE.findall(self.text):
            hashes[kind].append(f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'")
        self.policy = "; ".join(
            [
                "default-src 'none'",
                " ".join(["script-src", *(hashes["script"] or ["'none'"])]),
                " ".join(["style-src", *(hashes["style"] or ["'none'"])]),
                "connect-src 'self'",
                "img-src data:",
                "form-action 'self'",
                "frame-ancestors 'none'",
                "base-uri 'none'",
                "require-trusted-types-for 'script'",
            ]
        )

    def response(self, status: int = 200, problem: str = "") -> web.Response:
        """The document; `problem`, which is ours, stands where it has a place for one."""
        text = self.text.replace(_PROBLEM, problem and f'<p class="problem" role="alert">{problem}</p>')
        headers = {"content-security-policy": self.policy}
        return web.Response(status=status, text=text, content_type="text/html", charset="utf-8", headers=headers)
