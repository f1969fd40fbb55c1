"""Which variable of the environment says the same as which place in the file."""

from dataclasses import dataclass

Path = tuple[str | int, ...]
"""A place in the configuration, e.g. `("backends", 0, "url")`."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. `in_file` is false for what belongs to the platform: libraries read it from the environment, too,
    so that a second place to say it would be obeyed by half of the process."""

    variable: str
    path: tuple[str, ...]
    in_file: bool = True


SETTINGS = (
    Setting("LB_HOST", ("listen", "host")),
    Setting("LB_PORT", ("listen", "port")),
    Setting("LB_ADMIN_HOST", ("admin", "host")),
    Setting("LB_ADMIN_PORT", ("admin", "port")),
    Setting("LB_LOG_FORMAT", ("log", "format")),
    Setting("LB_LOG_LEVEL", ("log", "level")),
    Setting("HTTP_TIMEOUT_SECONDS", ("limits", "http_timeout_seconds")),
    Setting("LB_CONNECT_SECONDS", ("limits", "connect_seconds")),
    Setting("LB_FIRST_EVENT_SECONDS", ("limits", "first_event_seconds")),
    Setting("LB_MAX_COOLDOWN_SECONDS", ("limits", "max_cooldown_seconds")),
    Setting("LB_REPLAY_MAX_BYTES", ("limits", "replay_max_bytes")),
    Setting("LB_REPLAY_MEMORY_BYTES", ("limits", "replay_memory_bytes")),
    Setting("LB_REPLAY_DISK_BYTES", ("limits", "replay_disk_bytes")),
    Setting("LB_REPLAY_DIRECTORY", ("limits", "replay_directory")),
    Setting("LB_REPLAY_TOTAL_BYTES", ("limits", "replay_total_bytes")),
    Setting("LB_DRAIN_SECONDS", ("limits", "drain_seconds")),
    Setting("LB_MAX_WAIT_SECONDS", ("limits", "max_wait_seconds")),
    Setting("LB_MAX_WAITING", ("limits", "max_waiting")),
    Setting("LB_SSE_KEEPALIVE_SECONDS", ("limits", "sse_keepalive_seconds")),
    Setting("LB_WEBSOCKET_PING_SECONDS", ("limits", "websocket_ping_seconds")),
    Setting("LB_WORKERS", ("workers",)),
    Setting("LB_POLICY", ("policy",)),
    Setting("LB_EXPLAIN", ("explain",)),
    Setting("LB_USAGE", ("metrics", "usage")),
    Setting("LB_USAGE_STORE", ("usage", "store")),
    Setting("LB_USAGE_KEEP_DAYS", ("usage", "keep_days")),
    Setting("LB_INCLUDE_USAGE", ("metrics", "include_usage")),
    Setting("LB_AUDIT", ("audit", "to")),
    Setting("LB_AUDIT_WHO", ("audit", "who")),
    Setting("LB_AUDIT_SAMPLE", ("audit", "sample")),
    Setting("LB_AUDIT_FILE", ("audit", "file")),
    Setting("LB_AUDIT_FILE_BYTES", ("audit", "file_bytes")),
    Setting("LB_AUDIT_FILE_COUNT", ("audit", "file_count")),
    Setting("LB_AUDIT_FILE_DAILY", ("audit", "file_daily")),
    Setting("LB_AUDIT_URL", ("audit", "url")),
    Setting("LB_AUDIT_CONNECTION_STRING", ("audit", "connection_string")),
    Setting("LB_AUDIT_REDACT", ("audit", "redact")),
    Setting("LB_AUDIT_HOOK", ("audit", "hook")),
    Setting("LB_AUDIT_FIELD_BYTES", ("audit", "field_bytes")),
    Setting("LB_AUDIT_RECORD_BYTES", ("audit", "record_bytes")),
    Setting("LB_AUDIT_QUEUE_BYTES", ("audit", "queue_bytes")),
    Setting("LB_TOKENIZER", ("metrics", "tokenizer")),
    Setting("LB_METRICS_TOKEN_BUCKETS", ("metrics", "token_buckets")),
    Setting("LB_METRICS_SECOND_BUCKETS", ("metrics", "second_buckets")),
    Setting("LB_CA_FILE", ("ca_file",)),
    Setting("LB_ENTRA_TENANT_ID", ("entra", "tenant_id")),
    Setting("LB_ENTRA_ALLOWED", ("entra", "allowed")),
    Setting("LB_ENTRA_AUDIENCES", ("entra", "audiences")),
    Setting("LB_ENTRA_AUTHORITY", ("entra", "authority")),
    Setting("LB_ENTRA_ISSUERS", ("entra", "issuers")),
    Setting("LB_TENANT_FROM", ("tenancy", "sources")),
    Setting("LB_TENANT_HEADER", ("tenancy", "header")),
    Setting("LB_TENANT_PARAMETER", ("tenancy", "parameter")),
    Setting("LB_TENANT_DEFAULT", ("tenancy", "default")),
    Setting("LB_TENANT_REQUIRED", ("tenancy", "required")),
    Setting("LB_AFFINITY", ("affinity", "objects")),
    Setting("LB_AFFINITY_ENTRIES", ("affinity", "entries")),
    Setting("LB_OBJECTS_TOGETHER", ("affinity", "together")),
    Setting("LB_LIST_UNOWNED", ("affinity", "list_unowned")),
    Setting("LB_RESPONSES_WEBSOCKET", ("affinity", "responses_websocket")),
    Setting("LB_PROMPT_CACHE_KEY", ("affinity", "prompt_cache_key")),
    Setting("LB_PROMPT_PREFIX_BYTES", ("affinity", "prompt_prefix_bytes")),
    Setting("LB_REDIS_URL", ("redis", "url")),
    Setting("LB_REDIS_ENTRA", ("redis", "entra")),
    Setting("OTEL_SDK_DISABLED", ("telemetry", "disabled"), in_file=False),
    Setting("OTEL_TRACES_EXPORTER", ("telemetry", "traces_exporter"), in_file=False),
    Setting("OTEL_METRICS_EXPORTER", ("telemetry", "metrics_exporter"), in_file=False),
    Setting("OTEL_EXPORTER_OTLP_ENDPOINT", ("telemetry", "endpoint"), in_file=False),
    Setting("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", ("telemetry", "traces_endpoint"), in_file=False),
    Setting("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", ("telemetry", "metrics_endpoint"), in_file=False),
    Setting("OTEL_EXPORTER_OTLP_PROTOCOL", ("telemetry", "protocol"), in_file=False),
    Setting("OTEL_EXPORTER_OTLP_HEADERS", ("telemetry", "headers"), in_file=False),
    Setting("OTEL_EXPORTER_OTLP_TIMEOUT", ("telemetry", "timeout"), in_file=False),
    Setting("OTEL_EXPORTER_OTLP_COMPRESSION", ("telemetry", "compression"), in_file=False),
    Setting("OTEL_EXPORTER_OTLP_INSECURE", ("telemetry", "insecure"), in_file=False),
    Setting("OTEL_EXPORTER_OTLP_CERTIFICATE", ("telemetry", "certificate"), in_file=False),
    Setting("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", ("telemetry", "client_certificate"), in_file=False),
    Setting("OTEL_EXPORTER_OTLP_CLIENT_KEY", ("telemetry", "client_key"), in_file=False),
    Setting("OTEL_SERVICE_NAME", ("telemetry", "service_name"), in_file=False),
    Setting("OTEL_RESOURCE_ATTRIBUTES", ("telemetry", "resource_attributes"), in_file=False),
    Setting("OTEL_TRACES_SAMPLER", ("telemetry", "sampler"), in_file=False),
    Setting("OTEL_TRACES_SAMPLER_ARG", ("telemetry", "sampler_arg"), in_file=False),
    Setting("OTEL_BSP_MAX_QUEUE_SIZE", ("telemetry", "queue_size"), in_file=False),
    Setting("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", ("telemetry", "batch_size"), in_file=False),
    Setting("OTEL_BSP_SCHEDULE_DELAY", ("telemetry", "schedule_delay"), in_file=False),
    Setting("OTEL_METRIC_EXPORT_INTERVAL", ("telemetry", "metric_interval"), in_file=False),
    Setting("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", ("telemetry", "capture_content"), in_file=False),
    Setting("APPLICATIONINSIGHTS_CONNECTION_STRING", ("telemetry", "connection_string"), in_file=False),
    Setting("APPLICATIONINSIGHTS_AUTHENTICATION_STRING", ("telemetry", "authentication"), in_file=False),
    Setting("LB_GENAI_SYSTEM", ("telemetry", "genai_system")),
    Setting("HTTPS_PROXY", ("platform", "https_proxy"), in_file=False),
    Setting("HTTP_PROXY", ("platform", "http_proxy"), in_file=False),
    Setting("NO_PROXY", ("platform", "no_proxy"), in_file=False),
    Setting("SSL_CERT_FILE", ("platform", "ssl_cert_file"), in_file=False),
    Setting("AZURE_CLIENT_ID", ("platform", "azure_client_id"), in_file=False),
)

