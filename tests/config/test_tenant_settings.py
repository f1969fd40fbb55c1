"""`tenants:` and `tenancy:`, and what is said about wrong ones."""

import pytest

from lb.config import Config, ConfigProblems, effective, load, read
from lb.metering.tenant import Limits, Source, Tenant

BASE = {
    "BACKEND_1_URL": "https://one",
    "BACKEND_2_URL": "https://two",
    "LB_CLIENT_KEYS": "ada:key-1,chat-app:key-2",
}


def config(text: str = "", **environ: str) -> Config:
    return load({**BASE, "LB_CONFIG_INLINE": text, **environ})


def problems(text: str = "", **environ: str) -> list[str]:
    with pytest.raises(ConfigProblems) as wrong:
        config(text, **environ)
    return [line.replace(" (LB_CONFIG_INLINE, line ", "@").replace("):", ":") for line in wrong.value.problems]


def tenant(text: str) -> Tenant:
    tenants = config(text).domain_tenants()
    assert tenants is not None
    return tenants.all[0]


def test_nothing_said_is_no_tenants_at_all() -> None:
    assert config().domain_tenants() is None


def test_a_tenant_with_everything() -> None:
    found = tenant(
        """
        tenants:
          - name: Team-A
            callers: [chat-app]
            tokens_per_minute: 1000
            requests_per_minute: 10
            tokens_per_day: 100000
            tokens_per_month: 1000000
            max_concurrent: 5
            deployments: [Chat, embedding]
            per_deployment: {Chat: {tokens_per_minute: 500}}
            backends: [backend_2]
            spill: true
            priority: 0
            weight: 3
        """
    )
    assert found == Tenant(
        "team-a",
        Limits(1000, 10, 100_000, 1_000_000, 5),
        {"chat": Limits(tokens_per_minute=500)},
        frozenset({"chat", "embedding"}),
        frozenset({"BACKEND_2"}),
        pinned=False,
        priority=0,
        weight=3,
    )


def test_own_backends_are_all_there_is_unless_spill_is_on() -> None:
    assert tenant("tenants: [{name: a, callers: ada, backends: BACKEND_1}]").pinned
    assert not tenant("tenants: [{name: a, callers: ada}]").pinned


def test_a_caller_is_found_by_the_tenants_name_or_under_its_callers() -> None:
    tenants = config("tenants: [{name: ADA}, {name: bob, callers: chat-app}]").domain_tenants()
    assert tenants is not None
    assert [tenants.find({Source.CALLER: name}) for name in ("ada", "chat-app")] == list(tenants.all)


def test_sources_alone_give_names_without_limits() -> None:
    tenants = config(LB_TENANT_FROM="header, query", LB_TENANT_REQUIRED="true").domain_tenants()
    assert tenants is not None
    assert tenants.sources == (Source.HEADER, Source.QUERY)
    assert tenants.find({Source.HEADER: "Eve"}) == Tenant("eve")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "tenants: [{name: ada, tokens_per_minutes: 5}]",
            "tenants[0].tokens_per_minutes@1: found a name that lb does not know; did you mean tokens_per_minute?",
        ),
        (
            "tenants: [{name: ada, per_deployment: {chat: {tokens_per_minut: 5}}}]",
            "tenants[0].per_deployment.chat.tokens_per_minut@1: found a name that lb does not know; "
            "did you mean tokens_per_minute?",
        ),
        (
            "tenants: [{name: ada, per_deployment: {chat: 5}}]",
            "tenants[0].per_deployment.chat@1: found a single value; allowed is a section, `name: value` in each line",
        ),
        (
            "tenants: [{name: ada, tokens_per_minute: 0}]",
            "tenants[0].tokens_per_minute@1: found '0'; allowed is a whole number from 1 to 1000000000000000",
        ),
        (
            "tenants: [{name: ada}, {name: ADA}]",
            "tenants[1].name@1: found 'ADA', which tenants[0].name@1) is called; allowed is each once",
        ),
        (
            "tenants: [{name: a, callers: [chat-aps]}]",
            "tenants[0].callers@1: found 'chat-aps'; allowed are names of client keys or of allowed Entra identities; "
            "did you mean chat-app?",
        ),
        (
            "tenants: [{name: a, callers: ada}, {name: b, callers: ada}]",
            "tenants[1].callers@1: found 'ada', which 'a' has, too; allowed is each caller for one tenant",
        ),
        (
            "tenants: [{name: ada, backends: BACKEND_3}]",
            "tenants[0].backends@1: found 'BACKEND_3'; allowed are names of backends; did you mean backend_2?",
        ),
        (
            "tenants: [{name: ada}]\ntenancy: {default: adda}",
            "tenancy.default@2: found 'adda'; allowed is one of the tenants, ada; did you mean ada?",
        ),
        (
            "tenancy: {sources: [caller, key]}",
            "tenancy.sources@1: found a list; allowed is a list of caller, header and query, each at most once",
        ),
        (
            "tenancy: {header: Authorization}",
            "tenancy.header@1: found 'Authorization'; allowed is the name of a header field such as X-Tenant, "
            "and none that means something else",
        ),
        (
            "tenancy: {parameter: api-version}",
            "tenancy.parameter@1: found 'api-version'; allowed is the name of a query parameter such as tenant, "
            "and none that means something else",
        ),
    ],
)
def test_what_is_wrong_is_told_in_one_line(text: str, line: str) -> None:
    assert problems(text) == [line]


