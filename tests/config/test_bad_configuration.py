"""Every bad configuration gives its line: the variable, what was found, what is allowed."""

from pathlib import Path

import pytest

from lb.config import ConfigProblems, load

URL = {"BACKEND_1_URL": "https://a.openai.azure.com"}
TENANT = "11111111-2222-3333-4444-555555555555"
APP = "99999999-2222-3333-4444-555555555555"

ONE_VARIABLE = [
    # backends
    ("BACKEND_1_URL", "a.openai.azure.com", "found 'a.openai.azure.com'; allowed is a URL such as https://host"),
    ("BACKEND_1_URL", "ftp://a", "found 'ftp://a'; allowed is a URL such as https://host (https or http)"),
    ("BACKEND_1_URL", "wss://a", "(https or http)"),
    ("BACKEND_1_URL", "https://", "with a host"),
    ("BACKEND_1_URL", "https://<your-resource>.openai.azure.com", "with a host"),
    ("BACKEND_1_URL", "https://a b", "of visible ASCII characters without blanks"),
    ("BACKEND_1_URL", "https://a\nb", "of visible ASCII characters without blanks"),
    ("BACKEND_1_URL", "https://ä.example", "of visible ASCII characters without blanks"),
    ("BACKEND_1_URL", "https://a:99999", "with a port from 1 to 65535"),
    ("BACKEND_1_URL", "https://a:0", "a port from 1 to 65535"),
    ("BACKEND_1_URL", "https://a:", "a port from 1 to 65535"),
    ("BACKEND_1_URL", "https://[::1", "a URL such as https://host"),
    ("BACKEND_1_URL", "https://256.1.1.1", "with a host"),
    ("BACKEND_1_URL", "https://a?api-version=1", "without `?` and `#`"),
    ("BACKEND_1_URL", "https://a/#x", "without `?` and `#`"),
    ("BACKEND_1_URL", "https://a/b/../c", "no empty and no dot segments"),
    ("BACKEND_1_URL", "https://a//b", "no empty and no dot segments"),
    ("BACKEND_1_URL", "https://a/openai", "allowed is the endpoint alone, here https://a: clients send the path"),
    ("BACKEND_1_URL", "https://a/p/openai/v1/", "the endpoint alone, here https://a/p:"),
    ("BACKEND_1_URL", "https://a/openai/v1/chat/completions", "the endpoint alone, here https://a:"),
    ("BACKEND_1_URL", "https://a/openai/deployments/chat", "the endpoint alone, here https://a:"),
    ("BACKEND_1_URL", "https://a/x/deployments/chat", "the endpoint alone, here https://a/x:"),
    ("BACKEND_1_URL", "https://a/models/chat/completions", "the endpoint alone, here https://a:"),
    ("BACKEND_1_PRIORITY", "high", "found 'high'; allowed is a whole number from 0 to 1000000"),
    ("BACKEND_1_PRIORITY", "1.5", "a whole number"),
    ("BACKEND_1_PRIORITY", "-1", "a whole number from 0"),
    ("BACKEND_1_WEIGHT", "0", "found '0'; allowed is a whole number from 1 to 10000"),
    ("BACKEND_1_WEIGHT", "1_000", "a whole number"),
    ("BACKEND_1_WEIGHT", "9" * 5000, "a whole number"),
    ("BACKEND_1_APIKEY", "one\ntwo", "found a value that is not shown; allowed is a key of visible ASCII characters"),
    ("BACKEND_1_APIKEY", "one two", "a key of visible ASCII characters"),
    ("BACKEND_1_APIKEY", "schlüssel", "a key of visible ASCII characters"),
    ("BACKEND_1_DEPLOYMENT_NAME", "a/b", "found 'a/b'; allowed is a deployment name"),
    ("BACKEND_1_DEPLOYMENT_NAME", "..", "a deployment name"),
    ("BACKEND_1_DEPLOYMENTS", "chat=a,chat=b", "every deployment once: chat is there twice"),
    ("BACKEND_1_DEPLOYMENTS", "chat=", "a deployment name"),
    ("BACKEND_1_DEPLOYMENTS", ",", "at least one deployment"),
    ("BACKEND_1_SCOPE", "cognitive", "a scope such as https://cognitiveservices.azure.com/.default"),
    ("BACKEND_2_PRIORITY", "1", "BACKEND_2_URL: found nothing; a value is required"),
    # names
    ("BACKEND_1_API_KEY", "k", "found a name that lb does not know; did you mean BACKEND_1_APIKEY?"),
    ("BACKEND_US_EAST_PRIORTY", "1", "did you mean BACKEND_US_EAST_PRIORITY?"),
    ("BACKEND_1_REGION", "x", "allowed is BACKEND_<x>_ and URL, PRIORITY, WEIGHT, APIKEY"),
    ("BACKEND_URL", "https://a", "found no name that can be used between BACKEND_ and _URL"),
    ("BACKEND__URL", "https://a", "found no name that can be used between BACKEND_ and _URL"),
    ("BACKEND_A B_URL", "https://a", "found no name that can be used between BACKEND_ and _URL"),
    ("BACKEND_1", "https://a", "found a name that lb does not know"),
    ("BACKEND_SERVICE_HOST", "10.0.0.1", "set enableServiceLinks: false"),
    ("LB_PROT", "1", "found a name that lb does not know; did you mean LB_PORT?"),
    ("LB_UNHEARD", "1", "allowed are LB_HOST, LB_PORT"),
    # listeners
    ("LB_PORT", "http", "found 'http'; allowed is a whole number from 0 to 65535"),
    ("LB_PORT", "65536", "a whole number from 0 to 65535"),
    ("LB_PORT", "8081", "LB_ADMIN_PORT: found 8081, which is LB_PORT, too; allowed is a port of its own"),
    ("LB_HOST", "0.0.0.0:8080", "a host name or an IP address"),
    ("LB_HOST", "0.0.0", "a host name or an IP address"),
    ("LB_ADMIN_HOST", "a host", "a host name or an IP address"),
    ("LB_ADMIN_PORT", "tcp://10.0.0.1:80", "set enableServiceLinks: false"),
    ("LB_WORKERS", "0", "a whole number from 1 to 128"),
    ("LB_WORKERS", "auto", "a whole number from 1 to 128"),
    # numbers and words
    ("HTTP_TIMEOUT_SECONDS", "nan", "found 'nan'; allowed is a number from 0.01 to 86400"),
    ("HTTP_TIMEOUT_SECONDS", "inf", "a number from 0.01"),
    ("HTTP_TIMEOUT_SECONDS", "0", "a number from 0.01"),
    ("HTTP_TIMEOUT_SECONDS", "-5", "a number from 0.01"),
    ("HTTP_TIMEOUT_SECONDS", "00:04:00", "a number from 0.01"),
    ("LB_CONNECT_SECONDS", "ten", "a number from 0.01 to 300"),
    ("LB_FIRST_EVENT_SECONDS", "1e3", "a number from 0 to 86400"),
    ("LB_MAX_COOLDOWN_SECONDS", "0", "a number from 0.1 to 86400"),
    ("LB_DRAIN_SECONDS", "-1", "a number from 0 to 3600"),
    ("LB_REPLAY_MAX_BYTES", "32M", "a size from 0 to 4GiB, in bytes or with KB, MB, GB, KiB, MiB, GiB"),
    ("LB_REPLAY_MAX_BYTES", "2GiB", "LB_REPLAY_DISK_BYTES: found 1GiB; allowed is 0, or at least LB_REPLAY_MAX_BYTES"),
    ("LB_REPLAY_DISK_BYTES", "8MiB", "found 8MiB; allowed is 0, or at least LB_REPLAY_MAX_BYTES, which is 32MiB"),
    ("LB_REPLAY_TOTAL_BYTES", "512KiB", "found 512KiB; allowed is at least LB_REPLAY_MEMORY_BYTES, which is 1MiB"),
    ("LB_REPLAY_DIRECTORY", "/no/such/place", "found '/no/such/place'; allowed is a directory that exists"),
    ("LB_REPLAY_DIRECTORY", "/dev/null", "found '/dev/null'; allowed is a directory that exists"),
    ("LB_SSE_KEEPALIVE_SECONDS", "-1", "a number from 0 to 3600"),
    ("LB_POLICY", "least_loaded", "least-loaded, round-robin, random or headroom; did you mean least-loaded?"),
    ("LB_LOG_FORMAT", "text", "found 'text'; allowed is console or json"),
    ("LB_LOG_LEVEL", "verbose", "debug, info, warning or error"),
    ("LB_EXPLAIN", "maybe", "found 'maybe'; allowed is true or false"),
    ("LB_TOKENIZER", "o200k", "found 'o200k'; allowed is true or false"),
    ("LB_TOKENIZER", "true", "LB_TOKENIZER: found true, and the tokenizer is missing; allowed is false"),
    ("LB_METRICS_TOKEN_BUCKETS", "1,2,2", "up to 50 numbers from 1 to 100000000, each larger than the one before"),
    ("LB_METRICS_TOKEN_BUCKETS", ",", "up to 50 numbers"),
    ("LB_METRICS_SECOND_BUCKETS", "0.1,1,+Inf", "up to 50 numbers from 0.0001 to 86400"),
    # trust and proxies
    ("LB_CA_FILE", "/nowhere.pem", "found '/nowhere.pem'; allowed is a readable PEM file"),
    ("LB_CA_FILE", __file__, "a PEM file with at least one certificate"),
    ("SSL_CERT_FILE", "/", "a readable PEM file"),
    (
        "HTTPS_PROXY",
        "socks5://u:p@proxy:1080",
        "found 'socks5://****@proxy:1080'; allowed is a URL such as http://host:3128",
    ),
    ("HTTPS_PROXY", "https://proxy:3128", "a URL such as http://host:3128 (http)"),
    ("HTTPS_PROXY", "http://proxy:3128/path", "a proxy such as http://proxy:3128, without a path"),
    ("ALL_PROXY", "socks5h://proxy:1080", "ALL_PROXY: found 'socks5h://proxy:1080'"),
    ("NO_PROXY", "10.0.0.0/99", "host names, .suffixes, addresses, networks such as 10.0.0.0/8, or *"),
    ("AZURE_CLIENT_ID", "an id", "a name of 1 to 64"),
    # callers
    ("LB_ADMIN_KEYS", "justakey", "LB_ADMIN_KEYS entry 1: found no name and key; allowed is name:key"),
    ("LB_ADMIN_KEYS", "a:k,b:k", "LB_ADMIN_KEYS ('b'): found a key that 'a' has, too"),
    ("LB_ADMIN_KEYS", "a:sha256:beef", "LB_ADMIN_KEYS ('a'): found a value that is not shown; allowed is sha256:"),
    ("LB_CLIENT_KEYS", "justakey", "LB_CLIENT_KEYS entry 1: found no name and key; allowed is name:key"),
    ("LB_CLIENT_KEYS", "a:k,b:", "LB_CLIENT_KEYS entry 2: found no name and key"),
    ("LB_CLIENT_KEYS", ",", "LB_CLIENT_KEYS: found no entry"),
    ("LB_CLIENT_KEYS", "a:k,b:k", "LB_CLIENT_KEYS ('b'): found a key that 'a' has, too"),
    ("LB_CLIENT_KEYS", "a:sha256:beef", "LB_CLIENT_KEYS ('a'): found a value that is not shown; allowed is sha256:"),
    ("LB_CLIENT_KEYS", "sha256:" + 64 * "a", "a client's name before the key, as in name:sha256:<hex>"),
    ("LB_CLIENT_KEYS", "a b:k", "a name of 1 to 64 letters"),
    ("LB_CLIENT_KEYS", "Chat:k,chat:l", "allowed are names that differ in more than case"),
    ("LB_ENTRA_TENANT_ID", TENANT, "LB_ENTRA_ALLOWED: found nothing; a value is required"),
    ("LB_ENTRA_TENANT_ID", "contoso.com", "an id such as 00000000-0000-0000-0000-000000000000"),
    ("LB_ENTRA_ALLOWED", APP, "LB_ENTRA_TENANT_ID: found nothing; a value is required"),
    ("LB_ENTRA_ALLOWED", "everybody", "an id such as"),
    ("LB_ENTRA_ALLOWED", f"a:{APP},b:{APP}", "every id once"),
    ("LB_ENTRA_AUTHORITY", "http://login.example", "an https:// address"),
    # the file
    ("LB_CONFIG", "/nowhere.yaml", "LB_CONFIG: found no readable file at '/nowhere.yaml' (No such file or directory)"),
    ("LB_CONFIG", "/", "LB_CONFIG: found a directory at '/'; allowed is a YAML or JSON file"),
    ("LB_CONFIG", "/dev/null", "LB_CONFIG: found no regular file"),
    ("LB_CONFIG", "log:\n  level: info", "found configuration text; allowed is a path, text goes to LB_CONFIG_INLINE"),
]

