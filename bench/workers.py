#!/usr/bin/env python3
"""Measures `sluice work`: one job on 1, 2, 4 and 8 workers with one PostgreSQL and one simulated relay. All of them
run on this machine, without a limit.

Prints for each number of workers the requests per second, and the CPU time per request of the workers and of the
database. The relay and the workers share the cores with the database, so requests per second do not grow with the
workers here: compare the CPU times. The database syncs each commit, as in production.

With --database-core N, PostgreSQL runs only on core N, and everything else runs on the other cores. The table then
shows how much of core N PostgreSQL used. If this is near 100 %, the requests per second are the most that PostgreSQL
can serve with one core. --rpm shows how little PostgreSQL uses under a limit. --watch prints the growth of the tables
at the end.

With --store-only there is no relay, and bench/store_worker runs in place of `sluice work`. It makes the same calls to
the database, and gives each request the same reply itself, --latency milliseconds after its attempt was stored. So
PostgreSQL is the first limit. With --rpm, the requests are evenly spaced, and the workers ask for grants of the
shared limit.

    bench/workers.py [--binary build/release/sluice] [--lines 20000] [--workers 1 2 4 8] [--concurrency 64]
                     [--rpm 0] [--tokens 5] [--database-core N] [--watch] [--store-only [--latency 0]]
"""
import argparse
import contextlib
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/e2e"))
from postgres import Postgres  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")


