"""What must hold between the settings of telemetry, and what is allowed but worth a warning."""

from collections.abc import Iterator
from importlib.util import find_spec

from lb.config.draft import Draft
from lb.config.model import Config
from lb.config.problems import place
from lb.config.settings import BY_VARIABLE, Path
from lb.extras import to_install

Conflict = tuple[tuple[Path, ...], str]
_PACKAGES = ("urllib3", "grpc", "opentelemetry.sdk", "opentelemetry.proto")
_AZURE = "azure.monitor.opentelemetry.exporter"


def conflicts(config: Config, draft: Draft) -> Iterator[Conflict]:
    """Rules between values that are good by themselves."""
    yield from _missing(config, draft)
    telemetry = config.telemetry
    if telemetry.client_key and not telemetry.client_certificate:
        path = ("telemetry", "client_key")
        yield (
            (path,),
            f"{place(path, draft)}: found a key without a certificate; "
            f"allowed is that only with {place(('telemetry', 'client_certificate'), draft)}",
        )
    if telemetry.protocol == "http/protobuf":
        for name in ("endpoint", "traces_endpoint", "metrics_endpoint"):
            address, path = getattr(telemetry, name), ("telemetry", name)
            if address and "://" not in address:
                yield (
                    (path,),
                    f"{place(path, draft)}: found {address!r}; allowed is an address with http:// or https://, "
                    f"or {place(('telemetry', 'protocol'), draft)}=grpc",
                )


def _missing(config: Config, draft: Draft) -> Iterator[Conflict]:
    """The packages are an extra, since most need none of them."""
    telemetry = config.telemetry
    wanted = [
        (telemetry.otlp_traces or telemetry.otlp_metrics, _reason(config), _PACKAGES),
        (telemetry.azure_traces, "connection_string", (_AZURE,)),
    ]
    for on, name, packages in wanted:
        if on and not all(map(_found, packages)):
            path = ("telemetry", name)
            yield (
                (path,),
                f"{place(path, draft)}: found a place to export to, and the packages for that are missing; "
                f"allowed is OTEL_SDK_DISABLED=true, or to install them: {to_install('telemetry')}",
            )


def _reason(config: Config) -> str:
    """The setting that says that telemetry is wanted."""
    names = ("endpoint", "traces_endpoint", "metrics_endpoint", "traces_exporter")
    return next((name for name in names if getattr(config.telemetry, name)), "metrics_exporter")


def _found(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ImportError:  # of the package around it
        return False


def warnings(config: Config, draft: Draft) -> Iterator[str]:
    """Lines for what works, but perhaps not as it was meant."""
    telemetry = config.telemetry
    recorded = telemetry.otlp_traces or telemetry.azure_traces
    if telemetry.capture_content != "no_content" and recorded:
        name = place(("telemetry", "capture_content"), draft)
        yield f"{name}: prompts and answers go into traces, where everybody who may read traces can read them"
    if telemetry.sampler_arg != 1.0 and not telemetry.sampler.endswith("traceidratio"):
        arg, sampler = (place(("telemetry", name), draft) for name in ("sampler_arg", "sampler"))
        yield f"{arg} does nothing, since {sampler} is {telemetry.sampler}; parentbased_traceidratio takes a share"
    for name in draft.unread:
        general = name.replace("_TRACES_", "_").replace("_METRICS_", "_")
        yield f"{name} is not read" + (f": {general} is, for both signals" if general in BY_VARIABLE else "")
