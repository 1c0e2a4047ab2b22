"""The rate limit, measured by a relay's own clock over a little more than two windows. limit_soak.py runs longer."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
import unittest
from pathlib import Path

from limit_soak import Figures, soak
from support import KEY, Case, Run, chats, files_under, program, read_jsonl, signal_and_wait, wait_until


class LimitOverWindows(Case):
    def hold(self, seen: Figures, floor: float) -> None:
        self.assertTrue(seen.complete, f"exit status {seen.exit_status}\n{seen.stderr}")
        self.assertEqual(seen.refused, 0)
        self.assertLessEqual(seen.most_in_60s, seen.rpm)
        self.assertGreaterEqual(seen.use, floor, seen.windows)

    def test_under_varying_delay(self) -> None:
        self.hold(soak(program(), self.folder, 2.05, 200, 1.0), 0.98)


class LimitOverWindowsNearby(LimitOverWindows):
    """A separate class, so that both can wait in parallel."""

    def test_under_varying_delay(self) -> None:
        self.hold(soak(program(), self.folder, 2.05, 200, 0.3), 0.99)


class Limit(Case):
    def test_two_jobs_share_one_limit(self) -> None:
        """The relay allows 30 requests per minute, and the jobs have 30: none may be refused."""
        relay = self.relay("--rpm", "30", "--delay-max", "0.2")
        one, two = self.job(chats(15), "one.jsonl"), self.job(chats(15), "two.jsonl")
        self.sluice("run", one, two, "--base-url", relay.url, "--rpm", 30)
        stats = relay.stats
        self.assertEqual((stats["attempts"], stats["refused"], stats["max_in_60s"]), (30, 0, 30))

    def test_tokens_a_minute(self) -> None:
        """A request is reserved with about 54 tokens until its usage is known, so only one is sent at a time."""
        relay = self.relay("--head-delay", "0.05")
        self.run_job(self.job(chats(4, max_tokens=40)), relay, "--tpm", 100, "--no-stream")
        self.assertEqual(relay.stats["max_in_flight"], 1)
        self.run_job(self.job(chats(4, max_tokens=40), "wide.jsonl"), relay, "--tpm", 100000, "--no-stream")
        self.assertGreater(relay.stats["max_in_flight"], 1)

    def test_concurrency_is_the_most_in_flight(self) -> None:
        relay = self.relay("--head-delay", "0.05")
        # Without a stream the relay finishes a reply before the client has read it.
        self.run_job(self.job(chats(60)), relay, "--concurrency", 7, "--no-stream")
        self.assertEqual(relay.stats["max_in_flight"], 7)

    def test_it_adapts_to_a_relay_with_a_lower_limit(self) -> None:
        """The relay sends 429 without a hint. The run slows down, and all requests succeed in the end."""
        busy = {"status": 429, "body": {"error": {"message": "too many", "code": "rate_limit_exceeded"}}}
        relay = self.relay(script=[{"times": 6, **busy}])
        job = self.job(chats(30))
        self.run_job(job, relay, "--max-attempts", 1)
        self.assertEqual(len(read_jsonl(self.results(job).output_path)), 30)
        self.assertEqual(relay.attempts, 36)

    def test_even_pace_spreads_the_starts(self) -> None:
        relay = self.relay()
        self.sluice("run", self.job(chats(8)), "--base-url", relay.url, "--rpm", 240, "--pace", "even")
        arrivals = relay.get("/arrivals")
        gaps = [b - a for a, b in zip(arrivals, arrivals[1:])]
        self.assertGreaterEqual(arrivals[-1] - arrivals[0], 7 * 0.25 - 0.1, gaps)


class LimitOfTwoRuns(Case):
    def test_two_runs_at_once_share_one_limit(self) -> None:
        """Each run alone would send its 45 requests at once. Together they may send 60, and the others a window
        later."""
        relay = self.relay("--rpm", "60", "--delay-max", "0.2")
        flags = ["--base-url", relay.url, "--rpm", 60]
        runs = [self.start("run", self.job(chats(45), f"{name}.jsonl"), *flags) for name in ("one", "two")]
        for run in runs:
            self.assertEqual(run.wait(90).code, 0, run.err)
        stats = relay.stats
        self.assertEqual((stats["attempts"], stats["refused"], stats["max_in_60s"]), (90, 0, 60))
        self.assertLess(stats["last_arrival"] - stats["first_arrival"], 63, "not later than necessary")


class LimitOverRuns(Case):
    def test_a_killed_run_keeps_its_window_when_it_is_resumed(self) -> None:
        relay = self.relay("--rpm", "20", "--delay-max", "0.2")
        job = self.job(chats(30))
        command = ["run", job, "--base-url", relay.url, "--rpm", 20]
        killed = self.start(*command)
        wait_until(lambda: self.results(job).written() == 20, "the window is full")
        signal_and_wait(killed, signal.SIGKILL)
        again = self.start(*command).wait(90)
        self.assertEqual(again.code, 0, again.err)
        stats = relay.stats
        self.assertEqual((stats["attempts"], stats["refused"], stats["max_in_60s"]), (30, 0, 20))
        self.assertLess(stats["last_arrival"] - stats["first_arrival"], 63, "not later than necessary")
        self.assertEqual(len(self.results(job).by_id()), 30)


class LimitState(Case):
    def test_the_file_is_private_and_does_not_contain_the_key(self) -> None:
        relay = self.relay()
        self.sluice("run", self.job(chats(3)), "--base-url", relay.url)
        state = self.folder / "state"
        found = list(files_under(state))
        self.assertEqual([path.parent for path in found], [state / "sluice" / "limits"])
        for path in found:
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
            self.assertNotIn(KEY.encode(), path.read_bytes())
            self.assertNotIn(KEY, path.name)
        for folder in (state, state / "sluice", state / "sluice" / "limits"):
            self.assertEqual(stat.S_IMODE(folder.stat().st_mode), 0o700)

    def test_without_a_state_folder_there_is_one_warning(self) -> None:
        relay = self.relay()
        in_the_way = self.folder / "file"
        in_the_way.touch()
        for env in ({"XDG_STATE_HOME": str(in_the_way)}, {"XDG_STATE_HOME": None, "HOME": None}):
            for threads in ("1", "3"):
                command = ["run", self.job(chats(9)), "--base-url", relay.url, "--fresh"]
                run = self.sluice(*command, "--threads", threads, env=env)
                self.assertEqual(run.err.count("the limit is not shared with other runs"), 1, run.err)

    def test_a_simulated_run_leaves_no_state(self) -> None:
        self.sluice("run", self.job(chats(3)), "--simulate")
        self.assertEqual(list(files_under(self.folder / "state")), [])

    def test_a_damaged_state_counts_as_full(self) -> None:
        relay = self.relay()
        command = ["run", self.job(chats(1)), "--base-url", relay.url, "--fresh"]
        self.sluice(*command)
        (state,) = files_under(self.folder / "state")
        for content in (b"", b"no window at all", b"\xff" * state.stat().st_size):
            state.write_bytes(content)
            held = self.start(*command)
            wait_until(lambda: state.read_bytes()[:6] == b"sluice", "the file is created again")
            time.sleep(0.5)  # enough time for a request to reach the relay
            signal_and_wait(held, signal.SIGKILL)
        self.assertEqual(relay.attempts, 1)
        self.sluice(*command, "--rpm", 0)
        self.assertEqual(relay.attempts, 2, "without a limit nothing waits")


class SharedHome(Case):
    def another_machine(self, **more: str) -> dict[str, str | None]:
        """An environment that makes a run see another machine, with 100 days more uptime."""
        shim = os.environ.get("SLUICE_MACHINE_SHIM", "")
        if not shim:
            raise unittest.SkipTest("SLUICE_MACHINE_SHIM is not set to the library")
        return {"LD_PRELOAD": str(Path(shim).resolve()), "SHIM_BOOT": "6f0c2c1e-52b0-4b5e-9d38-0a4f3c0f8a11",
                "SHIM_UPTIME": str(100 * 24 * 3600), **more}

    def limits(self) -> Path:
        return self.folder / "state" / "sluice" / "limits"

    def test_a_home_shared_by_two_machines(self) -> None:
        """Each has its own window and says so. Neither waits for hours because their clocks differ."""
        relay = self.relay()
        flags = ["--base-url", relay.url, "--rpm", 5]
        job = self.job(chats(6))
        here = self.start("run", job, *flags)
        wait_until(lambda: self.results(job).written() == 5, "the window is full")
        machine = self.another_machine(SHIM_MACHINE="0123456789abcdef0123456789abcdef")
        there = self.sluice("run", self.job(chats(5), "there.jsonl"), *flags, env=machine)
        self.assertEqual(there.err.count("another machine"), 1, there.err)
        self.assertEqual(len(list(self.limits().iterdir())), 2)
        here.wait(90)
        self.assertEqual(here.code, 0, here.err)
        self.assertNotIn("h ", "".join(line for line in here.err.splitlines() if "next start in" in line))
        self.assertEqual(relay.attempts, 11)

    def test_after_a_reboot_the_window_counts_as_full(self) -> None:
        relay = self.relay()
        command = ["run", self.job(chats(1)), "--base-url", relay.url, "--rpm", 5, "--fresh"]
        self.sluice(*command)
        (before,) = self.limits().iterdir()
        restarted = self.start(*command, env=self.another_machine())
        wait_until(lambda: len(list(self.limits().iterdir())) == 2, "its own file")
        time.sleep(0.5)  # enough time for a request to reach the relay
        signal_and_wait(restarted, signal.SIGKILL)
        self.assertEqual(relay.attempts, 1)
        self.assertNotIn("another machine", restarted.err)
        os.utime(before, (0, 0))
        self.start(*command, env=self.another_machine())
        wait_until(lambda: not before.exists(), "the old file is removed")


# Takes the lock of a window as `sluice` does, and stops inside it. The lock is the last word of the file: a ticket,
# and in the low 16 bits the number of the owner, which has locked the byte of the file with this number.
HOLDER = """
import fcntl, mmap, os, signal, struct, sys, time
OWNER = 200
file = os.open(sys.argv[1], os.O_RDWR)
fcntl.fcntl(file, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, OWNER, 1, 0))  # F_OFD_SETLK
table = mmap.mmap(file, 0)
word = memoryview(table)[-8:].cast("Q")
while word[0] != 1 << 16 | OWNER:  # another process may release the lock just now
    while word[0] != 0:
        pass
    word[0] = 1 << 16 | OWNER
    time.sleep(0.01)
