"""What an operator may say: every setting, its default and its limits. Values are read by `values` and its kin."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr

from lb.balancing.backend import DEFAULT_SCOPE, Backend
from lb.config import address, values
from lb.config import clients as callers
from lb.config.audit import AuditSection
from lb.config.certificates import certificate_file
from lb.config.directory import writable_directory
from lb.config.section import Section
from lb.config.telemetry import TelemetrySection
from lb.config.tenants import TenancySection, TenantSection
from lb.config.values import Wrong
from lb.metering.tenant import Tenants

DAY = 86_400.0
GIB = 2**30
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
TOKENS = (16.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16_384.0, 32_768.0, 65_536.0, 131_072.0)

Host = Annotated[str, BeforeValidator(values.host)]
Port = Annotated[int, BeforeValidator(values.whole(0, 65_535))]
CertificateFile = Annotated[str, BeforeValidator(certificate_file)]


def _deployments(value: object) -> dict[str, str]:
    """`chat=gpt-54-mini,embedding` or the same as a list or a mapping: the callers' name to the backend's."""
    if isinstance(value, dict):
        pairs = [(key, item) for key, item in value.items()]
    else:
        pairs = [(alias, called if equals else alias) for alias, equals, called in _split(value)]
    found: dict[str, str] = {}
    for alias, called in pairs:
        alias = values.deployment(alias)
        if alias in found:
            raise Wrong(f"every deployment once: {alias} is there twice")
        found[alias] = values.deployment(alias if called is None else called)
    if not found:
        raise Wrong("at least one deployment, e.g. chat=gpt-54-mini")
    return found


def _split(value: object) -> list[tuple[str, str, str]]:
    return [item.partition("=") for item in values.items(value)]


class BackendSection(Section):
    """One endpoint."""

    name: Annotated[str, BeforeValidator(values.name)]
    url: Annotated[str, BeforeValidator(address.endpoint)]
    priority: Annotated[int, BeforeValidator(values.whole(0, 1_000_000))] = 1
    weight: Annotated[int, BeforeValidator(values.whole(1, 10_000))] = 1
    api_key: Annotated[SecretStr, BeforeValidator(values.secret)] | None = None
    scope: Annotated[str, BeforeValidator(address.scope)] = DEFAULT_SCOPE
    deployment_name: Annotated[str, BeforeValidator(values.deployment)] | None = None
    deployments: Annotated[dict[str, str], BeforeValidator(_deployments)] | None = None

    def to_domain(self) -> Backend:
        """As the rest of the program knows it."""
        return Backend(
            name=self.name,
            url=self.url,
            priority=self.priority,
            weight=self.weight,
            api_key=self.api_key.get_secret_value() if self.api_key else None,
            scope=self.scope,
            deployment_name=self.deployment_name,
            deployments=MappingProxyType(self.deployments) if self.deployments else None,
        )


class ClientSection(Section):
    """One caller and the digests of its keys: two while a key is being replaced."""

    name: Annotated[str, BeforeValidator(callers.client_name)]
    keys: Annotated[tuple[bytes, ...], BeforeValidator(callers.digests)] = Field(repr=False)


class EntraSection(Section):
    """Callers that come with a token of Microsoft Entra."""

    tenant_id: Annotated[str, BeforeValidator(values.guid)]
    allowed: Annotated[dict[str, str], BeforeValidator(callers.allowed)]
    audiences: Annotated[tuple[str, ...], BeforeValidator(callers.audiences)] = callers.AUDIENCES
    authority: Annotated[str, BeforeValidator(address.issuer_base)] = callers.PUBLIC_AUTHORITY
    issuers: Annotated[tuple[str, ...], BeforeValidator(callers.issuers)] | None = None

    def to_domain(self) -> callers.EntraSettings:
        """With issuers and the address of the keys derived from tenant and authority."""
        return callers.EntraSettings(
            tenant=self.tenant_id,
            audiences=self.audiences,
            issuers=self.issuers or callers.derived_issuers(self.authority, self.tenant_id),
            keys_url=f"{self.authority}/{self.tenant_id}/discovery/v2.0/keys",
            allowed=MappingProxyType(self.allowed),
        )


class ListenSection(Section):
    """Where clients connect to."""

    host: Host = "0.0.0.0"  # noqa: S104 - a balancer serves others; it warns when it is open to strangers
    port: Port = 8080


class AdminSection(Section):
    """Where operators connect to."""

    host: Host = "127.0.0.1"
    port: Port = 8081


class LogSection(Section):
    """How log lines look; without a format: console on a terminal, else json."""

    format: Annotated[Literal["console", "json"], BeforeValidator(values.choice("console", "json"))] | None = None
    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        BeforeValidator(values.choice("debug", "info", "warning", "error")),
    ] = "info"


class MetricsSection(Section):
    """What `/metrics` shows."""

    usage: Annotated[bool, BeforeValidator(values.switch)] = False
    include_usage: Annotated[bool, BeforeValidator(values.switch)] = False
    tokenizer: Annotated[bool, BeforeValidator(values.switch)] = False
    token_buckets: Annotated[tuple[float, ...], BeforeValidator(values.bounds(1, 100_000_000, 50))] = TOKENS
    second_buckets: Annotated[tuple[float, ...], BeforeValidator(values.bounds(0.0001, DAY, 50))] = SECONDS


class UsageSection(Section):
    """The file in which what was used is added up."""

    store: Annotated[str, BeforeValidator(values.file_path)] | None = None
    keep_days: Annotated[int, BeforeValidator(values.whole(1, 36_500))] = 400


class LimitsSection(Section):
    """Seconds and bytes."""

    http_timeout_seconds: Annotated[float, BeforeValidator(values.number(0.01, DAY))] = 240.0
    connect_seconds: Annotated[float, BeforeValidator(values.number(0.01, 300))] = 10.0
    first_event_seconds: Annotated[float, BeforeValidator(values.number(0, DAY))] = 0.0
    max_cooldown_seconds: Annotated[float, BeforeValidator(values.number(0.1, DAY))] = 120.0
    replay_max_bytes: Annotated[int, BeforeValidator(values.size(0, 4 * GIB))] = 32 * 2**20
    replay_memory_bytes: Annotated[int, BeforeValidator(values.size(64 * 2**10, 4 * GIB))] = 2**20
    replay_disk_bytes: Annotated[int, BeforeValidator(values.size(0, 1024 * GIB))] = GIB
    replay_directory: Annotated[str, BeforeValidator(writable_directory)] | None = None
    replay_total_bytes: Annotated[int, BeforeValidator(values.size(0, 1024 * GIB))] = 512 * 2**20
    drain_seconds: Annotated[float, BeforeValidator(values.number(0, 3600))] = 25.0
    max_wait_seconds: Annotated[float, BeforeValidator(values.number(0, 3600))] = 0.0
    max_waiting: Annotated[int, BeforeValidator(values.whole(1, 1_000_000))] = 1000
    sse_keepalive_seconds: Annotated[float, BeforeValidator(values.number(0, 3600))] = 0.0
    websocket_ping_seconds: Annotated[float, BeforeValidator(values.number(0, 3600))] = 30.0


class AffinitySection(Section):
    """Which requests go back to the backend that knows what they name, or what they begin with."""

    objects: Annotated[bool, BeforeValidator(values.switch)] = True
    entries: Annotated[int, BeforeValidator(values.whole(1000, 10_000_000))] = 100_000
    together: Annotated[bool, BeforeValidator(values.switch)] = True
    list_unowned: Annotated[bool, BeforeValidator(values.switch)] = False
    responses_websocket: Annotated[bool, BeforeValidator(values.switch)] = False
    prompt_cache_key: Annotated[bool, BeforeValidator(values.switch)] = True
    prompt_prefix_bytes: Annotated[int, BeforeValidator(values.size(0, 2**20))] = 0


class RedisSection(Section):
    """Through which several replicas share budgets and cooldowns."""

    url: Annotated[str, BeforeValidator(address.redis)] | None = Field(default=None, repr=False)
    entra: Annotated[bool, BeforeValidator(values.switch)] = False


class PlatformSection(Section):
    """What the platform says to every program in the container."""

    https_proxy: Annotated[str, BeforeValidator(address.proxy)] | None = Field(default=None, repr=False)
    http_proxy: Annotated[str, BeforeValidator(values.text)] | None = Field(default=None, repr=False)
    no_proxy: Annotated[tuple[str, ...], BeforeValidator(address.exceptions)] = address.LOOPBACK
    ssl_cert_file: CertificateFile | None = None
    azure_client_id: Annotated[str, BeforeValidator(values.name)] | None = None


class Config(Section):
    """The whole configuration. Frozen: a reload makes a new one."""

    backends: tuple[BackendSection, ...] = ()
    clients: tuple[ClientSection, ...] = ()
    entra: EntraSection | None = None
    operators: tuple[ClientSection, ...] = ()
    tenants: tuple[TenantSection, ...] = ()
    tenancy: TenancySection = TenancySection()
    affinity: AffinitySection = AffinitySection()
    redis: RedisSection = RedisSection()
    listen: ListenSection = ListenSection()
    admin: AdminSection = AdminSection()
    log: LogSection = LogSection()
    metrics: MetricsSection = MetricsSection()
    usage: UsageSection = UsageSection()
    telemetry: TelemetrySection = TelemetrySection()
    audit: AuditSection = AuditSection()
    limits: LimitsSection = LimitsSection()
    workers: Annotated[int, BeforeValidator(values.whole(1, 128))] = 1
    policy: Annotated[
        Literal["least-loaded", "round-robin", "random", "headroom"],
        BeforeValidator(values.choice("least-loaded", "round-robin", "random", "headroom")),
    ] = "least-loaded"
    explain: Annotated[bool, BeforeValidator(values.switch)] = True
    ca_file: CertificateFile | None = None
    platform: PlatformSection = PlatformSection()

    def domain_backends(self) -> tuple[Backend, ...]:
        """The backends, as the rest of the program knows them."""
        return tuple(backend.to_domain() for backend in self.backends)

    def client_keys(self) -> Mapping[bytes, str]:
        """SHA-256 of a client's key to the client's name; empty when no keys are asked for."""
        return MappingProxyType({key: client.name for client in self.clients for key in client.keys})

    def operator_keys(self) -> Mapping[bytes, str]:
        """SHA-256 of an operator's key to the operator's name; empty when no keys are asked for."""
        return MappingProxyType({key: operator.name for operator in self.operators for key in operator.keys})

    def entra_settings(self) -> callers.EntraSettings | None:
        """Which Entra tokens are good, or None when callers are not checked by tokens."""
        return self.entra.to_domain() if self.entra else None

    def domain_tenants(self) -> Tenants | None:
        """Whose requests are whose; None where nobody asked for it."""
        if not self.tenants and self.tenancy == TenancySection():
            return None
        return self.tenancy.to_domain(self.tenants, [backend.name for backend in self.backends])

    @property
    def checks_callers(self) -> bool:
        """Must callers show a key or a token?"""
        return bool(self.clients) or self.entra is not None

    @property
    def open_to_strangers(self) -> bool:
        """Can anyone who reaches this machine spend the backends' quota?"""
        return not self.checks_callers and not address.is_loopback(self.listen.host)

    @property
    def admin_on_loopback(self) -> bool:
        """Does the operator listener hear this machine only?"""
        return address.is_loopback(self.admin.host)

    def proxy_for(self, url: str) -> str | None:
        """The proxy that stands between us and an https address, or None."""
        if not url.startswith("https:") or address.is_excepted(url, self.platform.no_proxy):
            return None
        return self.platform.https_proxy
