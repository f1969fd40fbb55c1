"""Composition root: the one module that knows every other. Reads as a list, with the reason for each place."""

import asyncio
import mmap
import random
import socket
from typing import TYPE_CHECKING, Any

from lb.admin.server import AdminServer
from lb.admin.status import document, standings_document
from lb.balancing.affinity import Affinity
from lb.balancing.peers import Peers
from lb.balancing.pins import Memory, Pins, size_of
from lb.balancing.policy import POLICIES
from lb.balancing.pool import Pool
from lb.balancing.verdict import Judge
from lb.build import VERSION
from lb.config import Config
from lb.events import Announcer
from lb.exchange import BackendFailed
from lb.exports import open_exports
from lb.failover import Failover
from lb.gateway import Gateway
from lb.metering.book import Book
from lb.metering.quota import Quota
from lb.parts import (
    ask_for_usage,
    clock,
    deployment_names,
    door,
    exposition,
    limits_of,
    proxy_of,
    tokenizer,
    transport_settings,
    usage_store,
    wall,
    watches_of,
)
from lb.recordings import open_recordings
from lb.spine.admission import Admission
from lb.spine.binding import Bindings
from lb.spine.lists import Lists
from lb.telemetry.beliefs import belief_rows
from lb.telemetry.lines import LogLines
from lb.telemetry.log import Logs
from lb.telemetry.machine import process_rows
from lb.telemetry.metrics import Metrics
from lb.telemetry.rates import Rates
from lb.telemetry.recent import Recent
from lb.telemetry.seldom import Seldom
from lb.telemetry.standings import standing_rows
from lb.telemetry.tallies import Snapshot
from lb.wire.acceptor import Ahead
from lb.wire.callers import Callers
from lb.wire.credentials import Credentials, default_azure
from lb.wire.server import Server
from lb.wire.transport import SocketTransport

if TYPE_CHECKING:
    from lb.replicas.link import Link

FLUSH_SECONDS = 2.0
"""Left for the export of what was recorded when draining took all its time."""
TICK_SECONDS = 0.25
"""How often ended cooldowns are told about when no request comes to notice them."""


