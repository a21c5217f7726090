"""Delays TCP in both directions, in place of a long line: `relay.py PORT MILLISECONDS`.

Connections reach it by a redirect rule; it asks the kernel where they were meant to go, and connects there with a
mark that the rule lets pass.
"""

import asyncio
import socket
import struct
import sys

MARK = 77
ORIGINAL_DESTINATION = 80
BUFFER = 64 * 1024


def destination(stream):
    """Where a redirected connection was meant to go."""
    raw = stream.getsockopt(socket.SOL_IP, ORIGINAL_DESTINATION, 16)
    port, ip = struct.unpack_from("!2xH4s", raw)
    return socket.inet_ntoa(ip), port


async def late(reader, writer, delay):
    """Copies bytes, each `delay` seconds after it came, in order; the end of the stream as well."""
    loop = asyncio.get_running_loop()
    queue = asyncio.Queue(maxsize=1024)

    async def take():
        while chunk := await reader.read(BUFFER):
            await queue.put((loop.time() + delay, chunk))
        await queue.put((loop.time() + delay, None))

    async def give():
        while True:
            due, chunk = await queue.get()
            await asyncio.sleep(max(0, due - loop.time()))
            if chunk is None:
                writer.write_eof()
                return
            writer.write(chunk)
            await writer.drain()

    await asyncio.gather(take(), give())


async def serve(reader, writer, delay):
    """One connection, until both directions have ended or one breaks."""
    loop = asyncio.get_running_loop()
    near = writer.get_extra_info("socket")
    far = socket.socket()
    far.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK)
    far.setblocking(False)
    try:
        await loop.sock_connect(far, destination(near))
        far_reader, far_writer = await asyncio.open_connection(sock=far)
        for stream in (near, far):
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await asyncio.gather(late(reader, far_writer, delay), late(far_reader, writer, delay))
        finally:
            far_writer.close()
    except OSError:
        pass
    finally:
        far.close()
        writer.close()


async def main():
    port, delay = int(sys.argv[1]), int(sys.argv[2]) / 1000
    server = await asyncio.start_server(lambda reader, writer: serve(reader, writer, delay), "0.0.0.0", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
