"""The life of the process: start, signals, reload, drain, exit code."""

import asyncio
import errno
import signal
import socket
from collections.abc import Callable

import uvloop

from lb.app import App, wall
from lb.config import Config, ConfigProblems, FileSignature, Loaded, restart_needed
from lb.telemetry.log import Logs

WATCH_SECONDS = 1.0
"""How often the configuration file is looked at; a change counts once two looks agree on it."""
BACKLOG = 4096
CANNOT_START = 1

Load = Callable[[], Loaded]


def run(loaded: Loaded, load: Load) -> int:
    """Serve until told to stop. `load` reads the configuration again. Returns the exit code."""
    config = loaded.config
    logs = Logs.open(wall, form=config.log.format, level=config.log.level)
    try:
        return _run(loaded, load, logs)
    finally:
        logs.close()


def _run(loaded: Loaded, load: Load, logs: Logs) -> int:
    config = loaded.config
    for warning in loaded.warnings:
        logs.say("warning", warning)
    try:
        sock = listen(config.listen.host, config.listen.port)
    except OSError as problem:
        logs.say("error", f"LB_HOST, LB_PORT: {cannot_listen(config.listen.host, config.listen.port, problem)}")
        return CANNOT_START
    if config.open_to_strangers:
        logs.say("warning", OPEN, host=config.listen.host)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(Life(loaded, load, logs, sock).live())


OPEN = (
    "Open to strangers: whoever reaches this address spends the quota of every backend. Set LB_CLIENT_KEYS or "
    "LB_ENTRA_TENANT_ID and LB_ENTRA_ALLOWED, or listen on 127.0.0.1"
)


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


class Life:
    """One process from its start to its end."""

    def __init__(self, loaded: Loaded, load: Load, logs: Logs, sock: socket.socket) -> None:
        self._loaded = loaded
        self._load = load
        self._logs = logs
        self._sock = sock
        self._stop = asyncio.Event()
        self._signature = FileSignature(loaded.file) if loaded.file else None

    async def live(self) -> int:
        """Start, serve, drain, end."""
        loop = asyncio.get_running_loop()
        app = App(self._loaded.config, self._logs)
        try:
            await app.start(self._sock)
        except OSError as problem:
            admin = self._loaded.config.admin
            self._logs.say("error", f"LB_ADMIN_HOST, LB_ADMIN_PORT: {cannot_listen(admin.host, admin.port, problem)}")
            await app.close()
            return CANNOT_START
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self.reload, app)
        self._say_started(app)
        watching = loop.create_task(self._watch(app))
        await self._stop.wait()
        watching.cancel()
        self._logs.say("info", "Draining", seconds=app.config.limits.drain_seconds, connections=app.server.connections)
        await app.drain()
        await app.close()
        self._logs.say("info", "Stopped")
        return 0

    def reload(self, app: App) -> None:
        """Read the configuration again; a bad one is refused with a line for each problem, and nothing changes."""
        try:
            loaded = self._load()
        except ConfigProblems as problems:
            for line in problems.problems:
                self._logs.say("error", f"Configuration not reloaded: {line}")
            return
        for line in restart_needed(app.config, loaded.config):
            self._logs.say("warning", line)
        for warning in loaded.warnings:
            self._logs.say("warning", warning)
        app.reload(loaded.config)
        self._logs.say("info", "Configuration reloaded", backends=_names(loaded.config))

    async def _watch(self, app: App) -> None:
        """Reload when the file has changed."""
        while self._signature is not None:
            await asyncio.sleep(WATCH_SECONDS)  # noqa: TID251 - nothing tells of a changed file on every platform
            if await asyncio.to_thread(self._signature.changed):
                self.reload(app)

    def _say_started(self, app: App) -> None:
        host, port = self._sock.getsockname()[:2]
        self._logs.say(
            "info",
            f"Listening on http://{f'[{host}]' if ':' in host else host}:{port}",
            admin=f"http://{app.config.admin.host}:{app.admin.port}",
            backends=_names(app.config),
        )


def _names(config: Config) -> list[str]:
    return [f"{backend.name} {backend.url}" for backend in config.domain_backends()]
