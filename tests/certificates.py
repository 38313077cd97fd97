"""Certificates for an afternoon, and what ends an encrypted line before a server that knows of none."""

import asyncio
import shutil
import ssl
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest


@dataclass(frozen=True)
class Certificates:
    """In `folder`, each as `NAME.pem` with its `NAME.key`: `ca`, `stranger` (another CA), `server` for the name
    `localhost` and no other, `client`.
    """

    folder: Path

    def file(self, name: str) -> str:
        return str(self.folder / name)

    @classmethod
    def make(cls, folder: Path) -> Self:
        """Skips the test where there is no openssl to make them with."""
        if not shutil.which("openssl"):
            pytest.skip("there is no openssl on this machine to make certificates with")
        made = cls(folder)
        for name in ("ca", "stranger"):
            made._issue(name, "basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")
        signed = ("-CA", made.file("ca.pem"), "-CAkey", made.file("ca.key"))
        leaf = ("basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature")
        made._issue("server", *leaf, "extendedKeyUsage=serverAuth", "subjectAltName=DNS:localhost", options=signed)
        made._issue("client", *leaf, "extendedKeyUsage=clientAuth", options=signed)
        return made

    def _issue(self, name: str, *extensions: str, options: tuple[str, ...] = ()) -> None:
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"]
        command += ["-days", "2", "-subj", f"/CN={name}", *options]
        command += ["-keyout", self.file(f"{name}.key"), "-out", self.file(f"{name}.pem")]
        command += [word for extension in extensions for word in ("-addext", extension)]
        subprocess.run(command, check=True, capture_output=True)


class Terminator:
    """Ends TLS before the server at `server_port`, as stunnel does; `asks` for a client's certificate or not."""

    def __init__(self, certificates: Certificates, server_port: int, *, asks: bool = False) -> None:
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates.file("ca.pem"))
        self._context.load_cert_chain(certificates.file("server.pem"), certificates.file("server.key"))
        self._context.verify_mode = ssl.CERT_REQUIRED if asks else ssl.CERT_NONE
        self._server_port = server_port
        self._loop = asyncio.new_event_loop()
        # What a client that hangs up in the middle of a handshake leaves is not of interest.
        self._loop.set_exception_handler(lambda _loop, _context: None)
        self._thread = threading.Thread(target=self._loop.run_forever, name="terminator")

    def __enter__(self) -> Self:
        self._thread.start()
        serving = asyncio.start_server(self._talk, "127.0.0.1", 0, ssl=self._context)
        self._server = asyncio.run_coroutine_threadsafe(serving, self._loop).result(30)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _stop(self) -> None:
        self._server.close()
        talks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._server_port)
        ways: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(self._carry(source, target)) for source, target in ((reader, back), (there, writer))
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            for end in (back, writer):
                end.transport.abort()

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(1 << 16):
            target.write(data)
            await target.drain()
