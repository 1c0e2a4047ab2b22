"""Reads metrics with Prometheus' own parser from standard input, and prints them as JSON.

The result maps each family to its type, its help, and a list of samples: name, labels, value.
"""

import json
import sys

from prometheus_client.parser import text_string_to_metric_families

print(json.dumps({family.name: {
    "type": family.type, "help": family.documentation,
    "samples": [[sample.name, sample.labels, sample.value] for sample in family.samples],
} for family in text_string_to_metric_families(sys.stdin.read())}))
