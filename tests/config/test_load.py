"""What is said in the environment, in the file and on the command line, and who wins."""

from hashlib import sha256
from pathlib import Path

import pytest
import trustme

from lb.balancing.backend import Backend
from lb.config import Config, load, read

TENANT = "11111111-2222-3333-4444-555555555555"
APP = "99999999-2222-3333-4444-555555555555"
ONE = {"BACKEND_1_URL": "https://a.openai.azure.com"}


def inline(text: str, **environ: str) -> Config:
    return load({"LB_CONFIG_INLINE": text, **environ})


def test_the_samples_environment_is_understood_as_it_is() -> None:
    config = load(
        {
            "BACKEND_1_URL": "https://One.openai.azure.com/",
            "BACKEND_1_PRIORITY": "2",
            "BACKEND_1_APIKEY": "k1",
            "BACKEND_1_DEPLOYMENT_NAME": "gpt",
            "HTTP_TIMEOUT_SECONDS": "100",
            "PATH": "/bin",
        }
    )
    assert config.domain_backends() == (
        Backend("BACKEND_1", "https://one.openai.azure.com", 2, 1, "k1", deployment_name="gpt"),
    )
    assert config.limits.http_timeout_seconds == 100


def test_the_defaults_are_the_contracts() -> None:
    config = load(ONE)
    assert config.limits.model_dump() == {
        "http_timeout_seconds": 240,
        "connect_seconds": 10,
        "first_event_seconds": 0,
        "max_cooldown_seconds": 120,
        "replay_max_bytes": 32 * 2**20,
        "replay_memory_bytes": 2**20,
        "replay_disk_bytes": 2**30,
        "replay_directory": None,
        "replay_total_bytes": 512 * 2**20,
        "drain_seconds": 25,
        "max_wait_seconds": 0,
        "max_waiting": 1000,
        "sse_keepalive_seconds": 0,
        "websocket_ping_seconds": 30,
    }
    assert (config.listen.host, config.listen.port) == ("0.0.0.0", 8080)  # noqa: S104 - the contract's default
    assert (config.admin.host, config.admin.port) == ("127.0.0.1", 8081)
    assert (config.workers, config.policy, config.explain) == (1, "least-loaded", True)
    assert (config.log.format, config.log.level) == (None, "info")
    (backend,) = config.domain_backends()
    assert (backend.priority, backend.weight, backend.api_key) == (1, 1, None)
    assert backend.scope == "https://cognitiveservices.azure.com/.default"
    assert not config.checks_callers
    assert config.open_to_strangers


def test_the_suffix_is_matched_from_the_right() -> None:
    config = load(
        {
            "BACKEND_US_EAST_URL": "https://a",
            "BACKEND_US_EAST_DEPLOYMENT_NAME": "x",
            "BACKEND_URL_URL": "https://b",
            "BACKEND_DEPLOYMENT_NAME_URL": "https://c",
        }
    )
    assert [(backend.name, backend.url, backend.deployment_name) for backend in config.backends] == [
        ("BACKEND_DEPLOYMENT_NAME", "https://c", None),
        ("BACKEND_URL", "https://b", None),
        ("BACKEND_US_EAST", "https://a", "x"),
    ]


def test_names_are_case_insensitive_and_values_trimmed() -> None:
    config = load({"backend_east_Url": "  https://a\n", "Lb_Port": " 9000 ", "BACKEND_EAST_WEIGHT": "+3"})
    (backend,) = config.backends
    assert (backend.name, backend.url, backend.weight) == ("BACKEND_EAST", "https://a", 3)
    assert config.listen.port == 9000


def test_backends_come_in_the_order_of_their_numbers() -> None:
    config = load({f"BACKEND_{x}_URL": f"https://h{x}" for x in ("10", "2", "EAST", "1")})
    assert [backend.name for backend in config.backends] == ["BACKEND_EAST", "BACKEND_1", "BACKEND_2", "BACKEND_10"]


