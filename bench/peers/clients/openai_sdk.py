"""Sends a job with the openai SDK for Python. Usage: openai_sdk.py BASE_URL JOB OUT IN_FLIGHT"""
import asyncio
import json
import sys

import openai

base, job, out, in_flight = sys.argv[1:]


async def main():
    client = openai.AsyncOpenAI(base_url=base, api_key="bench")
    with open(job) as file:
        requests = [json.loads(line) for line in file]
    left = iter(requests)
    good = 0

    async def work(results):
        nonlocal good
        for request in left:
            reply = await client.chat.completions.create(**request["body"])
            if request["body"].get("stream"):
                text = ""
                async for chunk in reply:
                    if chunk.choices and chunk.choices[0].delta.content:
                        text += chunk.choices[0].delta.content
                body = {"text": text}
                good += bool(text)
            else:
                body = reply.model_dump()
                good += bool(reply.choices)
            results.write(json.dumps({"custom_id": request["custom_id"], "body": body}) + "\n")

    with open(out, "w") as results:
        await asyncio.gather(*(work(results) for _ in range(int(in_flight))))
    print(good)


asyncio.run(main())
