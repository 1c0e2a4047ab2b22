"""The progress that a user sees: one live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
import unittest
from typing import Any

from support import PATIENCE, Case, Run, chats, program

ESCAPE = "\x1b"
ANSWER = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini",
          "choices": [{"index": 0, "message": {"role": "assistant", "content": "late"}, "finish_reason": "stop"}],
          "usage": {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}}


class Terminal(Case):
    def seen(self, *words: Any, columns: int = 100, **environment: str | None) -> tuple[str, int]:
        """Everything that a terminal with `columns` columns receives, and the exit status."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = subprocess.Popen([program(), *(str(word) for word in words)], stdin=theirs, stdout=theirs,
                                   stderr=theirs, cwd=self.folder, start_new_session=True,
                                   env=self.environment(**{"TERM": "xterm-256color", **environment}))
        os.close(theirs)
        data = b""
        end = time.monotonic() + PATIENCE
        try:
            while time.monotonic() < end:
                if select.select([ours], [], [], 0.1)[0]:
                    try:
                        data += (part := os.read(ours, 65536))
                    except OSError:  # the other end is closed
                        break
                    if not part:
                        break
            process.wait(PATIENCE)
        finally:
            process.kill()
            process.wait()
            os.close(ours)
        return data.decode("utf-8", "replace"), process.returncode

    def test_a_live_line_with_the_counts(self) -> None:
        relay = self.relay("--head-delay", "0.3")
        text, code = self.seen("run", self.job(chats(40)), "--base-url", relay.url, "--rpm", 0, "--concurrency", 8)
        self.assertEqual(code, 0, text)
        counts = [int(n) for n in re.findall(r"\r(?:\x1b\[K)?(\d+)/40 done", text)]
        self.assertGreater(len(counts), 2, text)
        self.assertEqual(counts, sorted(counts))
        self.assertGreater(len(set(counts)), 1, "the line is updated")
        live, _, summary = text.rpartition("\r\x1b[K")
        first, _, live = live.partition("\r\n")
        self.assertIn(relay.url.removesuffix("/v1"), first, "the first line names the host")
        self.assertNotIn("\n", live.strip(), "the live line is one line")
        self.assertIn("40 of 40 succeeded", summary)
        self.assertNotIn(" done", summary, "the live line is removed at the end")

    def test_of_a_probe(self) -> None:
        server = self.simulator("--balance", "5", ttft="60ms", itl="2ms")
        text, code = self.seen("probe", "--base-url", server.url, "--model", "gpt-4o-mini", "--rpm", 0, "--seed", 3)
        self.assertEqual(code, 0, text)
        counts = [int(n) for n in re.findall(r"\r(?:\x1b\[K)?(\d+) of \d+ requests answered, \d+ in flight, \$", text)]
        self.assertGreater(len(set(counts)), 1, text)
        self.assertEqual(counts, sorted(counts))
        self.assertNotIn("requests answered", text.rpartition("\r\x1b[K")[2], "the live line is removed at the end")
        self.assertIn("consistent: ", text)

    def test_it_fits_a_narrow_terminal(self) -> None:
        relay = self.relay("--head-delay", "0.3")
        text, _ = self.seen("run", self.job(chats(20)), "--base-url", relay.url, "--rpm", 0, "--concurrency", 4,
                            columns=30)
        drawn = [line for line in re.split(r"\r(?:\x1b\[K)?|\n", text) if "/20" in line]
        self.assertTrue(drawn)
        self.assertLess(max(map(len, drawn)), 30)

    def test_it_says_when_starts_are_spread(self) -> None:
        relay = self.relay()
        text, code = self.seen("run", self.job(chats(8)), "--base-url", relay.url, "--rpm", 20, "--pace", "even")
        self.assertEqual(code, 0, text)
        self.assertRegex(text, r"starts are spread, next start in \d+ s")

    def test_a_dumb_terminal_gets_plain_lines(self) -> None:
        relay = self.relay("--head-delay", "0.3")
        text, code = self.seen("run", self.job(chats(10)), "--base-url", relay.url, "--rpm", 0, TERM="dumb")
        self.assertEqual(code, 0, text)
        self.assertNotIn(ESCAPE, text)
        self.assertNotIn("\r", text.replace("\r\n", "\n"))
        self.assertIn("10 of 10 succeeded", text)

    def test_no_color_is_respected(self) -> None:
        relay = self.relay("--head-delay", "0.3")
        text, _ = self.seen("run", self.job(chats(10)), "--base-url", relay.url, "--rpm", 0, NO_COLOR="1")
        self.assertNotRegex(text, r"\x1b\[[0-9;]*m")

    def test_quiet(self) -> None:
        relay = self.relay("--head-delay", "0.3")
        text, code = self.seen("run", self.job(chats(10)), "--base-url", relay.url, "--rpm", 0, "-q")
        self.assertEqual((text, code), ("", 0))


class Pipe(Case):
    def check_plain(self, run: Run) -> None:
        self.assertEqual(run.out, "", "results go to files, messages to stderr")
        self.assertNotIn(ESCAPE, run.err)
        self.assertNotIn("\r", run.err)

    def test_plain_lines(self) -> None:
        relay = self.relay(script=[{"match": "number 1 ", "delay": 11, "status": 200, "body": ANSWER}])  # the first plain line comes after 10 s
        run = self.run_job(self.job(chats(12)), relay, env={"TERM": "xterm-256color"})
        self.check_plain(run)
        self.assertRegex(run.err, r"(?m)^11/12 done")
        self.assertIn("12 of 12 succeeded", run.err)

    def test_verbose_and_failing(self) -> None:
        relay = self.relay(script=[{"match": "number 2 ", "times": None, "status": 400,
                                    "body": {"error": {"message": "no\x1b[31m such\r thing"}}}])
        run = self.run_job(self.job(chats(9)), relay, "-v", expect=1)
        self.check_plain(run)
        self.assertIn("400", run.err)

    def test_the_summary_recommends_the_next_command(self) -> None:
        relay = self.relay(script=[{"match": "number 2 ", "times": None, "status": 503,
                                    "body": {"error": {"message": "no channel"}}}])
        job = self.job(chats(4))
        run = self.run_job(job, relay, "--max-attempts", 1, expect=1)
        for part in ("3 of 4 succeeded, 1 failed", "1 x 503", "no channel", "job.output.jsonl", "job.errors.jsonl",
                     "job.totals.json", f"run {job}"):
            self.assertIn(part, run.err)

    def test_quiet(self) -> None:
        relay = self.relay()
        run = self.run_job(self.job(chats(4)), relay, "-q")
        self.assertEqual((run.out, run.err), ("", ""))

    def test_log_file(self) -> None:
        relay = self.relay(script=[{"match": "number 2 ", "status": 503, "body": {"error": {"message": "no channel"}}}])
        log = self.folder / "run.log"
        run = self.run_job(self.job(chats(4)), relay, "-q", "--log-file", log)
        self.assertEqual(run.err, "")
        self.assertIn("no channel", log.read_text("utf-8"))


if __name__ == "__main__":
    unittest.main()
