"""`python -m benchmarks.mail_sink`: an SMTP server that takes all and keeps nothing; it prints its port."""

import asyncio

from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import SMTP


async def serve() -> None:
    """Serve until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Sink(), hostname="sink"), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
