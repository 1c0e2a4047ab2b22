#!/usr/bin/env python3
"""Measures whole runs against the built-in simulator on loopback, and compares them with wrk where possible.

Prints CPU time per request as a ratio to that of wrk in the same minute (over TLS, too, against an nginx that answers
at once), CPU time per streamed chunk, and the resident memory for a small and a large job, and compares two threads
with one. bench/minimal_client.cpp shows in the same rounds what the least work for a job costs. Compare ratios: absolute
times differ between machines.

    bench/end_to_end.py [--binary build/release/sluice] [--lines 100000] [--large 1000000] [--rounds 3]
                        [--only unstreamed|tls|streamed|threads|memory]
                        [--minimal build/release/bench/minimal_client]
"""
import argparse
import json
import operator
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

PROMPT = "Say hello to number {}, please, in a sentence of some length."


def body(number, tokens):
    return {"model": "gpt-4o-mini", "max_tokens": tokens,
            "messages": [{"role": "user", "content": PROMPT.format(number)}]}


def write_job(path, lines, tokens, streams=False):
    stream = {"stream": True, "stream_options": {"include_usage": True}} if streams else {}
    with open(path, "w") as job:
        for i in range(lines):
            line = {"custom_id": f"r{i}", "method": "POST", "url": "/v1/chat/completions",
                    "body": body(i, tokens) | stream}
            job.write(json.dumps(line) + "\n")


