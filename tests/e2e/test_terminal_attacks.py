"""Problems from terminals, shells, shared folders and wrong flags: a terminal whose output is not read, a closed
terminal, closed descriptors, a config of another user, and a page or a log that would overwrite a foreign file."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import socket
import subprocess
import termios
import time
import unittest
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ports import free_port
from support import PATIENCE, Case, Relay, Results, Run, bound_memory, chats, program, wait_until

SOME_FAILED, CANNOT_START, NOT_WRITTEN, INTERRUPTED = 1, 2, 4, 130
PIPE = 4096  # the capacity of the pipes in these tests, in bytes
ANSWER = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini",
          "choices": [{"index": 0, "message": {"role": "assistant", "content": "late"}, "finish_reason": "stop"}],
          "usage": {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}}
HELD = [{"times": None, "hold": True}]


class TerminalCase(Case):
    def launch(self, *words: Any, env: dict[str, str | None] | None = None, **more: Any) -> subprocess.Popen[bytes]:
        """Starts a process with the test's descriptors."""
        more.setdefault("stdin", subprocess.DEVNULL)
        more.setdefault("preexec_fn", bound_memory)
        process = subprocess.Popen([program(), *(str(word) for word in words)], cwd=self.folder,
                                   env=self.environment(**(env or {})), **more)
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                pipe.close()

    def full_pipe(self) -> tuple[int, int]:
        """Both ends of a full pipe."""
        ours, theirs = os.pipe()
        self.addCleanup(self.close, ours, theirs)
        fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, PIPE)
        os.set_blocking(theirs, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(theirs, b"." * PIPE)
        os.set_blocking(theirs, True)
        return ours, theirs

    @staticmethod
    def close(*descriptors: int) -> None:
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def terminal(self) -> tuple[int, int]:
        ours, theirs = pty.openpty()
        self.addCleanup(self.close, ours, theirs)
        return ours, theirs

    def assert_ended_in_order(self, results: Results, relay: Relay, count: int) -> None:
        """Checks that the requests in flight have finished, and that the totals are right."""
        done = len(results.output)
        self.assertEqual(done, relay.attempts)
        self.assertEqual((results.totals["status"], results.totals["succeeded"], results.totals["pending"],
                          results.totals["maybe_billed_attempts"]), ("interrupted", done, count - done, 0))

    @staticmethod
    def in_flight(relay: Relay, count: int = 4) -> None:
        wait_until(lambda: relay.attempts >= count, f"{count} requests in flight")

    @staticmethod
    def drained(ours: int, until: Callable[[bytes], bool]) -> bytes:
        """Reads a pipe or a terminal until the condition is true."""
        data = b""
        end = time.monotonic() + PATIENCE
        while not until(data):
            if time.monotonic() > end:
                raise AssertionError(f"the expected output did not come; output so far: {data!r}")
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    part = os.read(ours, 65536)
                except OSError:  # the other end is closed
                    part = b""
                if not part:
                    return data
                data += part
        return data


class UnreadScreen(TerminalCase):
    """If standard error is not read, only the messages wait, not the run."""

    count = 12

    def started(self, relay: Relay, screen: int, *flags: Any, **more: Any) -> tuple[Path, subprocess.Popen[bytes]]:
        job = self.job(chats(self.count))
        process = self.launch("run", job, "--base-url", relay.url, "--rpm", 0, "--concurrency", 4, *flags,
                              stdout=subprocess.DEVNULL, stderr=screen, **more)
        return job, process

    def test_a_full_unread_pipe_and_sigterm(self) -> None:
        relay = self.relay("--head-delay", "1")
        _, screen = self.full_pipe()
        job, process = self.started(relay, screen, "-v")
        self.in_flight(relay)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(PATIENCE), INTERRUPTED)
        self.assert_ended_in_order(self.results(job), relay, self.count)

    def test_a_run_continues_to_its_end(self) -> None:
        relay = self.relay()
        _, screen = self.full_pipe()
        job, process = self.started(relay, screen, "-v")
        self.assertEqual(process.wait(PATIENCE), 0)
        self.assertEqual(len(self.results(job).output), self.count)
        self.assertEqual(self.results(job).totals["status"], "completed")

    def test_many_failure_messages(self) -> None:
        """Much more text than the pipe and the queue can hold."""
        relay = self.relay(script=[{"times": None, "status": 400, "body": {"error": {"message": "no " * 300}}}])
        self.count = 600
        _, screen = self.full_pipe()
        job, process = self.started(relay, screen, "-v", "--keep-going")
        self.assertEqual(process.wait(PATIENCE), SOME_FAILED)
        self.assertEqual(len(self.results(job).errors), self.count)

    def test_a_terminal_whose_output_is_stopped(self) -> None:
        relay = self.relay("--head-delay", "1")
        _, terminal = self.terminal()
        termios.tcflow(terminal, termios.TCOOFF)
        job, process = self.started(relay, terminal, env={"TERM": "xterm"})
        self.in_flight(relay)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(PATIENCE), INTERRUPTED)
        self.assert_ended_in_order(self.results(job), relay, self.count)

    def test_ctrl_s_and_ctrl_q(self) -> None:
        """The run continues meanwhile. Then the terminal shows the newest live line completely, and the summary
        below."""
        relay = self.relay("--head-delay", "0.5")
        self.count = 16
        ours, terminal = self.terminal()
        job, process = self.started(relay, terminal, env={"TERM": "xterm"})
        self.drained(ours, lambda data: b"/16 done" in data)
        os.write(ours, b"\x13")
        wait_until(lambda: self.results(job).written() >= 12, "the run to go on")
        os.write(ours, b"\x11")
        text = self.drained(ours, lambda data: b"next " in data).decode()
        self.assertEqual(process.wait(PATIENCE), 0)
        live, _, summary = text.rpartition("\r\x1b[K")
        self.assertIn("16 of 16 succeeded", summary)
        for drawn in live.split("\r\x1b[K")[1:]:
            self.assertRegex(drawn.split("\n")[-1], r"^\d+/16 done \| .*[^ |]$|^$")

    def test_dropped_messages_are_counted_and_the_newest_is_kept(self) -> None:
        relay = self.relay(script=[{"times": 300, "status": 400, "body": {"error": {"message": "no " * 300}}},
                                   {"times": None, "delay": 2, "status": 200, "body": ANSWER}])
        self.count = 304
        ours, screen = self.full_pipe()
        job, process = self.started(relay, screen, "-v", "--keep-going")
        errors = self.results(job).errors_path
        wait_until(lambda: errors.exists() and errors.read_bytes().count(b"\n") > 290, "most of the run")
        os.close(screen)
        text = self.drained(ours, lambda data: False).lstrip(b".").decode()
        self.assertEqual(process.wait(PATIENCE), SOME_FAILED)
        self.assertRegex(text, r"(?m)^sluice: \d+ line\(s\) are not shown")
        self.assertRegex(text, r"\d of 304 succeeded, \d{3} failed, 0 pending")
        for line in text.splitlines():
            self.assertRegex(line, r"^(sluice: |  |\S+/job\.jsonl: |time |next |\d+/304 done|$)", "no line is cut")

    def test_the_reader_closes_the_pipe(self) -> None:
        relay = self.relay("--head-delay", "0.3")
        ours, screen = os.pipe()
        job, process = self.started(relay, screen, "-v")
        os.close(screen)
        self.in_flight(relay)
        os.close(ours)
        self.assertEqual(process.wait(PATIENCE), 0)
        self.assertEqual(len(self.results(job).output), self.count)

    def test_a_slow_reader_gets_the_summary(self) -> None:
        """A reader that continues within a second misses nothing."""
        relay = self.relay()
        ours, screen = self.full_pipe()
        job, process = self.started(relay, screen)
        os.close(screen)
        wait_until(lambda: self.results(job).totals_path.exists()
                   and self.results(job).totals["status"] == "completed", "the end of the job")
        text = self.drained(ours, lambda data: False).decode()
        self.assertIn(f"{self.count} of {self.count} succeeded", text)
        self.assertEqual(process.wait(PATIENCE), 0)

    def test_the_mode_of_the_terminal_is_not_changed(self) -> None:
        """O_NONBLOCK would also affect the shell."""
        relay = self.relay("--head-delay", "0.3")
        ours, terminal = self.terminal()
        pipe, screen = os.pipe()
        self.addCleanup(self.close, pipe, screen)
        for place, name in ((terminal, "a"), (screen, "b")):
            job = self.job(chats(4), f"{name}.jsonl")
            before = fcntl.fcntl(place, fcntl.F_GETFL)
            process = self.launch("run", job, "--base-url", relay.url, "--rpm", 0, stderr=place, stdout=place)
            seen = relay.attempts
            wait_until(lambda: relay.attempts > seen, "a request in flight")
            self.assertEqual(fcntl.fcntl(place, fcntl.F_GETFL), before)
            self.assertEqual(process.wait(PATIENCE), 0)
            self.assertEqual(fcntl.fcntl(place, fcntl.F_GETFL), before)

    def test_a_terminal_that_another_program_left_non_blocking(self) -> None:
        relay = self.relay(script=[{"times": None, "status": 400, "body": {"error": {"message": "no " * 300}}}])
        ours, screen = os.pipe()
        self.addCleanup(self.close, ours, screen)
        fcntl.fcntl(screen, fcntl.F_SETPIPE_SZ, PIPE)
        os.set_blocking(screen, False)
        self.count = 40
        job, process = self.started(relay, screen, "-v", "--keep-going")
        os.close(screen)
        text = self.drained(ours, lambda data: False).decode()
        self.assertEqual(process.wait(PATIENCE), SOME_FAILED)
        self.assertEqual(text.count(": attempt 1: "), self.count)
        self.assertIn("40 failed", text)

    def test_other_commands(self) -> None:
        relay = self.relay()
        rows: list[tuple[list[Any], int]] = [
            (["run", "nowhere.jsonl"], CANNOT_START),
            (["flub"], CANNOT_START),
            (["quota", "--base-url", "http://127.0.0.1:9"], 3),
            (["models", "--simulate"], 0),
            (["check", self.job([*chats(3), "bad"], "bad.jsonl"), "--lines"], SOME_FAILED),
            (["bench", "--model", "gpt-4o-mini", "--base-url", relay.url, "--rpm", 0, "--requests", 3], 0),
        ]
        for words, code in rows:
            with self.subTest(words[0]):
                _, screen = self.full_pipe()
                process = self.launch(*words, stdout=subprocess.PIPE, stderr=screen)
                out, _ = process.communicate(timeout=PATIENCE)
                self.assertEqual(process.returncode, code)
                self.assertEqual(out != b"", code in (0, SOME_FAILED))

    def test_a_simulator_continues_to_serve(self) -> None:
        _, screen = self.full_pipe()
        port = free_port()
        process = self.launch("simulate", "--port", port, "--ttft", 0, "--itl", 0, stderr=screen)
        job = self.job(chats(2))
        wait_until(lambda: self.listens(port), "the simulator")
        self.sluice("run", job, "--base-url", f"http://127.0.0.1:{port}/v1", "--rpm", 0)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(PATIENCE), 0)

    @staticmethod
    def listens(port: int) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return True
        return False

    def test_results_on_standard_output_wait_for_their_reader(self) -> None:
        job = self.job(chats(4000))
        process = self.launch("check", job, "--lines", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout
        first = process.stdout.readline()
        self.assertIsNone(process.poll(), "it waits")
        rest = process.stdout.read()
        self.assertEqual(process.wait(PATIENCE), 0)
        lines = [json.loads(line) for line in (first + rest).splitlines()]
        self.assertEqual([line["line"] for line in lines], list(range(1, 4001)))


class Signals(TerminalCase):
    """Signals from a closed terminal, from a shell and from `timeout`."""

    count = 12

    def started(self, relay: Relay, *flags: Any, ignored: tuple[int, ...] = (), wrap: list[str] | None = None,
                ) -> tuple[Path, Run]:
        job = self.job(chats(self.count))
        words: list[Any] = ["run", job, "--base-url", relay.url, "--rpm", 0, "--concurrency", 4, *flags]
        if ignored:
            traps = "; ".join(f"trap '' {number}" for number in ignored)
            wrap = ["sh", "-c", f'{traps}; exec "$@"', "sh"]
        run = self.start(*words, wrap=wrap)
        self.in_flight(relay)
        return job, run

    def test_sighup_lets_requests_in_flight_finish(self) -> None:
        relay = self.relay("--head-delay", "1")
        job, run = self.started(relay)
        run.signal(signal.SIGHUP)
        self.assertEqual(run.wait().code, INTERRUPTED, run.err)
        self.assert_ended_in_order(self.results(job), relay, self.count)
        mended = self.relay()
        self.run_job(job, mended)
        self.assertEqual(mended.attempts + relay.attempts, self.count, "nothing is paid twice")

    def test_a_closed_terminal_sends_sighup_twice(self) -> None:
        """Once by the kernel and once by the shell. systemd sends SIGHUP after SIGTERM."""
        for first in (signal.SIGHUP, signal.SIGTERM):
            with self.subTest(first):
                relay = self.relay("--head-delay", "1")
                job, run = self.started(relay, "--fresh")
                run.signal(first)
                wait_until(lambda: "interrupted" in run.err, "the first signal is handled")
                run.signal(signal.SIGHUP)
                self.assertEqual(run.wait().code, INTERRUPTED, run.err)
                self.assert_ended_in_order(self.results(job), relay, self.count)

    def test_sigterm_after_sighup_ends_at_once(self) -> None:
        relay = self.relay(script=HELD)
        job, run = self.started(relay, "--grace", "10m")
        run.signal(signal.SIGHUP)
        wait_until(lambda: "interrupted" in run.err, "the first signal is handled")
        run.signal(signal.SIGTERM)
        self.assertEqual(run.wait().code, INTERRUPTED, run.err)
        self.assertEqual(self.results(job).totals["maybe_billed_attempts"], 4)

    def test_nohup(self) -> None:
        relay = self.relay("--head-delay", "0.5")
        job, run = self.started(relay, wrap=["nohup"])
        run.signal(signal.SIGHUP)
        self.assertEqual(run.wait().code, 0, run.err)
        self.assertEqual(len(self.results(job).output), self.count)
        self.assertNotIn("interrupted", run.err)

    def test_sigint_that_was_ignored_stays_ignored(self) -> None:
        """A shell without job control starts background commands (`&`) like this."""
        relay = self.relay("--head-delay", "0.5")
        job, run = self.started(relay, ignored=(signal.SIGINT,))
        run.signal(signal.SIGINT)
        self.assertEqual(run.wait().code, 0, run.err)
        self.assertEqual(len(self.results(job).output), self.count)

    def test_all_ignored_and_sigterm_not(self) -> None:
        relay = self.relay("--head-delay", "1")
        job, run = self.started(relay, ignored=(signal.SIGINT, signal.SIGHUP))
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            run.signal(number)
        self.assertEqual(run.wait().code, INTERRUPTED, run.err)
        self.assert_ended_in_order(self.results(job), relay, self.count)

    def test_timeout_sends_its_signal_twice_and_sigcont(self) -> None:
        relay = self.relay("--head-delay", "1")
        job, run = self.started(relay)
        run.signal(signal.SIGINT)
        wait_until(lambda: "interrupted" in run.err, "the first signal is handled", pause=0.001)
        run.signal(signal.SIGINT)
        run.signal(signal.SIGCONT)
        self.assertEqual(run.wait().code, INTERRUPTED, run.err)
        self.assert_ended_in_order(self.results(job), relay, self.count)

    def test_timeout_itself(self) -> None:
        relay = self.relay("--head-delay", "1")
        for number in ("INT", "TERM", "HUP"):
            with self.subTest(number):
                job = self.job(chats(40))
                run = self.start("run", job, "--fresh", "--base-url", relay.url, "--rpm", 0, "--concurrency", 4,
                                 wrap=["timeout", "--preserve-status", "-s", number, "1.5"])
                self.assertEqual(run.wait().code, INTERRUPTED, run.err)
                totals = self.results(job).totals
                self.assertEqual((totals["status"], totals["maybe_billed_attempts"]), ("interrupted", 0))

    def test_a_terminal_that_is_closed(self) -> None:
        """The kernel signals the foreground processes of the session, and the terminal is gone as well."""
        relay = self.relay("--head-delay", "1")
        ours, theirs = self.terminal()
        job = self.job(chats(self.count))

        def leads_the_terminal() -> None:
            bound_memory()
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        process = self.launch("run", job, "--base-url", relay.url, "--rpm", 0, "--concurrency", 4, stdin=theirs,
                              stdout=theirs, stderr=theirs, preexec_fn=leads_the_terminal, env={"TERM": "xterm"})
        os.close(theirs)
        self.in_flight(relay)
        os.close(ours)
        self.assertEqual(process.wait(PATIENCE), INTERRUPTED)
        self.assert_ended_in_order(self.results(job), relay, self.count)

    def shell_on_a_terminal(self, script: str) -> None:
        """Runs the lines in an interactive shell, and closes its terminal when the shell has ended."""
        ours, theirs = self.terminal()

        def leads_the_terminal() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        shell = subprocess.Popen(["bash", "--norc", "-i"], cwd=self.folder, env=self.environment(TERM="xterm"),
                                 stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=leads_the_terminal)
        self.addCleanup(self.end, shell)
        os.close(theirs)
        os.write(ours, script.encode() + b"\n")
        self.drained(ours, lambda data: shell.poll() is not None)
        os.close(ours)

    def background(self, line: str) -> None:
        relay = self.relay("--head-delay", "0.5")
        job = self.job(chats(self.count))
        command = f"{program()} run {job} --base-url {relay.url} --rpm 0 --concurrency 4"
        self.shell_on_a_terminal(line.format(command) + " sleep 0.5; exit")
        results = self.results(job)
        wait_until(lambda: results.totals_path.exists() and results.totals["status"] != "running", "the end of the run")
        self.assertEqual((results.totals["status"], results.totals["attempts"]), ("completed", self.count))
        self.assertEqual(len(results.output), self.count)

    def test_nohup_in_the_background_and_exit(self) -> None:
        self.background("nohup {} &")

    def test_disown_and_exit(self) -> None:
        self.background("{} & disown;")

    def test_setsid_and_exit(self) -> None:
        self.background("setsid {} &")

    def test_other_commands_end_properly_at_sighup(self) -> None:
        config = self.folder / "own.toml"
        config.write_text('grace = "100ms"\nprice-multiplier = "1"\n')
        for command in ("bench", "probe", "quota", "models"):
            with self.subTest(command):
                silent = self.listener(self.wait_for_the_end)
                model = ["--model", "gpt-4o-mini"] if command in ("bench", "probe") else []
                run = self.start(command, *model, "--config", config, "--base-url", f"http://127.0.0.1:{silent.port}")
                wait_until(lambda: silent.accepted > 0 or not run.running, "a request in flight")
                run.signal(signal.SIGHUP)
                self.assertEqual(run.wait().code, INTERRUPTED, run.err)

    @staticmethod
    def wait_for_the_end(connection: Any) -> None:
        while connection.recv(65536):
            pass

    def test_a_simulator_ends_properly_at_sighup_unless_ignored(self) -> None:
        server = self.simulator()
        server.process.send_signal(signal.SIGHUP)
        self.assertEqual(server.process.wait(PATIENCE), 0)
        assert server.process.stderr
        self.assertIn("attempts 0", server.process.stderr.read())
        run = self.start("simulate", "--port", "0", wrap=["nohup"])
        wait_until(lambda: "OPENAI_BASE_URL" in run.err, "the simulator")
        run.signal(signal.SIGHUP)
        run.signal(signal.SIGTERM)
        self.assertEqual(run.wait().code, 0)


class ClosedDescriptors(TerminalCase):
    def shell(self, line: str, *words: Any) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(["bash", "-c", line, program(), *(str(word) for word in words)], cwd=self.folder,
                              env=self.environment(), capture_output=True, timeout=PATIENCE)

    def test_a_job_from_standard_input_that_is_closed(self) -> None:
        for line in ('"$0" run - -o out.jsonl --simulate <&-', '"$0" check - <&-',
                     '"$0" run - -o out.jsonl --simulate 0>x'):
            with self.subTest(line):
                ended = self.shell(line)
                self.assertEqual(ended.returncode, CANNOT_START, ended.stderr)
                self.assertIn(b"standard input is closed", ended.stderr)
                self.assertFalse((self.folder / "out.jsonl").exists())

    def test_a_run_without_standard_descriptors(self) -> None:
        """No job or result file may get the number of a standard descriptor."""
        relay = self.relay("--head-delay", "0.2")
        job = self.job(chats(6))
        before = job.read_bytes()
        ended = self.shell(f'"$0" run {job} --base-url {relay.url} --rpm 0 -v <&- >&- 2>&-')
        self.assertEqual(ended.returncode, 0)
        results = self.results(job)
        self.assertEqual(len(results.output), 6)
        self.assertEqual((results.errors, results.totals["status"]), ([], "completed"))
        self.assertEqual(job.read_bytes(), before)

    def test_an_answer_that_cannot_be_written(self) -> None:
        job = self.job(chats(3))
        for command in (f"check {job} --json", f"check {job}", "models --simulate --json", "--help", "--version"):
            for closed in (">&-", ">/dev/full"):
                with self.subTest(command=command, closed=closed):
                    ended = self.shell(f'"$0" {command} {closed}')
                    self.assertEqual(ended.returncode, NOT_WRITTEN, ended.stderr)
                    self.assertIn(b"standard output cannot be written", ended.stderr)


class ReaderGone(TerminalCase):
    """`| head`: the program ends silently, like other Unix tools."""

    def commands(self) -> Iterator[list[Any]]:
        relay = self.relay()
        job = self.job(chats(3000))
        few = self.job(chats(3), "few.jsonl")
        self.run_job(few, relay)
        yield ["check", job, "--lines"]
        yield ["check", few, "--json"]
        yield ["report", few]
        yield ["report", few, "--json"]
        yield ["models", "--simulate"]
        yield ["quota", "--simulate", "--log", "--json"]
        yield ["bench", "--model", "gpt-4o-mini", "--base-url", relay.url, "--requests", 3, "--json", "-q"]
        yield ["--help"]
        yield ["run", "--help"]

    def test_a_closed_reader_causes_no_message(self) -> None:
        for words in self.commands():
            with self.subTest(words=[str(word) for word in words]):
                ours, theirs = os.pipe()
                os.close(ours)
                process = self.launch(*words, stdout=theirs, stderr=subprocess.PIPE)
                os.close(theirs)
                _, err = process.communicate(timeout=PATIENCE)
                said = [line for line in err.decode().splitlines() if "simulated relay" not in line]
                self.assertEqual((process.returncode, said), (-signal.SIGPIPE, []))

    def test_where_sigpipe_is_ignored(self) -> None:
        """If the parent ignores SIGPIPE, like Python and Java, the status is the same."""
        job = self.job(chats(3000))
        ours, theirs = os.pipe()
        os.close(ours)
        process = self.launch("check", job, "--lines", stdout=theirs, stderr=subprocess.PIPE, restore_signals=False)
        os.close(theirs)
        _, err = process.communicate(timeout=PATIENCE)
        self.assertEqual((process.returncode, err), (128 + signal.SIGPIPE, b""))


class ConfigOfOthers(TerminalCase):
    """A config file that the user did not name could send the key to another host."""

    OTHER = 54321  # an unused user id

    def setUp(self) -> None:
        super().setUp()
        self.evil = self.relay()
        self.good = self.relay()
        self.here = self.folder / "project"
        self.here.mkdir()
        self.config = self.here / "sluice.toml"
        self.config.write_text(f'base-url = "{self.evil.url}"\n')
        self.config.chmod(0o644)
        self.job_file = self.job(chats(2), "project/job.jsonl")

    def run_here(self, *flags: Any, expect: int, env: dict[str, str | None] | None = None) -> Run:
        command = [program(), *(str(word) for word in (flags or ("run", self.job_file, "--rpm", 0, "--fresh")))]
        run = Run(command, self.environment(**(env or {})), self.here, None)
        self.addCleanup(run.close)
        self.assertEqual(run.wait().code, expect, run.err)
        return run

    def assert_refused(self, *parts: str) -> None:
        for words in (("run", self.job_file, "--rpm", 0), ("quota",), ("models",), ("check", self.job_file),
                      ("bench", "--model", "m"), ("probe", "--model", "m"), ("report", self.job_file)):
            self.assert_one_sentence(self.run_here(*words, expect=CANNOT_START), "sluice.toml", *parts)
        self.assertEqual(self.evil.attempts, 0)

    def test_the_first_line_names_host_and_config(self) -> None:
        host = self.evil.url.removesuffix("/v1")
        for words, expect in ((("run", self.job_file, "--rpm", 0), 0), (("models",), None), (("quota",), None),
                              (("bench", "--model", "gpt-4o-mini", "--requests", 2), 0),
                              (("probe", "--model", "gpt-4o-mini"), None)):
            with self.subTest(words[0]):
                command = [program(), *(str(word) for word in words)]
                run = Run(command, self.environment(), self.here, None)
                self.addCleanup(run.close)
                run.wait()
                if expect is not None:
                    self.assertEqual(run.code, expect, run.err)
                first = run.err.splitlines()[0]
                self.assertIn(host, first)
                self.assertIn("sluice.toml", first)

    def test_the_first_line_of_other_origins(self) -> None:
        run = self.run_job(self.job_file, self.good, "--fresh")
        self.assertIn(self.good.url.removesuffix("/v1"), run.err.splitlines()[0])
        self.assertNotIn("config", run.err.splitlines()[0])
        own = self.folder / "own.toml"
        own.write_text("".join(f'[[relay]]\nname = "{name}"\nbase_url = "{server.url}"\n'
                               for name, server in (("blue", self.good), ("green", self.evil))))
        first = self.sluice("run", self.job_file, "--fresh", "--config", own, "--rpm", 0).err.splitlines()[0]
        for part in ("blue", self.good.url.removesuffix("/v1"), "green", self.evil.url.removesuffix("/v1"), str(own)):
            self.assertIn(part, first)
        self.assertEqual(self.run_job(self.job_file, self.good, "--fresh", "-q").err, "", "with -q there is no output")
        # It comes before all other messages at the start.
        results = self.folder / "old.output.jsonl"
        results.touch()
        lines = self.sluice("run", self.job_file, results, "--fresh", "--base-url", self.good.url, "--rpm",
                            0).err.splitlines()
        self.assertIn(self.good.url.removesuffix("/v1"), lines[0])
        self.assertIn("holds results", lines[1])

    def test_a_file_that_others_may_write_to(self) -> None:
        for mode in (0o666, 0o646, 0o662, 0o602):
            with self.subTest(oct(mode)):
                self.config.chmod(mode)
                self.assert_refused("others may write it", "chmod go-w", "--config")
        if os.geteuid() == 0:  # the group of root may have other members
            self.config.chmod(0o664)
            self.assert_refused("others may write it")

    def test_a_folder_that_others_may_write_to(self) -> None:
        self.here.chmod(0o777)
        self.assert_refused("others may write its folder")
        self.here.chmod(0o1777)  # with the sticky bit, users can only replace their own files
        self.run_here(expect=0)

    @unittest.skipIf(os.geteuid() != 0, "only root can give a file away")
    def test_a_file_of_another_user(self) -> None:
        os.chown(self.config, self.OTHER, self.OTHER)
        self.assert_refused("another user", str(self.OTHER))

    @unittest.skipIf(os.geteuid() != 0, "only root can give a file away")
    def test_a_link_of_another_user(self) -> None:
        """A link to a file of the user: in a folder for all users it is not trusted."""
        self.here.chmod(0o1777)
        own = self.folder / "elsewhere.toml"
        self.config.rename(own)
        self.config.symlink_to(own)
        self.run_here(expect=0)
        os.chown(self.config, self.OTHER, self.OTHER, follow_symlinks=False)
        self.assert_no_new(self.evil, lambda: self.assert_one_sentence(self.run_here(expect=CANNOT_START),
                                                                      "another user"))

    def assert_no_new(self, relay: Relay, act: Callable[[], None]) -> None:
        before = relay.attempts
        act()
        self.assertEqual(relay.attempts, before)

    @unittest.skipIf(os.geteuid() != 0, "only root can become another user")
    def test_a_file_of_root_is_accepted(self) -> None:
        """For example on a managed machine or in a container."""
        self.folder.chmod(0o755)
        words = [program(), "run", str(self.job_file), "--rpm", "0", "--output-dir", str(self.here / "out")]
        (self.here / "out").mkdir()
        os.chown(self.here / "out", self.OTHER, self.OTHER)
        ended = subprocess.run(words, cwd=self.here, env=self.environment(XDG_STATE_HOME=None, HOME=None),
                               capture_output=True, user=self.OTHER, group=self.OTHER, extra_groups=[])
        if b"Permission denied" in ended.stderr and ended.returncode not in (0, 2):
            self.skipTest("other users cannot run the program here")
        self.assertEqual(ended.returncode, 0, ended.stderr)

    def test_a_file_named_by_the_user_is_accepted(self) -> None:
        self.config.chmod(0o666)
        self.here.chmod(0o777)
        self.run_here("run", self.job_file, "--rpm", 0, "--config", "sluice.toml", expect=0)
        self.assertEqual(self.evil.attempts, 2)

    def test_a_file_named_by_the_environment(self) -> None:
        self.config.unlink()
        place = self.folder / "config" / "sluice"
        place.mkdir(parents=True)
        config = place / "config.toml"
        config.write_text(f'base-url = "{self.evil.url}"\n')
        config.chmod(0o666)
        self.assert_one_sentence(self.run_here(expect=CANNOT_START), "config.toml", "others may write it")
        config.chmod(0o600)
        self.run_here(expect=0)
        place.chmod(0o777)
        self.assert_one_sentence(self.run_here(expect=CANNOT_START), "others may write its folder")


class FilesOfOthers(TerminalCase):
    """A page or a log that would overwrite a file of another kind."""

    def setUp(self) -> None:
        super().setUp()
        self.server = self.relay()
        self.made = self.job(chats(3))
        self.run_job(self.made, self.server)
        self.files = self.results(self.made)

    def foreign(self) -> list[Path]:
        rows = {"package.json": b'{\n  "name": "mine"\n}\n', "key": b"sk-1234567890abcdef\n", "notes.txt": b"buy milk",
                "page.html": b"<!DOCTYPE html>\n<html><title>sluice report</title></html>\n",
                "generator.html": b'<html><meta name="generator" content="sluice"></html>\n',
                "table.csv": b"a,b\n1,2\n", "other.state": b"x", "data.bin": b"\0\0\0\0"}
        for name, content in rows.items():
            (self.folder / name).write_bytes(content)
        hard = self.folder / "hard.html"
        os.link(self.made, hard)
        soft = self.folder / "soft.html"
        soft.symlink_to(self.files.output_path)
        return [*(self.folder / name for name in rows), self.made, *self.files.paths, hard, soft]

    def assert_untouched(self, path: Path, *words: Any) -> None:
        before = {file: (file.read_bytes(), file.stat().st_ino) for file in self.folder.iterdir() if file.is_file()}
        self.assert_one_sentence(self.sluice(*words, expect=CANNOT_START), path.name)
        after = {file: (file.read_bytes(), file.stat().st_ino) for file in self.folder.iterdir() if file.is_file()}
        self.assertEqual(after, before)

    def test_a_report_page_does_not_overwrite_other_files(self) -> None:
        for path in self.foreign():
            with self.subTest(path.name):
                self.assert_untouched(path, "report", self.made, "--html", path)

    def test_a_bench_page_does_not_overwrite_other_files(self) -> None:
        asking = ["bench", "--model", "gpt-4o-mini", "--base-url", self.server.url, "--requests", 2]
        before = self.server.attempts
        for path in self.foreign():
            with self.subTest(path.name):
                self.assert_untouched(path, *asking, "--html", path)
        self.assertEqual(self.server.attempts, before, "nothing was paid before")

    def test_a_page_does_not_overwrite_an_empty_results_file(self) -> None:
        self.assertEqual(self.files.errors_path.read_bytes(), b"")
        self.assert_untouched(self.files.errors_path, "report", self.made, "--html", self.files.errors_path)
        other = self.folder / "other.errors.jsonl"
        other.touch()
        self.assert_untouched(other, "report", self.made, "--html", other)

    def test_a_page_replaces_a_page(self) -> None:
        page = self.folder / "report.html"
        page.touch()  # like mktemp
        for _ in range(2):
            self.sluice("report", self.made, "--html", page)
            self.assertIn("sluice", page.read_text("utf-8"))
        link = self.folder / "link.html"
        link.symlink_to(page)
        self.sluice("report", self.made, "--html", link)
        self.assertTrue(link.is_symlink())

    def test_a_page_to_a_pipe_or_a_device(self) -> None:
        pipe = self.folder / "pipe"
        os.mkfifo(pipe)
        for path in (pipe, Path("/dev/null")):
            before = path.stat()
            self.assert_one_sentence(self.sluice("report", self.made, "--html", path, expect=CANNOT_START), path.name)
            self.assertEqual((path.stat().st_ino, path.stat().st_mode), (before.st_ino, before.st_mode))

    def test_measurements_are_printed_if_the_page_cannot_be_written(self) -> None:
        page = self.folder / "page.html"
        server = self.relay("--head-delay", "0.5")
        run = self.start("bench", "--model", "gpt-4o-mini", "--base-url", server.url, "--requests", 2, "--json",
                         "--html", page)
        wait_until(lambda: server.attempts > 0, "a request in flight")
        page.write_text("somebody's\n")
        self.assertEqual(run.wait().code, CANNOT_START, run.err)
        self.assertEqual(json.loads(run.out)["loads"][0]["requests"], 2)
        self.assertEqual(page.read_text(), "somebody's\n")

    def test_a_log_does_not_overwrite_other_files(self) -> None:
        other = self.job(chats(2), "second.jsonl")
        asking = ["--base-url", self.server.url, "--rpm", 0, "-v"]
        for path in self.foreign():
            for words in (["run", other, *asking], ["run", self.made, *asking],
                          ["quota", "--base-url", self.server.url]):
                with self.subTest(path=path.name, words=str(words[0])):
                    self.assert_untouched(path, *words, "--log-file", path)

    def test_a_log_does_not_take_the_name_of_future_results(self) -> None:
        other = self.job(chats(2), "second.jsonl")
        for name in ("second.output.jsonl", "second.errors.jsonl", "second.totals.json", "second.state",
                     "./../" + self.folder.name + "/second.errors.jsonl"):
            with self.subTest(name):
                self.assert_untouched(self.folder / Path(name).name, "run", other, "--simulate", "--log-file", name)
        self.assert_untouched(self.folder / "y.jsonl", "run", other, "--simulate", "-o", "y.jsonl", "--log-file",
                              "y.jsonl")
        self.assert_untouched(self.folder / "y.errors.jsonl", "run", other, "--simulate", "-o", "y.jsonl", "--log-file",
                              "y.errors.jsonl")
        self.assertFalse((self.folder / "second.output.jsonl").exists())

    def test_a_log_is_appended_to_a_log(self) -> None:
        log = self.folder / "run.log"
        for _ in range(2):
            self.sluice("run", self.made, "--simulate", "--output-dir", self.out, "-v", "--fresh", "--log-file", log)
        self.assertTrue(log.read_text("utf-8"))
        for line in log.read_text("utf-8").splitlines():
            self.assertRegex(line, r"^\d{4}-\d\d-\d\dT")
        self.sluice("run", self.made, "--simulate", "--output-dir", self.out, "--log-file", "/dev/null")

    def test_a_log_that_would_block_the_run(self) -> None:
        pipe = self.folder / "pipe"
        os.mkfifo(pipe)
        self.assert_one_sentence(self.sluice("run", self.made, "--simulate", "--log-file", pipe, expect=CANNOT_START),
                                 "--log-file")

    @unittest.skipIf(os.geteuid() != 0, "only root can give a file away")
    def test_a_planted_link(self) -> None:
        """In a folder for all users, a link of another user to a file that this user may write."""
        shared = self.folder / "shared"
        shared.mkdir()
        shared.chmod(0o1777)
        target = self.folder / "authorized_keys"
        for flag, words in (("--html", ("report", self.made)), ("--log-file", ("run", self.made, "--simulate"))):
            link = shared / "planted"
            link.symlink_to(target)
            os.chown(link, 54321, 54321, follow_symlinks=False)
            self.assert_one_sentence(self.sluice(*words, flag, link, expect=CANNOT_START), "another user")
            self.assertFalse(target.exists())
            link.unlink()


if __name__ == "__main__":
    unittest.main()