os.kill(os.getpid(), signal.SIGSTOP)
word[0] = 0
"""


class StoppedInsideTheLock(Case):
    def stopped(self) -> subprocess.Popen[bytes]:
        """A process that is stopped while it has the lock of the window."""
        (window,) = files_under(self.folder / "state")
        process = subprocess.Popen([sys.executable, "-c", HOLDER, str(window)])
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        state = Path(f"/proc/{process.pid}/stat")
        wait_until(lambda: state.read_text().rpartition(") ")[2][0] == "T", "it is stopped")
        return process

    def test_a_process_stopped_inside_the_lock_does_not_block_others(self) -> None:
        relay = self.relay()
        self.sluice("run", self.job(chats(1), "first.jsonl"), "--base-url", relay.url)
        stopped = self.stopped()
        run = self.start("run", self.job(chats(3)), "--base-url", relay.url)
        named = f"process {stopped.pid} "
        wait_until(lambda: named in run.err, "the holder is named")
        self.assertIn("stopped", run.err)
        self.assertEqual(relay.attempts, 1, "it does not start requests")
        began = time.monotonic()
        signal_and_wait(run, signal.SIGINT)
        self.assertEqual(run.code, 130, run.err)
        self.assertLess(time.monotonic() - began, 20, "a stopped process must not delay the run")
        self.assertEqual(run.err.count(named), 1, run.err)

    def test_a_process_killed_inside_the_lock_blocks_no_other(self) -> None:
        relay = self.relay()
        self.sluice("run", self.job(chats(1), "first.jsonl"), "--base-url", relay.url)
        stopped = self.stopped()
        run = self.start("run", self.job(chats(3)), "--base-url", relay.url)
        wait_until(lambda: f"process {stopped.pid} " in run.err, "the holder is named")
        stopped.kill()
        self.assertEqual(run.wait().code, 0, run.err)

    def test_the_limit_holds_over_a_stop_inside_the_lock_and_both_runs_continue(self) -> None:
        """Two runs have requests in flight when a third process is stopped inside the lock."""
        relay = self.relay("--rpm", "12", "--head-delay", "1")
        flags = ["--base-url", relay.url, "--rpm", 12, "--concurrency", 4]
        jobs = [self.job(chats(7)), self.job(chats(5), "other.jsonl")]
        runs = [self.start("run", job, *flags) for job in jobs]
        wait_until(lambda: relay.attempts > 0, "requests in flight")
        stopped = self.stopped()
        wait_until(lambda: all(f"process {stopped.pid} " in run.err or not run.running for run in runs),
                   "the holder is named")
        stopped.send_signal(signal.SIGCONT)
        for run in runs:
            self.assertEqual(run.wait(90).code, 0, run.err)
        stats = relay.stats
        self.assertEqual((stats["attempts"], stats["refused"], stats["max_in_60s"]), (12, 0, 12))

    def test_names_another_program_that_holds_the_lock(self) -> None:
        """For example a backup program, which locks the files that it reads."""
        import fcntl
        import struct
        relay = self.relay()
        command = ["run", self.job(chats(1)), "--base-url", relay.url, "--fresh"]
        self.sluice(*command)
        (state,) = files_under(self.folder / "state")
        with state.open("r+b") as file:
            fcntl.fcntl(file, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))  # F_OFD_SETLK
            run = self.start(*command)
            wait_until(lambda: f"process {os.getpid()} " in run.err, "the holder is named")
            self.assertEqual(relay.attempts, 1)
        self.assertEqual(run.wait().code, 0, run.err)
        self.assertEqual(relay.attempts, 2)


class LimitsMoved(Case):
    def limits(self) -> Path:
        return self.folder / "state" / "sluice" / "limits"

    def lose(self) -> None:
        self.limits().rename(self.folder / "limits.bak")

    def test_moved_limit_files_end_in_one_common_window(self) -> None:
        """Two runs use the window, and a third one starts after the move. Together they must keep the limit."""
        relay = self.relay("--rpm", "6", "--delay-max", "0.2")
        flags = ["--base-url", relay.url, "--rpm", 6]
        jobs = [self.job(chats(4), f"{name}.jsonl") for name in ("one", "two", "three")]
        runs = [self.start("run", job, *flags) for job in jobs[:2]]
        wait_until(lambda: sum(self.results(job).written() for job in jobs) == 6, "the window is full")
        self.lose()
        wait_until(lambda: self.limits().is_dir() and any(self.limits().iterdir()), "the new one")
        runs.append(self.start("run", jobs[2], *flags))
        for run in runs:
            self.assertEqual(run.wait(90).code, 0, run.err)
        stats = relay.stats
        self.assertEqual((stats["attempts"], stats["refused"], stats["max_in_60s"]), (12, 0, 6))
        self.assertEqual(len(list(self.limits().iterdir())), 1)


class LimitFileMoved(LimitsMoved):
    """A separate class, so that both can wait in parallel."""

    def lose(self) -> None:
        (file,) = self.limits().iterdir()
        file.rename(self.folder / "window.bak")


if __name__ == "__main__":
    unittest.main()