@pytest.mark.parametrize("variable", ["LB_PORT", "LB_UNHEARD", "BACKEND_1_REGION", "LB_CONFIG", "LB_CLIENT_KEYS"])
def test_an_empty_value_counts_as_unset(variable: str) -> None:
    assert load({**ONE, variable: "  "}).listen.port == 8080


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LB_SERVICE_HOST", "10.0.0.1"),
        ("LB_SERVICE_PORT_HTTP", "80"),
        ("LB_PORT", "tcp://10.0.0.1:80"),
        ("LB_PORT_80_TCP_ADDR", "10.0.0.1"),
    ],
)
def test_what_kubernetes_injects_for_a_service_called_lb_is_ignored(variable: str, value: str) -> None:
    assert load({**ONE, variable: value}).listen.port == 8080


def test_the_same_proxy_in_both_spellings_is_no_problem() -> None:
    config = load({**ONE, "HTTPS_PROXY": "http://p:1", "https_proxy": "http://p:1"})
    assert config.platform.https_proxy == "http://p:1"


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1), ("32MiB", 2**25), ("32 mb", 32_000_000), ("1KiB", 1024), ("0", 0), ("2GiB", 2**31)]
)
def test_sizes_take_units(text: str, size: int) -> None:
    more = {"LB_REPLAY_TOTAL_BYTES": "4GiB", "LB_REPLAY_DISK_BYTES": "4GiB"}
    assert load({**ONE, "LB_REPLAY_MAX_BYTES": text, **more}).limits.replay_max_bytes == size


def test_deployments_map_the_callers_names_to_the_backends() -> None:
    (backend,) = load({**ONE, "BACKEND_1_DEPLOYMENTS": "chat=gpt-54-mini, embedding ,"}).domain_backends()
    assert backend.deployments == {"chat": "gpt-54-mini", "embedding": "embedding"}


@pytest.mark.parametrize("form", ["{chat: gpt, e: }", "[chat=gpt, e]", "'chat=gpt,e'"])
def test_the_file_takes_deployments_in_three_forms(form: str) -> None:
    config = inline(f"backends: [{{name: a, url: 'https://a', deployments: {form}}}]")
    assert config.backends[0].deployments == {"chat": "gpt", "e": "e"}


def test_a_path_prefix_stays_and_the_last_slash_goes() -> None:
    assert load({"BACKEND_1_URL": "HTTPS://A.b:443/Team/api/"}).backends[0].url == "https://a.b:443/Team/api"
    assert load({"BACKEND_1_URL": "http://[::1]:9000"}).backends[0].url == "http://[::1]:9000"


def test_the_file_says_the_same() -> None:
    config = inline(
        """
        backends:
          - name: east
            url: https://e
            priority: 1
            weight: 3
            api_key: ${EAST_KEY}
          - {name: west, url: "https://${WEST}.example", scope: "https://ai.azure.com/.default"}
        clients:
          - name: chat-app
            keys: ['${KEY}', "sha256:${DIGEST}"]
        limits: {http_timeout_seconds: 12.5, replay_max_bytes: 1MiB}
        listen: {host: "::1", port: 0}
        admin: {port: 0}
        log: {format: JSON, level: debug}
        workers: 2
        policy: round-robin
        explain: no
        """,
        EAST_KEY="e-key",
        WEST="w",
        KEY="plain",
        DIGEST=sha256(b"other").hexdigest(),
    )
    east, west = config.domain_backends()
    assert (east.name, east.weight, east.api_key) == ("east", 3, "e-key")
    assert (west.url, west.scope) == ("https://w.example", "https://ai.azure.com/.default")
    assert config.client_keys() == {sha256(b"plain").digest(): "chat-app", sha256(b"other").digest(): "chat-app"}
    assert (config.limits.http_timeout_seconds, config.limits.replay_max_bytes) == (12.5, 2**20)
    assert (config.listen.host, config.log.format, config.log.level) == ("::1", "json", "debug")
    assert (config.workers, config.policy, config.explain) == (2, "round-robin", False)


