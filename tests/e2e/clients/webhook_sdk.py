"""Checks a webhook with OpenAI's SDK for Python, as its guide shows it, and prints the event as JSON.

Standard input: a JSON object with the secret, the headers and the body. The exit status is not 0 if the SDK refuses
the signature or the event.
"""

import json
import sys

from openai import OpenAI

given = json.load(sys.stdin)
client = OpenAI(api_key="any", webhook_secret=given["secret"])
event = client.webhooks.unwrap(given["body"], given["headers"])
print(json.dumps({"kind": type(event).__name__, "type": event.type, "id": event.id, "object": event.object,
                  "created_at": event.created_at, "batch": event.data.id}))
