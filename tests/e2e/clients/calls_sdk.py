"""Makes interactive calls with OpenAI's SDK for Python, and prints the answers as JSON.

OPENAI_BASE_URL and OPENAI_API_KEY give the server and the key. Any warning, and any answer that does not fit the SDK's
types, is an error.
"""

import asyncio
import json
import time
import warnings

from openai import AsyncOpenAI, NotFoundError, OpenAI

warnings.simplefilter("error")
client = OpenAI(_strict_response_validation=True)
# Without strict types: the SDK's own base64 embeddings do not fit them, and the simulated relay's response objects
# lack fields that they require (parallel_tool_calls and others).
lenient = OpenAI()
MODEL = "gpt-4o-mini"
MESSAGES = [{"role": "user", "content": "Say hello."}]

seen = {}
began = time.monotonic()
seen["chat"] = client.chat.completions.create(model=MODEL, messages=MESSAGES).model_dump()
seen["first_call_s"] = time.monotonic() - began
chunks = list(client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True, max_tokens=20,
                                             stream_options={"include_usage": True}))
seen["chunks"] = [chunk.model_dump() for chunk in chunks]
with client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True, max_tokens=500) as cut:
    seen["cut_after"] = next(iter(cut)).id
seen["embedding"] = len(client.embeddings.create(model="text-embedding-3-small", input=["a", "b"],
                                                 encoding_format="float").data)
seen["base64"] = len(lenient.embeddings.create(model="text-embedding-3-small", input="a").data)
seen["response"] = lenient.responses.create(model=MODEL, input="Say hello.").model_dump(mode="json", warnings=False)
seen["events"] = [event.type for event in lenient.responses.create(model=MODEL, input="Say hello.", stream=True)]
seen["completion"] = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="Say").choices[0].text
models = [model.id for model in client.models.list()]
seen["models"] = models
seen["model"] = client.models.retrieve(models[0]).id
raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES)
seen["request_id"] = raw.headers.get("x-request-id")
try:
    client.models.retrieve("no-such-model")
    seen["unknown"] = None
except NotFoundError as fault:
    seen["unknown"] = fault.code


async def many() -> int:
    async with AsyncOpenAI(_strict_response_validation=True) as one:
        answers = await asyncio.gather(*(one.chat.completions.create(model=MODEL, messages=MESSAGES)
                                         for _ in range(30)))
    return sum(bool(answer.choices[0].message.content) for answer in answers)


seen["many"] = asyncio.run(many())
# At its exit the interpreter may destroy the sockets of an open client first. Python then prints a warning.
client.close()
lenient.close()
print(json.dumps(seen))
