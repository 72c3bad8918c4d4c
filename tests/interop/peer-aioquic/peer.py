"""aioquic as an endpoint of the matrix: see interop-endpoint for what the arguments mean."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import defaultdict

from aioquic.asyncio import connect, serve
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import (
    ConnectionTerminated,
    ProtocolNegotiated,
    QuicEvent,
    StreamDataReceived,
    StreamReset,
)
from aioquic.quic.packet import QuicProtocolVersion
from aioquic.tls import CipherSuite, SessionTicket

SERVER_NAME = "localhost"
MAX_FILE = 32 << 20
AT_ONCE = 10

UNSUPPORTED = {
    "ecn": "marks",
    "connectionmigration": "preferred addresses",
}


def file(path: str) -> bytes | None:
    """The content of a file, which follows from its name."""
    _, dash, size = path.rpartition("-")
    if not dash or not size.isdigit() or int(size) > MAX_FILE:
        return None
    seed = sum(path.encode())
    content = bytearray()
    for row in range((int(size) >> 8) + 1):
        base = row * 7 + (row >> 8) * 13 + seed
        content += bytes((i * 31 + base) & 255 for i in range(256))
    return bytes(content[: int(size)])


def check(path: str, content: bytes) -> None:
    if content != file(path):
        raise RuntimeError(f"{path[:24]}: {len(content)} bytes, which are not the file's")


def configuration(case: str, *, is_client: bool) -> QuicConfiguration:
    config = QuicConfiguration(
        is_client=is_client,
        alpn_protocols=["h3" if case == "http3" else "hq-interop"],
        idle_timeout=120,
        server_name=SERVER_NAME,
    )
    if case == "transfer":
        config.max_data = 256 << 10
        config.max_stream_data = 128 << 10
    if case == "chacha20":
        config.cipher_suites = [CipherSuite.CHACHA20_POLY1305_SHA256]
    if case == "v2":
        config.supported_versions = [QuicProtocolVersion.VERSION_2, QuicProtocolVersion.VERSION_1]
        config.original_version = QuicProtocolVersion.VERSION_1
    return config


class Server(QuicConnectionProtocol):
    """Answers requests for files."""

    http: H3Connection | None = None

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.requests: dict[int, bytearray] = defaultdict(bytearray)

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ProtocolNegotiated) and event.alpn_protocol == "h3":
            self.http = H3Connection(self._quic)
        if self.http is not None:
            for http_event in self.http.handle_event(event):
                if isinstance(http_event, HeadersReceived):
                    headers = dict(http_event.headers)
                    self._answer(http_event.stream_id, headers[b":path"].decode())
        elif isinstance(event, StreamDataReceived):
            self.requests[event.stream_id] += event.data
            if event.end_stream:
                request = self.requests.pop(event.stream_id).decode(errors="replace").split()
                if len(request) == 2 and request[0] == "GET":
                    self._answer(event.stream_id, request[1])

    def _answer(self, stream: int, path: str) -> None:
        content = file(path)
        if self.http is not None:
            status = b"404" if content is None else b"200"
            self.http.send_headers(stream, [(b":status", status)])
            self.http.send_data(stream, content or b"", end_stream=True)
        elif content is None:
            self._quic.reset_stream(stream, 1)
        else:
            self._quic.send_stream_data(stream, content, end_stream=True)
        self.transmit()


class Client(QuicConnectionProtocol):
    """Fetches files."""

    http: H3Connection | None = None

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.content: dict[int, bytearray] = defaultdict(bytearray)
        self.ended: set[int] = set()
        self.failure: str | None = None
        self.has_ticket = asyncio.Event()
        self._changed = asyncio.Event()
        self._has_room = asyncio.Event()

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ConnectionTerminated):
            self.failure = f"closed: {event.error_code:#x} {event.reason_phrase}"
        elif isinstance(event, StreamReset):
            self.failure = f"stream {event.stream_id} was reset"
        elif self.http is not None:
            for http_event in self.http.handle_event(event):
                if isinstance(http_event, HeadersReceived):
                    if dict(http_event.headers)[b":status"] != b"200":
                        self.failure = f"{http_event.headers}"
                elif isinstance(http_event, DataReceived):
                    self._on_data(http_event.stream_id, http_event.data, http_event.stream_ended)
        elif isinstance(event, StreamDataReceived):
            self._on_data(event.stream_id, event.data, event.end_stream)
        self._changed.set()

    def _on_data(self, stream: int, data: bytes, ended: bool) -> None:
        self.content[stream] += data
        if ended:
            self.ended.add(stream)

    async def fetch(self, paths: list[str], case: str) -> None:
        """Fetches all at once and compares them."""
        if case == "http3":
            self.http = H3Connection(self._quic)
        streams = {}
        for path in paths:
            stream = self._quic.get_next_available_stream_id()
            streams[stream] = path
            if self.http is None:
                request = f"GET {path}\r\n".encode()
                self._quic.send_stream_data(stream, request, end_stream=True)
            else:
                headers = [
                    (b":method", b"GET"),
                    (b":scheme", b"https"),
                    (b":authority", SERVER_NAME.encode()),
                    (b":path", path.encode()),
                ]
                self.http.send_headers(stream, headers, end_stream=True)
        self.transmit()
        while not self.ended.issuperset(streams):
            self._changed.clear()
            await self._changed.wait()
            if self.failure is not None:
                raise RuntimeError(self.failure)
        for stream, path in streams.items():
            check(path, bytes(self.content[stream]))


async def run_client(args: argparse.Namespace) -> None:
    host, _, port = args.connect.rpartition(":")
    host = host.strip("[]")
    tickets: list[SessionTicket] = []

    async def one(paths: list[str], ticket: SessionTicket | None = None) -> None:
        config = configuration(args.case, is_client=True)
        config.load_verify_locations(args.ca)
        config.session_ticket = ticket
        is_early = ticket is not None and args.case == "zerortt"
        async with connect(
            host,
            int(port),
            configuration=config,
            create_protocol=Client,
            session_ticket_handler=tickets.append,
            wait_connected=not is_early,
        ) as client:
            if args.case == "keyupdate":
                # Not before the handshake is confirmed.
                await client.ping()
                client.request_key_update()
            await client.fetch(paths, args.case)

    if args.case == "multiconnect":
        slots = asyncio.Semaphore(AT_ONCE)

        async def in_turn(path: str) -> None:
            async with slots:
                await one([path])

        await asyncio.gather(*map(in_turn, args.paths))
    elif args.case in ("resumption", "zerortt"):
        await one(args.paths[:1])
        if not tickets:
            raise RuntimeError("the server gave no session ticket")
        await one(args.paths[1:], tickets[-1])
    else:
        await one(args.paths)


async def run_server(args: argparse.Namespace) -> None:
    host, _, port = args.listen.rpartition(":")
    config = configuration(args.case, is_client=False)
    config.load_cert_chain(args.cert, args.key)
    tickets: dict[bytes, SessionTicket] = {}
    server = await serve(
        host.strip("[]"),
        int(port),
        configuration=config,
        create_protocol=Server,
        retry=args.case == "retry",
        session_ticket_fetcher=tickets.pop,
        session_ticket_handler=lambda ticket: tickets.update({ticket.ticket: ticket}),
    )
    host, port, *_ = server._transport.get_extra_info("sockname")
    print(f"listening [{host}]:{port}" if ":" in host else f"listening {host}:{port}", flush=True)
    await asyncio.Event().wait()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["client", "server"])
    for name in ("listen", "connect", "case", "cert", "key", "ca", "preferred"):
        parser.add_argument(f"--{name}")
    parser.add_argument("paths", nargs="*")
    args = parser.parse_intermixed_args()
    if args.case in UNSUPPORTED:
        print(f"unsupported: {UNSUPPORTED[args.case]}")
        return 127
    asyncio.run(run_client(args) if args.role == "client" else run_server(args))
    return 0


if __name__ == "__main__":
    sys.exit(main())
