"""Every name that OpenTelemetry's conventions give to what is told here, and the balancer's own beside them.

They are in one place because they are moving: HTTP is stable; GenAI is in development, was moved to a repository of its
own after version 1.41 of the conventions, and will rename its metrics. These are the names of 1.41, which today's
viewers know.
"""

from typing import Final

SCOPE: Final = "openai-lb"

# HTTP, version 1.41, stable.
METHOD: Final = "http.request.method"
STATUS: Final = "http.response.status_code"
RESEND_COUNT: Final = "http.request.resend_count"
ROUTE: Final = "http.route"
PATH: Final = "url.path"
SCHEME: Final = "url.scheme"
FULL_URL: Final = "url.full"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
CLIENT_ADDRESS: Final = "client.address"
ERROR_TYPE: Final = "error.type"

# GenAI, version 1.41, in development.
OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
SYSTEM: Final = "gen_ai.system"
"""What `gen_ai.provider.name` replaced. The exporter for Application Insights (1.0.0b58) still knows nothing else."""
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_STREAM: Final = "gen_ai.request.stream"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_ID: Final = "gen_ai.response.id"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHED_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
DETAILS_EVENT: Final = "gen_ai.client.inference.operation.details"

# The balancer's own.
LB_REQUEST_ID: Final = "lb.request_id"
LB_OUTCOME: Final = "lb.outcome"
LB_ATTEMPTS: Final = "lb.attempts"
LB_DEPLOYMENT: Final = "lb.deployment"
LB_TENANT: Final = "lb.tenant"
LB_BACKEND: Final = "lb.backend"
LB_VERDICT: Final = "lb.verdict"
LB_COOLDOWN: Final = "lb.cooldown_seconds"
LB_REASON: Final = "lb.reason"
LB_ESTIMATED: Final = "lb.usage.estimated"

AZURE_OPENAI: Final = "azure.ai.openai"
AZURE_INFERENCE: Final = "azure.ai.inference"
SYSTEMS: Final = {AZURE_OPENAI: "az.ai.openai", AZURE_INFERENCE: "az.ai.inference"}
"""A provider's name in `gen_ai.system`."""

OPERATIONS: Final = {"chat": "chat", "responses": "chat", "completions": "text_completion", "embeddings": "embeddings"}
"""The API that was called, and the operation that the conventions have for it; others keep the balancer's word."""


def operation(call: str) -> str:
    """What `gen_ai.operation.name` says for an API, as `lb.metering.tap.call_of` calls it."""
    return OPERATIONS.get(call, call)


def provider(path: bytes) -> str:
    """What `gen_ai.provider.name` says for a path: `/models/...` is Foundry's model inference, else Azure OpenAI."""
    return AZURE_INFERENCE if path.lower().startswith(b"/models/") else AZURE_OPENAI


# Metrics of GenAI, version 1.41, with the bounds of their buckets. Those for seconds are given for the duration; the
# other two have none of their own.
DURATION: Final = "gen_ai.client.operation.duration"
TIME_TO_FIRST_CHUNK: Final = "gen_ai.client.operation.time_to_first_chunk"
TIME_PER_CHUNK: Final = "gen_ai.client.operation.time_per_output_chunk"
TOKEN_USAGE: Final = "gen_ai.client.token.usage"  # noqa: S105 - of language
TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105
SECONDS: Final = tuple(0.01 * 2**power for power in range(14))
TOKENS: Final = tuple(float(4**power) for power in range(14))
