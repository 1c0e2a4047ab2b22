"""Makes calls and a batch with OpenAI's SDK for Python, and prints the answers as JSON.

OPENAI_BASE_URL and OPENAI_API_KEY give the server and the key. The server is litellm's proxy, or a server that sends to
one. Arguments: the model, and the provider that litellm uses for files and batches. Without a provider, the server is
not litellm.
"""

import json
import sys
import time

from openai import OpenAI

model, *provider = sys.argv[1:]
extra = {"custom_llm_provider": provider[0]} if provider else {}
messages = [{"role": "user", "content": "Say hello."}]
seen = {}
with OpenAI(max_retries=0) as client:
    chat = client.chat.completions.create(model=model, messages=messages, max_tokens=5)
    seen["chat"] = chat.model_dump(mode="json", warnings=False)
    chunks = client.chat.completions.create(model=model, messages=messages, max_tokens=8, stream=True,
                                            stream_options={"include_usage": True})
    seen["chunks"] = [chunk.model_dump(mode="json", warnings=False) for chunk in chunks]
    lines = [{"custom_id": f"c{i}", "method": "POST", "url": "/v1/chat/completions",
              "body": {"model": model, "messages": messages, "max_tokens": 4}} for i in range(20)]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    file = client.files.create(file=("in.jsonl", text.encode()), purpose="batch", extra_body=extra)
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h",
                                  extra_body=extra)
    end = time.monotonic() + 120
    while batch.status not in ("completed", "failed", "expired", "cancelled"):
        if time.monotonic() > end:
            sys.exit(f"the batch does not end: {batch}")
        time.sleep(0.2)
        batch = client.batches.retrieve(batch.id, extra_query=extra)
    seen["batch"] = batch.model_dump(mode="json", warnings=False)
    seen["output"] = client.files.content(batch.output_file_id, extra_query=extra).text
print(json.dumps(seen))
