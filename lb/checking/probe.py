"""Asks one backend everything: can it be reached, does it know us, has it the deployments?"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import aiohttp
from yarl import URL

from lb.balancing.backend import Backend
from lb.checking.answers import judge_credential, judge_deployment
from lb.checking.connect import Way, timed, walk
from lb.checking.step import Finding, Mark, Probe, Step
from lb.config import Config
from lb.exchange import BackendFailed, Blame
from lb.wire.address import Address
from lb.wire.tls import backend_context, explain
from lb.wire.tunnel import Proxy

API_VERSION = "2024-10-21"
"""The newest generally available one of the paths that need one."""
ANSWER_SECONDS = 20.0
"""How long an answer may take; a list of models is slow at times."""
_MOST_BYTES = 64 * 1024

Token = Callable[[str], Awaitable[str]]
"""Scope to bearer token. Raises `BackendFailed`."""


async def probe_all(config: Config, token: Token, wall: Callable[[], float]) -> list[Probe]:
    """Ask all backends at once."""
    context = backend_context(config.ca_file)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=config.limits.connect_seconds)
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False) as session:
        asking = Asking(config, session, token, context, wall)
        return list(await asyncio.gather(*(asking.probe(backend) for backend in config.domain_backends())))


class Asking:
    """What all probes share."""

    def __init__(
        self,
        config: Config,
        session: aiohttp.ClientSession,
        token: Token,
        context: ssl.SSLContext,
        wall: Callable[[], float],
    ) -> None:
        self._config = config
        self._session = session
        self._token = token
        self._context = context
        self._wall = wall

    async def probe(self, backend: Backend) -> Probe:
        """Step by step, as long as the next one makes sense."""
        proxy = self._config.proxy_for(backend.url)
        through = Proxy.parse(proxy) if proxy else None
        limit = self._config.limits.connect_seconds
        steps = await walk(Way(Address.parse(backend.url), through, self._context, limit, self._wall))
        if steps[-1].finding.mark is not Mark.BAD:
            steps += await self.ask(backend)
        return Probe(f"{backend.name} {backend.url}", tuple(steps))

    async def ask(self, backend: Backend) -> list[Step]:
        """What an endpoint that can be reached says to us."""
        headers: dict[str, str] = {}

        async def credential() -> Finding:
            headers.update(await self._headers(backend))
            status, body = await self._answer("GET", f"{backend.url}/openai/models", headers)
            return judge_credential(status, body, _secret(headers))

        finding, seconds = await timed(credential, ANSWER_SECONDS)
        steps = [Step("credential", finding, seconds)]
        for name in deployments(backend) if finding.mark is not Mark.BAD else ():

            async def deployment(name: str = name) -> Finding:
                url = f"{backend.url}/openai/deployments/{name}/chat/completions"
                return judge_deployment(*await self._answer("POST", url, headers), _secret(headers))

            finding, seconds = await timed(deployment, ANSWER_SECONDS)
            steps.append(Step(f"deployment {name}", finding, seconds))
        return steps

    async def _headers(self, backend: Backend) -> dict[str, str]:
        if backend.api_key is not None:
            return {"api-key": backend.api_key}
        return {"Authorization": f"Bearer {await self._token(backend.scope)}"}

    async def _answer(self, method: str, url: str, headers: dict[str, str]) -> tuple[int, bytes]:
        """Status and the beginning of the body. Raises `BackendFailed`."""
        try:
            async with self._session.request(
                method,
                URL(f"{url}?api-version={API_VERSION}", encoded=True),
                headers=headers,
                json={"messages": []} if method == "POST" else None,
                allow_redirects=False,
                proxy=self._config.proxy_for(url),
            ) as reply:
                body = b""
                with suppress(aiohttp.ClientPayloadError):
                    body = await reply.content.read(_MOST_BYTES)
                return reply.status, body
        except aiohttp.ClientSSLError as failed:
            why = getattr(failed, "os_error", None)
            detail = explain(why) if isinstance(why, ssl.SSLError) else "the TLS handshake failed"
            raise BackendFailed(Blame.TLS, detail) from failed
        except aiohttp.ClientError as failed:
            raise BackendFailed(Blame.LOST, f"no HTTP answer: {type(failed).__name__}") from failed


def deployments(backend: Backend) -> Sequence[str]:
    """The names that the backend must know; none where it takes every name as it comes."""
    if backend.deployments:
        return list(dict.fromkeys(backend.deployments.values()))
    return [backend.deployment_name] if backend.deployment_name else []


def _secret(headers: dict[str, str]) -> str:
    return next(iter(headers.values())).removeprefix("Bearer ")
