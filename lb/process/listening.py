"""Listening sockets, and why there is none, in the operator's words."""

import contextlib
import errno
import resource
import socket

BACKLOG = 4096


def allow_many_connections() -> None:
    """Raise the limit on open files to what the system lets this process have; workers inherit it.

    Soft limits are often 1024, for the sake of old programs that use `select`. A relayed stream needs two.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS names a limit that it does not grant
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and host == "::":
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def cannot_listen(host: str, port: int, problem: OSError) -> str:
    """Why, in the operator's words."""
    reasons = {
        errno.EADDRINUSE: "another program listens there already",
        errno.EACCES: "ports below 1024 need more rights than this process has",
        errno.EADDRNOTAVAIL: "this machine does not have that address",
    }
    return f"cannot listen on {host} port {port}: {reasons.get(problem.errno or 0, problem.strerror or str(problem))}"


def address_of(sock: socket.socket) -> str:
    """Where it listens, as a URL."""
    host, port = sock.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
