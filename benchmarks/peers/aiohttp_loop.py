"""The floor: aiohttp's client and a semaphore. Nothing is kept, nothing is asked again."""

import asyncio

import aiohttp
from benchmarks.peers.rows import KEY, MODEL, Job, answer, job


async def ask(work: Job) -> dict[str, str | None]:
    """All rows."""
    turn = asyncio.Semaphore(work.concurrency)
    connector = aiohttp.TCPConnector(limit=work.concurrency)
    headers = {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def one(id_: str, prompt: str) -> tuple[str, str | None]:
            body = {"model": MODEL, "temperature": 0, "messages": [{"role": "user", "content": prompt}]}
            async with turn, session.post(f"{work.base_url}/chat/completions", json=body) as response:
                if response.status != 200:
                    return id_, None
                text = (await response.json())["choices"][0]["message"]["content"]
            return id_, answer(text) if work.parse else text

        return dict(await asyncio.gather(*(one(id_, prompt) for id_, prompt in work.rows.items())))


if __name__ == "__main__":
    work = job()
    work.write(asyncio.run(ask(work)))
