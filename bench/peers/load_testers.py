#!/usr/bin/env python3
"""Compares what `sluice bench`, guidellm and aiperf measure at one endpoint, and what each of them costs.

Installs guidellm and aiperf into virtual environments in build/peers (about 7 GB, because guidellm needs PyTorch). Then
the tools run one after the other, in several rounds, and send the same number of streamed chats, with the same number
of them in flight, to tests/e2e/timed_relay.py. This relay records when each request arrived and when it wrote each
piece. So a tool's figures are compared with those of the relay for the same requests: the first piece and the last byte
cannot be earlier than the relay wrote them, and should not be much later.

The CPU time is user and system time of the tool's processes for one request: the difference between a long and a short
run, divided by the difference of their requests. So the start of the tool is not in it.

    bench/peers/load_testers.py [--binary build/release/sluice] [--requests 400] [--in-flight 1,16] [--rounds 3]
                                [--ttft 0.1] [--itl 0.01] [--pieces 30] [--only guidellm,aiperf] [--no-install]
"""
import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "build" / "peers"
MODEL = "gpt-4o-mini"
PROMPT = "Say hello to number {}, please, in a sentence of some length."


def install(tools):
    for tool in tools:
        python = HOME / tool / "bin" / "python"
        if (HOME / tool / "bin" / tool).exists():
            continue
        print(f"installing {tool}", file=sys.stderr)
        HOME.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "venv", HOME / tool], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", tool], check=True, stdout=subprocess.DEVNULL)


