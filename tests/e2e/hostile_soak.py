#!/usr/bin/env python3
"""Soak test: many faults at once, for any time. Checks the files and the relay's ledger.

    python3 tests/e2e/hostile_soak.py --binary build/release/sluice [--minutes 10] [--seed N]
                                      [--shared-limit [--rpm 120]] [--budget USD]

It repeats rounds until the time is over. Each round has new jobs. One `sluice run` after another, sometimes two at a
time, works on them until they are done. Runs are killed, terminated, stopped and continued at random. A third run that
uses a job in progress must be refused. Some rounds write to a disk of 1 MiB that gets full (or, without the right to
mount, to files that may not grow). The relay answers after random delays, refuses requests, cuts replies, resets
connections, and keeps a ledger of the requests that arrived and were billed.

With --shared-limit all runs share one state folder. Then at most --rpm requests may arrive in any 60 s of the relay's
clock, over all rounds. With --budget each round has that budget, and the relay must not bill more.

Exit status 0: no error was found. Else it prints the error and the seed. The seed determines the times of the kills,
but not the state of the program at these times.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import invariants  # noqa: E402  (the folder must be on the path first)
from hostile_relay import Answer, End, HostileRelay, Step  # noqa: E402
from hostile_traps import ask, completion, document, error, events, open_stream, stream  # noqa: E402
from support import KEY, Results  # noqa: E402

# A reply with 7 prompt tokens and 3 completion tokens, at the price of gpt-4o-mini.
BILL = (7 * Decimal("0.15") + 3 * Decimal("0.60")) / 1_000_000
PLAIN, FLOW, BAD = "plain", "flow", "bad"
WINDOW = 60.0
SMALL_DISK, FILLER = 1 << 20, (1 << 20) - (40 << 10)
DONE, SOME_FAILED, CANNOT_START, STOPPED, RESULTS_LOST, INTERRUPTED = 0, 1, 2, 3, 4, 130


class Moods(Mapping[str, Sequence[Answer]]):
    """The relay's answers: a new random one for each attempt."""

    def __init__(self, rng: random.Random) -> None:
        self.arrivals: list[float] = []
        self._rng = rng

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[str]:
        return iter((PLAIN, FLOW, BAD))

    def __getitem__(self, trap: str) -> Sequence[Answer]:
        return [self._answer(trap)]

    def _arrive(self) -> list[bytes]:
        self.arrivals.append(time.monotonic())
        return []

    def _answer(self, trap: str) -> Answer:
        rng = self._rng
        # The attempt is counted after a delay that the client cannot see, and answered after another one.
        before: list[Step] = [rng.uniform(0, 0.3) ** 2, self._arrive, rng.uniform(0, 0.3) ** 2]
        luck = rng.random()
        if luck < 0.06:
            return Answer([*before, *document(error("too many"), 429, f"retry-after-ms: {rng.randint(1, 60)}")])
        if luck < 0.11:
            return Answer([*before, *document(error("busy"), rng.choice((500, 502, 503)), "retry-after-ms: 5")])
        if luck < 0.14:
            return Answer([*before, End.RESET])
        if trap == BAD:
            return Answer([*before, *document(error("no such thing"), 400)])
        if luck < 0.20:
            parts = events(trap)
            return Answer([*before, *open_stream(parts[:rng.randint(1, 4)]), rng.choice((End.CLOSE, End.RESET))], True)
        if trap == FLOW:
            return Answer([*before, *stream(events(trap))], True)
        return Answer([*before, *document(completion(trap))], True)

    def most_in_a_window(self) -> int:
        most = start = 0
        times = sorted(self.arrivals)
        for end, now in enumerate(times):
            while now - times[start] >= WINDOW:
                start += 1
            most = max(most, end - start + 1)
        return most


@dataclass
class Job:
    path: Path
    out: Path
    requests: list[str]

    @property
    def results(self) -> Results:
        return Results(self.path, self.out)

    @property
    def done(self) -> bool:
        """Whether each request has a result or a final failure, and the totals say that the job is complete."""
        if not self.results.totals_path.exists() or self.results.totals["status"] != "completed":
            return False
        return invariants.settled(self.results) >= set(self.requests)


@dataclass
class Work:
    """One process that works on some of the jobs, and the state at its start."""

    jobs: list[Job]
    process: subprocess.Popen[bytes]
    log: Path
    output: list[list[bytes]]
    sent: dict[str, int]  # the number of attempts of finished requests, which must not grow
    halted: bool = False
    signals: list[str] = field(default_factory=list)

    @property
    def errors(self) -> str:
        return self.log.read_text("utf-8", "replace")


