#!/usr/bin/env python3
"""Sends the same job to the same server with sluice and with other clients, and compares their CPU time.

Installs what is missing into build/peers: Debian packages, npm packages, and PyPI packages in a virtual environment.
Then the clients run one after the other, in several rounds, against one simulated relay that answers at once. For each
client it prints the CPU time (user and system) of its process for one request, the ratio to that of sluice in the same
round (median, and the smallest and largest), and the requests per second. The cost to start a client, measured by a run
with one request, is not counted. wrk, hey and h2load send one body again and again, and keep no reply; all others read
the job, parse every reply, and write a line for it.

    bench/peers/compare.py [--binary build/release/sluice] [--requests 20000] [--slow-requests 2000] [--rounds 5]
                           [--in-flight 64] [--only wrk,undici] [--streamed] [--markdown] [--no-install]
"""
import argparse
import json
import os
import platform
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = Path(__file__).resolve().parent / "clients"
HOME = ROOT / "build" / "peers"
PYTHON = HOME / "venv" / "bin" / "python"
DEBIAN = {"wrk": "wrk", "hey": "hey", "h2load": "nghttp2-client", "curl": "curl", "node": "nodejs", "npm": "npm"}
NODE_PACKAGES = ["undici", "openai"]
PYTHON_PACKAGES = {"aiohttp": "aiohttp", "openai": "openai", "litellm": "litellm", "async_batch_llm": "async-batch-llm"}
PROMPT = "Say hello to number {}, please, in a sentence of some length."


def install():
    missing = [package for program, package in DEBIAN.items() if not shutil.which(program)]
    if missing:
        run_quietly(*([] if os.geteuid() == 0 else ["sudo"]), "apt-get", "install", "-y", "-qq", *missing)
    HOME.mkdir(parents=True, exist_ok=True)
    if not all((HOME / "node_modules" / package).is_dir() for package in NODE_PACKAGES):
        run_quietly("npm", "install", "--silent", "--prefix", HOME, *NODE_PACKAGES)
    if not PYTHON.exists():
        run_quietly(sys.executable, "-m", "venv", HOME / "venv")
    test = "import importlib.util as u, sys; sys.exit(any(u.find_spec(n) is None for n in sys.argv[1:]))"
    if subprocess.run([PYTHON, "-c", test, *PYTHON_PACKAGES]).returncode != 0:
        run_quietly(PYTHON, "-m", "pip", "install", "-q", *PYTHON_PACKAGES.values())


def run_quietly(*command):
    print("installing:", *command, file=sys.stderr)
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)


def body(number, options):
    streamed = {"stream": True, "stream_options": {"include_usage": True}} if options.streamed else {}
    return {"model": "gpt-4o-mini", "max_tokens": options.tokens,
            "messages": [{"role": "user", "content": PROMPT.format(number)}], **streamed}


class Job:
    """The same requests in the forms that the clients read."""

    def __init__(self, folder, count, url, options):
        self.count = count
        self.url = url
        self.out = folder / "out"
        self.lines = folder / f"{count}.jsonl"
        with self.lines.open("w") as job:
            for i in range(count):
                line = {"custom_id": f"r{i}", "method": "POST", "url": "/v1/chat/completions", "body": body(i, options)}
                job.write(json.dumps(line) + "\n")
        self.body = folder / "body.json"
        self.body.write_text(json.dumps(body(77, options)))
        self.wrk = folder / "post.lua"
        self.wrk.write_text('wrk.method="POST"\nwrk.headers["Content-Type"]="application/json"\n'
                            f'wrk.headers["Authorization"]="Bearer bench"\nwrk.body=\'{self.body.read_text()}\'\n')
        self.curl = folder / f"{count}.curl"

    def write_curl(self, options):
        """Writes a config with one transfer per request. curl writes each reply to its own file, without parsing it."""
        replies = self.out / "replies"
        shutil.rmtree(replies, ignore_errors=True)
        replies.mkdir(parents=True)
        with self.curl.open("w") as config:
            for i in range(self.count):
                text = json.dumps(json.dumps(body(i, options)))
                config.write(f'{"next" if i else ""}\nurl = "{self.url}/chat/completions"\nsilent\n'
                             'header = "Content-Type: application/json"\nheader = "Authorization: Bearer bench"\n'
                             f'data = {text}\noutput = "{replies}/{i}"\n')

    def clear(self):
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir(parents=True)


