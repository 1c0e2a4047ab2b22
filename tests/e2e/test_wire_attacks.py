"""Attacks on the wire: what a relay, or the machine itself, does to the replies that are on their way."""

from __future__ import annotations

import json
import signal
import threading
import time
import unittest
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hostile_relay import Answer, HostileRelay, Step
from hostile_traps import DONE, ask, chunk, completion, dump, event, framed, head, open_stream
from support import Case, Run, batch, wait_until

SOME_FAILED = 1


class HostileCase(Case):
    def hostile(self, answers: dict[str, Sequence[Answer]]) -> HostileRelay:
        started = HostileRelay(answers)
        self.addCleanup(started.stop)
        return started

    def go(self, relay: HostileRelay, job: Path, *flags: Any, expect: int | None = 0, **more: Any) -> Run:
        return self.sluice("run", job, "--base-url", relay.url, "--rpm", 0, *flags, expect=expect, **more)


class Standstill(HostileCase):
    """Ctrl-Z, a paused machine: replies arrive while nobody reads. None is thrown away, and none is paid twice."""

    REQUESTS = 8
    STANDS = 4.5  # seconds; the deadlines are two

    def setUp(self) -> None:
        super().setUp()
        self.stopped = threading.Event()

    def when_stopped(self, *pieces: bytes) -> Step:
        def steps() -> Iterator[bytes]:
            self.stopped.wait()
            yield from pieces

        return steps

    def stand_still(self, name: str, answer: list[Step], *flags: str, stream: bool = True) -> Run:
        relay = self.hostile({name: [Answer(answer, billed=True)]})
        job = self.job([batch(f"{name}/{i}", json.loads(ask(f"{name}/{i}", stream=stream)))
                        for i in range(self.REQUESTS)])
        run = self.start("run", job, "--base-url", relay.url, "--rpm", 0, *flags)
        wait_until(lambda: relay.ledger.count == self.REQUESTS, "all requests have come to the relay")
        run.signal(signal.SIGSTOP)
        wait_until(lambda: self.state(run) == "T", "the program stands still")
        self.stopped.set()
        time.sleep(self.STANDS)
        run.signal(signal.SIGCONT)
        run.wait()
        self.assertEqual(run.code, 0, run.err)
        self.assertEqual(len(self.results(job).output), self.REQUESTS)
        self.assertEqual(relay.ledger.count, self.REQUESTS, "nothing is asked, and paid, twice")
        self.assertEqual(self.results(job).totals["attempts"], self.REQUESTS)
        return run

    @staticmethod
    def state(run: Run) -> str:
        return Path(f"/proc/{run.process.pid}/stat").read_text().rpartition(") ")[2][0]

    def parts(self, name: str) -> list[bytes]:
        return [event(chunk(name, {"role": "assistant", "content": "so"})), event(chunk(name, {}, "stop")), DONE]

    def test_past_the_first_byte_timeout(self) -> None:
        first, *rest = open_stream(self.parts("late"), pause=0.0)
        whole = b"".join(step for step in (first, *rest) if isinstance(step, bytes)) + b"0\r\n\r\n"
        self.stand_still("late", [self.when_stopped(whole)], "--first-byte-timeout", "2s")

    def test_past_the_idle_timeout(self) -> None:
        first, *rest = self.parts("idle")
        self.stand_still("idle", [head(200, "Transfer-Encoding: chunked", kind="text/event-stream"), framed(first),
                                  self.when_stopped(*map(framed, rest), b"0\r\n\r\n")], "--idle-timeout", "2s")

    def test_past_the_timeout_of_the_whole_attempt(self) -> None:
        body = dump(completion("whole", usage={"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}))
        # Larger than what the kernel takes for a program that does not read.
        body = body[:-1] + b',"padding":"' + b"x" * (12 << 20) + b'"}'
        reply = head(200, f"Content-Length: {len(body)}") + body
        self.stand_still("whole", [self.when_stopped(reply)], "--timeout", "2s", stream=False)

    def test_in_the_wait_for_usage(self) -> None:
        name = "usage"
        usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
        spoken, ended, done = self.parts(name)
        self.STANDS = 7.5  # the wait is five seconds
        self.stand_still(name, [
            head(200, "Transfer-Encoding: chunked", kind="text/event-stream"), framed(spoken), framed(ended),
            self.when_stopped(framed(event({**chunk(name), "choices": [], "usage": usage})), framed(done),
                              b"0\r\n\r\n")])
        for line in self.results(self.folder / "job.jsonl").output:
            self.assertEqual(line["sluice"]["usage_source"], "reported")

    def test_a_relay_that_stays_silent_is_cut_all_the_same(self) -> None:
        relay = self.hostile({"mute": [Answer([self.when_stopped(), 30.0])]})
        job = self.job([batch("mute", json.loads(ask("mute", stream=True)))])
        run = self.start("run", job, "--base-url", relay.url, "--rpm", 0, "--first-byte-timeout", "2s",
                         "--max-attempts", 1)
        wait_until(lambda: relay.ledger.count == 1, "the request has come to the relay")
        run.signal(signal.SIGSTOP)
        time.sleep(self.STANDS)
        run.signal(signal.SIGCONT)
        run.wait(20)
        self.assertEqual(run.code, SOME_FAILED, run.err)
        [line] = self.results(job).errors
        self.assertEqual(line["error"]["code"], "request_timeout")


if __name__ == "__main__":
    unittest.main()