class Soak:
    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.folder = folder
        self.rng = random.Random(options.seed)
        self.moods = Moods(random.Random(options.seed + 1))
        self.counts: dict[str, int] = {}
        self.numbers = 0

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def run(self) -> None:
        end = time.monotonic() + 60 * self.options.minutes
        while time.monotonic() < end:
            self.numbers += 1
            Round(self, self.folder / f"round-{self.numbers}").run()
            self.count("rounds")
        if self.options.shared_limit:
            most = self.moods.most_in_a_window()
            print(f"most in any 60 s: {most} of {self.options.rpm}")
            invariants.require(most <= self.options.rpm, f"{most} requests arrived within 60 s")


class Round:
    def __init__(self, soak: Soak, folder: Path) -> None:
        self.soak, self.rng, self.folder = soak, soak.rng, folder
        folder.mkdir()
        self.relay = HostileRelay(soak.moods)
        self.small = self.rng.random() < 0.3
        self.mounted = False
        self.out = folder / "out"
        self.out.mkdir()
        self.logs = 0
        self.jobs = [self.job(number) for number in range(self.rng.randint(1, 2))]
        together = soak.options.budget is not None or self.rng.random() < 0.3
        self.commands = [self.jobs] if together else [[job] for job in self.jobs]

    def job(self, which: int) -> Job:
        count = self.rng.randint(20, 120)
        requests = [f"{self.rng.choice((PLAIN, PLAIN, FLOW, FLOW, BAD))}/{which}{self.soak.numbers:04}{number:04}"
                    for number in range(count)]
        path = self.folder / f"job-{which}.jsonl"
        path.write_bytes(b"".join(
            b'{"custom_id":"%b","method":"POST","url":"/v1/chat/completions","body":%b}\n'
            % (request.encode(), ask(request, stream=request.startswith(FLOW), max_tokens=16))
            for request in requests))
        return Job(path, self.out, requests)

    # ------------------------------------------------------------ the disk

    def shrink(self) -> None:
        if not self.small:
            return
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "none", str(self.out)],
                              capture_output=True)
        self.mounted = made.returncode == 0
        if self.mounted:
            (self.out / "filler").write_bytes(bytes(FILLER))

    def make_room(self) -> None:
        self.small = False
        (self.out / "filler").unlink(missing_ok=True)

    def leave(self) -> None:
        self.relay.stop()
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.out)], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    # ------------------------------------------------------------ the runs

    def start(self, jobs: list[Job]) -> Work:
        options = self.soak.options
        command = [options.binary, "run", *(str(job.path) for job in jobs), "--output-dir", str(self.out), "--base-url",
                   self.relay.url, "--rpm", str(options.rpm if options.shared_limit else 0), "--concurrency", "12",
                   "--durability", self.rng.choice(("each", "second"))]
        if options.budget is not None:
            command += ["--budget", str(options.budget)]
        if self.small and not self.mounted:
            command = ["prlimit", "--fsize=16000", *command]
        self.logs += 1
        log = self.folder / f"log-{self.logs}"
        environment = {**os.environ, "OPENAI_API_KEY": KEY, "XDG_STATE_HOME": str(self.soak.folder / "state"),
                       "XDG_CONFIG_HOME": str(self.soak.folder / "config")}
        ledger = self.relay.ledger
        finished = {name for job in jobs for name in invariants.settled(job.results)}
        output = [invariants.whole_lines(job.results.output_path) for job in jobs]
        with log.open("wb") as errors:
            process = subprocess.Popen(command, env=environment, cwd=self.folder, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=errors)
        self.soak.count("runs")
        return Work(jobs, process, log, output, {name: len(ledger.of(name)) for name in finished})

    def disturb(self, work: Work) -> None:
        kind = self.rng.choices(("kill", "end", "halt", "meddle", "leave"), (30, 12, 25, 5, 28))[0]
        if kind == "leave" or work.process.poll() is not None:
            return
        self.soak.count(kind)
        work.signals.append(kind)
        if kind == "kill":
            work.process.kill()
        elif kind == "end":
            for _ in range(self.rng.randint(1, 2)):
                work.process.send_signal(self.rng.choice((signal.SIGTERM, signal.SIGINT)))
                time.sleep(0.02)
        elif kind == "halt":
            work.process.send_signal(signal.SIGSTOP)
            time.sleep(self.rng.uniform(0.05, 0.5))
            work.process.send_signal(signal.SIGCONT)
        else:
            self.meddle(work)

    def meddle(self, work: Work) -> None:
        """Starts another run of the same jobs, which must not change them. The first run may have ended meanwhile."""
        other = self.start(work.jobs[:1])
        code = other.process.wait(60)
        if code == CANNOT_START and "process" in other.errors:
            self.soak.count("refused to meddle")
        else:
            self.judge(other)

    def judge(self, work: Work) -> None:
        """Checks the exit status and the files of a run that has ended."""
        code = work.process.returncode
        allowed = {DONE, SOME_FAILED}
        if "kill" in work.signals:
            allowed.add(-signal.SIGKILL)
        if "end" in work.signals:
            allowed |= {INTERRUPTED, -signal.SIGTERM, -signal.SIGINT}  # before it has installed its signal handlers
        if self.small or self.mounted:
            allowed |= {RESULTS_LOST, CANNOT_START}
        if self.soak.options.budget is not None:
            allowed.add(STOPPED)
        invariants.require(code in allowed, f"exit status {code} after {work.signals}:\n{work.errors[-2000:]}")
        self.soak.count(f"exit {code}")
        if code in (RESULTS_LOST, CANNOT_START):
            self.make_room()
        for job, output in zip(work.jobs, work.output):
            invariants.require_readable(job.results)
            invariants.require_kept(output, job.results.output_path)
        for name, sent in work.sent.items():
            invariants.require(len(self.relay.ledger.of(name)) == sent, f"{name} was sent again although it has a line")

    def over(self, ended: Work) -> bool:
        code = ended.process.returncode
        if self.soak.options.budget is not None and code == STOPPED:
            return True
        # If a run is killed just after it has written the totals, its state file is left for the next run to remove.
        return code in (DONE, SOME_FAILED) and all(job.done for job in ended.jobs)

    def run(self) -> None:
        self.shrink()
        running: list[Work] = []
        try:
            waiting = list(self.commands)
            while waiting or running:
                while waiting and len(running) < 2:
                    running.append(self.start(waiting.pop(0)))
                time.sleep(self.rng.uniform(0.01, 0.6))
                self.disturb(self.rng.choice(running))
                for work in [work for work in running if work.process.poll() is not None]:
                    running.remove(work)
                    self.judge(work)
                    if not self.over(work):
                        waiting.append(work.jobs)
            self.hold()
        except subprocess.TimeoutExpired as late:
            raise AssertionError(f"still running: {late.cmd}") from None
        finally:
            for work in running:
                work.process.kill()
                work.process.wait()
            self.leave()

    def hold(self) -> None:
        """Checks jobs that are complete."""
        self.relay.settle()
        self.make_room()
        ledger, options = self.relay.ledger, self.soak.options
        if options.budget is not None:
            billed = BILL * sum(ledger.billed(name) for job in self.jobs for name in job.requests)
            invariants.require(billed <= options.budget, f"billed {billed} USD of a budget of {options.budget}")
            if not all(job.done for job in self.jobs):
                return
        for job in self.jobs:
            results = job.results
            invariants.require_complete(results, job.requests)
            failed = sorted(line["custom_id"] for line in results.errors)
            bad = sorted(name for name in job.requests if name.startswith(BAD))
            invariants.require(failed == bad, f"failed: {failed}, expected: {bad}")
            received = sum(len(ledger.of(name)) for name in job.requests)
            counted = results.totals["attempts"]
            # Each attempt is recorded before it is sent, so no attempt that arrived may be missing.
            invariants.require(counted >= received, f"the totals have {counted} attempts, the relay {received}")
            for name in job.requests:
                bodies = {attempt.body for attempt in ledger.of(name) if attempt.whole}
                invariants.require(len(bodies) <= 1, f"{name} was sent in two forms")
            billed_of = {name: ledger.billed(name) for name in job.requests}
            for line in results.output:
                invariants.require(billed_of[line["custom_id"]] >= 1, "a result that was never billed")
        expected = {path for job in self.jobs for path in job.results.paths}
        strays = sorted(path.name for path in self.out.iterdir() if path not in expected)
        invariants.require(not strays, f"left behind: {strays}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Kills and stops runs, and fills their disk, against a hostile relay.")
    parser.add_argument("--binary", default=os.environ.get("SLUICE"), help="the program (default: $SLUICE)")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, help="the seed for kills, answers and jobs")
    parser.add_argument("--shared-limit", action="store_true", help="all runs share one limit of --rpm")
    parser.add_argument("--rpm", type=int, default=120, help="with --shared-limit (default 120)")
    parser.add_argument("--budget", type=Decimal, help="USD for each round")
    options = parser.parse_args()
    if not options.binary:
        parser.error("name the program with --binary")
    options.binary = str(Path(options.binary).resolve())
    if options.seed is None:
        options.seed = random.randrange(1 << 32)
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="sluice-soak-") as folder:
        soak = Soak(options, Path(folder))
        try:
            soak.run()
        except AssertionError as fault:
            print(f"round {soak.numbers}, seed {options.seed}: {fault}", file=sys.stderr)
            return 1
        finally:
            print(json.dumps(soak.counts))
    return 0


if __name__ == "__main__":
    # Mount small disks in a mount namespace of their own.
    if os.geteuid() == 0 and "SLUICE_SOAK_APART" not in os.environ and shutil.which("unshare"):
        with contextlib.suppress(OSError):
            allowed = subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0
            if allowed:
                os.environ["SLUICE_SOAK_APART"] = "1"
                os.execvp("unshare", ["unshare", "-m", sys.executable, *sys.argv])
    sys.exit(main())