def printed(text):
    return int(text.split()[-1])


def results(job):
    return sum(1 for _ in (job.out / f"{job.count}.output.jsonl").open())


# Each client: a command, and how to count the requests that succeeded from its output.
def clients(options):
    n = str(options.in_flight)
    whole = lambda job: str(-(-job.count // options.in_flight) * options.in_flight)  # hey and h2load round down
    post = lambda job: [job.url + "/chat/completions"]
    words = lambda name, job: [str(CLIENTS / name), job.url, str(job.lines), str(job.out / "lines"), n]
    script = lambda name: (lambda job: [str(PYTHON), *words(name, job)])
    node = lambda name: (lambda job: ["node", *words(name, job)])
    headers = ["-H", "Authorization: Bearer bench"]
    sluice = ([] if options.streamed else ["--no-stream"])
    return {
        "sluice": (lambda job: [options.binary, "run", str(job.lines), "--base-url", job.url, "--rpm", "0",
                                "--concurrency", n, "--output-dir", str(job.out), "-q", *sluice],
                   lambda text, job: results(job)),
        "wrk": (lambda job: ["wrk", "-t1", f"-c{n}", f"-d{options.seconds}s", "-s", str(job.wrk), *post(job)],
                lambda text, job: int(re.search(r"(\d+) requests in", text)[1])),
        "hey": (lambda job: ["hey", "-n", whole(job), "-c", n, "-m", "POST", "-T", "application/json",
                             "-D", str(job.body), *headers, *post(job)],
                lambda text, job: int(re.search(r"\[200\]\s+(\d+) responses", text)[1])),
        "h2load": (lambda job: ["h2load", "--h1", "-n", whole(job), "-c", n, "-d", str(job.body), "-H",
                                "content-type: application/json", "-H", "authorization: Bearer bench", *post(job)],
                   lambda text, job: int(re.search(r"(\d+) succeeded", text)[1])),
        "undici": (node("undici.mjs"), lambda text, job: printed(text)),
        "openai (Node)": (node("openai_sdk.mjs"), lambda text, job: printed(text)),
        "openai (Python)": (script("openai_sdk.py"), lambda text, job: printed(text)),
        "aiohttp script": (script("aiohttp_script.py"), lambda text, job: printed(text)),
        "litellm": (script("litellm_batch.py"), lambda text, job: printed(text)),
        "async-batch-llm": (script("async_batch_llm_script.py"), lambda text, job: printed(text)),
        "curl --parallel": (lambda job: ["curl", "--parallel", "--parallel-max", n, "--parallel-immediate", "-K",
                                         str(job.curl)],
                            lambda text, job: sum(1 for _ in (job.out / "replies").iterdir())),
    }


SLOW = {"openai (Node)", "openai (Python)", "aiohttp script", "litellm", "async-batch-llm", "curl --parallel"}
WHOLE_ONLY = {"hey", "h2load", "undici", "aiohttp script", "litellm", "async-batch-llm", "curl --parallel"}


def spent(command):
    """CPU time and wall time of one command, and its output."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True,
                          env={**os.environ, "OPENAI_API_KEY": "bench", "PEER_MODULES": str(HOME / "node_modules"),
                               "LITELLM_LOCAL_MODEL_COST_MAP": "True"})
    wall = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall, done.stdout


def prepare(name, job, options):
    job.clear()
    if name == "curl --parallel":
        job.write_curl(options)


def start_cost(name, command, job, options):
    """The CPU time to start a client and to send one request. The first start is not counted: it fills the caches."""
    if name in ("wrk", "hey", "h2load"):
        return 0
    costs = []
    for _ in range(4):
        prepare(name, job, options)
        costs.append(spent(command(job))[0])
    return statistics.median(costs[1:])


def measure(name, client, job, start, options):
    command, count = client
    prepare(name, job, options)
    cpu, wall, text = spent(command(job))
    good = count(text, job)
    if name != "wrk" and good < job.count:
        raise SystemExit(f"{name}: only {good} of {job.count} requests succeeded\n{text}")
    return max(cpu - start, 0) / good * 1e6, good / wall


def compare(options):
    """Runs the clients in turn. Returns for each client the CPU time per request in µs, and the requests per second, of
    each round."""
    chosen = {name: client for name, client in clients(options).items()
              if not (options.streamed and name in WHOLE_ONLY)
              and (not options.only or name in options.only.split(",") or name == "sluice")}
    costs, rates = ({name: [] for name in chosen} for _ in range(2))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = subprocess.Popen([options.binary, "simulate", "--port", "0", "--ttft", "0", "--itl", "0", "--rpm",
                                   "0", "--tokens", str(options.tokens)], stderr=subprocess.PIPE, text=True)
        try:
            url = re.search(r"OPENAI_BASE_URL=(\S+)", server.stderr.readline())[1]
            jobs = {count: Job(folder, count, url, options) for count in (1, options.slow_requests, options.requests)}
            start = {name: start_cost(name, command, jobs[1], options) for name, (command, _) in chosen.items()}
            for _ in range(options.rounds):
                for name, client in chosen.items():
                    job = jobs[options.slow_requests if name in SLOW else options.requests]
                    cost, rate = measure(name, client, job, start[name], options)
                    costs[name].append(cost)
                    rates[name].append(rate)
                    print(f"{name:16} {cost:9.1f} us {rate:10,.0f}/s", file=sys.stderr, flush=True)
        finally:
            server.terminate()
            server.wait()
    return costs, rates


def arguments(words=None):
    """The options; of the program itself without `words`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=str(ROOT / "build/release/sluice"))
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--slow-requests", type=int, default=2_000, help="for clients that need more than 100 us")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="that wrk runs")
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=0, help="of each reply; 0: 20, or 100 with --streamed")
    parser.add_argument("--streamed", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--markdown", action="store_true", help="prints the table for the README")
    parser.add_argument("--no-install", action="store_true")
    options = parser.parse_args(words)
    options.tokens = options.tokens or (100 if options.streamed else 20)
    return options


def main():
    options = arguments()
    if not options.no_install:
        install()
    load = os.getloadavg()[0]
    costs, rates = compare(options)
    print(f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {os.cpu_count()} cores, load before {load:.1f}; "
          f"{options.rounds} rounds, {options.in_flight} in flight, replies of {options.tokens} tokens"
          f"{', streamed' if options.streamed else ''}\n")
    rows = [("client", "CPU time per request", "ratio to sluice", "lowest to highest", "requests/s")]
    for name in costs:
        ratios = [theirs / own for theirs, own in zip(costs[name], costs["sluice"])]
        rows.append((name, f"{statistics.median(costs[name]):,.1f} µs", f"{statistics.median(ratios):.2f}",
                     f"{min(ratios):.2f} to {max(ratios):.2f}", f"{statistics.median(rates[name]):,.0f}"))
    for i, row in enumerate(rows):
        if options.markdown:
            print("| " + " | ".join(row) + " |" + ("\n|---|---|---|---|---|" if i == 0 else ""))
        else:
            print(f"{row[0]:18}{row[1]:>22}{row[2]:>18}{row[3]:>20}{row[4]:>14}")


if __name__ == "__main__":
    main()
