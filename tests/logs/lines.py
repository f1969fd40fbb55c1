"""Lines as the balancer writes them."""

from typing import Any


def line(event: str, level: str = "info", **fields: Any) -> dict[str, Any]:
    return {"timestamp": "2026-11-21T10:13:19.250Z", "level": level, "event": event} | fields


def attempt(request_id: str, backend: str, number: int) -> dict[str, Any]:
    return line("Proxying to https://x", request_id=request_id, backend=backend, attempt=number, deployment="chat")


def judged(
    request_id: str, backend: str, number: int, status: int | None, verdict: str, ms: int, **more: Any
) -> dict[str, Any]:
    event = f"Received response {status}" if status else f"No response from {backend}"
    told = {"request_id": request_id, "backend": backend, "attempt": number, "ms": ms, "verdict": verdict}
    return line(event, **told, deployment="chat", **more)


def cooled(request_id: str, backend: str, seconds: float) -> dict[str, Any]:
    event = f"Destination `{backend}` marked as unhealthy, reactivation in 00:00:07"
    return line(event, "warning", backend=backend, deployment="chat", request_id=request_id, seconds=seconds)


def restored(backend: str) -> dict[str, Any]:
    return line(f"Destination `{backend}` is available again", backend=backend, deployment="chat")


def exhausted(request_id: str, seconds: int) -> dict[str, Any]:
    return line("All backends are throttled", "warning", deployment="chat", request_id=request_id, retry_after=seconds)