def times_of(pid):
    """CPU seconds of a process, and of its children that have ended."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:13])) / TICK, sum(map(int, fields[13:15])) / TICK


def database_seconds(postmaster):
    total = sum(times_of(postmaster))
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1]) == postmaster:
                    total += times_of(entry.name)[0]
            except (FileNotFoundError, ProcessLookupError):
                pass
    return total


def write_job(path, lines):
    with path.open("w") as job:
        for i in range(lines):
            job.write(json.dumps({"custom_id": f"r{i}", "method": "POST", "url": "/v1/chat/completions",
                                  "body": {"model": "gpt-4o-mini", "max_tokens": 5, "messages": [
                                      {"role": "user", "content": f"Is {i} a prime number?"}]}}) + "\n")


def pin(options, database):
    """Pins the database to one core, and this process and everything that it starts to the other cores."""
    core = options.database_core
    if core is None:
        return
    rest = os.sched_getaffinity(0) - {core}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                if database.process.pid in (parent, int(entry.name)):
                    os.sched_setaffinity(int(entry.name), {core})
            except (FileNotFoundError, ProcessLookupError):
                pass
    os.sched_setaffinity(0, rest)


@contextlib.contextmanager
def started_relay(options):
    """A simulated relay; gives its URL."""
    relay = subprocess.Popen([options.binary, "simulate", "--port", "0", "--rpm", "0", "--ttft", "0", "--itl", "0",
                              "--tokens", str(options.tokens)], stderr=subprocess.PIPE, text=True)
    try:
        port = re.search(r"127\.0\.0\.1:(\d+)", relay.stderr.readline())[1]
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        relay.kill()


def worker_command(options, store, relay, count):
    limits = ["--rpm", str(options.rpm), "--concurrency", str(options.concurrency)]
    if options.store_only:
        program = pathlib.Path(options.binary).parent / "bench/store_worker"
        return [program, "--store", store, "--workers", str(count), "--latency", str(options.latency),
                "--tokens", str(options.tokens), *limits]
    return [options.binary, "work", "--store", store, "--base-url", relay, "-q", *limits]


def check_results(options, database, name, listed):
    """Ends the program unless each line of the job has exactly one attempt and one result."""
    counts = database.sql("SELECT count(*), count(DISTINCT line), min(line), max(line) FROM sluice.job_results", name)[0]
    lines = options.lines
    if listed["succeeded"] != lines or listed["attempts"] != lines or list(map(int, counts)) != [lines, lines, 1, lines]:
        sys.exit(f"the job ended as {listed}, with these results (all, different, first, last): {counts}")


def growth(database, name):
    """The size of each table, its rows and dead rows, and how often it was vacuumed."""
    lines = ["", "| table | size | rows | dead rows | vacuumed |", "|---|---|---|---|---|"]
    for table in database.sql(
            "SELECT relname, pg_size_pretty(pg_total_relation_size(relid)), n_live_tup, n_dead_tup, autovacuum_count "
            "FROM pg_stat_user_tables WHERE pg_total_relation_size(relid) > 100000 ORDER BY relname", name):
        lines.append("| " + " | ".join(table) + " |")
    return "\n".join(lines)


def one(options, database, relay, folder, count):
    name = f"bench{count}"
    database.sql(f"CREATE DATABASE {name}")
    store = database.socket_url(name)
    job = folder / "job.jsonl"
    environment = {**os.environ, "OPENAI_API_KEY": "sk-bench", "HOME": str(folder)}
    began = time.monotonic()
    subprocess.run([options.binary, "enqueue", job, "--store", store, "-q"], env=environment, check=True)
    row = {"workers": count, "enqueue_s": time.monotonic() - began}
    before = database_seconds(database.process.pid)
    began = time.monotonic()
    workers = [subprocess.Popen(worker_command(options, store, relay, count),
                                env={**environment, "XDG_STATE_HOME": str(folder / f"w{i}")}) for i in range(count)]
    used = 0.0
    for worker in workers:
        _, status, usage = os.wait4(worker.pid, 0)
        if status:
            sys.exit(f"a worker ended with {status}")
        used += usage.ru_utime + usage.ru_stime
    row["seconds"] = time.monotonic() - began
    row["worker_us"] = used / options.lines * 1e6
    row["worker_share"] = used / row["seconds"] * 100
    spent = database_seconds(database.process.pid) - before
    row["database_us"] = spent / options.lines * 1e6
    row["share"] = spent / row["seconds"] * 100
    listed = json.loads(subprocess.run([options.binary, "jobs", "--store", store, "--json"], env=environment, check=True,
                                       capture_output=True).stdout)["jobs"][0]
    row["bytes"] = int(database.sql(f"SELECT pg_database_size('{name}')")[0][0]) / options.lines
    row["dead"] = int(database.sql("SELECT coalesce(sum(n_dead_tup), 0) FROM pg_stat_user_tables", name)[0][0])
    row["growth"] = growth(database, name) if options.watch else ""
    check_results(options, database, name, listed)
    began = time.monotonic()
    subprocess.run([options.binary, "jobs", "--store", store, "--remove", "job"], env=environment, check=True,
                   capture_output=True)
    row["remove_s"] = time.monotonic() - began
    database.sql(f"DROP DATABASE {name}")
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default="build/release/sluice")
    parser.add_argument("--lines", type=int, default=20_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--rpm", type=int, default=0)
    parser.add_argument("--tokens", type=int, default=5)
    parser.add_argument("--database-core", type=int)
    parser.add_argument("--watch", action="store_true")
    parser.add_argument("--store-only", action="store_true")
    parser.add_argument("--latency", type=int, default=0)
    options = parser.parse_args()
    options.binary = str(pathlib.Path(options.binary).resolve())
    with contextlib.ExitStack() as parts:
        folder = pathlib.Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="sluice-workers-")))
        database = parts.enter_context(Postgres())
        pin(options, database)
        write_job(folder / "job.jsonl", options.lines)
        relay = None if options.store_only else parts.enter_context(started_relay(options))
        print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}, "
              f"{options.lines} lines")
        print(f"load before: {os.getloadavg()[0]:.1f}")
        print("| workers | enqueue | requests/s | CPU a request, workers | CPU a request, database | "
              "CPU of the workers | CPU of the database | bytes a request, database | dead rows | remove |")
        print("|---|---|---|---|---|---|---|---|---|---|")
        growths = []
        for count in options.workers:
            row = one(options, database, relay, folder, count)
            growths.append(row["growth"])
            print(f"| {count} | {row['enqueue_s']:.1f} s | {options.lines / row['seconds']:,.0f} "
                  f"| {row['worker_us']:.0f} µs | {row['database_us']:.0f} µs "
                  f"| {row['worker_share']:.0f} % | {row['share']:.1f} % "
                  f"| {row['bytes']:.0f} | {row['dead']} | {row['remove_s']:.1f} s |", flush=True)
        if options.watch:
            print("\n".join(growths))


if __name__ == "__main__":
    main()
