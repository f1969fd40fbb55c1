"""The effective configuration says what holds and why, and no secret."""

from lb.config import effective, read


def lines(environ: dict[str, str], **options: int) -> dict[str, tuple[str, str]]:
    return {name: (value, origin) for name, value, origin in effective(read(environ, **options))}  # type: ignore[arg-type]


TEXT = """
backends:
  - name: east
    url: https://e
    api_key: ${KEY}
    deployments: {chat: gpt}
clients: [{name: app, keys: [one, two]}]
limits:
  drain_seconds: 5
"""


def test_every_value_comes_with_its_origin() -> None:
    shown = lines({"LB_CONFIG_INLINE": TEXT, "KEY": "s3cr3t", "LB_PORT": "9"}, workers=2)
    assert shown["listen.port"] == ("9", "environment LB_PORT")
    assert shown["limits.drain_seconds"] == ("5", "file limits.drain_seconds (LB_CONFIG_INLINE, line 9)")
    assert shown["workers"] == ("2", "command line --workers")
    assert shown["limits.replay_max_bytes"] == ("32MiB", "default (LB_REPLAY_MAX_BYTES)")
    assert shown["backends[0].deployments"][0] == "chat=gpt"
    assert shown["log.format"][0] == "console on a terminal, else json"


def test_secrets_are_masked() -> None:
    shown = lines({"LB_CONFIG_INLINE": TEXT, "KEY": "s3cr3t", "HTTPS_PROXY": "http://u:s3cr3t@p:1"})
    assert shown["backends[0].api_key"][0] == "****"
    assert shown["clients[0].keys"][0] == "2 x ****"
    assert shown["platform.https_proxy"] == ("http://****@p:1", "environment HTTPS_PROXY")
    assert "s3cr3t" not in str(shown)


def test_a_backend_of_the_environment_is_shown_by_its_variables() -> None:
    shown = lines({"BACKEND_1_URL": "https://a", "BACKEND_1_APIKEY": "k", "LB_CLIENT_KEYS": "a:k"})
    assert shown["backends[0].name"] == ("BACKEND_1", "environment BACKEND_1")
    assert shown["backends[0].api_key"] == ("****", "environment BACKEND_1_APIKEY")
    assert shown["clients[0].keys"] == ("1 x ****", "environment LB_CLIENT_KEYS")


def test_operators_keys_are_masked() -> None:
    shown = lines({"BACKEND_1_URL": "https://a", "LB_ADMIN_KEYS": "ada:s3cr3t"})
    assert shown["operators[0].keys"] == ("1 x ****", "environment LB_ADMIN_KEYS")
    assert "s3cr3t" not in str(shown)
