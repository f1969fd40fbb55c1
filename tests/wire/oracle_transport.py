"""aiohttp's client behind our port: what the own transport is compared with. Tuned until it neither adds, drops nor
rewrites anything, as far as it lets itself be tuned."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from lb.balancing.backend import Backend
from lb.exchange import BackendFailed, Blame, BodyStream, Headers, Receiver, Reply, Request
from lb.wire.transport import Credential


class OracleReply:
    def __init__(self, response: aiohttp.ClientResponse, method: str) -> None:
        self._response = response
        self._held: list[bytes] = []
        self.status = response.status
        self.reason = (response.reason or "").encode("latin-1")
        self.raw = b""
        self.headers: Headers = response.raw_headers
        length = self.get(b"content-length")
        bodiless = method == "HEAD" or self.status in (204, 304)
        self.length = 0 if bodiless else None if length is None else int(length)

    def get(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key.lower() == name), None)

    @property
    def ended(self) -> bool:
        return self._response.content.at_eof()

    async def more(self) -> bytes:
        piece = await self._piece()
        self._held.append(piece)
        return piece

    def whole(self) -> bytes | None:
        return None

    async def relay(self, receiver: Receiver) -> None:
        held, self._held = b"".join(self._held), []
        if held:
            receiver.data(held)
        while piece := await self._piece():
            receiver.data(piece)

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def close(self) -> None:
        self._response.close()

    async def _piece(self) -> bytes:
        try:
            return await self._response.content.readany()
        except (
            aiohttp.ClientPayloadError,
            aiohttp.ClientConnectionError,
            aiohttp.http_exceptions.HttpProcessingError,
        ) as e:
            raise BackendFailed(Blame.LOST, str(e)) from e


class OracleTransport:
    def __init__(self, credential: Credential, *, idle_seconds: float = 240.0) -> None:
        self._credential = credential
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=10),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=idle_seconds),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=["Accept", "Accept-Encoding", "User-Agent", "Content-Type"],
            max_field_size=64 * 1024,
        )

    async def send(self, backend: Backend, request: Request, target: bytes, body: bytes | BodyStream) -> Reply:
        line = self._credential.ready(backend) or await self._credential.fetch(backend)
        credential = line.decode().rstrip("\r\n").partition(": ")
        headers = CIMultiDict([(credential[0], credential[2])])
        headers.extend([(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers])
        if isinstance(body, bytes):
            payload: object = _once(body) if request.chunked else body
            if (body or request.sized) and not request.chunked:
                headers["Content-Length"] = str(len(body))
        else:
            payload = body
            if body.length is not None:
                headers["Content-Length"] = str(body.length)
        url = URL(backend.url + target.decode("ascii"), encoded=True)
        with _blaming():
            response = await self._session.request(
                request.method, url, headers=headers, data=payload or None, allow_redirects=False
            )
        return OracleReply(response, request.method)

    async def aclose(self) -> None:
        await self._session.close()


async def _once(body: bytes) -> AsyncIterator[bytes]:
    if body:
        yield body


@contextmanager
def _blaming() -> Iterator[None]:
    """aiohttp's exceptions in our words."""
    try:
        yield
    except aiohttp.ServerDisconnectedError as error:
        raise BackendFailed(Blame.LOST, str(error)) from error
    except (aiohttp.ClientResponseError, aiohttp.ClientPayloadError) as error:
        raise BackendFailed(Blame.MALFORMED, str(error)) from error
    except aiohttp.ClientSSLError as error:
        raise BackendFailed(Blame.TLS, str(error)) from error
    except aiohttp.ConnectionTimeoutError as error:
        raise BackendFailed(Blame.CONNECT, str(error)) from error
    except TimeoutError as error:
        raise BackendFailed(Blame.SILENT, str(error)) from error
    except aiohttp.ClientConnectorError as error:
        raise BackendFailed(Blame.CONNECT, str(error)) from error
    except aiohttp.ClientError as error:
        raise BackendFailed(Blame.LOST, str(error)) from error
