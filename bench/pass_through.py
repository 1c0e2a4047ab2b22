#!/usr/bin/env python3
"""Measures what `sluice serve` adds to an interactive call, compared with a direct call and with nginx as a proxy.

The relay is an nginx that answers every call with the same completion. All ways are measured in turn, round by round,
on one machine: the median latency of one client that calls without a pause, and the CPU time of the proxy per request
under 32 clients. bench/minimal_proxy.cpp shows in the same rounds what the least work of a proxy on the same library
(Asio) costs. Then the script opens 1,000 streams that send nothing more, and reads the memory of the server. Compare
ratios: absolute times differ between machines. Needs wrk and nginx.

    bench/pass_through.py [--binary build/release/sluice ...] [--minimal build/test/bench/minimal_proxy] [--rounds 5]
                          [--seconds 2] [--streams 1000]

With several binaries, all of them run in the same rounds, and the first one opens the streams.
"""
import argparse
import json
import os
import pathlib
import platform
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/e2e"))
from ports import free_port  # noqa: E402

BODY = json.dumps({"model": "gpt-4o-mini", "max_tokens": 20,
                   "messages": [{"role": "user", "content": "Say hello, please, in a sentence of some length."}]})
REPLY = json.dumps({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini",
                    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello! " * 10},
                                 "finish_reason": "stop"}],
                    "usage": {"prompt_tokens": 18, "completion_tokens": 20, "total_tokens": 38}})
COMMON = """daemon off; worker_processes 1; error_log stderr crit; pid {folder}/{name}.pid;
events {{ worker_connections 4096; }}
http {{ access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder}; keepalive_requests 100000000; {http} }}
"""
RELAY = """server {{ listen 127.0.0.1:{port} reuseport; default_type application/json;
  location / {{ return 200 '{reply}'; }} }}"""
PROXY = """upstream relay {{ server 127.0.0.1:{relay}; keepalive 64; keepalive_requests 100000000; }}
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://relay; proxy_http_version 1.1;
    proxy_set_header Connection ""; proxy_buffering off; proxy_request_buffering off; }} }}"""


def wait_for(port):
    for _ in range(500):
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    sys.exit(f"nothing listens on port {port}")


def nginx(folder, name, http):
    path = folder / f"{name}.conf"
    path.write_text(COMMON.format(folder=folder, name=name, http=http))
    return subprocess.Popen(["nginx", "-c", str(path), "-p", str(folder)], stderr=subprocess.DEVNULL)


def processes_of(process):
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [process.pid, *map(int, children)]


def cpu_seconds(process):
    """The CPU seconds of the process and its workers, counted by the scheduler in nanoseconds."""
    tasks = [task for pid in processes_of(process) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()]
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def resident_mib(process):
    text = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", text)[1]) / 1024


