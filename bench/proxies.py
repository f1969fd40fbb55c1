"""How each proxy is started in front of the backend, as its operator would: nothing off that a proxy needs."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.children import free_port, open_files

PATH = "/openai/deployments/chat/chat/completions?api-version=2024-10-21"


@dataclass(frozen=True)
class Recipe:
    """A command line that listens on the port it was made for."""

    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    path: str = PATH
    headers: tuple[str, ...] = ()
    start_seconds: float = 40.0
    held: int = 10_000
    """Streams that may be held through it at most."""


Make = Callable[[Path, int, int], Recipe]
"""(work directory, the backend's port, own port) -> Recipe."""

NGINX = """
worker_processes 1; daemon off; pid {work}/nginx.pid; error_log {work}/nginx.log crit;
worker_rlimit_nofile {files}; events {{ worker_connections {files}; }}
http {{
    access_log off; keepalive_requests 1000000000; client_body_buffer_size 1m; client_max_body_size 64m;
    client_body_temp_path {work}/body; proxy_temp_path {work}/proxy; fastcgi_temp_path {work}/fastcgi;
    uwsgi_temp_path {work}/uwsgi; scgi_temp_path {work}/scgi;
    upstream backend {{ server 127.0.0.1:{backend} max_fails=0; keepalive 1024; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_set_header api-key bench; proxy_buffering off; proxy_buffer_size 16k; proxy_buffers 8 16k;
            proxy_read_timeout 600s;
        }}
    }}
}}
"""


def nginx(binary: str) -> Make:
    """One worker, no access log, event streams unbuffered, connections to the backend kept."""

    def make(work: Path, backend: int, port: int) -> Recipe:
        conf = work / "nginx.conf"
        conf.write_text(NGINX.format(work=work, backend=backend, port=port, files=open_files()))
        return Recipe([binary, "-c", str(conf), "-e", str(work / "nginx.log")])

    return make


def envoy(binary: str) -> Make:
    """One worker thread, a retry on 429, no access log."""

    def make(work: Path, backend: int, port: int) -> Recipe:
        conf = work / "envoy.json"
        conf.write_text(json.dumps(_envoy(backend, port)))
        return Recipe([binary, "--concurrency", "1", "--log-level", "error", "--disable-hot-restart", "-c", str(conf)])

    return make


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _envoy(backend: int, port: int) -> dict[str, object]:
    kind = "type.googleapis.com/envoy.extensions.filters"
    manager = {
        "@type": f"{kind}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{kind}.http.router.v3.Router"}}
        ],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [_envoy_route()]}]},
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    plenty = {"max_connections": 100_000, "max_pending_requests": 100_000, "max_requests": 100_000}
    cluster = {
        "name": "backend",
        "connect_timeout": "5s",
        "type": "STATIC",
        "circuit_breakers": {"thresholds": [plenty]},
        "load_assignment": {
            "cluster_name": "backend",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(backend)}}]}],
        },
    }
    listener = {"name": "in", "address": _address(port), "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _envoy_route() -> dict[str, object]:
    return {
        "match": {"prefix": "/"},
        "request_headers_to_add": [
            {"header": {"key": "api-key", "value": "bench"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        ],
        "route": {
            "cluster": "backend",
            "timeout": "0s",
            "retry_policy": {
                "retry_on": "retriable-status-codes,connect-failure,reset",
                "retriable_status_codes": [429],
                "num_retries": 2,
            },
        },
    }


def lb(command: list[str], **settings: str) -> Make:
    """The balancer with its defaults: log lines at info level, JSON. `settings` are its variables."""

    def make(work: Path, backend: int, port: int) -> Recipe:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("LB_", "BACKEND_", "OTEL_"))
        }
        environment |= {
            "LB_HOST": "127.0.0.1",
            "LB_PORT": str(port),
            "LB_ADMIN_PORT": str(free_port()),
            "BACKEND_1_URL": f"http://127.0.0.1:{backend}",
            "BACKEND_1_APIKEY": "bench",
        }
        return Recipe(command, environment | {name: value.format(backend=backend) for name, value in settings.items()})

    return make


def litellm(binary: str) -> Make:
    """LiteLLM's proxy with one Azure deployment, no database, and open to everybody: a key would cost it more."""

    def make(work: Path, backend: int, port: int) -> Recipe:
        conf = work / "litellm.json"
        where = {"model": "azure/chat", "api_base": f"http://127.0.0.1:{backend}", "api_key": "bench"}
        model = {"model_name": "chat", "litellm_params": {**where, "api_version": "2024-10-21"}}
        conf.write_text(json.dumps({"model_list": [model]}))
        environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
        environment["LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY"] = "true"
        command = [binary, "--config", str(conf), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
        return Recipe(command, {**environment, "NO_PROXY": "127.0.0.1"}, start_seconds=120)

    return make


def portkey(script: str) -> Make:
    """Portkey's gateway (`build/start-server.js`), told by each request's fields where the backend is."""

    def make(work: Path, backend: int, port: int) -> Recipe:
        headers = (
            "x-portkey-provider: openai",
            f"x-portkey-custom-host: http://127.0.0.1:{backend}/v1",
            "Authorization: Bearer bench",
        )
        node = shutil.which("node") or "node"
        return Recipe([node, script, f"--port={port}", "--headless"], dict(os.environ), "/v1/chat/completions", headers)

    return make


def own_command() -> list[str]:
    """The balancer of this working tree."""
    return [sys.executable, "-m", "lb", "serve"]
