"""What the front that was not taken makes of malformed requests: the rows of tests/wire/test_malformed_requests.py.

    python -m bench.fronts.malformed

Prints the rows that it answers otherwise than the balancer's own front does, and what it writes for the operator.
"""

import contextlib
import socket
import sys
import tempfile
from pathlib import Path

from bench import proxies
from bench.children import Child, Cores, free_port
from tests.wire.test_malformed_requests import TABLE


def status(port: int, sent: bytes) -> int:
    """The answer's status; 0 when there is none within a second."""
    received = b""
    with socket.create_connection(("127.0.0.1", port)) as sock, contextlib.suppress(OSError):
        sock.settimeout(1.0)
        sock.sendall(sent)
        while b"\r\n" not in received and (piece := sock.recv(65536)):
            received += piece
    return int(received[9:12]) if received.startswith(b"HTTP/1.") else 0


def main() -> None:
    """Start the front before a backend that answers everything with 200, and ask."""
    port = free_port()
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        work, cores = Path(directory), Cores()
        command = [sys.executable, "-m", "bench.origin"]
        origin = stack.enter_context(Child(command, cores.rest, work / "origin", talks=True))
        make = proxies.lb([sys.executable, "-m", "bench.fronts.aiohttp_front"])
        recipe = make(work, int(origin.says.readline()), port)
        front = stack.enter_context(Child(recipe.command, cores.proxy, work / "front", recipe.environment))
        front.wait_port(port, 15)
        other = {name: (want, got) for name, (want, sent) in TABLE.items() if (got := status(port, sent)) != want}
        said = (work / "front").read_text(errors="replace")
    for name, (want, got) in sorted(other.items(), key=lambda row: row[1][1]):
        print(f"{name:40} own front {want}   aiohttp {got or 'no answer'}")
    print(
        f"{len(TABLE)} rows, {len(other)} answered otherwise, {sum(got == 200 for _, got in other.values())} accepted"
    )
    print(f"tracebacks: {said.count('Traceback (most recent call last)')}; lines written: {said.count(chr(10))}")


if __name__ == "__main__":
    main()
