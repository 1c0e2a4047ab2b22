#!/usr/bin/env python3
"""Measures how CPU time, memory, files and resume time of `sluice run` grow, and prints the tables of docs/scaling.md.

Each figure is a slope between two or more sizes, so that the start of the program is not in it. The relay is
`sluice simulate` in its own process. CPU time is user and system time of the program; memory is its peak.

    bench/scaling.py [--binary build/release/sluice] [--lines 200000] [--streams 100,1000,5000,10000]
                     [--only streams,lines,reply,resume,start,durability] [--rounds 5]
"""
import argparse
import json
import os
import platform
import re
import resource
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROMPT = "Say hello to number {}, please, in a sentence of some length."
MEASURE = ("import json,os,resource,subprocess,sys,time;b=time.monotonic();"
           "done=subprocess.run(sys.argv[1:],stdout=subprocess.DEVNULL,stderr=subprocess.PIPE);"
           "u=resource.getrusage(resource.RUSAGE_CHILDREN);"
           "print(json.dumps({'code':done.returncode,'err':done.stderr.decode()[-500:],'wall':time.monotonic()-b,"
           "'cpu':u.ru_utime+u.ru_stime,'mb':u.ru_maxrss/1024}))")


class Relay:
    def __init__(self, binary, *flags):
        command = [binary, "simulate", "--port", "0", "--rpm", "0", "--itl", "0", *map(str, flags)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.url = re.search(r"OPENAI_BASE_URL=(\S+)", self.process.stderr.readline())[1]

    def __enter__(self):
        return self.url

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


class Bench:
    def __init__(self, options, folder):
        self.binary = options.binary
        self.options = options
        self.folder = Path(folder)

    def job(self, lines):
        path = self.folder / f"{lines}.jsonl"
        if not path.exists():
            with path.open("w") as file:
                for i in range(lines):
                    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": PROMPT.format(i)}]}
                    file.write(json.dumps({"custom_id": f"r{i}", "method": "POST", "url": "/v1/chat/completions",
                                           "body": body}) + "\n")
        return path

    def run(self, job, url, *flags, keep=False):
        """CPU time in seconds, wall time in seconds and peak memory in MB of one run."""
        out = self.folder / "out"
        if not keep:
            shutil.rmtree(out, ignore_errors=True)
        command = [self.binary, "run", job, "--base-url", url, "--rpm", "0", "--output-dir", out, "-q", *flags]
        done = subprocess.run(["python3", "-c", MEASURE, *map(str, command)], capture_output=True, text=True,
                              check=True, env={**os.environ, "OPENAI_API_KEY": "bench",
                                   "XDG_STATE_HOME": str(self.folder / "state")})
        found = json.loads(done.stdout)
        if found["code"] != 0:
            raise SystemExit(f"{command} failed:\n{found['err']}")
        return found["cpu"], found["wall"], found["mb"]

    def streams(self):
        """All streams are open at the same time, because the relay waits before it sends the first token."""
        sizes = [int(size) for size in self.options.streams.split(",")]
        print("| streams in flight | peak memory | KB per stream |\n|---|---|---|")
        least, found = None, {}
        with Relay(self.binary, "--ttft", "8s", "--tokens", "20") as url:
            for size in sizes:
                _, _, mb = self.run(self.job(size), url, "--concurrency", size)
                least = least or (size, mb)
                slope = (mb - least[1]) * 1024 / (size - least[0]) if size > least[0] else None
                found[size] = mb, slope
                print(f"| {size:,} | {mb:.1f} MB | {f'{slope:.1f}' if slope else ''} |", flush=True)
        return found

    def lines(self):
        few, many = self.options.lines // 10, self.options.lines
        with Relay(self.binary, "--ttft", "0", "--tokens", "5") as url:
            found = {lines: self.run(self.job(lines), url, "--no-stream") for lines in (few, many)}
            size = (self.folder / "out" / f"{many}.output.jsonl").stat().st_size
        more = many - few
        print(f"CPU time per line: {(found[many][0] - found[few][0]) / more * 1e6:.1f} µs\n"
              f"memory per line: {(found[many][2] - found[few][2]) * (1 << 20) / more:.0f} bytes "
              f"({found[few][2]:.1f} MB with {few:,} lines, {found[many][2]:.1f} MB with {many:,})\n"
              f"output per line, replies of 5 tokens: {size / many:.0f} bytes")

    def reply(self):
        print("| tokens of a reply | CPU per reply, streamed | not streamed | output line |\n|---|---|---|---|")
        lines = 2000
        for tokens in (10, 100, 1000):
            with Relay(self.binary, "--ttft", "0", "--tokens", tokens) as url:
                job = self.job(lines)
                start = self.run(self.job(1), url)[0]
                streamed = self.run(job, url)[0] - start
                whole = self.run(job, url, "--no-stream")[0] - start
                size = (self.folder / "out" / f"{lines}.output.jsonl").stat().st_size
            print(f"| {tokens:,} | {streamed / lines * 1e6:.0f} µs | {whole / lines * 1e6:.0f} µs | "
                  f"{size / lines:,.0f} bytes |", flush=True)

    def resume(self):
        few, many = self.options.lines // 10, self.options.lines
        found = {}
        with Relay(self.binary, "--ttft", "0", "--tokens", "20") as url:
            for lines in (few, many):
                self.run(self.job(lines), url, "--no-stream")
                size = (self.folder / "out" / f"{lines}.output.jsonl").stat().st_size + self.job(lines).stat().st_size
                cpu, wall, mb = self.run(self.job(lines), url, "--no-stream", keep=True)
                found[lines] = cpu, wall, mb, size
        cpu, wall, mb, size = (found[many][i] - found[few][i] for i in range(4))
        more = many - few
        memory = mb * (1 << 20) / more
        print(f"resume over a finished job: {cpu / more * 1e6:.1f} µs of CPU and {memory:.0f} bytes "
              f"per line; {size / wall / 1e6:.0f} MB of job and output per second, "
              f"{size / cpu / 1e6:.0f} MB per second of CPU")
        return size / wall / 1e6, memory

    def start(self):
        with Relay(self.binary, "--ttft", "0", "--tokens", "5") as url:
            job = self.job(1)
            cpu = sorted(self.run(job, url)[0] for _ in range(15))
        print(f"a whole run of one request: {cpu[0] * 1000:.1f} ms of CPU (median {cpu[7] * 1000:.1f} ms)")
        first = sorted(self.first_request() for _ in range(15))
        print(f"from the start of the program to its first request: {first[0] * 1000:.1f} ms "
              f"(median {first[7] * 1000:.1f} ms)")
        return [seconds * 1000 for seconds in first]

    def first_request(self):
        """Seconds from the start of the program until a relay reads the first byte of a request."""
        out = self.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        with socket.create_server(("127.0.0.1", 0)) as relay:
            url = f"http://127.0.0.1:{relay.getsockname()[1]}/v1"
            begun = time.monotonic()
            program = subprocess.Popen([self.binary, "run", str(self.job(1)), "--base-url", url, "--rpm", "0",
                                        "--output-dir", str(out), "-q"], stderr=subprocess.DEVNULL,
                                       env={**os.environ, "OPENAI_API_KEY": "bench",
                                            "XDG_STATE_HOME": str(self.folder / "state")})
            with relay.accept()[0] as connection:
                connection.recv(1)
                took = time.monotonic() - begun
                program.kill()
                program.wait()
        return took

    def durability(self):
        lines = self.options.lines // 10
        print("| --durability | CPU per request | requests/s |\n|---|---|---|")
        with Relay(self.binary, "--ttft", "0", "--tokens", "20") as url:
            found = {how: [] for how in ("none", "second", "each")}
            for _ in range(self.options.rounds):
                for how, rounds in found.items():
                    rounds.append(self.run(self.job(lines), url, "--no-stream", "--durability", how))
        speeds = {how: [lines / one[1] for one in rounds] for how, rounds in found.items()}
        for how, rounds in found.items():
            print(f"| {how} | {statistics.median(r[0] for r in rounds) / lines * 1e6:.1f} µs | "
                  f"{statistics.median(speeds[how]):,.0f} |")
        return speeds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=str(ROOT / "build/release/sluice"))
    parser.add_argument("--lines", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5, help="of durability")
    parser.add_argument("--streams", default="100,1000,5000,10000")
    parts = ["streams", "lines", "reply", "resume", "start", "durability"]
    parser.add_argument("--only", default=",".join(parts))
    options = parser.parse_args()
    print(f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, folder)
        for part in parts:
            if part in options.only.split(","):
                print(f"\n{part}")
                getattr(bench, part)()


if __name__ == "__main__":
    main()