def test_a_tenant_that_is_wrong_is_still_known_by_its_name() -> None:
    (line,) = problems("tenants: [{name: ada, weight: 0}, {name: bob}]\ntenancy: {default: ada}")
    assert line.startswith("tenants[0].weight")


def test_tenants_whom_nothing_can_tell_apart_are_a_problem() -> None:
    (line,) = problems("tenants: [{name: ada}]", LB_CLIENT_KEYS="")
    assert "nothing tells whose a request is" in line
    assert config("tenants: [{name: ada}]", LB_CLIENT_KEYS="", LB_TENANT_FROM="query").domain_tenants()
    assert config("tenants: [{name: ada}]", LB_CLIENT_KEYS="", LB_TENANT_DEFAULT="ada").domain_tenants()


@pytest.mark.parametrize(
    ("text", "environ", "says"),
    [
        ("tenants: [{name: ada}]", {}, "caller chat-app belongs to no tenant"),
        ("tenants: [{name: ada}]", {"LB_CLIENT_KEYS": "", "LB_TENANT_FROM": "header"}, "can spend any tenant's budget"),
        ("tenants: [{name: ada, spill: true}]", {"LB_CLIENT_KEYS": "ada:k"}, "no backends of its own"),
        (
            "tenants: [{name: ada, deployments: a, per_deployment: {b: {max_concurrent: 1}}}]",
            {"LB_CLIENT_KEYS": "ada:k"},
            "limits b, which ada may not call",
        ),
    ],
)
def test_what_works_but_may_not_be_meant_is_a_warning(text: str, environ: dict[str, str], says: str) -> None:
    (warning,) = read({**BASE, "LB_CONFIG_INLINE": text, **environ}).warnings
    assert says in warning


def test_the_effective_configuration_shows_tenants() -> None:
    loaded = read({**BASE, "LB_CONFIG_INLINE": "tenants: [{name: ada, per_deployment: {chat: {max_concurrent: 2}}}]"})
    shown = {path: value for path, value, _ in effective(loaded)}
    assert shown["tenants[0].name"] == "ada"
    assert shown["tenants[0].per_deployment.chat.max_concurrent"] == "2"
    assert shown["tenancy.sources"] == "caller"


def test_redis_is_an_address_and_its_password_is_not_shown() -> None:
    loaded = read({**BASE, "LB_REDIS_URL": "rediss://user:s3cret@cache.example:10000"})
    assert loaded.config.redis.url == "rediss://user:s3cret@cache.example:10000"
    shown = {path: value for path, value, _ in effective(loaded)}
    assert shown["redis.url"] == "rediss://****@cache.example:10000"


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        (
            {"LB_REDIS_URL": "http://cache"},
            "LB_REDIS_URL: found 'http://cache'; allowed is a URL such as rediss://host",
        ),
        ({"LB_REDIS_URL": "redis://cache/a/b"}, "with a database's number behind a slash"),
        ({"LB_REDIS_ENTRA": "true"}, "LB_REDIS_ENTRA: found true; allowed is that only with LB_REDIS_URL as rediss://"),
        (
            {"LB_REDIS_ENTRA": "true", "LB_REDIS_URL": "redis://cache:6379"},
            "since a token must not go out in the clear",
        ),
    ],
)
def test_what_is_wrong_with_redis(environ: dict[str, str], says: str) -> None:
    (line,) = problems(**environ)
    assert says in line