BY_VARIABLE = {setting.variable: setting for setting in SETTINGS}
BY_PATH = {setting.path: setting for setting in SETTINGS}

SECTIONS = frozenset(setting.path[0] for setting in SETTINGS if len(setting.path) > 1)
"""Places that hold settings by name."""

CONFIG_FILE = "LB_CONFIG"
CONFIG_INLINE = "LB_CONFIG_INLINE"
CLIENT_KEYS = "LB_CLIENT_KEYS"
ADMIN_KEYS = "LB_ADMIN_KEYS"
KEY_LISTS = {CLIENT_KEYS: "clients", ADMIN_KEYS: "operators"}
"""Lists of names with keys, and the section of the file that says the same."""
ALL_PROXY = "ALL_PROXY"
"""Stands in for HTTPS_PROXY and HTTP_PROXY where these are not set, as in curl."""

OTHERS = (CONFIG_FILE, CONFIG_INLINE, *KEY_LISTS, ALL_PROXY)
VARIABLES = (*BY_VARIABLE, *OTHERS)

BACKEND_FIELDS = {
    "URL": "url",
    "PRIORITY": "priority",
    "WEIGHT": "weight",
    "APIKEY": "api_key",
    "DEPLOYMENT_NAME": "deployment_name",
    "DEPLOYMENTS": "deployments",
    "SCOPE": "scope",
}
"""`BACKEND_<x>_` and this, and the field that it fills."""

SUFFIXES = {field: suffix for suffix, field in BACKEND_FIELDS.items()}

SECRETS = frozenset({"api_key", "keys", "headers", "connection_string"})
"""Fields whose value is never shown."""