BAD_TEXT = [
    ("limits:\n\tworkers: 1", "line 2, column 1: found text that is not YAML (a tab; indent with blanks)"),
    ("limits: {", "found text that is not YAML"),
    ("- a\n- b", "LB_CONFIG_INLINE: found a list; allowed are sections such as `backends:`"),
    ("secret-that-must-not-show", "LB_CONFIG_INLINE: found a single value; allowed are sections"),
    ("listn: {port: 1}", "listn (LB_CONFIG_INLINE, line 1): found a name that lb does not know; did you mean listen?"),
    (
        "limits: {replay_max_byte: 1}",
        "limits.replay_max_byte (LB_CONFIG_INLINE, line 1): found a name that lb does not",
    ),
    (
        "limits:\n  drain_seconds: 1\n  drain_seconds: 2",
        "limits.drain_seconds (LB_CONFIG_INLINE, line 2): found again in",
    ),
    ('{"workers": 1, "workers": 2}', "workers (LB_CONFIG_INLINE): found twice; allowed is once"),
    ("limits: 3", "limits (LB_CONFIG_INLINE, line 1): found a single value; allowed is a section"),
    ("clients: {a: k}", "clients (LB_CONFIG_INLINE, line 1): found a section; allowed is a list"),
    ("clients: [k]", "clients[0] (LB_CONFIG_INLINE, line 1): found a single value; allowed is a section"),
    ("clients: [{name: a}]", "clients[0].keys (LB_CONFIG_INLINE, line 1): found nothing; a value is required"),
    ("clients: [{name: a, keys: []}]", "allowed is at least one key"),
    ("workers: [1]", "workers (LB_CONFIG_INLINE, line 1): found a list; allowed is one plain value"),
    ("workers: 010_0", "found '010_0'; allowed is a whole number"),
    ("workers: ${NOWHERE}", "found ${NOWHERE}, which is not set; allowed is the name of a variable that is set"),
    ("workers: ${EMPTY}", "found ${EMPTY}, which is not set"),
    ("workers: ${NO-NAME}", "found '${NO-NAME}'; allowed is ${NAME}"),
    ("workers: ${KEY}", "found the value of '${KEY}'; allowed is a whole number"),
    ("workers: !!python/object:os.system 1", "allowed are values without tags"),
    ("workers: &a [*a]", "found an alias to what it is part of"),
    ("? [a]\n: 1", "found a name that is not plain text"),
    ("platform: {https_proxy: x}", "platform (LB_CONFIG_INLINE, line 1): found; only the environment says this"),
    ("log: {level: 'in\\x00fo'}\x00", "found a control character"),
    ("a: &a [1]\n" * 1 + "b: " + "[" * 3000 + "]" * 3000, "found too many levels"),
    ("a: *b", "line 1, column 4: found text that is not YAML"),
    ("backends: [{name: a, url: 'https://a'}, {name: A, url: 'https://b'}]", "found 'A', which backends[0].name"),
    ("backends: []", "found no backend"),
    ("backends: [{url: 'https://a'}]", "backends[0].name (LB_CONFIG_INLINE, line 1): found nothing"),
    (
        "backends: [{name: a, url: 'https://a', deployments: [b], deployment_name: c}]",
        "backends[0].deployments (LB_CONFIG_INLINE, line 1): found together with backends[0].deployment_name",
    ),
]


