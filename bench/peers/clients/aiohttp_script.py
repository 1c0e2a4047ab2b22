"""Sends a job as scripts in the style of OpenAI's cookbook do: aiohttp, a queue, one line appended for each reply.

Usage: aiohttp_script.py BASE_URL JOB OUT IN_FLIGHT
"""
import asyncio
import json
import sys

import aiohttp

base, job, out, in_flight = sys.argv[1:]


async def main():
    queue = asyncio.Queue(maxsize=int(in_flight) * 2)
    good = 0

    async def work(session):
        nonlocal good
        while (request := await queue.get()) is not None:
            async with session.post(f"{base}/chat/completions", json=request["body"]) as reply:
                body = await reply.json()
            good += reply.status == 200 and bool(body.get("choices"))
            with open(out, "a") as results:
                results.write(json.dumps([request, body]) + "\n")

    connector = aiohttp.TCPConnector(limit=int(in_flight))
    headers = {"Authorization": "Bearer bench"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        workers = [asyncio.create_task(work(session)) for _ in range(int(in_flight))]
        with open(job) as file:
            for line in file:
                await queue.put(json.loads(line))
        for _ in workers:
            await queue.put(None)
        await asyncio.gather(*workers)
    print(good)


asyncio.run(main())
