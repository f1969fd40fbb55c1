"""Whose request it is."""

import pytest

from lb.metering.tenant import Source, Tenant, Tenants, Unidentified

ADA, BOB = Tenant("ada"), Tenant("bob")
ALL = (Source.CALLER, Source.HEADER, Source.QUERY)


def test_a_request_belongs_to_the_tenant_that_its_caller_is_named_after() -> None:
    assert Tenants([ADA, BOB]).find({Source.CALLER: "Bob"}) is BOB


def test_a_caller_may_belong_to_a_tenant_of_another_name() -> None:
    tenants = Tenants([ADA], {"chat-app": "ada"}, sources=ALL)
    assert tenants.find({Source.CALLER: "Chat-App"}) is ADA
    assert tenants.find({Source.HEADER: "chat-app"}) is Unidentified.UNKNOWN


def test_a_hint_counts_only_where_the_operator_listed_it() -> None:
    said = {Source.HEADER: "bob", Source.QUERY: "bob"}
    assert Tenants([ADA, BOB]).find(said) is Unidentified.MISSING
    assert Tenants([ADA, BOB], sources=[Source.QUERY]).find(said) is BOB


@pytest.mark.parametrize(("sources", "tenant"), [(ALL, ADA), (ALL[::-1], BOB)])
def test_the_first_source_that_says_something_decides(sources: tuple[Source, ...], tenant: Tenant) -> None:
    tenants = Tenants([ADA, BOB], sources=sources)
    assert tenants.find({Source.CALLER: "ada", Source.QUERY: "bob", Source.HEADER: " "}) is tenant


def test_a_default_takes_who_says_nothing_and_who_is_unknown() -> None:
    tenants = Tenants([ADA, BOB], default="bob")
    assert tenants.find({}) is BOB
    assert tenants.find({Source.CALLER: "eve"}) is BOB
    assert Tenants([ADA, BOB]).find({Source.CALLER: "eve"}) is Unidentified.UNKNOWN


def test_without_tenants_every_name_is_one() -> None:
    assert Tenants().find({Source.CALLER: "Eve"}) == Tenant("eve")
    assert Tenants().find({}) is None
    assert Tenants(required=True).find({}) is Unidentified.MISSING


def test_deployments_are_open_to_all_unless_they_are_listed() -> None:
    assert ADA.may_call("anything")
    assert Tenant("ada", deployments=frozenset({"chat"})).may_call("Chat")
    assert not Tenant("ada", deployments=frozenset({"chat"})).may_call("gpt")