def problems(environ: dict[str, str], config_path: str | None = None) -> list[str]:
    with pytest.raises(ConfigProblems) as caught:
        load(environ, config_path)
    assert all("\n" not in line for line in caught.value.problems)
    return caught.value.problems


@pytest.mark.parametrize(("variable", "value", "expected"), ONE_VARIABLE)
def test_a_bad_variable_gives_exactly_its_line(variable: str, value: str, expected: str) -> None:
    environ = {**URL, variable: value}
    if variable.startswith("LB_ENTRA_") and "nothing" not in expected:
        environ = {"LB_ENTRA_TENANT_ID": TENANT, "LB_ENTRA_ALLOWED": APP, **environ}
    (line,) = problems(environ)
    assert expected in line
    assert variable in line or line.startswith(("LB_ENTRA_", "BACKEND_2_URL", "LB_REPLAY_DISK_BYTES"))


@pytest.mark.parametrize(("text", "expected"), BAD_TEXT)
def test_a_bad_file_gives_its_line_with_the_path_in_it(text: str, expected: str) -> None:
    environ = {"LB_CONFIG_INLINE": text, "KEY": "s3cr3t", "EMPTY": " "}
    if "backends: [" not in text:
        environ |= URL
    (line,) = problems(environ)
    assert expected in line
    assert line.startswith(("LB_CONFIG_INLINE", "BACKEND_1_URL")) or "LB_CONFIG_INLINE" in line
    assert "s3cr3t" not in line
    assert "secret-that-must-not-show" not in line


