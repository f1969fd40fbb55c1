"""Where traces and metrics go. These are OpenTelemetry's own variables and Application Insights'; the libraries that
send do not read them again, since every value is handed to them.

Source: OpenTelemetry specification 1.48, "Environment Variable Specification" and "OpenTelemetry Protocol Exporter".
"""

import re
from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

from pydantic import BeforeValidator, Field, SecretStr

from lb.config import values
from lb.config.certificates import certificate_file
from lb.config.section import Section
from lb.config.values import Wrong

SAMPLERS = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
_PAIR = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*=\s*([^,;\s\x00-\x1f\x7f]*)")
_KEY = re.compile(r"[0-9a-f-]{36}", re.IGNORECASE)
_INGESTION = "https://dc.services.visualstudio.com"


def read_endpoint(value: object) -> str:
    """`http://host:4318`, with a path if any; for gRPC `host:4317` will do."""
    found = values.text(value)
    whole = found if "://" in found else f"//{found}"
    try:
        parts = urlsplit(whole)
        good = parts.scheme in ("", "http", "https") and values.is_host(parts.hostname or "") and parts.port != 0
    except ValueError:
        good = False
    if not good or "@" in found or "?" in found or "#" in found or not found.isprintable() or " " in found:
        raise Wrong("an address such as http://collector:4318, or for gRPC http://collector:4317")
    return found.rstrip("/")


def read_pairs(value: object) -> dict[str, str]:
    """`name=value,name=value`, values percent-encoded where they have to be."""
    found = {}
    for item in values.items(value):
        pair = _PAIR.fullmatch(item)
        if pair is None:
            raise Wrong(
                "name=value, with commas between; blanks, commas and semicolons are written as %20, %2C and %3B"
            )
        found[pair[1]] = unquote(pair[2])
    return found


def read_headers(value: object) -> SecretStr:
    """Pairs, kept as they came, since a key may be among them."""
    if any(not shown.isprintable() for shown in read_pairs(value).values()):
        raise Wrong("name=value, with values of printable characters")
    return SecretStr(values.text(value))


def read_timeout(value: object) -> float:
    """Seconds, as the Python libraries have it; the specification means milliseconds, and such a number is refused."""
    try:
        return values.number(0.1, 600)(value)
    except Wrong:
        raise Wrong("a number of seconds from 0.1 to 600") from None


def read_connection_string(value: object) -> SecretStr:
    """`InstrumentationKey=...;IngestionEndpoint=...`, as the Application Insights resource shows it."""
    found = values.text(value)
    parts = parts_of(found)
    if not _KEY.fullmatch(parts.get("instrumentationkey", "")):
        raise Wrong("a connection string that begins with InstrumentationKey=, as Application Insights shows it")
    read_endpoint(parts.get("ingestionendpoint", _INGESTION))
    return SecretStr(found)


def parts_of(found: str) -> dict[str, str]:
    """`Name=value;Name=value` by the names in lower case."""
    split = [part.partition("=") for part in found.split(";") if part.strip()]
    return {name.strip().lower(): text.strip() for name, _, text in split}


def read_authentication(value: object) -> str:
    """`Authorization=AAD`, perhaps with `;ClientId=...` for a user-assigned identity."""
    parts = parts_of(values.text(value))
    if parts.get("authorization", "").upper() != "AAD" or not parts.keys() <= {"authorization", "clientid"}:
        raise Wrong("Authorization=AAD, or Authorization=AAD;ClientId=<id>")
    client = parts.get("clientid")
    return f"Authorization=AAD;ClientId={values.name(client)}" if client else "Authorization=AAD"


def read_content(value: object) -> str:
    """Where prompts and answers are to be shown; `true` and `false` are what older libraries take."""
    older = {"true": "span_only", "false": "no_content"}
    found = values.text(value).lower()
    return values.choice("no_content", "span_only", "event_only", "span_and_event")(older.get(found, found))


Exporter = Annotated[Literal["otlp", "none"], BeforeValidator(values.choice("otlp", "none"))]
Endpoint = Annotated[str, BeforeValidator(read_endpoint)]
File = Annotated[str, BeforeValidator(certificate_file)]


