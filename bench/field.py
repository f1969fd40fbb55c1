"""Who takes part in a run, and the backends that they all stand in front of."""

import argparse
import contextlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import trustme

from bench import proxies
from bench.children import Child, Cores
from bench.proxies import Make

USUAL = ("nginx", "envoy", "lb", "litellm", "portkey")
VARIANTS = (
    "lb-interpreted",
    "lb-quiet",
    "lb-usage",
    "lb-tenants",
    "lb-audit",
    "lb-store",
    "lb-tls",
    "lb-traced-10",
    "lb-traced-100",
    "lb-measured",
    "aiohttp-front",
)
"""Measured when asked for by name: no module compiled, fewer log lines, tokens counted, tenants with quotas and all
that belongs to them, prompts recorded, usage stored, TLS to the backend, 10 % and all of the requests traced, metrics
exported, aiohttp as the front."""
_PLENTY = 10**12
TENANTS = {
    "LB_CLIENT_KEYS": "ada:bench",
    "LB_USAGE": "true",
    "LB_CONFIG_INLINE": f"tenants: [{{{{name: ada, tokens_per_minute: {_PLENTY}, requests_per_minute: {_PLENTY}, "
    f"tokens_per_day: {_PLENTY}, max_concurrent: 100000}}}}]",
}
"""One tenant with four budgets, which is known by its key."""
TELEMETRY = {
    "lb-traced-10": {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "{receiver}/v1/traces",
        "OTEL_TRACES_SAMPLER": "traceidratio",
    }
    | {"OTEL_TRACES_SAMPLER_ARG": "0.1"},
    "lb-traced-100": {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "{receiver}/v1/traces", "OTEL_TRACES_SAMPLER": "always_on"},
    "lb-measured": {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "{receiver}/v1/metrics"},
}
"""Variables of those that export to `bench.receiver`."""
SIMPLE = {
    "lb": {},
    "lb-interpreted": {"PYTHONPATH": str(Path(__file__).parents[1])},
    "lb-quiet": {"LB_LOG_LEVEL": "warning"},
    "lb-usage": {"LB_USAGE": "true"},
    "lb-tenants": TENANTS,
}
"""Variables of the variants that need no more."""
KEPT = {
    "lb-audit": {"LB_AUDIT": "file", "LB_AUDIT_FILE": "audit.jsonl"},
    "lb-store": {"LB_USAGE_STORE": "usage.db"},
}
"""The same of those that write a file, which is to lie in the work directory."""
GATEWAYS = frozenset({"litellm", "portkey"})


class Field:
    """The proxies by name, in the order in which they are measured."""

    def __init__(self, makes: dict[str, Make], missing: dict[str, str]) -> None:
        self.makes = makes
        self.missing = missing
        self.names = list(makes)
        self.gateways = GATEWAYS
        self.backend_port = 0
        self.tls_port = 0
        self.receiver_port = 0
        self.certificate = Path()

    @classmethod
    def found(cls, a: argparse.Namespace) -> "Field":
        """Those asked for, or all that are installed."""
        wanted = a.only.split(",") if a.only else list(USUAL)
        field = cls({}, {})
        binaries = {
            "nginx": (a.nginx, proxies.nginx),
            "envoy": (a.envoy, proxies.envoy),
            "litellm": (a.litellm, proxies.litellm),
            "portkey": (a.portkey, proxies.portkey),
        }
        for name in wanted:
            if name not in binaries:
                field.makes[name] = field.own(name)
            elif binaries[name][0]:
                binary, make = binaries[name]
                field.makes[name] = make(binary)
            else:
                field.missing[name] = f"not found; --{name} PATH names it"
        field.names = list(field.makes)
        return field

    def own(self, name: str) -> Make:
        """The balancer, plain or in one of its variants."""
        if name in SIMPLE:
            return proxies.lb(proxies.own_command(), **SIMPLE[name])
        if name in KEPT:
            return partial(self._keeping, KEPT[name])
        if name == "lb-tls":
            return self._tls
        if name in TELEMETRY:
            return partial(self._exporting, TELEMETRY[name])
        if name == "aiohttp-front":
            return proxies.lb([sys.executable, "-m", "bench.fronts.aiohttp_front"])
        raise SystemExit(f"no proxy is called {name}: choose from {', '.join((*USUAL, *VARIANTS))}")

    def _keeping(self, settings: dict[str, str], work: Path, backend: int, port: int) -> proxies.Recipe:
        placed = {name: str(work / f"{port}-{value}") if "." in value else value for name, value in settings.items()}
        return proxies.lb(proxies.own_command(), **placed)(work, backend, port)

    def _tls(self, work: Path, backend: int, port: int) -> proxies.Recipe:
        url = f"https://127.0.0.1:{self.tls_port}"
        make = proxies.lb(proxies.own_command(), BACKEND_1_URL=url, LB_CA_FILE=str(self.certificate))
        return replace(make(work, backend, port), held=1000)  # the backend takes milliseconds for each handshake

    def _exporting(self, variables: dict[str, str], work: Path, backend: int, port: int) -> proxies.Recipe:
        receiver = f"http://127.0.0.1:{self.receiver_port}"
        said = {name: value.replace("{receiver}", receiver) for name, value in variables.items()}
        return proxies.lb(proxies.own_command(), **said)(work, backend, port)

    def plain_and_throttled(self) -> tuple[Make, Make]:
        """Two backends each; the second balancer's preferred one is always throttled."""
        two = {"BACKEND_2_URL": "http://127.0.0.1:{backend}", "BACKEND_2_APIKEY": "bench", "BACKEND_2_PRIORITY": "2"}
        limited = {"BACKEND_1_URL": "http://127.0.0.1:{backend}/throttled"}
        command = proxies.own_command()
        return proxies.lb(command, **two), proxies.lb(command, **two, **limited)

    @contextlib.contextmanager
    def backends(self, cores: Cores, work: Path) -> Iterator[None]:
        """The backend, and beside it one behind TLS and a receiver of telemetry where they are wanted."""
        command = [sys.executable, "-m", "bench.origin"]
        with contextlib.ExitStack() as stack:
            origin = stack.enter_context(Child(command, cores.rest, work / "origin.log", talks=True))
            self.backend_port = int(origin.says.readline())
            if "lb-tls" in self.names:
                secure = [*command, "--tls", *self._certify(work)]
                tls = stack.enter_context(Child(secure, cores.rest, work / "origin.log", talks=True))
                self.tls_port = int(tls.says.readline())
            if TELEMETRY.keys() & set(self.names):
                quiet = [sys.executable, "-m", "bench.receiver", "--port", "0", "--quiet"]
                receiver = stack.enter_context(Child(quiet, cores.rest, work / "receiver.log", talks=True))
                self.receiver_port = int(receiver.says.readline())
            yield

    def _certify(self, work: Path) -> tuple[str, str]:
        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1")
        self.certificate = work / "authority.pem"
        authority.cert_pem.write_to_path(str(self.certificate))
        chain, key = work / "origin.pem", work / "origin.key"
        certificate.cert_chain_pems[0].write_to_path(str(chain))
        certificate.private_key_pem.write_to_path(str(key))
        return str(chain), str(key)
