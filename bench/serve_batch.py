#!/usr/bin/env python3
"""Runs one batch of any size through `sluice serve`, over `sluice simulate`, and prints its time, CPU time and memory.

Uploads the file from disk, creates the batch, polls it, and reads the output as a stream. Every request must have
exactly one line in it, and the relay's ledger must have each request once. Ten million lines need about 20 GB of free
space in --folder. Absolute times differ between machines: compare the columns of one table.

    bench/serve_batch.py [--binary build/release/sluice] [--lines 10000 100000] [--folder DIR]
"""
import argparse
import http.client
import json
import os
import pathlib
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time

BOUNDARY = "a-boundary-that-no-line-holds"
BLOCK = 1 << 20


def start(command, said, **more):
    """Starts a program and waits for a line that matches `said`. Returns the process and the port in that line."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, **more)
    told = ""
    for line in process.stderr:
        told += line
        found = re.search(said, line)
        if found:
            os.set_blocking(process.stderr.fileno(), False)
            return process, int(found[1])
    sys.exit(f"{command[1]} ended with {process.wait()}: {told}")


def peak_mib(process):
    text = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", text)[1]) / 1024


def cpu_seconds(process):
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def write_job(path, lines):
    with path.open("w") as job:
        for i in range(lines):
            job.write(f'{{"custom_id":"r{i}","method":"POST","url":"/v1/chat/completions","body":{{"model":"gpt-4o-mini",'
                      f'"max_tokens":5,"messages":[{{"role":"user","content":"Is {i} a prime number?"}}]}}}}\n')


def call(port, method, path, body=None, headers=None):
    to = http.client.HTTPConnection("127.0.0.1", port, timeout=3600)
    to.request(method, path, body, headers or {})
    reply = to.getresponse()
    text = reply.read()
    to.close()
    if reply.status != 200:
        sys.exit(f"{method} {path}: {reply.status} {text.decode(errors='replace')}")
    return json.loads(text)


def upload(port, path):
    head = (f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--{BOUNDARY}\r\n'
            f'Content-Disposition: form-data; name="file"; filename="job.jsonl"\r\n'
            f"Content-Type: application/octet-stream\r\n\r\n").encode()
    tail = f"\r\n--{BOUNDARY}--\r\n".encode()

    def form():
        yield head
        with path.open("rb") as job:
            while block := job.read(BLOCK):
                yield block
        yield tail

    length = len(head) + path.stat().st_size + len(tail)
    return call(port, "POST", "/v1/files", form(), {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
                                                    "Content-Length": str(length)})


def check_output(port, file, lines):
    """Checks that every request has one line."""
    seen = bytearray(lines)
    to = http.client.HTTPConnection("127.0.0.1", port, timeout=3600)
    to.request("GET", f"/v1/files/{file}/content")
    size = 0
    for line in to.getresponse():
        size += len(line)
        found = re.search(rb'"custom_id": ?"r(\d+)"', line)
        number = int(found[1])
        if seen[number]:
            sys.exit(f"r{number} has two lines")
        seen[number] = 1
    if seen.count(1) != lines:
        sys.exit(f"{seen.count(0)} requests have no line")
    return size


def run(options, lines, folder):
    environment = {**os.environ, "OPENAI_API_KEY": "sk-bench", "HOME": str(folder), "XDG_STATE_HOME": str(folder / "s")}
    relay, relay_port = start([options.binary, "simulate", "--port", "0", "--rpm", "0", "--ttft", "0", "--itl", "0",
                               "--tokens", "5"], r"127\.0\.0\.1:(\d+)", env=environment)
    server, port = start([options.binary, "serve", "--listen", "127.0.0.1:0", "--data", str(folder / "data"),
                          "--base-url", f"http://127.0.0.1:{relay_port}", "--rpm", "0", "--concurrency", "256",
                          "--max-batch-lines", str(lines), "--max-batch-bytes", str(1 << 40), "--max-file-bytes", str(1 << 40)],
                         r"serving https?://[^ ]*:(\d+)/v1", env=environment, cwd=folder)
    try:
        job = folder / "job.jsonl"
        write_job(job, lines)
        size = job.stat().st_size
        row = {"lines": lines, "input_gb": size / 1e9}
        began = time.monotonic()
        file = upload(port, job)["id"]
        row["upload_s"] = time.monotonic() - began
        row["peak_after_upload_mib"] = peak_mib(server)
        job.unlink()
        began = time.monotonic()
        batch = call(port, "POST", "/v1/batches",
                     json.dumps({"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"}),
                     {"Content-Type": "application/json"})
        row["create_s"] = time.monotonic() - began
        began = time.monotonic()
        while batch["status"] not in ("completed", "failed", "expired", "cancelled"):
            time.sleep(0.2)
            batch = call(port, "GET", f"/v1/batches/{batch['id']}")
        row["run_s"] = time.monotonic() - began
        if batch["status"] != "completed" or batch["request_counts"]["completed"] != lines:
            sys.exit(f"the batch ended {batch['status']} with {batch['request_counts']}: {batch['errors']}")
        row["peak_mib"] = peak_mib(server)
        row["cpu_us_per_line"] = cpu_seconds(server) / lines * 1e6
        row["output_gb"] = check_output(port, batch["output_file_id"], lines) / 1e9
        ledger = call(relay_port, "GET", "/simulator/ledger")
        if ledger["attempts"] != lines:
            sys.exit(f"the relay saw {ledger['attempts']} attempts")
        row["cost"] = batch["sluice"]["cost_usd"]
        server.send_signal(signal.SIGTERM)
        if server.wait(60) != 0:
            sys.exit("the server did not stop well")
        return row
    finally:
        server.kill()
        relay.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default="build/release/sluice")
    parser.add_argument("--lines", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--folder", help="for the files of the run; default: a temporary one")
    options = parser.parse_args()
    options.binary = str(pathlib.Path(options.binary).resolve())
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}")
    print("| lines | input | upload | create | run | lines/s | CPU a line | peak after upload | peak | output |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for lines in options.lines:
        with tempfile.TemporaryDirectory(prefix="sluice-batch-", dir=options.folder) as folder:
            row = run(options, lines, pathlib.Path(folder))
        print(f"| {row['lines']:,} | {row['input_gb']:.2f} GB | {row['upload_s']:.1f} s | {row['create_s']:.1f} s "
              f"| {row['run_s']:.1f} s | {row['lines'] / row['run_s']:,.0f} | {row['cpu_us_per_line']:.0f} µs "
              f"| {row['peak_after_upload_mib']:.0f} MiB | {row['peak_mib']:.0f} MiB | {row['output_gb']:.2f} GB |",
              flush=True)


if __name__ == "__main__":
    main()