class TelemetrySection(Section):
    """Traces and metrics for OpenTelemetry."""

    disabled: Annotated[bool, BeforeValidator(values.switch)] = False
    traces_exporter: Exporter | None = None
    metrics_exporter: Exporter | None = None
    endpoint: Endpoint | None = None
    traces_endpoint: Endpoint | None = None
    metrics_endpoint: Endpoint | None = None
    protocol: Annotated[Literal["http/protobuf", "grpc"], BeforeValidator(values.choice("http/protobuf", "grpc"))] = (
        "http/protobuf"
    )
    headers: Annotated[SecretStr, BeforeValidator(read_headers)] | None = Field(default=None, repr=False)
    timeout: Annotated[float, BeforeValidator(read_timeout)] = 10.0
    compression: Annotated[Literal["none", "gzip"], BeforeValidator(values.choice("none", "gzip"))] = "none"
    insecure: Annotated[bool, BeforeValidator(values.switch)] = False
    certificate: File | None = None
    client_certificate: File | None = None
    client_key: Annotated[str, BeforeValidator(values.text)] | None = None
    service_name: Annotated[str, BeforeValidator(values.text)] = "openai-lb"
    resource_attributes: Annotated[dict[str, str], BeforeValidator(read_pairs)] | None = None
    sampler: Annotated[str, BeforeValidator(values.choice(*SAMPLERS))] = "parentbased_always_on"
    sampler_arg: Annotated[float, BeforeValidator(values.number(0, 1))] = 1.0
    queue_size: Annotated[int, BeforeValidator(values.whole(1, 10_000_000))] = 8192
    batch_size: Annotated[int, BeforeValidator(values.whole(1, 100_000))] = 512
    schedule_delay: Annotated[int, BeforeValidator(values.whole(1, 3_600_000))] = 5000
    metric_interval: Annotated[int, BeforeValidator(values.whole(100, 86_400_000))] = 60_000
    capture_content: Annotated[str, BeforeValidator(read_content)] = "no_content"
    connection_string: Annotated[SecretStr, BeforeValidator(read_connection_string)] | None = Field(
        default=None, repr=False
    )
    authentication: Annotated[str, BeforeValidator(read_authentication)] | None = None
    genai_system: Annotated[bool, BeforeValidator(values.switch)] = False

    @property
    def otlp_traces(self) -> bool:
        """Do spans go to an OTLP receiver?"""
        named = self.traces_exporter == "otlp" or bool(self.endpoint or self.traces_endpoint)
        return named and self.traces_exporter != "none" and not self.disabled

    @property
    def otlp_metrics(self) -> bool:
        """Do metrics go to an OTLP receiver?"""
        named = self.metrics_exporter == "otlp" or bool(self.endpoint or self.metrics_endpoint)
        return named and self.metrics_exporter != "none" and not self.disabled

    @property
    def azure_traces(self) -> bool:
        """Do spans go to Application Insights?"""
        return self.connection_string is not None and self.traces_exporter != "none" and not self.disabled

    @property
    def ratio(self) -> float:
        """Share of the traces that begin here which is recorded."""
        kind = self.sampler.removeprefix("parentbased_")
        return {"always_on": 1.0, "always_off": 0.0}.get(kind, self.sampler_arg)

    @property
    def by_parent(self) -> bool:
        """Is a caller followed that has decided for its trace?"""
        return self.sampler.startswith("parentbased_")

    def url(self, signal: Literal["traces", "metrics"]) -> str:
        """Where a signal goes. Over HTTP the general address gets the signal's path; one of its own is taken as is."""
        own = self.traces_endpoint if signal == "traces" else self.metrics_endpoint
        if self.protocol == "grpc":
            return own or self.endpoint or "http://localhost:4317"
        return own or f"{self.endpoint or 'http://localhost:4318'}/v1/{signal}"

    def header_pairs(self) -> Mapping[str, str]:
        """What every request to the receiver carries."""
        return read_pairs(self.headers.get_secret_value()) if self.headers else {}
