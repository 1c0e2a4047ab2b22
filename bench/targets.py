#!/usr/bin/env python3
"""Measures every performance target of this program, and prints the table of docs/performance.md, "Targets".

It builds the preset release (with --binary only the micro benchmarks and the minimal client), installs what is missing
(wrk, nginx, perf, nodejs and Python packages), and runs the parts of bench/end_to_end.py, bench/scaling.py,
bench/peers/compare.py and the micro benchmarks.
It takes about 20 minutes. Other load on the machine makes the ratios worse, so it should have none.

    bench/targets.py [--binary build/release/sluice] [--rounds 5] [--only requests,peers,chunks,calls,threads,streams,
                      memory,resume,start,reading,durability]
"""
import argparse
import json
import operator
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bench/peers"))
import compare  # noqa: E402
import end_to_end  # noqa: E402
import scaling  # noqa: E402

BENCH = ROOT / "build/release/bench"
MEGABYTE = 1e6


def ratios(upper, lower):
    return list(map(operator.truediv, upper, lower))


def settings(**values):
    return argparse.Namespace(**values)


class Targets:
    """Each part measures some targets and adds a row for each of them."""

    def __init__(self, options, folder):
        self.options = options
        self.folder = str(folder)
        self.binary = options.binary
        self.rows = []

    def add(self, target, most, values, unit="", digits=2, least=False):
        """A target for the median of the values: at most `most`, or with `least` at least that."""
        middle = statistics.median(values)
        met = middle >= most if least else middle <= most
        text = f"{middle:,.{digits}f}{unit}"
        if len(values) > 1:
            text += f" ({min(values):,.{digits}f} to {max(values):,.{digits}f})"
        self.rows.append((f"{target}: at {'least' if least else 'most'} {most:,g}{unit}", text, "met" if met else "missed"))
        print("->", *self.rows[-1], file=sys.stderr, flush=True)

    def end_to_end(self, part, lines):
        return getattr(end_to_end, part)(
            settings(binary=self.binary, minimal=str(BENCH / "minimal_client"), lines=lines, large=1_000_000,
                     rounds=self.options.rounds), self.folder)

    def scaling(self, part, **values):
        folder = os.path.join(self.folder, "scaling")
        os.makedirs(folder, exist_ok=True)
        return getattr(scaling.Bench(settings(binary=self.binary, **values), folder), part)()

    def requests(self):
        found = self.end_to_end("unstreamed", 100_000)
        self.add("CPU time per request, not streamed, as times wrk", 1.25, ratios(found["sluice"], found["wrk"]))
        # What a program would cost that only does the work of wrk and these parts.
        parts = self.parts_of_a_request()
        both = (min(found["wrk"]) + sum(parts.values())) / min(found["wrk"])
        self.rows.append(("wrk and the parts of a request that it does not do, each measured alone, as times wrk",
                          f"{both:.2f}: wrk {min(found['wrk']):.1f} µs, "
                          + ", ".join(f"{name} {time:.1f} µs" for name, time in parts.items()), ""))
        found = self.end_to_end("tls", 100_000)
        self.add("the same over TLS", 1.4, ratios(found["sluice"], found["wrk"]))

    def parts_of_a_request(self):
        """The CPU time of each part in µs, from micro benchmarks that repeat it many times."""
        found = {name: statistics.median(values) for name, values in self.micro(
            "read_job/prompt_bytes:100$|one_attempt_on_file/0$|whole_reply/content_bytes:100$|write_results/durability:1"
        ).items()}
        name_of = {"reading and checking the line twice": ("read_job/prompt_bytes:100", 2),
                   "the shared limit": ("one_attempt_on_file/0", 1),
                   "checking and reading the reply": ("whole_reply/content_bytes:100", 1),
                   "recording the attempt and writing the result": ("write_results/durability:1/real_time", 1)}
        return {part: times * found[name] for part, (name, times) in name_of.items()}

    def micro(self, chosen):
        """The CPU time per item in µs of each repetition of the micro benchmarks."""
        found = {}
        for one in self.micro_runs(chosen):
            unit = {"ns": 1e-3, "us": 1, "ms": 1e3}[one["time_unit"]]
            clock = one["real_time"] if one["name"].endswith("/real_time") else one["cpu_time"]
            items = one["items_per_second"] * clock * unit / 1e6 if "items_per_second" in one else 1
            found.setdefault(one["name"], []).append(one["cpu_time"] * unit / items)
        return found

    def micro_runs(self, chosen):
        out = subprocess.run([BENCH / "sluice_bench", f"--benchmark_filter={chosen}", "--benchmark_format=json",
                              "--benchmark_repetitions=5"], stdout=subprocess.PIPE, check=True).stdout
        return [one for one in json.loads(out)["benchmarks"] if one["run_type"] == "iteration"]

    def peers(self):
        for streamed, goals in ((False, {"aiohttp script": 25, "openai (Python)": 40, "openai (Node)": 40}),
                                (True, {"openai (Python)": 30, "openai (Node)": 30})):
            words = ["--binary", self.binary, "--requests", "10000", "--slow-requests", "300" if streamed else "1000",
                     "--rounds", str(min(self.options.rounds, 3)), "--only", ",".join(goals)]
            costs, _ = compare.compare(compare.arguments(words + (["--streamed"] if streamed else [])))
            for name, goal in goals.items():
                self.add(f"CPU time per request of {name}{', streamed' if streamed else ''}, as times sluice", goal,
                         ratios(costs[name], costs["sluice"]), digits=0, least=True)

    def chunks(self):
        found = self.end_to_end("streamed", 20_000)
        self.add("CPU time per chunk, replies of 87 chunks", 1.5, found["sluice"], " µs")
        self.add("the same, as times a client that only splits lines", 1.25,
                 ratios(found["sluice"], found["a client that only splits lines"]))

    def calls(self):
        """System calls for one request: the difference of two runs."""
        counts = []
        with end_to_end.Simulator(self.binary, 20) as relay:
            for lines in (1_000, 11_000):
                job = os.path.join(self.folder, f"calls-{lines}.jsonl")
                end_to_end.write_job(job, lines, 20)
                counts.append(self.counted(end_to_end.run_command(self.binary, job, relay.url, f"{self.folder}/calls",
                                                                  "--no-stream")))
        if None in counts:
            self.rows.append(("system calls per request: at most 5", "not measured: perf may count only as root", ""))
            return
        every, looks = ((many - few) / 10_000 for few, many in zip(*counts))
        self.add("system calls per request", 5, [every])
        self.add("of these, locks and looks at files", 0.1, [looks], digits=3)

    def counted(self, command):
        """The number of all system calls, and of those that lock a file or look at one. None if perf is not allowed to
        count them."""
        looks = ("fcntl", "newfstatat", "statx", "flock")
        events = ["raw_syscalls:sys_enter", *(f"syscalls:sys_enter_{name}" for name in looks)]
        done = subprocess.run(["perf", "stat", "-x,", "-e", ",".join(events), *command], stderr=subprocess.PIPE,
                              text=True, env={**os.environ, "OPENAI_API_KEY": "bench"})
        if done.returncode != 0:
            print(done.stderr, file=sys.stderr)
            return None
        found = {row[2]: int(row[0]) for row in (line.split(",") for line in done.stderr.splitlines())
                 if len(row) > 2 and row[0].isdigit()}
        return found[events[0]], sum(found.get(name, 0) for name in events[1:])

    def threads(self):
        found = self.end_to_end("threads", 30_000)
        self.add("CPU time per request with two threads, as times one thread", 1.15, found["cpu"])
        # Each thread needs a core, and the server, which costs about as much as a thread, too.
        if os.cpu_count() >= 4:
            self.add("requests per second with two threads, as times one thread", 1.7, found["speed"], least=True)
        else:
            self.rows.append(("requests per second with two threads, as times one thread: at least 1.7",
                              "not measured: it needs four cores", ""))

    def streams(self):
        found = self.scaling("streams", streams="100,1000,5000,10000")
        self.add("memory for each stream in flight", 16, [found[10_000][1]], " KB", 1)
        self.add("memory with 10,000 streams in flight", 250, [found[10_000][0]], " MB", 0)

    def memory(self):
        self.add("memory for a job of a million lines", 40, [self.end_to_end("memory", 0)], " MB", 1)

    def resume(self):
        found = [self.scaling("resume", lines=200_000) for _ in range(3)]
        self.add("resume over a finished job, 200,000 lines", 1000, [one[0] for one in found], " MB/s", 0, least=True)
        self.add("the same, memory for each line", 32, [one[1] for one in found], " bytes", 0)

    def start(self):
        self.add("from the start of the program to its first request", 15, self.scaling("start"), " ms", 1)

    def reading(self):
        runs = self.micro_runs("read_job")
        for size in (4000, 100):
            speeds = [one["bytes_per_second"] / MEGABYTE for one in runs
                      if one["name"] == f"read_job/prompt_bytes:{size}"]
            self.add(f"reading and checking a job with prompts of {size:,} bytes, one thread", 1000, speeds, " MB/s", 0,
                     least=True)

    def durability(self):
        # A tenth of the lines for each run, so that it takes seconds; many rounds, because 3 % is little.
        found = self.scaling("durability", lines=2_000_000, rounds=3 * self.options.rounds)
        # The ratios of single rounds vary by much more than 3 %.
        middle = {how: statistics.median(speeds) for how, speeds in found.items()}
        self.add("requests per second with a sync each second, as times without syncs, medians of all rounds", 0.97,
                 [middle["second"] / middle["none"]], least=True)
        self.add("with a sync for each result, as times a sync each second", 0.333,
                 ratios(found["each"], found["second"]), least=True)


