"""The line to Redis that everybody here speaks over: it may become slow, and it may be cut.

A process of its own: what Celery's results do when they are collected, in whichever thread, goes over it too.
`line.py PORT` says on which port it listens, and then does what it is told, line by line: a delay, or `cut`.
"""

import asyncio
import subprocess
import sys
from typing import Self


class Line:
    """Listens on `port` of 127.0.0.1 and carries all to the server and back; each packet waits `delay` seconds."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(self._server_port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self._hear())
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def delay(self, seconds: float) -> None:
        """From here on."""
        self._tell(str(seconds))

    def cut(self) -> None:
        """Close every connection at both ends; new ones may be made at once."""
        self._tell("cut")

    def _tell(self, order: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{order}\n")
        self._process.stdin.flush()
        assert self._hear() == order

    def _hear(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()


class Relay:
    """What runs in that process."""

    def __init__(self, server_port: int) -> None:
        self.delay = 0.0
        self._server_port = server_port
        self._talks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until nobody is there any more to tell it what to do."""
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        orders = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
        while order := (await orders.readline()).decode().strip():
            if order == "cut":
                await self._cut()
            else:
                self.delay = float(order)
            print(order, flush=True)
        server.close()
        await self._cut()

    async def _cut(self) -> None:
        talks = list(self._talks)
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.current_task()
        assert talk
        self._talks.add(talk)
        writers = [writer]
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._server_port)
            writers.append(back)
            both = [
                asyncio.ensure_future(self._carry(reader, back)),
                asyncio.ensure_future(self._carry(there, writer)),
            ]
            try:
                # Either end may hang up, and then both do.
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in both:
                    way.cancel()
                await asyncio.gather(*both, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for each in writers:
                # What is on its way to a server that is frozen would never be sent.
                each.transport.abort()
            self._talks.discard(talk)

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(1 << 16):
            if self.delay:
                await asyncio.sleep(self.delay)
            target.write(data)
            await target.drain()


if __name__ == "__main__":
    asyncio.run(Relay(int(sys.argv[1])).run())
