#!/usr/bin/env python3
"""Puts `sluice serve` under load with interactive streams and batches together, and checks that nothing is lost.

The server sends to a simulated relay without a limit. First, clients make streamed calls at a steady rate. Then they do
the same for longer, while batches always have lines to send. A call is timed from the moment when it was due, so a
server that delays its clients cannot look fast. At the end the script checks that

- every call has its whole reply, and every line of every batch has exactly one result,
- the relay's ledger has the same requests, tokens and cost as the server's metrics and status,
- no minute had more requests than the server's limit, by the relay's count.

Prints tables in Markdown. Exits with 1 if a check fails. The usual run takes about thirteen minutes:

    bench/serve_load.py [--binary build/release/sluice] [--seconds 600] [--clients 200] [--requests 100000]
                        [--batch-lines 50000] [--rpm 24000]

A shorter run, for example --seconds 20, has proportionally fewer requests and lines, unless you give their numbers.
"""
import argparse
import asyncio
import contextlib
import http.client
import json
import math
import os
import pathlib
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from decimal import Decimal

USUAL_SECONDS = 600
REPLY_TOKENS = 20
CALL = json.dumps({"model": "gpt-4o-mini", "stream": True, "stream_options": {"include_usage": True},
                   "max_tokens": REPLY_TOKENS, "messages": [{"role": "user", "content": "Say hello, please."}]}).encode()
REQUEST = (b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
           b"Content-Length: %d\r\n\r\n" % len(CALL)) + CALL


class Client(asyncio.Protocol):
    """One connection that makes one streamed call after the other."""

    def __init__(self):
        self.done = None

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        now = time.monotonic()
        if self.head is None:
            self.head = data
        if self.first is None and b"data:" in data:
            self.first = now
        self.tail = (self.tail + data)[-64:]
        if self.tail.endswith(b"0\r\n\r\n"):
            whole = self.head.startswith(b"HTTP/1.1 200 ") and b"data: [DONE]" in self.tail
            self.done.set_result((self.first or now, now) if whole else None)

    def connection_lost(self, fault):
        if self.done and not self.done.done():
            self.done.set_result(None)

    async def call(self):
        """Makes one call. Returns the times of its first piece and of its end, or None if the call failed."""
        self.head, self.first, self.tail = None, None, b""
        self.done = asyncio.get_running_loop().create_future()
        self.transport.write(REQUEST)
        return await self.done


class Calls:
    def __init__(self):
        self.first, self.whole, self.failed = [], [], 0


async def make_calls(port, clients, count, seconds):
    """All clients together make `count` calls, evenly spread over the time."""
    loop = asyncio.get_running_loop()
    calls = Calls()
    began = time.monotonic() + 0.1

    async def one(at):
        _, client = await loop.create_connection(Client, "127.0.0.1", port)
        for number in range(at, count, clients):
            due = began + number * seconds / count
            await asyncio.sleep(max(0, due - time.monotonic()))
            answer = await client.call()
            if answer:
                calls.first.append(answer[0] - due)
                calls.whole.append(answer[1] - due)
            else:
                calls.failed += 1
                client.transport.abort()
                _, client = await loop.create_connection(Client, "127.0.0.1", port)
        client.transport.close()

    await asyncio.gather(*(one(at) for at in range(clients)))
    return calls


def ask(port, method, path, body=None, **fields):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=300)) as to:
        to.request(method, path, body, {name.replace("_", "-"): value for name, value in fields.items()})
        answer = to.getresponse()
        text = answer.read()
    if answer.status != 200:
        raise SystemExit(f"{method} {path}: {answer.status} {text[:500]}")
    return text


