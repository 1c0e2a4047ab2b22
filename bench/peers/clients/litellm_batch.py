"""Sends a job with litellm's Router.abatch_completion, in groups of IN_FLIGHT.

Usage: litellm_batch.py BASE_URL JOB OUT IN_FLIGHT
"""
import asyncio
import json
import sys

import litellm

base, job, out, in_flight = sys.argv[1:]
litellm.suppress_debug_info = True


async def main():
    with open(job) as file:
        requests = [json.loads(line) for line in file]
    model = requests[0]["body"]["model"]
    router = litellm.Router(model_list=[{"model_name": model, "litellm_params": {
        "model": f"openai/{model}", "api_base": base, "api_key": "bench"}}])
    good = 0
    with open(out, "w") as results:
        for begin in range(0, len(requests), int(in_flight)):
            group = requests[begin:begin + int(in_flight)]
            prompts = [one["body"]["messages"] for one in group]
            replies = await router.abatch_completion(models=[model], messages=prompts,
                                                     max_tokens=group[0]["body"]["max_tokens"])
            for request, reply in zip(group, replies):
                reply = reply[0] if isinstance(reply, list) else reply
                good += bool(getattr(reply, "choices", None))
                results.write(json.dumps({"custom_id": request["custom_id"], "body": reply.model_dump()}) + "\n")
    print(good)


asyncio.run(main())
