"""What an operator may say of the audit, and what comes of a slip."""

from pathlib import Path
from typing import Any

import pytest

from lb.config import ConfigProblems, effective, load, read

URL = {"BACKEND_1_URL": "https://a.openai.azure.com", "BACKEND_1_APIKEY": "k", "LB_HOST": "127.0.0.1"}
BLOB = "https://acct.blob.core.windows.net/audit"
HUB = "ns.servicebus.windows.net/audit"
KEY = "DefaultEndpointsProtocol=https;AccountName=acct;AccountKey=c2VjcmV0"


def problem(**settings: str) -> str:
    with pytest.raises(ConfigProblems) as wrong:
        load({**URL, **settings})
    (line,) = wrong.value.problems
    return line


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"LB_AUDIT": "fil"}, "allowed is off, stdout, file, blob or eventhubs; did you mean file?"),
        ({"LB_AUDIT": "file"}, "LB_AUDIT_FILE: found nothing; LB_AUDIT is file, which needs it"),
        ({"LB_AUDIT": "blob"}, "LB_AUDIT_URL: found nothing; LB_AUDIT is blob, which needs it"),
        ({"LB_AUDIT": "eventhubs"}, "LB_AUDIT_URL: found nothing; LB_AUDIT is eventhubs, which needs it"),
        ({"LB_AUDIT_FILE": "/no/such/place/a.jsonl"}, "the path of a file, in a directory that exists"),
        ({"LB_AUDIT_URL": f"{BLOB}?sig=secret"}, "without a key"),
        ({"LB_AUDIT_URL": "https://acct.blob.core.windows.net"}, "https://account.blob.core.windows.net/container, or"),
        ({"LB_AUDIT": "stdout", "LB_WORKERS": "2"}, "found 'stdout' with LB_WORKERS 2: records of several workers"),
        ({"LB_AUDIT_SAMPLE": "2"}, "a number from 0 to 1"),
        ({"LB_AUDIT_WHO": "some"}, "all, sample or none"),
        ({"LB_AUDIT_REDACT": "card=["}, "that of card is none: unterminated character set"),
        ({"LB_AUDIT_REDACT": "no pattern"}, "names of letters, digits, dashes and underscores"),
        ({"LB_AUDIT_REDACT": "any=x*"}, "that of any matches nothing at all, which is anywhere"),
        ({"LB_AUDIT_REDACT": "a=x\na=y"}, "each name once"),
        ({"LB_AUDIT_HOOK": "module"}, "a Python function as module:function"),
        ({"LB_AUDIT": "stdout", "LB_AUDIT_HOOK": "no_such.module:hook"}, "a function of a module that is there"),
        ({"LB_AUDIT_FIELD_BYTES": "1"}, "a size from 64 to 16MiB"),
        ({"LB_AUDIT_CONNECTION_STRING": "secret"}, "found a value that is not shown; allowed is a connection string"),
    ],
)  # fmt: skip
def test_a_slip_is_told_in_the_operators_words(settings: dict[str, str], said: str) -> None:
    line = problem(**settings)
    assert said in line
    assert "secret" not in line.partition("allowed")[0]


def test_a_connection_string_is_never_shown() -> None:
    loaded = read({**URL, "LB_AUDIT": "blob", "LB_AUDIT_URL": BLOB, "LB_AUDIT_CONNECTION_STRING": KEY})
    shown = {name: value for name, value, _ in effective(loaded)}
    assert shown["audit.connection_string"] == "****"
    assert shown["audit.to"] == "blob"
    assert "c2VjcmV0" not in repr(loaded.config)


@pytest.mark.parametrize(
    ("settings", "place", "most"),
    [
        ({"LB_AUDIT": "stdout"}, "stdout", 15 * 1024),
        ({"LB_AUDIT": "file", "LB_AUDIT_FILE": "audit.jsonl"}, "the file audit.jsonl", 256 * 1024),
        ({"LB_AUDIT": "blob", "LB_AUDIT_URL": BLOB}, BLOB, 256 * 1024),
        ({"LB_AUDIT": "eventhubs", "LB_AUDIT_URL": HUB, "LB_AUDIT_RECORD_BYTES": "1MiB"}, HUB, 1024 * 1024),
        ({"LB_AUDIT": "eventhubs", "LB_AUDIT_URL": HUB}, HUB, 200 * 1024),
    ],
)
def test_each_place_has_its_name_and_its_bound(settings: dict[str, str], place: str, most: int) -> None:
    audit = load({**URL, **settings}).audit
    assert (audit.place, audit.record_most) == (place, most)


def test_patterns_mean_the_same_in_file_and_environment() -> None:
    said = {**URL, "LB_AUDIT": "stdout", "LB_AUDIT_REDACT": "card=\\d{16}\n mail = \\S+@\\S+=x"}
    text = "audit: {to: stdout, redact: {card: '\\d{16}', mail: '\\S+@\\S+=x'}}"
    one, other = load(said).audit, load({**URL, "LB_CONFIG_INLINE": text}).audit
    assert one.redact == other.redact == {"card": "\\d{16}", "mail": "\\S+@\\S+=x"}


@pytest.mark.parametrize(("said", "meant"), [("true", "all"), ("false", "none"), ("sample", "sample"), ("off", "none")])
def test_a_tenant_says_it_with_a_switch(said: str, meant: str) -> None:
    text = f"tenants: [{{name: ada, audit: {said}}}]"
    settings: dict[str, Any] = {**URL, "LB_CLIENT_KEYS": "ada:k", "LB_AUDIT": "stdout", "LB_CONFIG_INLINE": text}
    assert load(settings).tenants[0].audit == meant


def test_a_tenant_that_says_something_else_is_told_so() -> None:
    text = "tenants: [{name: ada, audit: maybe}]"
    assert "allowed is true, false or sample" in problem(LB_CLIENT_KEYS="ada:k", LB_CONFIG_INLINE=text)


@pytest.mark.parametrize(
    ("settings", "warned"),
    [
        ({"LB_AUDIT_HOOK": "json:dumps"}, "LB_AUDIT_HOOK does nothing, since LB_AUDIT is off: no prompt is recorded"),
        ({"LB_CONFIG_INLINE": "tenants: [{name: ada, audit: true}]"}, "tenants[0].audit"),
        ({"LB_CONFIG_INLINE": "tenants: [{name: ada, audit: false}]"}, None),
        ({"LB_AUDIT": "stdout", "LB_AUDIT_HOOK": "json:dumps"}, None),
    ],
)
def test_settings_without_effect_are_told(settings: dict[str, str], warned: str | None, tmp_path: Path) -> None:
    warnings = [line for line in read({**URL, "LB_CLIENT_KEYS": "ada:k", **settings}).warnings if "LB_AUDIT" in line]
    assert warnings == [] if warned is None else warned in warnings[0]
