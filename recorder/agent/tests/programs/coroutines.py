"""Coroutines, asynchronous generators and context managers, with and without an event loop."""

import asyncio
import contextlib


class Awaitable:
    def __await__(self):
        got = yield "waiting"
        return got


async def leaf(n):
    await asyncio.sleep(0)
    return n


async def branch(n):
    return await leaf(n) + await leaf(n + 1)


async def failing():
    await asyncio.sleep(0)
    raise ValueError


async def agen(n):
    for i in range(n):
        await asyncio.sleep(0)
        yield i


@contextlib.asynccontextmanager
async def managed():
    yield 1


async def cancelled():
    try:
        await asyncio.Event().wait()
    finally:
        await leaf(0)


async def main():
    await branch(1)
    await asyncio.gather(*(branch(i) for i in range(5)))
    with contextlib.suppress(ValueError):
        await failing()
    async for _ in agen(3):
        pass
    [i async for i in agen(2)]
    numbers = (i async for i in agen(2))
    async for _ in numbers:
        break
    await numbers.aclose()
    async with managed():
        await leaf(1)
    task = asyncio.create_task(cancelled())
    await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def by_hand():
    return await Awaitable()


asyncio.run(main())

c = by_hand()
c.send(None)
with contextlib.suppress(StopIteration):
    c.send(1)
c = by_hand()
c.send(None)
with contextlib.suppress(KeyError):
    c.throw(KeyError)
c = by_hand()
c.send(None)
c.close()
leaf(1).close()