class App:
    """Everything that serves traffic in one process, put together from a configuration.

    `peers` are the other workers, where there are any; their operator listener is the office's, and in `book` they add
    up what tenants use, and in `pins` they note which backend holds what; `worker` is the
    number of this one, from 0.
    """

    _link: "Link | None" = None

    def __init__(
        self,
        config: Config,
        logs: Logs,
        peers: Peers | None = None,
        book: Book | None = None,
        pins: Memory | None = None,
        worker: int | None = None,
    ) -> None:
        self.config = config
        self._logs = logs
        self.started = clock()
        # Observers first: everything below tells them.
        self.emit = Announcer()
        self._tokenizer = tokenizer(config.metrics.tokenizer)
        self.metrics = Metrics(
            deployment_names(config),
            seconds=config.metrics.second_buckets,
            tokens=config.metrics.token_buckets,
            later=self._tokenizer,
        )
        self.recent = Recent(wall)
        lines = LogLines(logs)
        self.metrics.unread = lines.unread
        for observer in (self.metrics, self.recent, lines):
            self.emit.add(observer)
        self._entering = usage_store(config, logs)
        if self._entering is not None:
            self.metrics.spent = self._entering.spent
        self._rates = Rates(self.metrics.totals)
        self._exports = open_exports(config, logs.say, wall, clock)
        self._recordings = open_recordings(config, logs.say, logs.writer.write, wall, worker)
        if self._recordings is not None:
            self.emit.add(self._recordings.observer)
        self._exposition = exposition(config)
        # The heart: what is believed of the backends. It survives every reload.
        self.pool = Pool(
            config.domain_backends(),
            self.emit,
            policy=POLICIES[config.policy],
            rng=random.Random(),  # noqa: S311 - a share of traffic is no secret
            peers=peers,
        )
        memory = mmap.mmap(-1, size_of(config.affinity.entries)) if pins is None else pins
        self.affinity = Affinity(Pins(memory), config.domain_backends())
        # The way out.
        self.credentials = Credentials(wall, clock, default_azure(config.platform.azure_client_id))
        self.transport = self._transport(config)
        # The spine between the two.
        self.failover = Failover(
            self.pool,
            self.transport,
            Judge(wall, config.limits.max_cooldown_seconds),
            clock,
            self.emit,
            first_event_seconds=config.limits.first_event_seconds,
        )
        self._open_room(config)
        self.callers = Callers(config.client_keys(), config.entra_settings(), wall, clock)
        self.gateway = Gateway(self.callers.identify, self.failover, clock, self.emit, explain=config.explain)
        self._bind(config)
        if self._exports is not None:
            self.gateway.trace = self._exports.trace
        self.gateway.ask_for_usage = ask_for_usage(config)
        # Budgets survive every reload, too; they are asked only where there are tenants.
        ahead = wall() - clock()
        quota = Quota((), lambda now: now + ahead, None if config.redis.url else book)
        self._admission = Admission(quota, clock, self.emit)
        self._budgets = Seldom(lambda: quota.overview(clock()), clock)
        self._admit(config)
        # Replicas agree behind all that; with Redis each worker is one, too.
        self._link = self._to_replicas(config, quota) if config.redis.url else None
        self._linked: asyncio.Task[None] | None = None

        def report(event: str, **facts: object) -> None:
            error = facts.pop("error", None)
            bug = error if isinstance(error, BaseException) else None
            logs.say("error" if bug else "warning", event, bug, **facts)

        # The way in comes last: nothing may arrive before everything stands.
        self.server = Server(self.gateway, report, limits_of(config))
        self.door = door(config)
        self.admin = AdminServer(self.overview, self.exposed, self, self.door, logs.say) if peers is None else None
        self._ahead: Ahead | None = None
        self._ticker: asyncio.TimerHandle | None = None

    async def start(self, sock: socket.socket, ahead: Ahead | None = None) -> None:
        """Take requests from a bound socket. Raises OSError when the operator listener's address is taken.

        `ahead` keeps the shares of several workers on that socket even.
        """
        self._ahead = ahead
        if self.admin is not None:
            await self.admin.start(self.config.admin.host, self.config.admin.port)
        await self.server.start(sock=sock, ahead=ahead)
        if self._entering is not None:
            self._entering.start()
        if self._recordings is not None:
            self._recordings.feed.start()
        if self._exports is not None:
            self._exports.start(self.readings)
        if self._link is not None:
            self._linked = asyncio.get_running_loop().create_task(self._link.run())
            self._linked.add_done_callback(self._unlinked)
        self._tick()

    def heard(self) -> None:
        """Another worker rang: it learned something, or gave back what others wait for."""
        self.pool.hear(clock())
        self.failover.permits.wake()

    def reload(self, config: Config) -> None:
        """Swap the configuration under running requests: what is believed of a backend that stays is kept."""
        old, self.config = self.config, config
        self.pool.replace(config.domain_backends(), POLICIES[config.policy])
        self.affinity.replace(config.domain_backends())
        for name in deployment_names(config):
            self.metrics.deployments.admit(name)
        if transport_settings(old) != transport_settings(config):
            before, self.transport = self.transport, self._transport(config)
            before.retire(backend.url for backend in old.backends)
        else:
            gone = {backend.url for backend in old.backends} - {backend.url for backend in config.backends}
            self.transport.retire(gone)
        self.failover.transport = self.transport
        self.failover.judge = Judge(wall, config.limits.max_cooldown_seconds)
        self.failover.first_event_seconds = config.limits.first_event_seconds
        self._open_room(config)
        self.callers.replace(config.client_keys(), config.entra_settings())
        self.door.replace(config.operator_keys())
        self._admit(config)
        self.gateway.explain = config.explain
        self._bind(config)
        self.gateway.ask_for_usage = ask_for_usage(config)
        self.server.limits = limits_of(config)

    async def drain(self) -> None:
        """Finish what is running, and send what was recorded of it, within the configured time."""
        end = clock() + self.config.limits.drain_seconds
        await self.server.drain(self.config.limits.drain_seconds)
        if self._exports is not None:
            await self._exports.close(max(FLUSH_SECONDS, end - clock()))

    async def close(self) -> None:
        """Let go of everything."""
        if self._ticker is not None:
            self._ticker.cancel()
        if self._linked is not None:
            self._linked.cancel()
            await asyncio.wait([self._linked])
        if self.admin is not None:
            await self.admin.close()
        self.transport.close()
        await self.callers.close()
        await self.credentials.close()
        if self._tokenizer is not None:
            self._tokenizer.close()
        if self._entering is not None:
            await asyncio.to_thread(self._entering.close)
        if self._recordings is not None:
            await self._recordings.feed.close()
        if self._exports is not None:
            await self._exports.close(0.0)

    def status(self, *, budgets: bool = True) -> dict[str, Any]:
        """The document behind `/status`. Without `budgets` that of a worker whom nobody has asked: there may be many of
        them, and they are the same for all."""
        now = clock()
        return document(
            version=VERSION,
            uptime=now - self.started,
            draining=self.server.draining,
            policy=self.config.policy,
            connections=self.server.connections,
            requests=self.metrics.summary(),
            rows=self.pool.snapshot(now),
            standings=self.standings() if budgets else {"waiting": len(self.failover.permits.room), "tenants": []},
            rates=self._rates.document(
                [backend.name for backend in self.pool.backends], tokens=self.metrics.knows_tokens
            ),
            recent=self.recent.entries(),
        )

    async def overview(self) -> dict[str, Any]:
        """As `status`, in the form that the operator listener asks for."""
        return self.status()

    async def switch(self, backend: str, by: str, *, out: bool) -> bool:
        """As an operator says: see `admin.controls`."""
        done = self.pool.switch(clock(), backend, by, out=out)
        self.failover.permits.wake()
        return done

    async def recall(self, backend: str, deployment: str | None, by: str) -> bool:
        """As an operator says: see `admin.controls`."""
        done = self.pool.recall(clock(), backend, deployment, by)
        self.failover.permits.wake()
        return done

    def readings(self, *, budgets: bool = True) -> Snapshot:
        """All that `/metrics` shows of this process; for `budgets` see `status`."""
        now = clock()
        counters = self.transport.counters
        return {
            **self.metrics.snapshot(),
            **belief_rows(self.pool.snapshot(now), self.metrics.deployments),
            **(self._quota_rows() if budgets else {}),
            "lb_waiting_requests": [[len(self.failover.permits.room)]],
            **process_rows(wall() - (now - self.started)),
            "lb_info": [[VERSION, 1]],
            "lb_client_connections": [[self.server.connections]],
            "lb_backend_connections": [[self.transport.open_connections]],
            "lb_backend_connections_opened_total": [[counters.opened]],
            "lb_backend_connections_reused_total": [[counters.reused]],
            "lb_backend_handshakes_total": [[counters.handshakes]],
            "lb_pins": [[self.affinity.pins.held]],
            "lb_kept_bytes": [[self.server.kept_bytes]],
            "lb_spooled_bytes": [[self.server.spooled_bytes]],
            "lb_log_lines_dropped_total": [[self._logs.writer.lost]],
            **({} if self._link is None else self._link.readings()),
            **({} if self._entering is None else self._entering.readings()),
            **({} if self._recordings is None else self._recordings.feed.readings()),
            **({} if self._exports is None else self._exports.rows()),
        }

    def standings(self) -> dict[str, Any]:
        """How tenants stand, for operators: what each has used of its budgets, and how many of its requests wait.

        Workers share budgets, so every one of them tells the same of those; waiting requests add up.
        """
        overview = self._budgets() if self.gateway.admission is not None else {}
        return standings_document(self.failover.permits.room.counts(), overview)

    async def exposed(self) -> bytes:
        """The same as Prometheus reads it. Many rows take long to be written, and requests shall not wait for that."""
        return await asyncio.to_thread(self._exposition.render, [self.readings()])

    def _quota_rows(self) -> Snapshot:
        if self.gateway.admission is None:
            return {}
        return standing_rows(self._budgets(), self.metrics.tenants)

    def _open_room(self, config: Config) -> None:
        room = self.failover.permits.room
        room.seconds, room.most = config.limits.max_wait_seconds, config.limits.max_waiting
        room.look()

    def _bind(self, config: Config) -> None:
        """Requests with objects, or with a prompt that a backend knows, are led there; nothing is asked where neither
        is wanted."""
        wanted = config.affinity
        watches = watches_of(config)
        self.gateway.bindings = None
        if wanted.objects or wanted.prompt_cache_key or wanted.prompt_prefix_bytes:
            self.gateway.bindings = bindings = Bindings(
                self.affinity if wanted.objects else None,
                self.emit,
                cache_keys=wanted.prompt_cache_key,
                prefix=wanted.prompt_prefix_bytes,
                together=wanted.together,
                sessions=wanted.responses_websocket,
            )
            watches += [bindings.watch] if wanted.objects else []
        if self._recordings is not None:
            watches += self._recordings.watches(config)
        exports = self._exports
        if exports is not None:
            exports.replace(config)
            watches += exports.watches
            self.gateway.recorded_watches = exports.recorded_watches
        self.gateway.watches = watches
        self.gateway.lists = (
            Lists(self.failover, self.affinity, unowned=wanted.list_unowned) if wanted.objects else None
        )

    def _admit(self, config: Config) -> None:
        tenants, tenancy = config.domain_tenants(), config.tenancy
        self.gateway.admission = None if tenants is None else self._admission
        if tenants is not None:
            fields = tenancy.header.lower().encode(), tenancy.parameter.lower().encode()
            for name in self._admission.replace(tenants, *fields, config.domain_backends()):
                self._logs.say("error", f"Tenant `{name}` goes without limits: there are more than can be kept")

    def _to_replicas(self, config: Config, quota: Quota) -> "Link":
        from lb.replicas.client import client  # redis-py is an extra
        from lb.replicas.link import Link

        url = config.redis.url or ""
        token = self._redis_token if config.redis.entra else None
        pins, woken = self.affinity.pins, self.failover.permits.wake
        link = Link(lambda: client(url, token), quota, self.pool, pins, clock, self._logs.say, woken)
        self.emit.add(link)
        return link

    def _unlinked(self, linked: asyncio.Task[None]) -> None:
        bug = None if linked.cancelled() else linked.exception()
        if bug is not None:
            self._logs.say("error", "Replicas no longer agree, through a bug", bug)

    async def _redis_token(self, scope: str) -> str:
        try:
            return await self.credentials.token(scope)
        except BackendFailed as failed:
            raise ConnectionError(failed.detail) from None

    def _tick(self) -> None:
        now = clock()
        self.pool.tick(now)
        self._rates.tick(now)
        if self._ahead is not None:
            self._ahead(self.server.connections)
        self._ticker = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)

    def _transport(self, config: Config) -> SocketTransport:
        return SocketTransport(
            self.credentials,
            clock,
            idle_seconds=config.limits.http_timeout_seconds,
            connect_seconds=config.limits.connect_seconds,
            ca_file=config.ca_file,
            proxy=proxy_of(config),
        )