def test_a_file_that_cannot_be_read_is_the_one_problem() -> None:
    (line,) = problems({"LB_CONFIG_INLINE": "workers: {"})
    assert "not YAML" in line
    (line,) = problems({"LB_CONFIG": "/nowhere"})
    assert line.startswith("LB_CONFIG: found no readable file")


def test_a_bad_section_is_a_problem_even_where_the_environment_says_the_rest() -> None:
    (line,) = problems({**URL, "LB_DRAIN_SECONDS": "3", "LB_CONFIG_INLINE": "limits: 3"})
    assert line.startswith("limits (LB_CONFIG_INLINE, line 1): found a single value")


def test_no_backend_at_all_is_a_problem() -> None:
    assert problems({}) == [
        "BACKEND_1_URL: found no backend; allowed is at least one, here or under `backends:` in the file"
    ]


def test_a_name_in_two_spellings_is_a_problem() -> None:
    (line,) = problems({"BACKEND_1_URL": "https://a", "backend_1_url": "https://b"})
    assert line == "BACKEND_1_URL: found twice, in upper and in lower case; allowed is once"


def test_deployments_and_deployment_name_together_are_a_problem() -> None:
    (line,) = problems({**URL, "BACKEND_1_DEPLOYMENTS": "a=b", "BACKEND_1_DEPLOYMENT_NAME": "c"})
    assert line == "BACKEND_1_DEPLOYMENTS: found together with BACKEND_1_DEPLOYMENT_NAME; allowed is one of the two"