class Relay:
    """timed_relay.py in its own process."""

    def __init__(self, options):
        command = [sys.executable, str(ROOT / "tests/e2e/timed_relay.py"), "--head", str(options.ttft / 2), "--ttft",
                   str(options.ttft), "--itl", str(options.itl), "--pieces", str(options.pieces)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.origin = f"http://127.0.0.1:{self.process.stdout.readline().split()[1]}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def truth(self):
        """The figures of all finished chats, by the times at which the relay read and wrote."""
        chats = json.load(urllib.request.urlopen(self.origin + "/truth"))
        ttft = [chat["pieces"][0][1][0] - chat["request"] for chat in chats]
        latency = [chat["end"][0] - chat["request"] for chat in chats]
        gaps = [(chat["pieces"][-1][1][0] - chat["pieces"][0][1][0]) / (len(chat["pieces"]) - 1) for chat in chats]
        lasted = max(chat["end"][0] for chat in chats) - min(chat["request"] for chat in chats)
        tokens = sum(piece[2] for chat in chats for piece in chat["pieces"])
        return len(chats), figures(len(chats) / lasted, ttft, latency, gaps, tokens / lasted)


def figures(rate, ttft, latency, gaps, tokens):
    """All times in ms; the lists are in seconds."""
    middle = lambda values: statistics.median(values) * 1000
    return {"requests/s": rate, "first piece p50": middle(ttft), "latency p50": middle(latency),
            "between tokens": statistics.fmean(gaps) * 1000, "tokens/s": tokens}


class Tools:
    """Each tool sends `count` chats with `in_flight` of them at a time, and returns the figures that it prints."""

    def __init__(self, options, folder, most):
        self.binary = options.binary
        self.folder = folder
        prompts = [PROMPT.format(i) for i in range(most)]
        lines = {"job": lambda text: {"custom_id": text, "method": "POST", "url": "/v1/chat/completions", "body": {
                     "model": MODEL, "messages": [{"role": "user", "content": text}]}},
                 "guidellm": lambda text: {"prompt": text}, "aiperf": lambda text: {"text": text}}
        for name, line in lines.items():
            self.path(name).write_text("".join(json.dumps(line(text)) + "\n" for text in prompts))
        # aiperf loads a tokenizer even if it takes the counts from the replies; this one knows no word.
        tokenizer = folder / "tokenizer"
        tokenizer.mkdir()
        model = {"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"}
        (tokenizer / "tokenizer.json").write_text(json.dumps(
            {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
             "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None, "model": model}))
        (tokenizer / "tokenizer_config.json").write_text(json.dumps(
            {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]"}))

    def path(self, name):
        return self.folder / f"{name}.jsonl"

    def sluice(self, origin, count, in_flight):
        load = json.loads(run(self.binary, "bench", self.path("job"), "--base-url", origin + "/v1", "--rpm", 0,
                              "--concurrency", in_flight, "--requests", count, "--json", "-q"))["loads"][0]
        return {"requests/s": load["requests_per_s"], "first piece p50": load["ttft_ms"]["p50"],
                "latency p50": load["latency_ms"]["p50"], "between tokens": load["inter_token_ms"]["mean"],
                "tokens/s": load["output_tokens_per_s"]}

    def guidellm(self, origin, count, in_flight):
        out = self.folder / "guidellm.json"
        backend = (f"kind=openai_http,target={origin},model={MODEL},api_key=bench,validate_backend=false,"
                   "request_format=/v1/chat/completions")
        run(HOME / "guidellm/bin/guidellm", "run", "--backend", backend, "--profile",
            f"kind=concurrent,streams={in_flight}", "--constraint", f"kind=max_requests,count={count}", "--data",
            f"kind=json_file,path={self.path('guidellm')}", "--output", f"kind=json,path={out}", "--disable-console")
        found = {name: value["successful"] for name, value in
                 json.loads(out.read_text())["benchmarks"][0]["metrics"].items()
                 if isinstance(value, dict) and isinstance(value.get("successful"), dict)}
        return {"requests/s": found["requests_per_second"]["mean"],
                "first piece p50": found["time_to_first_token_ms"]["median"],
                "latency p50": found["request_latency"]["median"] * 1000,
                "between tokens": found["inter_token_latency_ms"]["mean"],
                "tokens/s": found["output_tokens_per_second"]["mean"]}

    def aiperf(self, origin, count, in_flight):
        out = self.folder / "aiperf"
        shutil.rmtree(out, ignore_errors=True)
        run(HOME / "aiperf/bin/aiperf", "profile", "--model", MODEL, "--url", origin, "--endpoint-type", "chat",
            "--streaming", "--concurrency", in_flight, "--request-count", count, "--input-file", self.path("aiperf"),
            "--custom-dataset-type", "single_turn", "--tokenizer", self.folder / "tokenizer",
            "--use-server-token-count", "--api-key", "bench", "--artifact-dir", out, "--ui", "none")
        found = json.loads((out / "profile_export_aiperf.json").read_text())
        return {"requests/s": found["request_throughput"]["avg"], "first piece p50": found["time_to_first_token"]["p50"],
                "latency p50": found["request_latency"]["p50"], "between tokens": found["inter_token_latency"]["avg"],
                "tokens/s": found["output_token_throughput"]["avg"]}


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          env={**os.environ, "OPENAI_API_KEY": "bench"})
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def measure(tool, count, in_flight, options):
    """The tool's figures, the relay's figures for the same requests, and the CPU time of the tool in seconds."""
    with Relay(options) as relay:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        own = tool(relay.origin, count, in_flight)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seen, true = relay.truth()
    if seen < count:
        raise SystemExit(f"{tool.__name__} sent only {seen} of {count} requests")
    return own, true, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=str(ROOT / "build/release/sluice"))
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--in-flight", default="1,16")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ttft", type=float, default=0.1, help="seconds until the first piece")
    parser.add_argument("--itl", type=float, default=0.01, help="seconds between two pieces")
    parser.add_argument("--pieces", type=int, default=30, help="of each reply; at least 2")
    parser.add_argument("--only", default="guidellm,aiperf", help="tools to compare with")
    parser.add_argument("--no-install", action="store_true")
    options = parser.parse_args()
    if options.pieces < 2:
        raise SystemExit("--pieces must be at least 2, because the time between pieces is measured")
    names = ["sluice", *options.only.split(",")]
    if not options.no_install:
        install(names[1:])
    print(f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; "
          f"median of {options.rounds} rounds of {options.requests} requests; first piece after {options.ttft} s, "
          f"{options.pieces} pieces, {options.itl} s apart; each figure of a tool, and its ratio to that of the relay\n")
    rows = ["requests/s", "first piece p50", "latency p50", "between tokens", "tokens/s"]
    print("| in flight | tool | " + " | ".join(rows) + " | CPU time per request |\n|" + "---|" * (len(rows) + 3))
    with tempfile.TemporaryDirectory() as folder:
        sizes = {}
        for in_flight in map(int, options.in_flight.split(",")):
            # One request at a time takes long, so it is measured with fewer of them.
            many = max(options.requests if in_flight > 1 else options.requests // 8, 2 * in_flight, 20)
            sizes[in_flight] = max(many // 4, in_flight), many
        tools = Tools(options, Path(folder), max(many for _, many in sizes.values()))
        for in_flight, (few, many) in sizes.items():
            found = {name: [] for name in names}
            for _ in range(options.rounds):
                for name in names:
                    tool = getattr(tools, name)
                    start = measure(tool, few, in_flight, options)[2]
                    own, true, cpu = measure(tool, many, in_flight, options)
                    found[name].append((own, true, (cpu - start) / (many - few)))
            for name in names:
                cells = []
                for row in rows:
                    own = statistics.median(own[row] for own, _, _ in found[name])
                    cells.append(f"{own:,.2f}: {statistics.median(own[row] / true[row] for own, true, _ in found[name]):.3f}")
                cpu = statistics.median(one[2] for one in found[name]) * 1e6
                print(f"| {in_flight} | {name} | " + " | ".join(cells) + f" | {cpu:,.0f} µs |", flush=True)


if __name__ == "__main__":
    main()
