"""What a backend is, apart from how it is doing."""

from collections.abc import Mapping
from dataclasses import dataclass, field

DEFAULT_SCOPE = "https://cognitiveservices.azure.com/.default"


@dataclass(frozen=True, slots=True)
class Backend:
    """One Azure OpenAI endpoint with its credential and the names it gives to deployments.

    `deployments` maps the name that callers use to the name on this backend; when it is set, nothing else is
    served here. `deployment_name` replaces every name. With neither, names pass as they are.
    """

    name: str
    """As the log lines say it, e.g. `BACKEND_4`."""
    url: str
    """Endpoint without a trailing slash: scheme, host, optional port and path prefix."""
    priority: int = 1
    weight: int = 1
    api_key: str | None = field(default=None, repr=False)
    """Sent as `api-key`; without it a Microsoft Entra token for `scope` is sent."""
    scope: str = DEFAULT_SCOPE
    deployment_name: str | None = None
    deployments: Mapping[str, str] | None = None

    def serves(self, deployment: str | None) -> bool:
        """May a request for this deployment go here? `None` is a request that names none."""
        return self.deployments is None or deployment is None or deployment in self.deployments

    def calls(self, deployment: str | None) -> str | None:
        """The name of `deployment` on this backend: two aliases of one name share one quota."""
        if deployment is None:
            return None
        if self.deployments is not None:
            return self.deployments[deployment]
        return self.deployment_name or deployment
