"""aioquic against the `weftline` command, in both roles.

    python suite.py PATH/TO/weftline

The last line is "N passed, N failed"; the exit code is 1 when any failed.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aioquic.asyncio import connect, serve

from peer import Client, PlainServer, Server, configuration, pattern

CASE_TIMEOUT = 90
BINARY = ""


@asynccontextmanager
async def weftline_server():
    process = await asyncio.create_subprocess_exec(
        BINARY, "serve", "--listen", "127.0.0.1:0", "--no-web", "--json",
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
    port = int(ready["url"].rsplit(":", 1)[1])

    async def drain() -> None:
        while await process.stdout.readline():
            pass

    reading = asyncio.ensure_future(drain())
    try:
        yield port
    finally:
        process.terminate()
        code = await asyncio.wait_for(process.wait(), 20)
        await reading
        assert code == 0, f"weftline serve exited with {code}"


@asynccontextmanager
async def client():
    async with weftline_server() as port:
        config = configuration(is_client=True)
        async with connect(
            "127.0.0.1", port, configuration=config, create_protocol=Client
        ) as protocol:
            yield protocol, f"127.0.0.1:{port}".encode()


@asynccontextmanager
async def aioquic_server(protocol=Server):
    """An aioquic server with a development certificate of ours: its port and the CA file."""
    with tempfile.TemporaryDirectory() as directory:
        cert = await asyncio.create_subprocess_exec(
            BINARY, "cert", "--out", directory, stdout=asyncio.subprocess.DEVNULL
        )
        assert await cert.wait() == 0, "weftline cert failed"
        config = configuration(is_client=False)
        cert_file = Path(directory, "cert.pem")
        config.load_cert_chain(cert_file, Path(directory, "key.pem"))
        server = await serve("127.0.0.1", 0, configuration=config, create_protocol=protocol)
        port = server._transport.get_extra_info("sockname")[1]
        try:
            yield port, str(cert_file)
        finally:
            server.close()


async def run(*args: str, stdin: bytes | None = None) -> tuple[int, bytes, str]:
    process = await asyncio.create_subprocess_exec(
        BINARY, *args,
        stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(stdin)
    return process.returncode or 0, out, err.decode(errors="replace")


# aioquic as client against `weftline serve`.


async def client_handshake_and_get():
    async with client() as (protocol, authority):
        status, body = await protocol.request(b"GET", authority, b"/bytes/100000")
        assert (status, body) == (200, pattern(100_000, 0)), status
        status, _ = await protocol.request(b"GET", authority, b"/no-such-path")
        assert status == 404, status


async def client_post_echo():
    async with client() as (protocol, authority):
        body = pattern(200_000, 5)
        status, back = await protocol.request(b"POST", authority, b"/echo", body)
        assert (status, back) == (200, body), status


async def client_bidi_echo():
    async with client() as (protocol, authority):
        session, status = await protocol.session(authority, b"/echo")
        assert status == 200, status
        for size in (1, 1000, 100_000):
            assert await protocol.echo(session, pattern(size, size)) == pattern(size, size)


async def client_uni_echo():
    async with client() as (protocol, authority):
        session, _ = await protocol.session(authority, b"/echo")
        data = pattern(50_000, 9)
        assert await protocol.echo(session, data, unidirectional=True) == data


async def client_datagrams():
    async with client() as (protocol, authority):
        session, _ = await protocol.session(authority, b"/echo")
        sent = [f"datagram {i}".encode() for i in range(20)]
        for data in sent:
            protocol.http.send_datagram(session, data)
        protocol.transmit()
        await protocol.until(lambda: len(protocol.datagrams) == 20, "20 datagrams")
        assert sorted(protocol.datagrams) == sorted(sent)


async def client_10_mib():
    async with client() as (protocol, authority):
        session, _ = await protocol.session(authority, b"/echo")
        data = pattern(10 << 20, 1)
        assert await protocol.echo(session, data) == data


async def client_refused():
    async with client() as (protocol, authority):
        assert (await protocol.session(authority, b"/no-such-path"))[1] in (404, 405)
        assert (await protocol.session(authority, b"/reject"))[1] == 403


async def client_clean_close():
    async with client() as (protocol, authority):
        session, _ = await protocol.session(authority, b"/close?code=7&reason=done")
        await protocol.until(lambda: session in protocol.ended, "end of the session")
        # CLOSE_WEBTRANSPORT_SESSION: type 0x2843, then the length, the code and the reason.
        assert bytes(protocol.received[session]).endswith(
            bytes.fromhex("68430800000007") + b"done"
        ), protocol.received[session].hex()
        protocol.close(error_code=0x100)
        await protocol.wait_closed()


# aioquic as server against `weftline connect` and `weftline get`.


async def server_echo():
    async with aioquic_server() as (port, ca):
        code, out, err = await run(
            "connect", f"https://127.0.0.1:{port}/echo", "--ca", ca, "--json",
            "--bidi", "over bidi", "--uni", "over uni", "--datagram", "over datagram",
        )
        assert code == 0, err
        events = [json.loads(line) for line in out.splitlines()]
        texts = {(e["event"], e.get("text")) for e in events}
        for kind in ("bidi", "uni", "datagram"):
            assert (kind, f"over {kind}") in texts, events
        assert events[-1]["event"] == "closed", events


async def server_10_mib():
    async with aioquic_server() as (port, ca):
        line = bytes(range(33, 127)) + b"\n"
        data = line * ((10 << 20) // len(line) + 1)
        code, out, err = await run(
            "connect", f"https://127.0.0.1:{port}/echo", "--ca", ca, "--timeout", "80", stdin=data
        )
        assert code == 0, err
        assert out == data, f"{len(out)} bytes came back of {len(data)}"


async def server_get():
    async with aioquic_server() as (port, ca):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "body")
            code, _, err = await run(
                "get", f"https://127.0.0.1:{port}/bytes/1000000", "--ca", ca, "-o", str(path)
            )
            assert code == 0, err
            assert path.read_bytes() == pattern(1_000_000, 0)


def one_line(code: int, err: str, *words: str) -> None:
    assert code != 0, "the exit code is 0"
    lines = [line for line in err.splitlines() if line.strip()]
    assert len(lines) == 1, err
    assert all(word.lower() in lines[0].lower() for word in words), err


async def server_path_not_found():
    async with aioquic_server() as (port, ca):
        code, _, err = await run("connect", f"https://127.0.0.1:{port}/nowhere", "--ca", ca)
        one_line(code, err, "404")


async def server_without_webtransport():
    async with aioquic_server(PlainServer) as (port, ca):
        code, _, err = await run("connect", f"https://127.0.0.1:{port}/echo", "--ca", ca)
        one_line(code, err, "WebTransport")


CASES: dict[str, Callable[[], Awaitable[None]]] = {
    "aioquic client: handshake, GET, 404": client_handshake_and_get,
    "aioquic client: POST echo": client_post_echo,
    "aioquic client: bidi echo": client_bidi_echo,
    "aioquic client: uni echo": client_uni_echo,
    "aioquic client: datagram echo": client_datagrams,
    "aioquic client: 10 MiB on one stream": client_10_mib,
    "aioquic client: sessions refused": client_refused,
    "aioquic client: session closed by us, clean close": client_clean_close,
    "aioquic server: bidi, uni, datagram, clean close": server_echo,
    "aioquic server: 10 MiB on one stream": server_10_mib,
    "aioquic server: get": server_get,
    "aioquic server: 404 is one clear line": server_path_not_found,
    "aioquic server without WebTransport is one clear line": server_without_webtransport,
}


async def main(only: str) -> int:
    passed = failed = 0
    for name, case in CASES.items():
        if only not in name:
            continue
        start = time.monotonic()
        try:
            await asyncio.wait_for(case(), CASE_TIMEOUT)
            print(f"ok      {name} ({time.monotonic() - start:.1f} s)", flush=True)
            passed += 1
        except Exception as error:  # one case must not hide the next
            print(f"FAILED  {name}: {type(error).__name__}: {error}", flush=True)
            if not isinstance(error, AssertionError):
                traceback.print_exc()
            failed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: suite.py PATH/TO/weftline [WORD]")
    BINARY = sys.argv[1]
    sys.exit(asyncio.run(main(sys.argv[2] if len(sys.argv) > 2 else "")))
