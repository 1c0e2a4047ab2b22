#!/usr/bin/env python3
"""Measures how fast `sluice prepare` and `sluice extract` process tables. A script with Python's csv and json modules
does the same work in the same run, for comparison.

Usage: bench/datasets.py [--binary build/release/sluice] [--mb 100] [--rounds 3]

For each of the two it prints the megabytes of the table per second of CPU time, in its fastest round, and then the
ratio of the two. Exit status 1 if sluice processes less than 50 MB/s.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

LEAST_MB_PER_S = 50

TEMPLATE = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Sort: {{title}}\n{{text}}"}]}

PREPARE = r"""
import csv, json, sys
data, template, job = sys.argv[1:]
body = json.load(open(template))
prompt = body["messages"][0]["content"]
seen = set()
with open(data, newline="", encoding="utf-8") as rows, open(job, "w", encoding="utf-8") as out:
    for row in csv.DictReader(rows):
        assert row["id"] not in seen
        seen.add(row["id"])
        body["messages"][0]["content"] = prompt.replace("{{title}}", row["title"]).replace("{{text}}", row["text"])
        line = {"custom_id": row["id"], "method": "POST", "url": "/v1/chat/completions", "body": body}
        out.write(json.dumps(line, ensure_ascii=False) + "\n")
"""

EXTRACT = r"""
import csv, json, sys
data, results, answers = sys.argv[1:]
places = {}
with open(results, "rb") as lines:
    at = 0
    for line in lines:
        places[json.loads(line)["custom_id"]] = at
        at += len(line)
with open(data, newline="", encoding="utf-8") as rows, open(results, "rb") as lines, \
        open(answers, "w", newline="", encoding="utf-8") as out:
    reader, writer = csv.reader(rows), csv.writer(out)
    writer.writerow(next(reader) + ["answer", "error"])
    for row in reader:
        lines.seek(places[row[0]])
        line = json.loads(lines.readline())
        writer.writerow(row + [line["response"]["body"]["choices"][0]["message"]["content"], ""])
"""


def make_inputs(folder: Path, size: int) -> tuple[int, int]:
    """Writes the table and the results. Returns the size of the table in bytes, and its number of rows."""
    rng = random.Random(1)
    words = ["the", "quick", "brown", "价格", "质量很好", "fox", "jumps", "over", "lazy", "dogs", 'a "quote"', "line\nend", "comma,"]
    count = 0
    with (folder / "data.csv").open("w", encoding="utf-8", newline="") as table, \
            (folder / "job.output.jsonl").open("w", encoding="utf-8") as results:
        table.write("id,title,text,stars\r\n")
        while table.tell() < size:
            for _ in range(1000):
                count += 1
                text = " ".join(rng.choices(words, k=70)).replace('"', '""')
                table.write(f'r{count},title {count},"{text}",{count % 5}\r\n')
                results.write('{"id":"batch_req_%032x","custom_id":"r%d","response":{"status_code":200,"request_id":"",'
                              '"body":{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":'
                              '"assistant","content":"positive, %d"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,'
                              '"completion_tokens":3,"total_tokens":12}}},"error":null,"sluice":{"line":%d,"attempts":1,'
                              '"model":"gpt-4o-mini","usage":{"prompt_tokens":9,"completion_tokens":3},"usage_source":'
                              '"reported","cost_usd":"0.00015","digest":"%032x"}}\n' % (count, count, count, count, count))
        return table.tell(), count


def cpu_seconds(command: list[str]) -> float:
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"exit status {process.returncode}: {command}")
    return usage.ru_utime + usage.ru_stime


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="build/release/sluice")
    parser.add_argument("--mb", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    slow = False
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as name:
        folder = Path(name)
        data, job, template = str(folder / "data.csv"), str(folder / "job.jsonl"), str(folder / "t.json")
        Path(template).write_text(json.dumps(TEMPLATE))
        size, count = make_inputs(folder, chosen.mb * 1_000_000)
        print(f"{size / 1e6:.0f} MB, {count:,} rows")
        binary = str(Path(chosen.binary).resolve())
        answers = str(folder / "answers.csv")
        steps = {
            "prepare": ([binary, "prepare", data, "--template", template, "--id", "id", "-o", job],
                        [sys.executable, "-c", PREPARE, data, template, str(folder / "python.jsonl")]),
            "extract": ([binary, "extract", job, "--data", data, "--id", "id", "-o", answers],
                        [sys.executable, "-c", EXTRACT, data, str(folder / "job.output.jsonl"), str(folder / "python.csv")]),
        }
        for step, (ours, peer) in steps.items():
            times = [(cpu_seconds(ours), cpu_seconds(peer)) for _ in range(chosen.rounds)]
            fast, python = min(one for one, _ in times), min(other for _, other in times)
            print(f"{step}: {size / 1e6 / fast:.0f} MB/s; Python {size / 1e6 / python:.0f} MB/s; ratio {python / fast:.1f}")
            slow = slow or size / 1e6 / fast < LEAST_MB_PER_S
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
