"""Runs one batch from start to end with OpenAI's SDK for Python, as its guide shows it, and prints the answers as JSON.

Usage: batch_sdk.py INPUT. OPENAI_BASE_URL and OPENAI_API_KEY give the server and the key. Any warning, and any answer
that does not fit the SDK's types, is an error.
"""

import io
import json
import sys
import time
import warnings

from openai import BadRequestError, ConflictError, NotFoundError, OpenAI

warnings.simplefilter("error")
client = OpenAI(_strict_response_validation=True)

with open(sys.argv[1], "rb") as file:
    uploaded = client.files.create(file=file, purpose="batch")
batch = client.batches.create(input_file_id=uploaded.id, endpoint="/v1/chat/completions", completion_window="24h",
                              metadata={"description": "nightly eval"})
created = batch.model_dump()
seen = [batch.status]
while batch.status not in ("completed", "failed", "expired", "cancelled"):
    time.sleep(0.05)
    batch = client.batches.retrieve(batch.id)
    if batch.status != seen[-1]:
        seen.append(batch.status)
output = client.files.content(batch.output_file_id).text if batch.output_file_id else ""
errors = client.files.content(batch.error_file_id).text if batch.error_file_id else ""

second = client.files.create(file=("notes.jsonl", io.BytesIO(b"{}\n")), purpose="user_data",
                             expires_after={"anchor": "created_at", "seconds": 3600})
listed = [one.id for one in client.files.list(limit=1)]  # follows the cursors through every page
batches = [one.id for one in client.batches.list(limit=1)]
deleted = client.files.delete(second.id)


def refusal(call):
    try:
        call()
    except (BadRequestError, ConflictError, NotFoundError) as fault:
        return {"status": fault.status_code, "param": fault.param, "code": fault.code, "type": fault.type}
    return None


refusals = {
    "unknown_file": refusal(lambda: client.files.retrieve("file-unknown")),
    "unknown_batch": refusal(lambda: client.batches.retrieve("batch_unknown")),
    "no_input": refusal(lambda: client.batches.create(
        input_file_id="file-unknown", endpoint="/v1/chat/completions", completion_window="24h")),
    "no_jsonl": refusal(lambda: client.files.create(file=("x.csv", b"a,b\n"), purpose="batch")),
    "cancel_ended": refusal(lambda: client.batches.cancel(batch.id)),
}
# At its exit the interpreter may destroy the sockets of an open client first. Python then prints a warning.
client.close()
print(json.dumps({"uploaded": uploaded.model_dump(), "created": created, "batch": batch.model_dump(), "seen": seen,
                  "output": output, "errors": errors, "listed": listed, "batches": batches,
                  "second": second.model_dump(), "deleted": deleted.model_dump(), "refusals": refusals}))
