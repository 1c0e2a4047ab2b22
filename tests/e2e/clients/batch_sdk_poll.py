"""A plain script over OpenAI's SDK: uploads a file, runs a batch of it and prints the results. It knows only one base
URL. It does not know that servers behind this URL die."""

import json
import sys
import time

from openai import OpenAI

client = OpenAI(max_retries=10)
with open(sys.argv[1], "rb") as job:
    uploaded = client.files.create(file=job, purpose="batch")
batch = client.batches.create(input_file_id=uploaded.id, endpoint="/v1/chat/completions", completion_window="24h")
while batch.status not in ("completed", "failed", "expired", "cancelled"):
    time.sleep(0.05)
    batch = client.batches.retrieve(batch.id)
output = client.files.content(batch.output_file_id).text
print(json.dumps({"status": batch.status, "counts": batch.request_counts.model_dump(), "output": output,
                  "input": client.files.content(uploaded.id).text}))