def wrk(url, script, clients, seconds):
    """The number of requests, and the median latency in microseconds."""
    out = subprocess.run(["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "-s", str(script), url], capture_output=True,
                         text=True, check=True).stdout
    found = re.search(r"RESULT (\d+) (\d+) (\d+)", out)
    if int(found[3]):
        sys.exit(f"{url}: {found[3]} calls failed:\n{out}")
    return int(found[1]), int(found[2])


def open_streams(port, count):
    body = json.dumps({"model": "gpt-4o-mini", "stream": True, "max_tokens": 100,
                       "messages": [{"role": "user", "content": "hi"}]})
    head = (f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}").encode()
    clients = []
    for _ in range(count):
        one = socket.create_connection(("127.0.0.1", port), timeout=30)
        one.sendall(head)
        clients.append(one)
    for one in clients:
        if b" 200 " not in one.recv(4096):
            sys.exit("a stream was refused")
    return clients


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", nargs="+", default=["build/release/sluice"])
    parser.add_argument("--minimal", default="build/test/bench/minimal_proxy")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--streams", type=int, default=1000)
    options = parser.parse_args()
    for program in ("wrk", "nginx"):
        if not shutil.which(program):
            sys.exit(f"{program} is not installed")
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-bench-"))
    script = folder / "call.lua"
    script.write_text(f"""
wrk.method = "POST"; wrk.body = [[{BODY}]]; wrk.headers["Content-Type"] = "application/json"
function done(summary, latency, requests)
  local e = summary.errors
  print(string.format("RESULT %d %d %d", summary.requests, latency:percentile(50),
                      e.connect + e.read + e.write + e.status + e.timeout))
end""")
    environment = {**os.environ, "OPENAI_API_KEY": "bench", "XDG_STATE_HOME": str(folder)}
    relay_port, proxy_port, stream_port, minimal_port = (free_port() for _ in range(4))
    started = []

    def serve(binary, port, base_url, *flags):
        process = subprocess.Popen(
            [binary, "serve", "--listen", f"127.0.0.1:{port}", "--data", str(folder / f"data{port}"), "--rpm",
             "0", "--concurrency", "2048", "-q", "--base-url", base_url, *flags], env=environment,
            stderr=subprocess.DEVNULL)
        started.append(process)
        wait_for(port)
        return process

    try:
        started.append(nginx(folder, "relay", RELAY.format(port=relay_port, reply=REPLY)))
        proxy = nginx(folder, "proxy", PROXY.format(port=proxy_port, relay=relay_port))
        started.append(proxy)
        wait_for(relay_port)
        wait_for(proxy_port)
        proxies = {"nginx": proxy}
        ways = {"direct": relay_port, "nginx": proxy_port}
        for binary in options.binary:
            name = "sluice" if len(options.binary) == 1 else binary
            ways[name] = free_port()
            proxies[name] = serve(binary, ways[name], f"http://127.0.0.1:{relay_port}/v1")
        if os.access(options.minimal, os.X_OK):
            minimal = subprocess.Popen([options.minimal, "--port", str(minimal_port), "--relay", str(relay_port)])
            started.append(minimal)
            wait_for(minimal_port)
            proxies["minimal"] = minimal
            ways["minimal"] = minimal_port
        urls = {name: f"http://127.0.0.1:{port}/v1/chat/completions" for name, port in ways.items()}
        latency = {name: [] for name in ways}
        cpu = {name: [] for name in proxies}
        for url in urls.values():
            wrk(url, script, 8, 1)
        for _ in range(options.rounds):
            for name, url in urls.items():
                latency[name].append(wrk(url, script, 1, options.seconds)[1])
            for name, process in proxies.items():
                before = cpu_seconds(process)
                requests, _ = wrk(urls[name], script, 32, options.seconds)
                cpu[name].append((cpu_seconds(process) - before) / requests * 1e6)
        print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs, {options.rounds} rounds")
        median = {name: statistics.median(values) for name, values in latency.items()}
        for name, value in median.items():
            print(f"{name}: {value:.0f} us at the median ({min(latency[name])} to {max(latency[name])})")
        added = {name: median[name] - median["direct"] for name in cpu}
        for name, value in added.items():
            ratios = f"{value / added['nginx']:.2f} times nginx, whole call {median[name] / median['nginx']:.2f} times"
            print(f"added by {name}: {value:.0f} us ({ratios})")
        for name, values in cpu.items():
            at_median = statistics.median(own / theirs for own, theirs in zip(values, cpu["nginx"]))
            at_least = min(values) / min(cpu["nginx"])
            print(f"CPU per request: {name} {statistics.median(values):.1f} us at the median ({min(values):.1f} to "
                  f"{max(values):.1f}), {at_median:.2f} times nginx, {at_least:.2f} times by the minima")
        started.append(subprocess.Popen([options.binary[0], "simulate", "--port", str(stream_port), "--ttft", "0",
                                         "--itl", "600s", "--rpm", "0"], stderr=subprocess.DEVNULL))
        wait_for(stream_port)
        idle_port = free_port()
        idle = serve(options.binary[0], idle_port, f"http://127.0.0.1:{stream_port}/v1")
        empty = resident_mib(idle)
        clients = open_streams(idle_port, options.streams)
        time.sleep(1)
        full = resident_mib(idle)
        print(f"{options.streams} idle streams: {full - empty:.1f} MiB ({empty:.1f} before, {full:.1f} MiB in all)")
        for one in clients:
            one.close()
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
