"""The output while a command runs: screens of several widths, signals, waits, and the report of a running job."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import unicodedata
import unittest
from typing import Any

import jsonschema

from support import PATIENCE, ROOT, Case, chats, program, signal_and_wait, wait_until

WIDTHS = (60, 100, 140)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
LATE = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "late"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}}


def cells(text: str) -> int:
    """The width of a text on a terminal."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in COLOUR.sub("", text))


class Pty:
    """A program on a terminal of its own."""

    def __init__(self, case: Case, columns: int, *words: Any, **environment: str | None) -> None:
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.process = subprocess.Popen([program(), *(str(word) for word in words)], stdin=theirs, stdout=theirs,
                                        stderr=theirs, cwd=case.folder, start_new_session=True,
                                        env=case.environment(**{"TERM": "xterm-256color", **environment}))
        os.close(theirs)
        self.data = b""
        case.addCleanup(self.close)

    @property
    def text(self) -> str:
        return self.data.decode("utf-8", "replace")

    def read(self, until: str | None = None) -> str:
        """Reads until the pattern appears, or to the end of the output."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if until is not None and re.search(until, self.text):
                return self.text
            if select.select([self.ours], [], [], 0.1)[0]:
                try:
                    part = os.read(self.ours, 65536)
                except OSError:  # the other end is closed
                    part = b""
                if not part:
                    break
                self.data += part
        if until is not None:
            raise AssertionError(f"never seen: {until}\n{self.text}")
        self.process.wait(PATIENCE)
        return self.text

    def drawn(self) -> list[str]:
        """Each state of the live line."""
        return [line for line in re.split(r"\r(?:\x1b\[K)?|\n", self.text) if line]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.ours >= 0:
            os.close(self.ours)
            self.ours = -1


class Widths(Case):
    def test_the_reason_of_a_wait_is_whole_at_each_width(self) -> None:
        relay = self.relay()
        for columns in WIDTHS:
            with self.subTest(columns=columns):
                shown = Pty(self, columns, "run", self.job(chats(6), f"j{columns}.jsonl"), "--base-url", relay.url,
                            "--rpm", 4, "--header", f"Authorization: Bearer key{columns}")
                shown.read(r"next start in \d+ s")
                shown.process.send_signal(signal.SIGTERM)
                text = shown.read()
                self.assertEqual(shown.process.returncode, 130, text)
                waits = [line for line in shown.drawn() if "next start in" in line and "4/6" in line]
                self.assertTrue(waits, text)
                for line in waits:
                    self.assertLess(cells(line), columns, line)
                    self.assertRegex(COLOUR.sub("", line), r"waiting for the limit, next start in (\d+m )?\d+ ?s$")
                if columns >= 100:
                    self.assertRegex(waits[-1], r"4/4 in 60 s")

    def test_colours(self) -> None:
        relay = self.relay()
        rows = (((), {}, True), (("--color", "never"), {}, False), ((), {"NO_COLOR": "1"}, False),
                (("--color", "always"), {"NO_COLOR": "1"}, True), ((), {"TERM": "dumb"}, False))
        for key, (flags, environment, coloured) in enumerate(rows):
            with self.subTest(flags=flags, environment=environment):
                shown = Pty(self, 100, "run", self.job(chats(5)), "--base-url", relay.url, "--rpm", 3, "--fresh",
                            "--header", f"Authorization: Bearer {key}", *flags, **environment)
                shown.read(r"3/5.* done")
                shown.process.send_signal(signal.SIGTERM)
                text = shown.read()
                self.assertEqual(bool(COLOUR.search(text)), coloured, text)

    def test_a_pipe_has_no_colours_unless_asked(self) -> None:
        relay = self.relay(script=[{"match": "number 2 ", "times": None, "status": 503, "body": {"error": {"message": "x"}}}])
        plain = self.run_job(self.job(chats(3)), relay, "--max-attempts", 1, "-v", expect=1)
        self.assertNotIn("\x1b", plain.err)
        relay.stop()
        dead = self.sluice("run", self.job(chats(3), "b.jsonl"), "--base-url", relay.url, "--give-up-after", "1s",
                           "--color", "always", expect=None)
        self.assertIn("\x1b[33msluice:\x1b[0m", dead.err)


class Interrupt(Case):
    def test_it_says_what_is_waited_for_and_how_a_second_one_ends_it(self) -> None:
        relay = self.relay("--head-delay", "30")
        shown = Pty(self, 100, "run", self.job(chats(3)), "--base-url", relay.url, "--rpm", 0)
        wait_until(lambda: relay.attempts == 3, "three attempts")
        shown.process.send_signal(signal.SIGTERM)
        shown.read(r"stopping: 3 in flight may finish within \d+ s, Ctrl-C again drops them")
        self.assertIn("interrupted: 3 in flight may finish within 30 s; interrupt again to stop at once", shown.text)
        time.sleep(0.2)
        shown.process.send_signal(signal.SIGTERM)
        text = shown.read()
        self.assertEqual(shown.process.returncode, 130)
        self.assertIn("interrupted again: 3 in flight are abandoned; the relay may bill them", text)

    def test_the_end_of_grace_says_so(self) -> None:
        relay = self.relay("--head-delay", "30")
        run = self.start("run", self.job(chats(2)), "--base-url", relay.url, "--rpm", 0, "--grace", "1s")
        wait_until(lambda: relay.attempts == 2, "two attempts")
        run.signal(signal.SIGTERM)
        run.wait()
        self.assertEqual(run.code, 130)
        self.assertIn("the 1 s of --grace are over: 2 in flight are abandoned", run.err)


class Signals(Case):
    def config(self, text: str) -> None:
        (self.folder / "sluice.toml").write_text(text)

    def test_usr1_prints_the_status_also_when_quiet(self) -> None:
        relay = self.relay("--head-delay", "30")
        for flags in ((), ("-q",), ("--json-log",)):
            with self.subTest(flags=flags):
                before = relay.attempts
                run = self.start("run", self.job(chats(2), f"j{len(flags)}{flags[-1] if flags else ''}.jsonl"), "--base-url",
                                 relay.url, "--rpm", 0, *flags)
                wait_until(lambda: relay.attempts == before + 2, "two attempts")
                run.signal(signal.SIGUSR1)
                wait_until(lambda: "0/2 done" in run.err, "the status")
                line = next(line for line in run.err.splitlines() if "0/2 done" in line)
                if flags == ("--json-log",):
                    self.assertIn("0/2 done", json.loads(line)["text"])
                else:
                    self.assertTrue(line.startswith("sluice: 0/2 done | 2 in 60 s"), line)
                self.assertTrue(run.running)
                run.signal(signal.SIGKILL)
                run.wait()

    def test_usr2_reads_the_limits_again(self) -> None:
        relay = self.relay()
        self.config(f'base-url = "{relay.url}"\nrpm = 3\nconcurrency = 8\n')
        run = self.start("run", self.job(chats(20)))
        wait_until(lambda: relay.attempts == 3, "three attempts")
        time.sleep(0.3)
        self.assertEqual(relay.attempts, 3, "the limit holds")
        self.config("rpm = \n")
        run.signal(signal.SIGUSR2)
        wait_until(lambda: "the limits stay as they are: " in run.err, "a refusal")
        self.assertIn("sluice.toml line 1", run.err)
        self.config(f'base-url = "{relay.url}"\nrpm = 100\nconcurrency = 2\n')
        run.signal(signal.SIGUSR2)
        run.wait()
        self.assertEqual(run.code, 0, run.err)
        self.assertRegex(run.err, r"SIGUSR2: read .*sluice\.toml; rpm 3 -> 100, concurrency 8 -> 2\n")
        self.assertEqual(relay.attempts, 20)
        self.assertEqual(self.results(self.folder / "job.jsonl").totals["rpm"], 100)

    def test_usr2_says_that_a_flag_wins(self) -> None:
        relay = self.relay("--head-delay", "30")
        self.config("rpm = 3\n")
        run = self.start("run", self.job(chats(1)), "--base-url", relay.url, "--rpm", 50)
        wait_until(lambda: relay.attempts == 1, "an attempt")
        self.config("rpm = 7\nconcurrency = 5\n")
        run.signal(signal.SIGUSR2)
        wait_until(lambda: "SIGUSR2" in run.err, "an answer")
        self.assertIn("concurrency 64 -> 5; --rpm 50 of the command line wins over the config", run.err)


class Progress(Case):
    def test_json(self) -> None:
        schema = jsonschema.Draft202012Validator(json.loads((ROOT / "docs/progress.schema.json").read_text("utf-8")))
        relay = self.relay(script=[{"match": "number 1 ", "delay": 11, "status": 200, "body": LATE}])
        run = self.sluice("run", self.job(chats(4)), "--base-url", relay.url, "--rpm", 0, "-q", "--progress", "json")
        lines = [json.loads(line) for line in run.err.splitlines()]
        self.assertEqual([line["succeeded"] for line in lines], [3, 4], "after 10 s and at the end")
        for line in lines:
            schema.validate(line)
        self.assertEqual((lines[0]["requests"], lines[0]["in_flight"], lines[0]["rpm"]), (4, 1, 0))

    def test_none_and_plain(self) -> None:
        relay = self.relay("--head-delay", "0.5")
        shown = Pty(self, 100, "run", self.job(chats(2)), "--base-url", relay.url, "--rpm", 0, "--progress", "none")
        self.assertNotIn(" done", shown.read())
        self.sluice("run", "x.jsonl", "--progress", "loud", expect=2)


class Waits(Case):
    def test_starts_of_an_earlier_run_are_named(self) -> None:
        relay = self.relay()
        self.sluice("run", self.job(chats(6), "a.jsonl"), "--base-url", relay.url, "--rpm", 8)
        run = self.start("run", self.job(chats(5), "b.jsonl"), "--base-url", relay.url, "--rpm", 8)
        wait_until(lambda: relay.attempts == 8, "two more attempts")
        time.sleep(0.3)
        run.signal(signal.SIGUSR1)
        wait_until(lambda: "2/5 done" in run.err, "the status")
        self.assertRegex(run.err, r"2/5 done \| 2/8 in 60 s \(6 by other runs\) .* \| waiting for the limit, next start in")

    def long_pause(self) -> Any:
        """A relay that asked an earlier run to wait for an hour. That run was killed during the wait."""
        relay = self.relay(script=[{"match": "number 1 ", "times": None, "status": 429, "headers": {"retry-after": "3600"},
                                    "body": {"error": {"message": "slow down"}}}])
        run = self.start("run", self.job(chats(1), "patient.jsonl"), "--base-url", relay.url, "--max-wait", "2h", "-q")
        wait_until(lambda: "paused by the relay until" in run.err, "one line although it is quiet")
        self.assertRegex(run.err, r"^sluice: paused by the relay until [^(]*\(429, it asked for 1h 00m\)\n$")
        run.signal(signal.SIGUSR1)
        wait_until(lambda: "0/1 done" in run.err, "the status")
        run.signal(signal.SIGKILL)
        run.wait()
        return relay

    def test_each_run_has_its_own_max_wait(self) -> None:
        relay = self.long_pause()
        before = relay.attempts
        run = self.sluice("run", self.job(chats(2), "b.jsonl"), "--base-url", relay.url, expect=3)
        self.assertIn("longer wait than --max-wait", run.err)
        self.assertIn("run again at", run.err)
        self.assertEqual(relay.attempts, before)
        patient = self.start("run", self.job(chats(2), "c.jsonl"), "--base-url", relay.url, "--max-wait", "2h")
        time.sleep(1)
        patient.signal(signal.SIGUSR1)
        wait_until(lambda: "paused by the relay until" in patient.err, "the reason")
        self.assertIn("(it refused another run)", patient.err)
        bench = self.sluice("bench", "--base-url", relay.url, "--model", "m", "--requests", 2, expect=3)
        self.assertIn("longer than --max-wait", bench.err)
        self.assertEqual(relay.attempts, before)

    def test_a_dead_connection_is_tried_at_once_by_a_new_run(self) -> None:
        relay = self.relay()
        url = relay.url
        port = int(url.rsplit(":", 1)[1].split("/")[0])
        relay.stop()
        first = self.sluice("run", self.job(chats(3)), "--base-url", url, "--give-up-after", "4s", expect=3)
        self.assertIn("--give-up-after", first.err)
        back = self.relay("--port", str(port))
        began = time.monotonic()
        self.sluice("run", self.folder / "job.jsonl", "--base-url", back.url)
        self.assertLess(time.monotonic() - began, 5, "the backoff of the first run does not hold the second")

    def test_every_quiet_command_reports_a_long_wait_once(self) -> None:
        refusal = {"times": None, "status": 429, "headers": {"retry-after": "300"},
                   "body": {"error": {"message": "slow down"}}}
        for words in (("run", self.job(chats(2))), ("ask", "hi"), ("probe", "--model", "gpt-4o-mini"),
                      ("bench", "--model", "gpt-4o-mini", "--requests", 3, "--concurrency", 1)):
            with self.subTest(command=words[0]):
                relay = self.relay(script=[refusal])
                run = self.start(*words, "--base-url", relay.url, "-q")
                wait_until(lambda: "paused by the relay until" in run.err, "one line although it is quiet")
                time.sleep(1.5)
                self.assertEqual(len(run.err.splitlines()), 1, run.err)
                signal_and_wait(run)

    def test_a_prompt_says_what_it_waits_for(self) -> None:
        relay = self.relay()
        ask = ("ask", "hi", "--base-url", relay.url, "--rpm", 1)
        self.sluice(*ask)
        shown = Pty(self, 60, *ask)
        shown.read(r"waiting for the limit, next start in \d+ s")
        self.assertLess(max(map(cells, shown.drawn())), 60, shown.text)
        shown.process.send_signal(signal.SIGTERM)
        shown.read()
        self.assertEqual((shown.process.returncode, relay.attempts), (130, 1))

    def test_a_lost_model_is_named_as_the_reason(self) -> None:
        lost = {"match": "number 2 ", "times": None, "status": 503,
                "body": {"error": {"message": "No available channel for model gpt-4o-mini (distributor)"}}}
        run = self.start("run", self.job(chats(2)), "--base-url", self.relay(script=[lost]).url, "--concurrency", 1)
        wait_until(lambda: "one at a time is sent as a trial" in run.err, "the warning")
        run.signal(signal.SIGUSR1)
        wait_until(lambda: "| 1 wait until the relay serves their model again" in run.err, "the reason")

    def test_bench_says_why_nothing_starts(self) -> None:
        relay = self.relay()
        self.sluice("run", self.job(chats(4), "a.jsonl"), "--base-url", relay.url, "--rpm", 4)
        shown = Pty(self, 140, "bench", "--base-url", relay.url, "--model", "m", "--requests", 2, "--rpm", 4)
        shown.read(r"0/4 in 60 s \(4 by other runs\) .*waiting for the limit, next start in \d+ s")


class Report(Case):
    def test_a_running_job_is_counted_at_once(self) -> None:
        relay = self.relay(script=[{"match": "number 1 ", "delay": 30, "status": 200, "body": LATE}])
        job = self.job(chats(5))
        run = self.start("run", job, "--base-url", relay.url, "--rpm", 0)
        wait_until(lambda: self.results(job).written() == 4, "four lines")
        report = self.sluice("report", job)
        self.assertRegex(report.out, rf"running \(process {run.process.pid}, since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d\): 4 of 5 "
                                     r"succeeded, 0 failed, 1 pending")
        totals = json.loads(self.sluice("report", job, "--json").out)
        self.assertEqual((totals["status"], totals["succeeded"], totals["attempts"]), ("running", 4, 5))
        run.signal(signal.SIGKILL)
        run.wait()
        report = self.sluice("report", job)
        self.assertRegex(report.out, r"killed \d s ago; run the same command to go on: 4 of 5 succeeded")
        self.assertEqual(json.loads(self.sluice("report", job, "--json").out)["status"], "interrupted")

    def test_watch_in_a_pipe_ends_with_the_run(self) -> None:
        relay = self.relay("--head-delay", "0.5", script=[{"match": "number 2 ", "times": None, "status": 400, "delay": 2,
                                                           "body": {"error": {"message": "bad"}}}])
        job = self.job(chats(4))
        run = self.start("run", job, "--base-url", relay.url, "--rpm", 0)
        wait_until(lambda: relay.attempts == 4, "all in flight")
        watch = self.start("report", job, "--watch=500ms").wait()
        run.wait()
        self.assertEqual((run.code, watch.code), (1, 1))
        blocks = watch.out.split("\n\n")
        self.assertGreater(len(blocks), 1)
        self.assertIn(f"running (process {run.process.pid}", blocks[0])
        self.assertIn("completed: 3 of 4 succeeded, 1 failed", blocks[-1])
        self.assertNotIn("\x1b", watch.out)

    def test_watch_renews_the_lines_of_a_terminal(self) -> None:
        relay = self.relay("--head-delay", "2")
        job = self.job(chats(2))
        run = self.start("run", job, "--base-url", relay.url, "--rpm", 0)
        wait_until(lambda: relay.attempts == 2, "all in flight")
        shown = Pty(self, 60, "report", job, "--watch=200ms")
        text = shown.read()
        self.assertEqual(shown.process.returncode, 0, text)
        self.assertRegex(text, r"\x1b\[\d+A\x1b\[J")
        self.assertIn("completed: 2 of 2 succeeded", text)
        run.wait()

    def test_exit_codes_and_refusals(self) -> None:
        relay = self.relay()
        job = self.job(chats(2))
        self.run_job(job, relay)
        self.assertIn("completed", self.sluice("report", job, "--watch").out)
        self.sluice("report", job, "--watch", "--json", expect=2)
        self.sluice("report", job, "--watch=0s", expect=2)

    def test_the_page_draws_the_cap_that_the_run_had(self) -> None:
        relay = self.relay()
        job = self.job(chats(2))
        self.sluice("run", job, "--base-url", relay.url, "--rpm", 77)
        self.assertEqual(self.results(job).totals["rpm"], 77)
        self.sluice("report", job, "--html", "page.html")
        self.assertIn('"rpm":77,"totals"', (self.folder / "page.html").read_text("utf-8"))
        self.sluice("report", job, "--html", "page.html", "--rpm", 5)
        self.assertIn('"rpm":5,"totals"', (self.folder / "page.html").read_text("utf-8"))


class Ends(Case):
    def test_a_finished_job_run_again_adds_no_time(self) -> None:
        relay = self.relay()
        job = self.job(chats(2))
        self.run_job(job, relay)
        before = self.results(job).totals
        self.run_job(job, relay)
        self.assertEqual(self.results(job).totals, before)

    def test_the_log_file_has_start_settings_stop_and_totals(self) -> None:
        relay = self.relay(script=[{"match": "number 2 ", "times": None, "status": 400, "body": {"error": {"message": "bad"}}}])
        log = self.folder / "run.log"
        run = self.sluice("run", self.job(chats(3)), "--base-url", relay.url, "--rpm", 90, "-q", "--log-file", log, "--header",
                          "X-Api-Key: secret-word", expect=1)
        text = log.read_text("utf-8")
        self.assertRegex(text, r"info start: sluice [0-9.]+\S*, pid \d+: \S+ run .*job\.jsonl")
        self.assertRegex(text, r"info settings: base-url = http://\S+, api-key = \[hidden\], header = \[hidden\], rpm = 90, quiet = true, log-file = ")
        self.assertRegex(text, r"info end: exit status 1; \S*job\.jsonl: 2 of 3 succeeded, 1 failed")
        self.assertNotIn("secret-word", text)
        totals = json.loads(next(line for line in text.splitlines() if " totals: " in line).split(" totals: ")[1])
        self.assertEqual((totals["succeeded"], totals["failed"]), (2, 1))
        self.assertEqual(len(run.err.splitlines()), 1, run.err)

    def test_bench_ends_with_a_ranking(self) -> None:
        slow, fast = self.relay("--head-delay", "0.15"), self.relay("--head-delay", "0.01")
        run = self.sluice("bench", "--target", f"green={slow.url}", "--target", f"blue={fast.url}", "--model", "m",
                          "--requests", 20, "--concurrency", 2, "--rpm", 0, "--html", "boss.html", "--no-stream")
        last = run.out.rstrip("\n").splitlines()[-1]
        self.assertRegex(last, r"^blue is [0-9.]+ times as fast as green, p50 to the end of the reply [0-9.]+ against "
                               r"[0-9.]+ ms; difference certain at 95 %$")
        self.assertTrue(run.err.rstrip("\n").endswith("sluice: wrote boss.html"), run.err)
        self.assertIn("* of fewer than 100 requests", run.out)

    def test_bench_tells_one_failure_once(self) -> None:
        good, dead = self.relay(), self.relay()
        dead.stop()
        run = self.sluice("bench", "--target", f"green={dead.url}", "--target", f"blue={good.url}", "--model", "m",
                          "--requests", 5, "--concurrency", 1, "--rpm", 0, expect=3)
        self.assertEqual((run.out + run.err).count("connection refused") + (run.out + run.err).count("Connection refused"), 1,
                         run.out + run.err)


if __name__ == "__main__":
    unittest.main()