def start_batch(port, name, lines):
    body = {"model": "gpt-4o-mini", "max_tokens": 8, "messages": [{"role": "user", "content": "Say hello, please."}]}
    text = "".join(json.dumps({"custom_id": f"{name}-{at}", "method": "POST", "url": "/v1/chat/completions",
                               "body": body}) + "\n" for at in range(lines))
    form = (f'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--x\r\nContent-Disposition: '
            f'form-data; name="file"; filename="{name}.jsonl"\r\n\r\n{text}\r\n--x--\r\n').encode()
    file = json.loads(ask(port, "POST", "/v1/files", form, Content_Type="multipart/form-data; boundary=x"))["id"]
    wanted = {"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    return json.loads(ask(port, "POST", "/v1/batches", json.dumps(wanted)))["id"]


def port_of(process, words):
    for line in process.stderr:
        if found := re.search(words, line):
            return int(found[1])
    raise SystemExit(f"the program has ended: {process.args}")


def resident_mib(process):
    text = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", text)[1]) / 1024


def cpu_seconds(process):
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def percentile(values, share):
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)] * 1000 if values else math.nan


def print_latencies(kinds):
    print("| interactive calls | calls | p50 | p90 | p99 | p99.9 | longest |\n|---|---|---|---|---|---|---|")
    for name, values in kinds:
        cells = " | ".join(f"{percentile(values, share):.0f} ms" for share in (0.5, 0.9, 0.99, 0.999, 1))
        print(f"| {name} | {len(values):,} | {cells} |")