PARTS = ("requests", "peers", "chunks", "calls", "threads", "streams", "memory", "resume", "start", "reading",
         "durability")


def prepare(options, parts):
    run = lambda *command: subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr)
    run(".ci/packages", "build", "bench")
    run("cmake", "--preset", "release", "-DSLUICE_TESTS=OFF", "-DSLUICE_BENCH=ON")
    own = ["sluice_program"] if Path(options.binary).resolve() == ROOT / "build/release/sluice" else []
    run("cmake", "--build", "--preset", "release", "--target", *own, "sluice_bench", "minimal_client")
    if "peers" in parts:
        compare.install()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=str(ROOT / "build/release/sluice"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(PARTS))
    options = parser.parse_args()
    parts = options.only.split(",")
    if unknown := set(parts) - set(PARTS):
        raise SystemExit(f"there is no part {', '.join(sorted(unknown))}; the parts are {', '.join(PARTS)}")
    prepare(options, parts)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        targets = Targets(options, folder)
        for part in PARTS:
            if part in parts:
                getattr(targets, part)()
    print(f"\n{time.strftime('%Y-%m-%d')}, {platform.machine()}, {os.cpu_count()} cores, load before {load:.1f}; median "
          "(lowest to highest)\n")
    print("| target | measured | |\n|---|---|---|")
    for row in targets.rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