def test_a_file_and_inline_text_together_are_a_problem() -> None:
    (line,) = problems({**URL, "LB_CONFIG": "/nowhere", "LB_CONFIG_INLINE": "workers: 1"})[:1]
    assert line == "LB_CONFIG_INLINE: found together with LB_CONFIG; allowed is one of the two"


def test_a_plain_backend_behind_a_proxy_is_a_problem_that_names_both() -> None:
    environ = {"BACKEND_1_URL": "http://inner", "HTTP_PROXY": "http://proxy:3128"}
    (line,) = problems(environ)
    assert line.startswith("HTTP_PROXY: found a proxy that would stand before BACKEND_1_URL; allowed are")
    assert load({**environ, "NO_PROXY": "inner"})


def test_a_file_that_is_not_utf8_gives_one_clear_line(tmp_path: Path) -> None:
    file = tmp_path / "lb.yaml"
    file.write_bytes(b"workers: \xff")
    (line,) = problems(URL, str(file))
    assert line == f"--config: found a byte that is not UTF-8 in {str(file)!r} at 9; allowed is UTF-8"


def test_a_file_beyond_all_measure_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "lb.yaml"
    file.write_bytes(b"#" * (4 * 2**20 + 1))
    (line,) = problems(URL, str(file))
    assert "allowed is a file up to 4 MiB" in line


