"""The life of the process: start, signals, reload, drain, exit code. With several workers `workers` takes over."""

import asyncio
import signal
import socket

import uvloop

from lb.app import App
from lb.build import COMPILED
from lb.config import FileSignature, Loaded
from lb.parts import wall
from lb.process.listening import address_of, allow_many_connections, cannot_listen, listen
from lb.process.rereading import Load, names, read_again
from lb.process.workers import Supervisor
from lb.telemetry.log import Logs

WATCH_SECONDS = 1.0
"""How often the configuration file is looked at; a change counts once two looks agree on it."""
CANNOT_START = 1

OPEN = (
    "Open to strangers: whoever reaches this address spends the quota of every backend. Set LB_CLIENT_KEYS or "
    "LB_ENTRA_TENANT_ID and LB_ENTRA_ALLOWED, or listen on 127.0.0.1"
)
RECORDED = "Prompts and answers are RECORDED (LB_AUDIT): they go to"

ADMIN_OPEN = (
    "The operator listener shows /metrics and /status to whoever reaches it, and its page is closed. Set "
    "LB_ADMIN_KEYS, or listen on 127.0.0.1"
)


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
    allow_many_connections()
    try:
        sock = listen(config.listen.host, config.listen.port)
    except OSError as problem:
        logs.say("error", f"LB_HOST, LB_PORT: {cannot_listen(config.listen.host, config.listen.port, problem)}")
        return CANNOT_START
    if config.open_to_strangers:
        logs.say("warning", OPEN, host=config.listen.host)
    if not config.admin_on_loopback and not config.operators:
        logs.say("warning", ADMIN_OPEN, host=config.admin.host)
    if config.audit.to != "off":
        logs.say("warning", f"{RECORDED} {config.audit.place}", who=config.audit.who)
    if config.workers == 1:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(Life(loaded, load, logs, sock).live())
    try:
        admin = listen(config.admin.host, config.admin.port)
    except OSError as problem:
        return _no_admin(loaded, logs, problem)
    return Supervisor(loaded, load, logs, sock, admin).run()


def _no_admin(loaded: Loaded, logs: Logs, problem: OSError) -> int:
    admin = loaded.config.admin
    logs.say("error", f"LB_ADMIN_HOST, LB_ADMIN_PORT: {cannot_listen(admin.host, admin.port, problem)}")
    return CANNOT_START


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
            await app.close()
            return _no_admin(self._loaded, self._logs, problem)
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
        if self._signature is not None:
            self._signature.note()
        loaded = read_again(self._load, app.config, self._logs)
        if loaded is not None:
            app.reload(loaded.config)
            self._logs.say("info", "Configuration reloaded", backends=names(loaded.config))

    async def _watch(self, app: App) -> None:
        """Reload when the file has changed."""
        while self._signature is not None:
            await asyncio.sleep(WATCH_SECONDS)  # noqa: TID251 - nothing tells of a changed file on every platform
            if await asyncio.to_thread(self._signature.changed):
                self.reload(app)

    def _say_started(self, app: App) -> None:
        host = app.config.admin.host
        admin = f"http://{f'[{host}]' if ':' in host else host}:{app.admin.port if app.admin else 0}"
        self._logs.say(
            "info",
            f"Listening on {address_of(self._sock)}",
            admin=admin,
            compiled=COMPILED,
            backends=names(app.config),
        )
