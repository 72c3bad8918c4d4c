"""aioquic as a WebTransport and HTTP/3 peer: the client and the server the suite drives."""

from __future__ import annotations

import asyncio
import ssl
from collections import defaultdict
from collections.abc import Callable

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, FrameType, H3Connection
from aioquic.h3.events import (
    DatagramReceived,
    DataReceived,
    H3Event,
    HeadersReceived,
    WebTransportStreamDataReceived,
)
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, ProtocolNegotiated, QuicEvent, StreamReset

DATAGRAM_FRAME_SIZE = 65536


def configuration(*, is_client: bool) -> QuicConfiguration:
    config = QuicConfiguration(
        is_client=is_client,
        alpn_protocols=H3_ALPN,
        max_datagram_frame_size=DATAGRAM_FRAME_SIZE,
        max_data=16 << 20,
        max_stream_data=4 << 20,
    )
    if is_client:
        config.verify_mode = ssl.CERT_NONE
    return config


def pattern(n: int, seed: int) -> bytes:
    return bytes((i * 31 + seed + (i >> 8)) & 255 for i in range(n))


class Client(QuicConnectionProtocol):
    """Requests, sessions, and what came back on each stream."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic, enable_webtransport=True)
        self.received: dict[int, bytearray] = defaultdict(bytearray)
        self.ended: set[int] = set()
        self.headers: dict[int, dict[bytes, bytes]] = {}
        self.datagrams: list[bytes] = []
        self.terminated: ConnectionTerminated | None = None
        self._changed = asyncio.Event()

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ConnectionTerminated):
            self.terminated = event
        for http_event in self.http.handle_event(event):
            self._on_http(http_event)
        self._changed.set()

    def _on_http(self, event: H3Event) -> None:
        if isinstance(event, HeadersReceived):
            self.headers[event.stream_id] = dict(event.headers)
            self._end(event)
        elif isinstance(event, (DataReceived, WebTransportStreamDataReceived)):
            self.received[event.stream_id] += event.data
            self._end(event)
        elif isinstance(event, DatagramReceived):
            self.datagrams.append(event.data)

    def _end(self, event) -> None:
        if event.stream_ended:
            self.ended.add(event.stream_id)

    async def until(self, condition: Callable[[], object], what: str, seconds: float = 30) -> None:
        """Waits for the condition, which is asked after every event."""

        async def wait() -> None:
            while not condition():
                if self.terminated is not None:
                    raise AssertionError(f"{what}: the connection ended: {self.terminated}")
                self._changed.clear()
                await self._changed.wait()

        try:
            await asyncio.wait_for(wait(), seconds)
        except asyncio.TimeoutError:
            raise AssertionError(f"{what}: nothing for {seconds} s") from None

    async def request(
        self, method: bytes, authority: bytes, path: bytes, body: bytes = b""
    ) -> tuple[int, bytes]:
        stream = self._quic.get_next_available_stream_id()
        headers = [
            (b":method", method),
            (b":scheme", b"https"),
            (b":authority", authority),
            (b":path", path),
        ]
        self.http.send_headers(stream, headers, end_stream=not body)
        if body:
            self.http.send_data(stream, body, end_stream=True)
        self.transmit()
        await self.until(lambda: stream in self.ended, f"{method.decode()} {path.decode()}")
        return int(self.headers[stream][b":status"]), bytes(self.received[stream])

    async def session(self, authority: bytes, path: bytes) -> tuple[int, int]:
        """Opens a session: its ID and the status of the answer."""
        await self.until(lambda: self.http.received_settings is not None, "SETTINGS")
        stream = self._quic.get_next_available_stream_id()
        self.http.send_headers(
            stream,
            [
                (b":method", b"CONNECT"),
                (b":protocol", b"webtransport"),
                (b":scheme", b"https"),
                (b":authority", authority),
                (b":path", path),
                (b"sec-webtransport-http3-draft02", b"1"),
            ],
        )
        self.transmit()
        await self.until(lambda: stream in self.headers, f"CONNECT {path.decode()}")
        return stream, int(self.headers[stream][b":status"])

    async def echo(self, session: int, data: bytes, *, unidirectional: bool = False) -> bytes:
        """Sends data on a new stream, ends it, and gives what comes back."""
        known = set(self.received) | self.ended
        stream = self.http.create_webtransport_stream(session, is_unidirectional=unidirectional)
        if not unidirectional:
            # Without this aioquic takes the answer on a stream of its own for HTTP/3 frames.
            with self.http._get_or_create_stream(stream) as state:
                state.frame_type, state.session_id = FrameType.WEBTRANSPORT_STREAM, session
        self._quic.send_stream_data(stream, data, end_stream=True)
        self.transmit()
        if not unidirectional:
            await self.until(lambda: stream in self.ended, f"echo of {len(data)} bytes", 60)
            return bytes(self.received[stream])
        # The answer comes on a new unidirectional stream of the server's.
        back: list[int] = []

        def arrived() -> bool:
            back[:] = [s for s in self.ended if s & 3 == 3 and s not in known]
            return bool(back)

        await self.until(arrived, "uni echo")
        return bytes(self.received[back[0]])


class Server(QuicConnectionProtocol):
    """Echoes streams and datagrams of `/echo`; 404 for other sessions; a few plain resources."""

    webtransport = True

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.http: H3Connection | None = None
        self.uni: dict[int, bytearray] = defaultdict(bytearray)
        self.bodies: dict[int, bytearray] = defaultdict(bytearray)
        self.posts: set[int] = set()

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ProtocolNegotiated):
            self.http = H3Connection(self._quic, enable_webtransport=self.webtransport)
        if self.http is None or isinstance(event, StreamReset):
            return
        for http_event in self.http.handle_event(event):
            self._on_http(http_event)
        self.transmit()

    def _on_http(self, event: H3Event) -> None:
        assert self.http is not None
        if isinstance(event, HeadersReceived):
            self._on_request(event.stream_id, dict(event.headers))
        elif isinstance(event, DatagramReceived):
            self.http.send_datagram(event.stream_id, event.data)
        elif isinstance(event, WebTransportStreamDataReceived):
            if event.stream_id & 2:
                self.uni[event.stream_id] += event.data
                if event.stream_ended:
                    answer = self.http.create_webtransport_stream(
                        event.session_id, is_unidirectional=True
                    )
                    data = bytes(self.uni.pop(event.stream_id))
                    self._quic.send_stream_data(answer, data, end_stream=True)
            else:
                self._quic.send_stream_data(
                    event.stream_id, event.data, end_stream=event.stream_ended
                )
        elif isinstance(event, DataReceived) and event.stream_id in self.posts:
            self.bodies[event.stream_id] += event.data
            if event.stream_ended:
                self._respond(event.stream_id, 200, bytes(self.bodies.pop(event.stream_id)))
        elif isinstance(event, DataReceived) and event.stream_ended:
            # The end of a session's CONNECT stream.
            self._quic.send_stream_data(event.stream_id, b"", end_stream=True)

    def _on_request(self, stream: int, headers: dict[bytes, bytes]) -> None:
        method, path = headers[b":method"], headers[b":path"]
        if method == b"CONNECT":
            known = path.partition(b"?")[0] == b"/echo"
            self._head(stream, 200 if known else 404, end=not known)
        elif method == b"POST":
            self.posts.add(stream)
        elif path.startswith(b"/bytes/"):
            self._respond(stream, 200, pattern(int(path.rsplit(b"/", 1)[1]), 0))
        else:
            self._respond(stream, 404, b"not here\n")

    def _head(self, stream: int, status: int, *, end: bool = False) -> None:
        assert self.http is not None
        self.http.send_headers(stream, [(b":status", str(status).encode())], end_stream=end)

    def _respond(self, stream: int, status: int, body: bytes) -> None:
        assert self.http is not None
        self._head(stream, status)
        self.http.send_data(stream, body, end_stream=True)


class PlainServer(Server):
    """Speaks HTTP/3 without WebTransport."""

    webtransport = False