def test_aliases_cannot_make_a_small_text_large() -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{name}: &{name} [{','.join(f'*{before}' for _ in range(9))}]\n"
        for before, name in zip("abcdefg", "bcdefgh", strict=True)
    )
    (line,) = problems({**URL, "LB_CONFIG_INLINE": bomb})
    assert "found too much" in line


def test_a_key_is_a_clients_or_an_operators_and_not_both() -> None:
    (line,) = problems({**URL, "LB_CLIENT_KEYS": "app:k", "LB_ADMIN_KEYS": "ada:k"})
    assert line == "LB_ADMIN_KEYS ('ada'): found a key that the client 'app' has, too; allowed is one of its own"


def test_everything_that_is_wrong_is_said_at_once() -> None:
    environ = {
        "BACKEND_1_URL": "https://a/openai/v1",
        "BACKEND_2_PRIORITY": "x",
        "BACKEND_3_URL": "https://c",
        "BACKEND_3_SCOPES": "x",
        "LB_PROT": "1",
        "LB_WORKERS": "none",
        "LB_ADMIN_PORT": "8080",
        "LB_REPLAY_TOTAL_BYTES": "1KiB",
        "LB_CLIENT_KEYS": "a:k,b:k,c",
        "LB_CONFIG_INLINE": "limits:\n  drain: 1\nlog: {level: loud}\n",
    }
    assert [line.split(": found")[0] for line in problems(environ)] == [
        "BACKEND_3_SCOPES",
        "LB_PROT",
        "LB_CLIENT_KEYS entry 3",
        "BACKEND_1_URL",
        "BACKEND_2_URL",
        "BACKEND_2_PRIORITY",
        "log.level (LB_CONFIG_INLINE, line 3)",
        "limits.drain (LB_CONFIG_INLINE, line 2)",
        "LB_WORKERS",
        "LB_CLIENT_KEYS ('b')",
        "LB_ADMIN_PORT",
        "LB_REPLAY_TOTAL_BYTES",
    ]


def test_a_rule_is_not_held_against_a_value_that_is_wrong_itself() -> None:
    (line,) = problems({**URL, "LB_ADMIN_PORT": "8080", "LB_PORT": "x"})
    assert line.startswith("LB_PORT")


def test_the_tables_hold_enough_bad_configurations() -> None:
    assert len(ONE_VARIABLE) + len(BAD_TEXT) >= 45