class Run:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.memory = []  # seconds since the start, MiB
        self.faults = []
        self.relay = subprocess.Popen([options.binary, "simulate", "--port", "0", "--rpm", "0", "--ttft", "200ms", "--itl",
                                       "10ms"], stderr=subprocess.PIPE, text=True)
        self.relay_port = port_of(self.relay, r"http://127\.0\.0\.1:(\d+)")
        environment = {**os.environ, "OPENAI_API_KEY": "bench", "XDG_STATE_HOME": str(folder), "HOME": str(folder)}
        self.serve = subprocess.Popen(
            [options.binary, "serve", "--listen", "127.0.0.1:0", "--data", str(folder / "data"), "--base-url",
             f"http://127.0.0.1:{self.relay_port}/v1", "--rpm", str(options.rpm), "--pace", "even", "--concurrency",
             "1024"], env=environment, stderr=subprocess.PIPE, text=True)
        self.port = port_of(self.serve, r"serving http://127\.0\.0\.1:(\d+)")

    def check(self, holds, words):
        print(f"- {'' if holds else '**NOT SO:** '}{words}")
        if not holds:
            self.faults.append(words)

    async def watch_memory(self):
        began = time.monotonic()
        while True:
            self.memory.append((time.monotonic() - began, resident_mib(self.serve)))
            await asyncio.sleep(min(1, self.options.seconds / 60))

    async def work(self):
        options = self.options
        watch = asyncio.create_task(self.watch_memory())
        alone_seconds = options.seconds / 5
        self.alone = await make_calls(self.port, options.clients, options.requests // 5, alone_seconds)
        # Enough lines to use all of the limit that the calls leave, so that the batches never run out of lines.
        left = (options.rpm / 60 - options.requests / options.seconds) * options.seconds
        count = max(1, math.ceil(left * 1.05 / options.batch_lines))
        loop = asyncio.get_running_loop()
        self.batches = [await loop.run_in_executor(None, start_batch, self.port, f"batch-{at}", options.batch_lines)
                        for at in range(count)]
        cpu = cpu_seconds(self.serve)
        self.beside = await make_calls(self.port, options.clients, options.requests, options.seconds)
        self.cpu_share = (cpu_seconds(self.serve) - cpu) / options.seconds
        self.lines_beside = json.loads(await loop.run_in_executor(None, ask, self.port, "GET", "/sluice/status"))["requests"]
        while True:
            status = json.loads(await loop.run_in_executor(None, ask, self.port, "GET", "/sluice/status"))
            if status["batches"]["open"] == 0:
                break
            await asyncio.sleep(0.5)
        watch.cancel()

    def report(self):
        options = self.options
        every = self.alone.failed + self.beside.failed + len(self.alone.whole) + len(self.beside.whole)
        lines = options.batch_lines * len(self.batches)
        print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs; {options.clients} clients, "
              f"{options.requests / options.seconds:.0f} calls/s; {len(self.batches)} batches of {options.batch_lines:,} "
              f"lines; limit {options.rpm:,} a minute\n")
        print_latencies([("first piece, no batch", self.alone.first), ("first piece, full batches", self.beside.first),
                         ("whole reply, no batch", self.alone.whole), ("whole reply, full batches", self.beside.whole)])
        print("\n| time | memory of serve |\n|---|---|")
        end = self.memory[-1][0]
        for part in range(11):
            at, mib = min(self.memory, key=lambda one: abs(one[0] - end * part / 10))
            print(f"| {at:.0f} s | {mib:.1f} MiB |")
        done = self.lines_beside["completed"]
        print(f"\nMost memory {max(mib for _, mib in self.memory):.1f} MiB; CPU of serve {self.cpu_share:.0%} of one; "
              f"{done / options.seconds:.0f} lines/s beside the calls, which left {lines - done:,} lines at their end.\n")
        ledger = json.loads(ask(self.relay_port, "GET", "/simulator/ledger"))
        status = json.loads(ask(self.port, "GET", "/sluice/status"))
        metrics = dict(line.rsplit(" ", 1) for line in ask(self.port, "GET", "/metrics").decode().splitlines()
                       if not line.startswith("#"))
        self.check(done < lines, "the batches had lines to send as long as there were calls")
        self.check(self.alone.failed + self.beside.failed == 0 and status["calls"]["completed"] == every,
                   f"each of {every:,} calls has its whole reply")
        ids, failed = [], 0
        for name in self.batches:
            batch = json.loads(ask(self.port, "GET", f"/v1/batches/{name}"))
            failed += batch["request_counts"]["failed"]
            for file in filter(None, (batch["output_file_id"], batch["error_file_id"])):
                text = ask(self.port, "GET", f"/v1/files/{file}/content")
                ids += [json.loads(line)["custom_id"] for line in text.splitlines()]
        wanted = {f"batch-{at}-{line}" for at in range(len(self.batches)) for line in range(options.batch_lines)}
        self.check(len(ids) == lines and set(ids) == wanted and failed == 0,
                   f"each of {lines:,} lines has exactly one result, and none has failed")
        attempts = int(metrics["sluice_relay_requests_total"])
        self.check(attempts == ledger["attempts"] == every + lines,
                   f"the relay has seen {ledger['attempts']:,} requests, the server has sent {attempts:,}")
        self.check(status["tokens"]["total"] == ledger["billed"]["tokens"]["total"]
                   and Decimal(status["cost_usd"]) == Decimal(ledger["billed"]["cost_usd"]),
                   f"tokens and cost are those of the relay's bill: {ledger['billed']['cost_usd']} USD")
        self.check(ledger["max_in_60s"] <= options.rpm,
                   f"at most {ledger['max_in_60s']:,} requests in a minute, as the relay counts; the limit is "
                   f"{options.rpm:,}")

    def stop(self):
        for process in (self.serve, self.relay):
            process.terminate()
            process.communicate()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default="build/release/sluice")
    parser.add_argument("--seconds", type=float, default=USUAL_SECONDS)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--requests", type=int)
    parser.add_argument("--batch-lines", type=int)
    parser.add_argument("--rpm", type=int, default=24_000)
    options = parser.parse_args()
    share = options.seconds / USUAL_SECONDS
    options.requests = options.requests or int(100_000 * share)
    options.batch_lines = options.batch_lines or int(50_000 * share)
    if options.rpm / 60 <= options.requests / options.seconds:
        sys.exit("the calls alone would use up the limit: raise --rpm")
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-load-"))
    run = Run(options, folder)
    try:
        asyncio.run(run.work())
        run.report()
    finally:
        run.stop()
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if run.faults else 0)


if __name__ == "__main__":
    main()