class Simulator:
    """A relay in its own process that answers at once."""

    def __init__(self, binary, tokens):
        self.process = subprocess.Popen(
            [binary, "simulate", "--port", "0", "--ttft", "0", "--itl", "0", "--rpm", "0",
             "--tokens", str(tokens)], stderr=subprocess.PIPE, text=True)
        self.url = re.search(r"OPENAI_BASE_URL=(\S+)", self.process.stderr.readline()).group(1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def measured(*commands):
    """Runs the commands at the same time. Returns their CPU time in seconds, the output of the first one, and the
    time until the last one has ended."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env={**os.environ, "OPENAI_API_KEY": "bench"}) for command in commands]
    outputs = []
    for command, process in zip(commands, running):
        out, err = process.communicate()
        if process.returncode != 0:
            raise SystemExit(f"{' '.join(command)} failed:\n{err}")
        outputs.append(out)
    seconds = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, outputs[0], seconds


def run_command(binary, job, url, out, *flags):
    shutil.rmtree(out, ignore_errors=True)
    return [binary, "run", job, "--base-url", url, "--rpm", "0", "--output-dir", out, "-q", *flags]


def peak_memory(command):
    """The peak resident memory of one command in MB. A small parent process of its own measures it."""
    script = ("import resource,subprocess,sys;"
              "subprocess.run(sys.argv[1:],check=True,stderr=subprocess.DEVNULL);"
              "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss/1024)")
    parent = subprocess.run(["python3", "-c", script, *command], capture_output=True, text=True,
                            check=True, env={**os.environ, "OPENAI_API_KEY": "bench"})
    return float(parent.stdout)


def minimal_cpu(options, folder, job, lines, url, *flags):
    """The CPU time of bench/minimal_client.cpp in µs per request, or None if it was not built or cannot do the job."""
    if not os.path.exists(options.minimal) or not url.startswith("http://"):
        return None
    port = re.search(r":(\d+)", url[5:]).group(1)
    cpu, out, _ = measured([options.minimal, job, "--port", port, "--output", os.path.join(folder, "minimal"), *flags])
    if not out.startswith(f"{lines} replies"):
        raise SystemExit(f"the minimal client got {out}")
    return cpu / lines * 1e6


def compare_with_wrk(name, options, folder, url):
    """Alternates wrk, sluice and the minimal client on the same server, and prints the CPU time of each per request.
    Returns the times of each, in µs."""
    job = os.path.join(folder, f"{name.replace(' ', '-')}.jsonl")
    write_job(job, options.lines, 20)
    script = os.path.join(folder, "post.lua")
    with open(script, "w") as lua:
        lua.write('wrk.method="POST"\nwrk.headers["Content-Type"]="application/json"\n'
                  'wrk.headers["Authorization"]="Bearer bench"\n'
                  f"wrk.body='{json.dumps(body(77, 20))}'\n")
    theirs, own, least = [], [], []
    for _ in range(options.rounds):
        cpu, out, _ = measured(["wrk", "-t1", "-c64", "-d4s", "-s", script, url + "/chat/completions"])
        requests = int(re.search(r"(\d+) requests in", out).group(1))
        theirs.append(cpu / requests * 1e6)
        cpu, _, seconds = measured(run_command(options.binary, job, url, os.path.join(folder, "out"), "--no-stream"))
        own.append(cpu / options.lines * 1e6)
        minimal = minimal_cpu(options, folder, job, options.lines, url)
        if minimal:
            least.append(minimal)
        print(f"{name}: wrk {theirs[-1]:.1f} us, sluice {own[-1]:.1f} us of CPU per request, "
              f"ratio {own[-1] / theirs[-1]:.2f}; {options.lines / seconds:,.0f} requests/s"
              + (f"; minimal client {minimal:.1f} us, ratio to wrk {minimal / theirs[-1]:.2f}" if minimal else ""))
    # Other work on the machine only adds time, so the minimum of each is the best estimate.
    print(f"{name}: median ratio {statistics.median(map(operator.truediv, own, theirs)):.2f}, "
          f"ratio of the minima {min(own) / min(theirs):.2f}"
          + (f"; sluice to the minimal client {min(own) / min(least):.2f}" if least else ""))
    return {"wrk": theirs, "sluice": own, "minimal": least}


def unstreamed(options, folder):
    with Simulator(options.binary, 20) as relay:
        return compare_with_wrk("unstreamed", options, folder, relay.url)


def tls(options, folder):
    """Like unstreamed(), over TLS and without it: an nginx with a certificate of its own answers every call at once."""
    if not shutil.which("nginx"):
        print("tls: skipped, because nginx is not installed")
        return None
    certificate, key = os.path.join(folder, "relay.pem"), os.path.join(folder, "relay.key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "1", "-subj", "/CN=relay", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key,
                    "-out", certificate], check=True, stderr=subprocess.DEVNULL)
    with socket.create_server(("127.0.0.1", 0)) as free, socket.create_server(("127.0.0.1", 0)) as other:
        port, plain = free.getsockname()[1], other.getsockname()[1]
    reply = json.dumps({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini",
                        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello! " * 10},
                                     "finish_reason": "stop"}],
                        "usage": {"prompt_tokens": 18, "completion_tokens": 20, "total_tokens": 38}})
    settings = os.path.join(folder, "nginx.conf")
    temporary = " ".join(f"{kind}_temp_path {folder};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    with open(settings, "w") as file:
        file.write(f"""daemon off; worker_processes 1; error_log stderr crit; pid {folder}/nginx.pid;
events {{ worker_connections 1024; }}
http {{ access_log off; {temporary} keepalive_requests 100000000;
  server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {certificate}; ssl_certificate_key {key};
    default_type application/json; location / {{ return 200 '{reply}'; }} }}
  server {{ listen 127.0.0.1:{plain};
    default_type application/json; location / {{ return 200 '{reply}'; }} }} }}
