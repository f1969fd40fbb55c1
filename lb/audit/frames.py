"""What goes between the balancer and its clerk, through a socket.

To the clerk: first the settings, as JSON behind their length; then for each request its facts, its body and that of its
reply, behind their three lengths. From the clerk: a letter, a length, and either a report as JSON or a line for stdout.
"""

import struct
from collections.abc import Iterator

ONE = struct.Struct(">I")
THREE = struct.Struct(">III")
TAGGED = struct.Struct(">cI")
REPORT = b"R"
LINE = b"L"


def tagged(tag: bytes, payload: bytes) -> bytes:
    """One message of the clerk."""
    return TAGGED.pack(tag, len(payload)) + payload


class Messages:
    """Reads the clerk's messages from what arrives."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, received: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The messages that are complete."""
        self._buffer += received
        start = 0
        while len(self._buffer) - start >= TAGGED.size:
            tag, length = TAGGED.unpack_from(self._buffer, start)
            end = start + TAGGED.size + length
            if end > len(self._buffer):
                break
            yield tag, bytes(self._buffer[start + TAGGED.size : end])
            start = end
        del self._buffer[:start]


class Frames:
    """Reads what captures are made of from what arrives: facts, request and reply."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, received: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
        """The frames that are complete. To be read to its end before the next call."""
        self._buffer += received
        start, buffer = 0, self._buffer
        while len(buffer) - start >= THREE.size:
            facts, request, reply = THREE.unpack_from(buffer, start)
            at = start + THREE.size
            end = at + facts + request + reply
            if end > len(buffer):
                break
            said = at + facts
            told = said + request
            yield bytes(buffer[at:said]), bytes(buffer[said:told]), bytes(buffer[told:end])
            start = end
        del buffer[:start]
