"""The emulator's HTTP server: Uvicorn, which parses in C; and MiniStack's own, Hypercorn, for connections that speak
HTTP/2, or want to (Java's client always asks), or anything else."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import uvicorn
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n"
_KEEP_ALIVE_SECONDS = 75


def http_server(application: Application, port: int) -> uvicorn.Server:
    """A server on 127.0.0.1."""
    config = uvicorn.Config(
        _with_heads_held(application),
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http=_Connection,
        ws="none",
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=1,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
    )
    return uvicorn.Server(config)


class _AsSpelled(bytes):
    """A response header's name. Uvicorn sends `name.lower()`, in which it must recognize these three."""

    def lower(self) -> bytes:
        lower = super().lower()
        return lower if lower in (b"connection", b"content-length", b"transfer-encoding") else self


class _Connection(HttpToolsProtocol):
    """Keeps the spelling of request headers' names, which API Gateway's mapping templates show, and ends their values
    where HTTP does."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._tcp = transport
        super().connection_made(_JoinedWrites(transport))  # type: ignore[arg-type]
        # What API Gateway does with a folded line or a control character is up to its model and its templates.
        self.parser.set_dangerous_leniencies(lenient_headers=True)

    def data_received(self, data: bytes) -> None:
        self._packet = data
        if data.startswith(_HTTP2_PREFACE):
            self._hand_over(data)
        else:
            super().data_received(data)

    def _should_upgrade(self) -> bool:
        """Of a request with an Upgrade header, for whatever protocol. Uvicorn would lose its body."""
        return True

    def handle_websocket_upgrade(self) -> None:
        lines = [b"%s %s HTTP/1.1" % (self.scope["method"].encode(), self.url)]
        lines += [b"%s: %s" % header for header in self.headers]
        _, _, body = self._packet.partition(b"\r\n\r\n")
        self._hand_over(b"\r\n".join([*lines, b"", body]))

    def _hand_over(self, data: bytes) -> None:
        self.connections.discard(self)
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        protocol = asyncio.StreamReaderProtocol(reader, self._run_hypercorn)
        self._tcp.set_protocol(protocol)
        protocol.connection_made(self._tcp)

    async def _run_hypercorn(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        config = Config()
        config.keep_alive_timeout = _KEEP_ALIVE_SECONDS
        config.h11_pass_raw_headers = True
        with suppress(asyncio.CancelledError):  # the server stops, and nobody waits for this
            await TCPServer(ASGIWrapper(self.app), self.loop, config, WorkerContext(None), {}, reader, writer)

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self.headers[-1] = (name, value.rstrip(b" \t"))


class _JoinedWrites:
    """A transport that writes at once what comes in one turn of the event loop."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._parts: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._parts:
            asyncio.get_running_loop().call_soon(self._flush)
        self._parts.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        data = b"".join(self._parts)
        self._parts.clear()
        if data:
            self._transport.write(data)


def _with_heads_held(application: Application) -> Application:
    """Hold a response's head until its first data or its end, so that both go out in one write.

    Otherwise the head is written separately. As soon as Go's HTTP client has read it, the AWS SDK closes the request's
    body; if Go has not yet noticed that the body was sent, it closes the connection. A response body that arrives later
    is lost, and the SDK repeats a request that was already carried out: the resource exists. Data that arrive together
    with the head are always read.
    """

    async def answer(scope: Message, receive: Receive, send: Send) -> None:
        heads: list[Message] = []

        async def send_head_with_data(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [(_AsSpelled(name), value) for name, value in message.get("headers", [])]
                heads.append({**message, "headers": headers})
                return
            while heads:
                await send(heads.pop())
            await send(message)

        await application(scope, receive, send_head_with_data)

    return answer
