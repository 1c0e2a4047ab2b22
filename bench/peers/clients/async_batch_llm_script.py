"""Sends a job with async-batch-llm. Usage: async_batch_llm_script.py BASE_URL JOB OUT IN_FLIGHT"""
import asyncio
import json
import sys

from async_batch_llm import llm, process_prompts

base, job, out, in_flight = sys.argv[1:]


async def main():
    with open(job) as file:
        requests = [json.loads(line) for line in file]
    first = requests[0]["body"]
    strategy = llm(f"openai-compatible:{first['model']}", base_url=base, api_key="bench",
                   generation_config={"max_tokens": first["max_tokens"]})
    prompts = [request["body"]["messages"][0]["content"] for request in requests]
    batch = await process_prompts(strategy, prompts, concurrency=int(in_flight))
    good = 0
    with open(out, "w") as results:
        for result in batch.results:
            good += bool(result.success)
            results.write(json.dumps({"id": result.item_id, "text": result.output}) + "\n")
    print(good)


asyncio.run(main())