""")
    server = subprocess.Popen(["nginx", "-c", settings, "-p", folder], stderr=subprocess.DEVNULL)
    try:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if server.poll() is not None:
                raise SystemExit("nginx does not start")
            time.sleep(0.02)
        os.environ["SSL_CERT_FILE"] = certificate
        secret = compare_with_wrk("tls", options, folder, f"https://127.0.0.1:{port}/v1")
        least = compare_with_wrk("the same without tls", options, folder, f"http://127.0.0.1:{plain}/v1")
        added = {name: min(secret[name]) - min(least[name]) for name in ("wrk", "sluice")}
        print(f"tls adds {added['wrk']:.1f} us to a request of wrk, and {added['sluice']:.1f} us to one of sluice (of the "
              "minima)")
        return secret
    finally:
        os.environ.pop("SSL_CERT_FILE", None)
        server.terminate()
        server.wait()


def streamed(options, folder):
    job = os.path.join(folder, "streamed.jsonl")
    lines = max(options.lines // 20, 100)
    write_job(job, lines, 100, streams=True)
    times = {"sluice": [], "minimal client": [], "a client that only splits lines": []}
    with Simulator(options.binary, 100) as relay:
        for _ in range(options.rounds):
            cpu, _, _ = measured(run_command(options.binary, job, relay.url,
                                             os.path.join(folder, "out")))
            chunks = 0
            with open(os.path.join(folder, "out", "streamed.output.jsonl")) as results:
                chunks = sum(json.loads(line)["sluice"]["usage"]["completion_tokens"]
                             for line in results)
            own = cpu / chunks * 1e6
            times["sluice"].append(own)
            text = f"streamed: {own:.2f} us of CPU per chunk ({chunks / lines:.0f} chunks per reply)"
            for name, *flags in (("minimal client", "--stream"), ("a client that only splits lines", "--stream", "--split")):
                least = minimal_cpu(options, folder, job, lines, relay.url, *flags)
                if least:
                    least *= lines / chunks
                    times[name].append(least)
                    text += f"; {name} {least:.2f} us, ratio {own / least:.2f}"
            print(text)
    return times


def threads(options, folder):
    """One thread and two, and two programs with half of the job each, in the same rounds. What two programs cost more
    than one comes from the machine, because they share only the limit. The server runs on the same machine, so the
    requests per second grow only if the machine has cores that are free: one for each thread, and the cores that the
    server uses."""
    job = os.path.join(folder, "threads.jsonl")
    write_job(job, options.lines, 20)
    halves = [os.path.join(folder, f"half-{number}.jsonl") for number in (1, 2)]
    with open(job) as whole:
        lines = whole.readlines()
    for half, part in zip(halves, (lines[::2], lines[1::2])):
        with open(half, "w") as file:
            file.writelines(part)
    cpu_ratios, speed_ratios, apart_ratios = [], [], []
    with Simulator(options.binary, 20) as relay:
        for _ in range(options.rounds):
            cpu, seconds = {}, {}
            for count in (1, 2):
                cpu[count], _, seconds[count] = measured(
                    run_command(options.binary, job, relay.url, os.path.join(folder, "out"), "--no-stream",
                                "--threads", str(count)))
            cpu_ratios.append(cpu[2] / cpu[1])
            speed_ratios.append(seconds[1] / seconds[2])
            apart, _, _ = measured(*(run_command(options.binary, half, relay.url, f"{half}.out", "--no-stream")
                                     for half in halves))
            apart_ratios.append(apart / cpu[1])
            print(f"threads: {cpu[1] / options.lines * 1e6:.1f} us of CPU per request with one, "
                  f"{cpu[2] / options.lines * 1e6:.1f} us with two, ratio {cpu_ratios[-1]:.2f}; "
                  f"two programs with half of the job each {apart / options.lines * 1e6:.1f} us, "
                  f"ratio {apart_ratios[-1]:.2f}; "
                  f"{options.lines / seconds[1]:,.0f} and {options.lines / seconds[2]:,.0f} requests/s, "
                  f"ratio {speed_ratios[-1]:.2f}")
    print(f"threads: median ratio of the CPU time {statistics.median(cpu_ratios):.2f} "
          f"(of two programs {statistics.median(apart_ratios):.2f}), "
          f"of the requests per second {statistics.median(speed_ratios):.2f}")
    return {"cpu": cpu_ratios, "speed": speed_ratios, "two programs": apart_ratios}


def memory(options, folder):
    sizes = {}
    with Simulator(options.binary, 5) as relay:
        for lines in (10_000, options.large):
            job = os.path.join(folder, f"{lines}.jsonl")
            write_job(job, lines, 5)
            sizes[lines] = peak_memory(run_command(options.binary, job, relay.url,
                                                   os.path.join(folder, "out"), "--no-stream"))
            print(f"memory: {lines:,} lines, 64 in flight: at most {sizes[lines]:.1f} MB resident")
    per_line = (sizes[options.large] - sizes[10_000]) * 1024 * 1024 / (options.large - 10_000)
    print(f"memory: {per_line:.1f} bytes for each additional line")
    return sizes[options.large]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default="build/release/sluice")
    parser.add_argument("--minimal", default="build/release/bench/minimal_client")
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--large", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["unstreamed", "tls", "streamed", "threads", "memory"])
    options = parser.parse_args()
    print(f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {os.cpu_count()} cores, "
          f"load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        for part in (unstreamed, tls, streamed, threads, memory):
            if options.only in (None, part.__name__):
                part(options, folder)


if __name__ == "__main__":
    main()