def test_json_is_fine_with_tabs_numbers_and_surrogate_pairs() -> None:
    config = inline('{\n\t"workers": 2,\n\t"explain": false,\n\t"policy": null, "log": {"level": "\\u0069nfo"}}', **ONE)
    assert (config.workers, config.explain, config.policy) == (2, False, "least-loaded")


def test_a_value_means_the_same_in_the_file_as_in_the_environment() -> None:
    assert inline("workers: 010", **ONE).workers == 10  # YAML 1.1 would read eight
    assert inline("backends: [{name: no, url: 'https://a'}]").backends[0].name == "no"


def test_a_value_from_the_environment_cannot_become_structure() -> None:
    config = inline("backends: [{name: a, url: 'https://a', api_key: '${K}'}]", K="k,weight:9}")
    assert config.domain_backends()[0].api_key == "k,weight:9}"
    assert config.backends[0].weight == 1


def test_two_dollars_are_a_plain_one() -> None:
    config = inline("backends: [{name: a, url: 'https://a', api_key: '$${K}$x'}]")
    assert config.domain_backends()[0].api_key == "${K}$x"


def test_the_environment_wins_over_the_file_and_options_over_both(tmp_path: Path) -> None:
    file = tmp_path / "lb.yaml"
    file.write_text("listen: {host: 10.0.0.1, port: 1}\nworkers: 3\nlimits: {drain_seconds: 7}\n")
    config = load({**ONE, "LB_CONFIG": str(file), "LB_PORT": "2"}, port=3)
    assert (config.listen.host, config.listen.port, config.workers) == ("10.0.0.1", 3, 3)
    assert config.limits.drain_seconds == 7


def test_any_backend_variable_replaces_the_files_backends_and_a_warning_says_so() -> None:
    text = "backends: [{name: a, url: '${NOT_SET}'}]\nclients: [{name: a, keys: [k]}]"
    loaded = read({"LB_CONFIG_INLINE": text, **ONE, "LB_CLIENT_KEYS": "b:l"})
    assert [backend.name for backend in loaded.config.backends] == ["BACKEND_1"]
    assert list(loaded.config.client_keys().values()) == ["b"]


def test_replacing_a_section_of_the_file_is_worth_a_warning() -> None:
    loaded = read({"LB_CONFIG_INLINE": "backends: [{name: a, url: 'https://a'}]", **ONE})
    assert loaded.warnings == ("backends: the environment replaces the file's whole section",)


def test_the_option_names_the_file_and_wins_over_the_variables(tmp_path: Path) -> None:
    file = tmp_path / "lb.yaml"
    file.write_text("\ufeffworkers: 4\n")
    loaded = read({**ONE, "LB_CONFIG": "/nowhere", "LB_CONFIG_INLINE": "workers: 5"}, str(file))
    assert (loaded.config.workers, loaded.file) == (4, str(file))


def test_operators_keys_are_kept_as_hashes_and_replace_those_of_the_file() -> None:
    text = "operators: [{name: bob, keys: [old]}]"
    loaded = read({**ONE, "LB_CONFIG_INLINE": text, "LB_ADMIN_KEYS": "ada:s3cr3t,ada:n3w"})
    assert loaded.config.operator_keys() == {sha256(b"s3cr3t").digest(): "ada", sha256(b"n3w").digest(): "ada"}
    assert loaded.warnings == ("operators: the environment replaces the file's whole section",)
    assert "s3cr3t" not in repr(loaded.config)
    assert not loaded.config.checks_callers
    assert load({**ONE, "LB_CONFIG_INLINE": text}).operator_keys() == {sha256(b"old").digest(): "bob"}


