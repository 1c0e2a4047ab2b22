#!/usr/bin/env python3
"""Compares the throughput and latency that `sluice bench`, wrk, hey and ab measure at one endpoint.

One after the other, in several rounds, the tools post the same body to the same chat endpoint, without a stream, over
several keep-alive connections for some seconds. For each tool it prints the median of the rounds: requests per second,
latency at the 50th and 99th percentile, and sluice's numbers divided by the tool's. The endpoints are

    timed      tests/e2e/timed_relay.py, which answers after a fixed delay: latency must be slightly above it
    simulated  sluice simulate: each delay differs from the mean by up to half of the mean

With a delay of some milliseconds and few connections the endpoint limits the throughput, and all tools must agree.
Without a delay each tool's own cost per request limits it: wrk only sends bytes, ab and sluice read the replies. Then
the tools show different throughput, and `sluice bench` reports that it was busy (the last column).

    bench/peers/against_wrk.py [--binary build/release/sluice] [--delays 0,5,50] [--connections 1,32] [--seconds 4]
                               [--rounds 3] [--endpoint timed|simulated] [--only wrk,hey,ab]
"""
import argparse
import csv
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATH = "/chat/completions"
BODY = {"model": "gpt-4o-mini", "max_tokens": 20,
        "messages": [{"role": "user", "content": "Say hello, please, in a sentence of some length."}]}


class Endpoint:
    """A relay in its own process."""

    def __init__(self, kind, binary, delay_ms):
        self.kind = kind
        if kind == "timed":
            seconds = str(delay_ms / 1000)
            command = [sys.executable, str(ROOT / "tests/e2e/timed_relay.py"), "--head", seconds, "--ttft", seconds,
                       "--pieces", "1", "--forget"]
        else:
            command = [binary, "simulate", "--port", "0", "--rpm", "0", "--tokens", "20", "--itl", "0", "--ttft",
                       f"{delay_ms}ms"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = (self.process.stdout if kind == "timed" else self.process.stderr).readline()
        self.url = f"http://127.0.0.1:{re.search(r'(?:listening |127[.]0[.]0[.]1:)([0-9]+)', line)[1]}/v1"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.communicate()


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          env={**os.environ, "OPENAI_API_KEY": "bench"})
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def milliseconds(text):
    number, unit = re.fullmatch(r"([0-9.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


class Tools:
    """Each tool returns requests per second, and the latency in ms at the median and the 99th percentile."""

    def __init__(self, options, folder):
        self.options = options
        self.folder = Path(folder)
        body = json.dumps(BODY)
        self.body = self.folder / "body.json"
        self.body.write_text(body)
        self.job = self.folder / "job.jsonl"
        self.job.write_text(json.dumps({"custom_id": "1", "method": "POST", "url": "/v1" + PATH, "body": BODY}) + "\n")
        self.script = self.folder / "post.lua"
        self.script.write_text('wrk.method="POST"\nwrk.headers["Content-Type"]="application/json"\n'
                               f'wrk.headers["Authorization"]="Bearer bench"\nwrk.body=\'{body}\'\n')
        self.busy = 0.0

    def sluice(self, url, connections):
        document = json.loads(run(self.options.binary, "bench", self.job, "--no-stream", "--base-url", url, "--rpm",
                                  0, "--concurrency", connections, "--duration", f"{self.options.seconds}s", "--json",
                                  "-q"))
        load = document["loads"][0]
        self.busy = load["client_busy"]
        return load["requests_per_s"], load["latency_ms"]["p50"], load["latency_ms"]["p99"]

    def wrk(self, url, connections):
        out = run("wrk", "-t1", f"-c{connections}", f"-d{self.options.seconds}s", "--latency", "-s", self.script,
                  url + PATH)
        rate = float(re.search(r"Requests/sec:\s+([0-9.]+)", out)[1])
        return rate, *(milliseconds(re.search(rf"{share}%\s+(\S+)", out)[1]) for share in (50, 99))

    def hey(self, url, connections):
        # The CSV has all digits; the summary has only four.
        out = run("hey", "-z", f"{self.options.seconds}s", "-c", connections, "-m", "POST", "-T", "application/json",
                  "-H", "Authorization: Bearer bench", "-D", self.body, "-o", "csv", url + PATH)
        rows = list(csv.DictReader(out.splitlines()))
        times = sorted(float(row["response-time"]) * 1000 for row in rows)
        lasted = max(float(row["offset"]) + float(row["response-time"]) for row in rows)
        return len(times) / lasted, times[(len(times) - 1) // 2], times[(len(times) - 1) * 99 // 100]

    def ab(self, url, connections):
        table = self.folder / "ab.csv"
        out = run("ab", "-k", "-q", "-l", "-t", self.options.seconds, "-n", 10_000_000, "-c", connections, "-p",
                  self.body, "-T", "application/json", "-H", "Authorization: Bearer bench", "-e", table, url + PATH)
        shares = {row[0]: float(row[1]) for row in list(csv.reader(table.open()))[1:]}
        return float(re.search(r"Requests per second:\s+([0-9.]+)", out)[1]), shares["50"], shares["99"]


def median(rounds):
    return [statistics.median(values) for values in zip(*rounds)]


def compare(tools, names, kind, delay, connections, options):
    results = {name: [] for name in ("sluice", *names)}
    busy = []
    with Endpoint(kind, options.binary, delay) as relay:
        for _ in range(options.rounds):
            for name, rounds in results.items():
                rounds.append(getattr(tools, name)(relay.url, connections))
            busy.append(tools.busy)
    own = median(results["sluice"])
    for name, rounds in results.items():
        found = median(rounds)
        ratios = "".join(f"{mine / theirs:9.3f}" if theirs else f"{'-':>9}" for mine, theirs in zip(own, found))
        if name == "sluice":
            ratios = ""
        last = f"  busy {statistics.median(busy):.0%}" if name == "sluice" else ""
        print(f"{kind:10} {delay:5} ms {connections:5}  {name:7}{found[0]:11.1f}{found[1]:10.3f}{found[2]:10.3f} "
              f"{ratios}{last}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default="build/release/sluice")
    parser.add_argument("--delays", default="0,5,50", help="in ms")
    parser.add_argument("--connections", default="1,32")
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--endpoint", choices=["timed", "simulated"])
    parser.add_argument("--only", default="wrk,hey,ab", help="tools to compare with")
    options = parser.parse_args()
    names = [name for name in options.only.split(",") if shutil.which(name)]
    print(f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; "
          f"median of {options.rounds} rounds of {options.seconds} s")
    print(f"{'endpoint':10} {'delay':>8} {'conns':>5}  {'tool':7}{'requests/s':>11}{'p50 ms':>10}{'p99 ms':>10}   "
          "sluice / tool: req/s, p50, p99")
    with tempfile.TemporaryDirectory() as folder:
        tools = Tools(options, folder)
        for kind in [options.endpoint] if options.endpoint else ["timed", "simulated"]:
            for delay in map(int, options.delays.split(",")):
                for connections in map(int, options.connections.split(",")):
                    compare(tools, names, kind, delay, connections, options)


if __name__ == "__main__":
    main()
