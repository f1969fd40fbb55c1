"""Every metric that `/metrics` shows: its name, its labels, and how those of several workers become one."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]
Join = Literal["sum", "max", "min", "any"]


@dataclass(frozen=True, slots=True)
class Family:
    """`join` says how the values of several workers become one; counters and histograms are added up."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    join: Join = "sum"
    buckets: Literal["tokens", "seconds"] | None = None


SPENT = ("openai_name", "tenant_name", "method_name")
"""The labels of the multitenant sample: backend, tenant, API, all in lower case."""
ASKED = ("tenant_name", "deployment")
PLACE = ("backend", "deployment")


def _tokens() -> list[Family]:
    found = []
    for what in ("prompt", "completion", "total"):
        say = f"{what} tokens" if what != "total" else "prompt and completion tokens"
        found += [
            Family(f"openai_{what}_tokens_total", "counter", f"Sum of {say}.", SPENT),
            Family(f"openai_{what}_tokens_processed", "gauge", f"Last reply's {say}.", SPENT, "any"),
            Family(f"openai_{what}_tokens", "histogram", f"Replies by their {say}.", SPENT, buckets="tokens"),
        ]
    return found


FAMILIES: tuple[Family, ...] = (
    *_tokens(),
    Family("openai_cached_tokens_total", "counter", "Of the prompt tokens, those that were cached.", SPENT),
    Family("openai_reasoning_tokens_total", "counter", "Of the completion tokens, those of thinking.", SPENT),
    Family("openai_audio_tokens_total", "counter", "Of all tokens, those that are sound.", (*SPENT, "direction")),
    Family("openai_audio_seconds_total", "counter", "Sound that is billed by its length.", SPENT),
    Family("openai_estimated_tokens_total", "counter", "Of all tokens, those that were estimated.", SPENT),
    Family("lb_usage_total", "counter", "Replies by how their cost is known.", (*SPENT, "source")),
    Family("lb_usage_failures_total", "counter", "Replies whose cost could not be read for an error.", ("error",)),
    Family("lb_requests_total", "counter", "Requests by how they ended.", (*ASKED, "outcome", "status")),
    Family("lb_absorbed_total", "counter", "Refusals for a limit that another backend made good.", ASKED),
    Family(
        "lb_duration_seconds",
        "histogram",
        "From the request to its end; not of WebSockets.",
        ASKED,
        buckets="seconds",
    ),
    Family("lb_first_byte_seconds", "histogram", "From the request to the answer's start.", ASKED, buckets="seconds"),
    Family("lb_added_seconds", "histogram", "Of that, what its backend did not take.", ASKED, buckets="seconds"),
    Family("lb_attempts_total", "counter", "Attempts by verdict.", (*PLACE, "verdict")),
    Family("lb_cooldowns_total", "counter", "Times that a backend asked for silence.", PLACE),
    Family("lb_cooldown_seconds_total", "counter", "Silence that backends asked for.", PLACE),
    Family("lb_ejections_total", "counter", "Times that a backend was left alone after faults.", (*PLACE, "kind")),
    Family("lb_returns_total", "counter", "Times that a backend was available again.", PLACE),
    Family("lb_exhausted_total", "counter", "Requests that found every backend throttled.", ("deployment",)),
    Family("lb_quota_refusals_total", "counter", "Requests beyond a tenant's budget.", (*ASKED, "limit")),
    Family("lb_quota_limit", "gauge", "What a tenant may use of a budget.", (*ASKED, "limit"), "max"),
    Family("lb_quota_used", "gauge", "What it has used of that.", (*ASKED, "limit"), "max"),
    Family("lb_waiting_requests", "gauge", "Requests that wait for a backend to return."),
    Family("lb_backend_available", "gauge", "1 while a backend takes requests, else 0.", PLACE, "min"),
    Family("lb_backend_misconfigured", "gauge", "1 while a backend refuses us, else 0.", PLACE, "max"),
    Family("lb_backend_in_flight", "gauge", "Requests that are running there.", PLACE),
    Family("lb_backend_absence_seconds", "gauge", "Until a backend is back, as far as is known.", PLACE, "max"),
    Family("lb_backend_headroom_ratio", "gauge", "Share of the limit that is left, as last told.", PLACE, "min"),
    Family("lb_client_connections", "gauge", "Open connections of clients."),
    Family("lb_backend_connections", "gauge", "Open connections to backends."),
    Family("lb_backend_connections_opened_total", "counter", "Connections that were opened to backends."),
    Family("lb_backend_connections_reused_total", "counter", "Requests that took a connection that was there."),
    Family("lb_backend_handshakes_total", "counter", "TLS handshakes with backends."),
    Family("lb_pins", "gauge", "Objects of which it is known who holds them."),
    Family("lb_healed_total", "counter", "Requests that found what they name after a miss.", ("backend",)),
    Family("lb_scattered_total", "counter", "Requests whose objects live on different backends."),
    Family("lb_trespasses_total", "counter", "Requests that name another tenant's object.", ("tenant_name",)),
    Family("lb_kept_bytes", "gauge", "Request bodies in memory, kept for another attempt or passing."),
    Family("lb_spooled_bytes", "gauge", "Request bodies on disk, kept for another attempt."),
    Family("lb_log_lines_dropped_total", "counter", "Log lines that nobody took in time."),
    Family("lb_usage_store_failures_total", "counter", "Times that usage could not be written to its store."),
    Family("lb_usage_store_waiting", "gauge", "Replies whose usage is not in the store yet."),
    Family("lb_spans_exported_total", "counter", "Spans that a receiver took.", ("exporter",)),
    Family("lb_spans_dropped_total", "counter", "Spans that no receiver got, by why.", ("exporter", "reason")),
    Family("lb_audit_records_total", "counter", "Audit records, by what became of them.", ("result",)),
    Family("lb_audit_contents_dropped_total", "counter", "Audit records that had to do without prompt and answer."),
    Family("lb_audit_held_bytes", "gauge", "Prompts and answers that wait to be recorded."),
    Family("lb_audit_up", "gauge", "1 while audit records can be written.", join="min"),
    Family("lb_redis_up", "gauge", "1 while replicas agree through Redis; nothing where they do not.", join="min"),
    Family("lb_redis_losses_total", "counter", "How often Redis was lost."),
    Family("lb_workers", "gauge", "Processes that serve."),
    Family("lb_info", "gauge", "1; the version is its label.", ("version",), "max"),
    Family("process_resident_memory_bytes", "gauge", "Memory."),
    Family("process_cpu_seconds_total", "counter", "Processor time, of user and system."),
    Family("process_open_fds", "gauge", "Open file descriptors."),
    Family("process_max_fds", "gauge", "File descriptors that a process may open.", join="min"),
    Family("process_start_time_seconds", "gauge", "Start, in seconds since 1970.", join="min"),
)
BY_NAME = {family.name: family for family in FAMILIES}