@pytest.mark.parametrize(
    ("host", "here"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("10.0.0.5", False)]
)
def test_an_operator_listener_on_loopback_is_known(host: str, here: bool) -> None:
    assert load({**ONE, "LB_ADMIN_HOST": host}).admin_on_loopback is here


def test_an_empty_file_says_nothing_and_that_is_fine() -> None:
    assert inline("# nothing yet\n", **ONE).workers == 1


def test_client_keys_are_kept_as_hashes_only() -> None:
    config = load(
        {**ONE, "LB_CLIENT_KEYS": f"alice:s3cr3t, bob:sha256:{sha256(b'b').hexdigest().upper()} ,alice:new:1"}
    )
    assert config.client_keys() == {
        sha256(b"s3cr3t").digest(): "alice",
        sha256(b"new:1").digest(): "alice",
        sha256(b"b").digest(): "bob",
    }
    assert "s3cr3t" not in repr(config) + config.model_dump_json(exclude={"clients"}) + str(config.model_dump())
    assert config.checks_callers
    assert not config.open_to_strangers


def test_no_secret_is_in_the_models_text() -> None:
    config = load({**ONE, "BACKEND_1_APIKEY": "s3cr3t", "HTTPS_PROXY": "http://u:s3cr3t@p"})
    assert "s3cr3t" not in repr(config)


def test_entra_rules_are_derived_from_the_tenant() -> None:
    settings = load(
        {**ONE, "LB_ENTRA_TENANT_ID": TENANT.upper(), "LB_ENTRA_ALLOWED": f"chat:{APP.upper()}"}
    ).entra_settings()
    assert settings is not None
    assert settings.tenant == TENANT
    assert settings.allowed == {APP: "chat"}
    assert settings.issuers == (
        f"https://login.microsoftonline.com/{TENANT}/v2.0",
        f"https://sts.windows.net/{TENANT}/",
    )
    assert settings.keys_url == f"https://login.microsoftonline.com/{TENANT}/discovery/v2.0/keys"
    assert "https://cognitiveservices.azure.com" in settings.audiences
    assert "https://ai.azure.com/" in settings.audiences


@pytest.mark.parametrize("form", [f"'{APP}'", f"[{APP}]", f"{{{APP}: {APP}}}"])
def test_an_allowed_id_without_a_name_is_its_own_name(form: str) -> None:
    config = inline(f"entra: {{tenant_id: {TENANT}, allowed: {form}}}", **ONE)
    assert config.entra_settings().allowed == {APP: APP}  # type: ignore[union-attr]


def test_another_authority_has_its_own_issuers() -> None:
    config = inline(
        f"entra: {{tenant_id: {TENANT}, allowed: [{APP}], authority: 'http://127.0.0.1:9/', audiences: [api://x]}}",
        **ONE,
    )
    settings = config.entra_settings()
    assert settings is not None
    assert settings.issuers == (f"http://127.0.0.1:9/{TENANT}/v2.0",)
    assert settings.audiences == ("api://x",)


