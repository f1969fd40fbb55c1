"""Which path asks for what."""

import pytest

from lb.sim.objects.routing import find
from lb.sim.routes import route

V = "?api-version=2024-10-21"


@pytest.mark.parametrize(
    ("target", "operation", "deployment"),
    [
        ("/openai/deployments/gpt/chat/completions" + V, "chat", "gpt"),
        ("/openai/deployments/gpt/completions" + V, "completions", "gpt"),
        ("/openai/deployments/e%20b/embeddings" + V, "embeddings", "e b"),
        ("/openai/v1/chat/completions", "chat", None),
        ("/openai/v1/completions", "completions", None),
        ("/openai/v1/embeddings?api-version=preview", "embeddings", None),
        ("/openai/v1/responses", "responses", None),
        ("/openai/responses" + V, "responses", None),
        ("/models/chat/completions" + V, "chat", None),
        ("/models/embeddings" + V, "embeddings", None),
    ],
)
def test_posts_create(target, operation, deployment):
    call = route("POST", target)
    assert call is not None
    assert (call.operation, call.deployment) == (operation, deployment)


@pytest.mark.parametrize(
    ("method", "target", "operation", "item"),
    [
        ("GET", "/openai/v1/models", "models", None),
        ("GET", "/openai/models" + V, "models", None),
        ("GET", "/openai/v1/models/gpt", "model", "gpt"),
    ],
)
def test_items_are_looked_up(method, target, operation, item):
    call = route(method, target)
    assert call is not None
    assert (call.operation, call.item) == (operation, item)


@pytest.mark.parametrize(
    ("method", "target", "operation", "names"),
    [
        ("GET", "/openai/v1/responses/resp_1", "response", ("resp_1",)),
        ("DELETE", "/openai/responses/resp_1" + V, "response", ("resp_1",)),
        ("GET", "/openai/v1/responses/resp_1/input_items?limit=2", "responses.input_items", ("resp_1",)),
        ("GET", "/openai/v1/conversations/conv_1/items/msg_1", "conversations.items", ("conv_1", "msg_1")),
    ],
)
def test_objects_go_by_the_words_of_their_path(method, target, operation, names):
    path = find(method, target)
    assert path is not None
    assert (path.operation, path.names) == (operation, names)
    assert route(method, target) is None


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/openai/responses/resp_1"),  # no api-version
        ("GET", "/responses/resp_1" + V),
        ("PATCH", "/openai/v1/responses/resp_1"),
        ("GET", "/openai/v1/conversations//items"),
        ("GET", "/openai/v1"),
    ],
)
def test_no_object_is_meant(method, target):
    assert find(method, target) is None


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/openai/deployments/gpt/chat/completions"),  # no api-version
        ("POST", "/openai/responses"),
        ("GET", "/openai/deployments/gpt/chat/completions" + V),
        ("POST", "/openai/deployments/gpt/responses" + V),
        ("POST", "/v1/chat/completions"),
        ("POST", "/openai/v1/chat"),
        ("PUT", "/openai/v1/responses/resp_1"),
        ("GET", "/"),
    ],
)
def test_what_azure_does_not_know_is_not_found(method, target):
    assert route(method, target) is None
