"""The coordinator's side of a worker behind HTTP: sends a chunk, passes on what comes back, and explains failures.

Needs aiohttp. What answers need not be `heliostat.worker.server` itself: a cloud's front door may answer in its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import aiohttp
import msgspec

from heliostat.errors import AttemptError, Misconfigured, Throttled, TimedOut, WorkerLost
from heliostat.model.codec import from_json
from heliostat.worker.routes import CHUNKS, WORKER, Refusal, WorkerInfo
from heliostat.worker.wire import encode_request, relay

if TYPE_CHECKING:
    from heliostat.contracts.worker import ChunkReport, ChunkRequest
    from heliostat.model.result import ChunkResult

SILENCE: Final = 30.0
"""Seconds without a line after which a worker is taken for lost; it sends one every five, though it may be empty."""
START: Final = 300.0
"""Seconds that a worker may take to start and to accept a chunk."""
CONNECT: Final = 15.0
"""Seconds until a connection has to be there."""
_NO_INSTANCE: Final = "no available instance"
"""What Google's front door says when it may start no further instance, with 429, 500 and 503 alike:
https://cloud.google.com/run/docs/troubleshooting."""
_MARKUP: Final = re.compile(r"<(style|script|title)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)

ADVICE: Final = {
    400: "install the same version of Heliostat on both sides",
    401: "use the token that the worker was started with",
    403: "let the caller use it",
    404: "correct the address, and see that a worker of Heliostat serves there",
    413: "make the chunk's command and environment smaller, or pass them in an input file",
}
"""What to do about refusals."""

Advice = str | Callable[[Mapping[str, str]], str]
"""A sentence, or what says it from the answer's headers."""
Authorise = Callable[[], Awaitable[Mapping[str, str]]]
"""Gives the headers that authorise the next request."""


class WorkerClient:
    """An async context manager. `url` is the server's address."""

    def __init__(
        self,
        url: str,
        authorise: Authorise,
        *,
        tls: ssl.SSLContext | None = None,
        advice: Mapping[int, Advice] | None = None,
    ) -> None:
        """`advice`: by HTTP status, what to do about a refusal that no retry can help."""
        self.url = url.rstrip("/")
        self._advice = advice or {}
        self._authorise = authorise
        self._tls = tls
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=True if self._tls is None else self._tls),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    async def info(self) -> WorkerInfo:
        """Raises AttemptErrors."""
        with self._mapped():
            async with (
                asyncio.timeout(CONNECT),
                self._session.get(self.url + WORKER, headers=await self._authorise(), allow_redirects=False) as answer,
            ):
                body = await answer.read()
                if answer.status != 200:
                    raise self._refusal(answer.status, answer.headers, body)
        try:
            return from_json(body, WorkerInfo)
        except msgspec.DecodeError:
            raise Misconfigured(f"{self.url} is no worker of Heliostat; correct the address") from None

    async def run(self, request: ChunkRequest, report: ChunkReport) -> ChunkResult:
        """One attempt. Raises AttemptErrors. When cancelled it hangs up, which cancels the chunk."""
        result = None
        try:
            async with self._attempt(request) as lines:
                async for line in lines:  # to the end, so that the connection can be kept
                    result = relay(line, report) or result
        except WorkerLost:
            if result is None:
                raise
        if result is None:
            raise WorkerLost(f"{self.url} ended the connection before the chunk's result")
        return result

    @contextlib.asynccontextmanager
    async def _attempt(self, request: ChunkRequest) -> AsyncIterator[AsyncIterator[bytes]]:
        """The lines of the answer."""
        with self._mapped():
            headers = await self._authorise()
            begin = self._session.post(
                self.url + CHUNKS, data=encode_request(request), headers=headers, allow_redirects=False
            )
            async with asyncio.timeout(START) as patience, begin as answer:
                if answer.status != 200:
                    raise self._refusal(answer.status, answer.headers, await answer.read())
                yield _lines(answer.content, patience)

    @contextlib.contextmanager
    def _mapped(self) -> Iterator[None]:
        """Errors of the connection as Heliostat's own."""
        try:
            yield
        except TimeoutError:
            raise WorkerLost(f"nothing is heard of the worker at {self.url}; see whether its machine lives") from None
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
            raise Misconfigured(f"{self.url} is no address; write http://HOST:PORT") from None
        except aiohttp.ClientSSLError as error:
            reason = f"the certificate of {self.url} is not accepted ({error.__cause__ or error})"
            raise Misconfigured(f"{reason}; name the authority that signed it") from error
        except (aiohttp.ClientError, OSError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise WorkerLost(f"the connection to the worker at {self.url} failed ({reason})") from error

    def _refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> AttemptError:
        """An answer in place of messages."""
        said = _said(body)
        wait = headers.get("Retry-After", "")
        if status == 429 or _NO_INSTANCE in said:
            return Throttled(f"{self.url}: {said}", retry_after=float(wait) if wait.isdigit() else None)
        if status in (408, 504):
            return TimedOut(f"{self.url} gave the chunk up (HTTP {status}: {said}); make the chunks smaller")
        if status >= 500 or status == 409:
            return WorkerLost(f"{self.url}: HTTP {status}: {said}")
        advice = self._advice.get(status, ADVICE.get(status, "correct the address"))
        advice = advice if isinstance(advice, str) else advice(headers)
        return Misconfigured(f"{self.url}: HTTP {status}: {said.rstrip('.')}; {advice}")


def _said(body: bytes) -> str:
    """What an answer says: the message of a worker, or the text of a page."""
    try:
        return from_json(body, Refusal).message
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = _MARKUP.sub(" ", body.decode("utf-8", "replace"))
        return " ".join(text.split())[:200] or "no reason given"


async def _lines(content: aiohttp.StreamReader, patience: asyncio.Timeout) -> AsyncIterator[bytes]:
    """Whole lines, of any length, but the empty ones; `patience` is renewed with each piece that comes."""
    clock = asyncio.get_running_loop().time
    patience.reschedule(clock() + SILENCE)
    rest = bytearray()
    async for piece in content.iter_any():
        patience.reschedule(clock() + SILENCE)
        if b"\n" not in piece:
            rest += piece
            continue
        *lines, last = bytes(rest + piece).split(b"\n")
        rest = bytearray(last)
        for line in filter(None, lines):
            yield line
    if rest:
        yield bytes(rest)