def test_a_file_of_roots_is_looked_into(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    config = load({**ONE, "LB_CA_FILE": str(file), "SSL_CERT_FILE": str(file)})
    assert (config.ca_file, config.platform.ssl_cert_file) == (str(file), str(file))


def test_all_proxy_stands_in_where_there_is_no_other() -> None:
    assert load({**ONE, "ALL_PROXY": "p:3128"}).platform.https_proxy == "http://p:3128"
    assert load({**ONE, "ALL_PROXY": "socks5://p", "HTTPS_PROXY": "http://q:1"}).platform.https_proxy == "http://q:1"


@pytest.mark.parametrize(
    ("url", "no_proxy", "expected"),
    [
        ("https://a.example", "", "http://p:80"),
        ("https://a.example", "example", None),
        ("https://a.example", ".example", None),
        ("https://a.example", "*.example", None),
        ("https://aexample", "example", "http://p:80"),
        ("https://a.example", "*", None),
        ("https://a.example", "a.example:443", None),
        ("https://a.example", "a.example:8443", "http://p:80"),
        ("https://10.1.2.3", "10.0.0.0/8", None),
        ("https://10.1.2.3", "2.3", "http://p:80"),
        ("https://[fd00::1]", "fd00::/8", None),
        ("https://[fd00::1]:8443", "[fd00::1]:8443", None),
        ("https://127.0.0.1:9", "", None),
        ("https://localhost", "", None),
        ("http://a.example", "", None),
    ],
)
def test_no_proxy_names_who_is_asked_directly(url: str, no_proxy: str, expected: str | None) -> None:
    config = load({**ONE, "HTTPS_PROXY": "http://p", "NO_PROXY": no_proxy})
    assert config.proxy_for(url) == expected


@pytest.mark.parametrize(
    ("environ", "warning"),
    [
        ({"BACKEND_1_URL": "http://a"}, "BACKEND_1_URL is not https://, so the credential and all prompts can be read"),
        (
            {"BACKEND_1_APIKEY": "k", "BACKEND_1_SCOPE": "https://ai.azure.com/.default"},
            "BACKEND_1_SCOPE is for tokens",
        ),
        ({"BACKEND_2_URL": ONE["BACKEND_1_URL"]}, "BACKEND_2_URL is the same endpoint as BACKEND_1_URL"),
        ({"LB_FIRST_EVENT_SECONDS": "240"}, "LB_FIRST_EVENT_SECONDS is not below HTTP_TIMEOUT_SECONDS"),
    ],
)
def test_what_works_but_was_hardly_meant_gives_a_warning(environ: dict[str, str], warning: str) -> None:
    (line,) = read({**ONE, **environ}).warnings
    assert line.startswith(warning)


def test_one_resource_may_stand_there_twice_for_different_deployments() -> None:
    twice = {"BACKEND_2_URL": ONE["BACKEND_1_URL"], "BACKEND_2_DEPLOYMENT_NAME": "b"}
    assert read({**ONE, "BACKEND_1_DEPLOYMENTS": "chat=a", **twice}).warnings == ()


@pytest.mark.parametrize(
    "environ",
    [
        {"LB_PORT": "0", "LB_ADMIN_PORT": "0"},
        {"LB_HOST": "10.0.0.1", "LB_PORT": "8081"},
        {"LB_HOST": "127.0.0.2", "LB_PORT": "8081"},
    ],
)
def test_ports_may_be_equal_where_they_cannot_meet(environ: dict[str, str]) -> None:
    assert load({**ONE, **environ})


SHORT = "a key of fewer than 16 characters can be guessed"


@pytest.mark.parametrize(
    ("host", "keys", "warned"),
    [
        ("10.0.0.1", "ada:fifteen-letters", ["LB_ADMIN_KEYS ('ada')"]),
        ("10.0.0.1", "ada:sixteen-letters-,bob:k,bob:another-long-key", ["LB_ADMIN_KEYS ('bob')"]),
        ("10.0.0.1", f"ada:sha256:{'0' * 64}", []),
        ("127.0.0.1", "ada:k", []),
    ],
)
def test_a_short_operators_key_is_warned_of_beyond_loopback(host: str, keys: str, warned: list[str]) -> None:
    loaded = read({**ONE, "LB_ADMIN_HOST": host, "LB_ADMIN_KEYS": keys})
    assert [line.partition(": " + SHORT)[0] for line in loaded.warnings] == warned
    assert "fifteen" not in str(loaded.warnings)


def test_a_short_operators_key_in_the_file_is_warned_of_too() -> None:
    text = "{admin: {host: 0.0.0.0}, operators: [{name: bob, keys: [old, older]}]}"
    (line,) = read({**ONE, "LB_CONFIG_INLINE": text}).warnings
    assert SHORT in line
