"""OpenTelemetry's variables: what they turn on, what is wrong in the operator's words, and no secret shown."""

import pytest

from lb.config import ConfigProblems, effective, load, read
from lb.config.rules import telemetry_rules
from lb.config.settings import SETTINGS, Setting

BACKEND = {"BACKEND_1_URL": "https://a"}
KEY = "00000000-0000-0000-0000-000000000001"
STRING = f"InstrumentationKey={KEY};IngestionEndpoint=https://westeurope-1.in.applicationinsights.azure.com/"
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, (False, False, False)),
        (ENDPOINT, (True, True, False)),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/v1/traces"}, (True, False, False)),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c/v1/metrics"}, (False, True, False)),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, (True, False, False)),
        ({**ENDPOINT, "OTEL_METRICS_EXPORTER": "none"}, (True, False, False)),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "true"}, (False, False, False)),
        ({"APPLICATIONINSIGHTS_CONNECTION_STRING": STRING}, (False, False, True)),
        ({"APPLICATIONINSIGHTS_CONNECTION_STRING": STRING, "OTEL_TRACES_EXPORTER": "none"}, (False, False, False)),
    ],
)
def test_what_is_exported(environ: dict[str, str], wanted: tuple[bool, bool, bool]) -> None:
    telemetry = load({**BACKEND, **environ}).telemetry
    assert (telemetry.otlp_traces, telemetry.otlp_metrics, telemetry.azure_traces) == wanted


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "http://localhost:4318/v1/traces"),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http://localhost:4317"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c:1/prefix/"}, "https://c:1/prefix/v1/traces"),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://own:2/here"}, "http://own:2/here"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "c:4317"),
    ],
)
def test_where_traces_go(environ: dict[str, str], url: str) -> None:
    assert load({**BACKEND, **environ}).telemetry.url("traces") == url


@pytest.mark.parametrize(
    ("sampler", "arg", "ratio", "by_parent"),
    [
        (None, None, 1.0, True),
        ("always_on", None, 1.0, False),
        ("parentbased_always_off", None, 0.0, True),
        ("traceidratio", "0.25", 0.25, False),
        ("parentbased_traceidratio", "0.1", 0.1, True),
        ("parentbased_always_on", "0.1", 1.0, True),
    ],
)
def test_what_share_is_recorded(sampler: str | None, arg: str | None, ratio: float, by_parent: bool) -> None:
    environ = {"OTEL_TRACES_SAMPLER": sampler or "", "OTEL_TRACES_SAMPLER_ARG": arg or ""}
    telemetry = load({**BACKEND, **environ}).telemetry
    assert (telemetry.ratio, telemetry.by_parent) == (ratio, by_parent)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin", "allowed is otlp or none"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "allowed is http/protobuf or grpc"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://c", "allowed is an address such as http://collector:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:s3cret@c:4318", "allowed is an address"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization Basic s3cret", "name=value, with commas between"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=%0d%0as3cret", "values of printable characters"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10000", "a number of seconds from 0.1 to 600"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/none", "a readable PEM file of certificates"),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/key.pem", "only with OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "10", "a number from 0 to 1"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a", "name=value"),
        ("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "yes", "no_content, span_only, event_only"),
        ("APPLICATIONINSIGHTS_CONNECTION_STRING", "s3cret", "begins with InstrumentationKey="),
        ("APPLICATIONINSIGHTS_AUTHENTICATION_STRING", "Authorization=Basic", "Authorization=AAD"),
    ],
)
def test_what_is_wrong_is_said_without_secrets(variable: str, value: str, said: str) -> None:
    with pytest.raises(ConfigProblems) as wrong:
        load({**BACKEND, variable: value})
    (problem,) = wrong.value.problems
    assert problem.startswith(f"{variable}: ")
    assert said in problem
    assert "s3cret" not in problem


def test_secrets_are_masked() -> None:
    environ = {**BACKEND, "APPLICATIONINSIGHTS_CONNECTION_STRING": STRING, "OTEL_EXPORTER_OTLP_HEADERS": "k=s3cret"}
    loaded = read(environ)
    shown = {name: value for name, value, _ in effective(loaded)}
    assert shown["telemetry.connection_string"] == shown["telemetry.headers"] == "****"
    for text in (str(shown), repr(loaded.config)):
        assert KEY not in text
        assert "s3cret" not in text
    assert loaded.config.telemetry.header_pairs() == {"k": "s3cret"}


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        (ENDPOINT, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ({"OTEL_METRICS_EXPORTER": "otlp"}, "OTEL_METRICS_EXPORTER"),
        ({"APPLICATIONINSIGHTS_CONNECTION_STRING": STRING}, "APPLICATIONINSIGHTS_CONNECTION_STRING"),
    ],
)
def test_missing_packages_are_told_with_what_to_install(
    environ: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry_rules, "find_spec", lambda name: None)
    with pytest.raises(ConfigProblems) as wrong:
        load({**BACKEND, **environ})
    (problem,) = wrong.value.problems
    assert problem.startswith(f"{named}: ")
    assert "pip install -e '.[telemetry]' (the image has it)" in problem
    assert load({**BACKEND, **environ, "OTEL_SDK_DISABLED": "true"}).telemetry.disabled


def test_other_variables_of_opentelemetry_are_nobodys_problem() -> None:
    assert read({**BACKEND, "OTEL_PYTHON_LOG_LEVEL": "x", "OTEL_PROPAGATORS": "b3"}).warnings == read(BACKEND).warnings


def test_what_is_not_heeded_is_said() -> None:
    environ = {"OTEL_EXPORTER_OTLP_TRACES_HEADERS": "a=b", "OTEL_TRACES_SAMPLER_ARG": "0.1", **ENDPOINT}
    content = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY"}
    said = "\n".join(read({**BACKEND, **environ, **content}).warnings)
    assert "OTEL_EXPORTER_OTLP_TRACES_HEADERS is not read: OTEL_EXPORTER_OTLP_HEADERS is" in said
    assert "OTEL_TRACES_SAMPLER_ARG does nothing" in said
    assert "prompts and answers go into traces" in said


@pytest.mark.parametrize(
    "setting", [one for one in SETTINGS if one.path[0] == "telemetry"], ids=lambda one: one.variable
)
def test_what_only_the_environment_says_is_refused_in_the_file(setting: Setting) -> None:
    """A reload would take it over and change nothing."""
    name = setting.path[1]
    environ = {**BACKEND, "LB_CONFIG_INLINE": f"telemetry:\n  {name}: 'true'"}
    if setting.in_file:
        assert load(environ).telemetry.genai_system
        return
    with pytest.raises(ConfigProblems) as found:
        load(environ)
    (line,) = found.value.problems
    assert line.startswith(f"telemetry.{name} (LB_CONFIG_INLINE, line 2): found; only the environment says this")
    assert line.endswith(f"allowed is the variable {setting.variable}")
