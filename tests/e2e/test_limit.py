"""The limit, counted by a relay's own clock over two windows and a bit. limit_soak.py is the same for longer."""

from __future__ import annotations

import unittest

from limit_soak import Figures, soak
from support import Case, chats, program, read_jsonl, wait_until


class LimitOverWindows(Case):
    def hold(self, seen: Figures, floor: float) -> None:
        self.assertTrue(seen.complete, f"exit status {seen.exit_status}\n{seen.stderr}")
        self.assertEqual(seen.refused, 0)
        self.assertLessEqual(seen.most_in_60s, seen.rpm)
        self.assertGreaterEqual(seen.use, floor, seen.windows)

    def test_under_varying_delay(self) -> None:
        self.hold(soak(program(), self.folder, 2.05, 200, 1.0), 0.98)


class LimitOverWindowsNearby(LimitOverWindows):
    """A class of its own, so that both wait at the same time."""

    def test_under_varying_delay(self) -> None:
        self.hold(soak(program(), self.folder, 2.05, 200, 0.3), 0.99)


class Limit(Case):
    def test_two_jobs_share_one_limit(self) -> None:
        """Everything is refused beyond 30 in a minute, and there are 30 to send: nothing may be."""
        relay = self.relay("--rpm", "30", "--delay-max", "0.2")
        one, two = self.job(chats(15), "one.jsonl"), self.job(chats(15), "two.jsonl")
        self.sluice("run", one, two, "--base-url", relay.url, "--rpm", 30)
        stats = relay.stats
        self.assertEqual((stats["attempts"], stats["refused"], stats["max_in_60s"]), (30, 0, 30))

    def test_two_processes_share_one_limit(self) -> None:
        """Both have work for 20, and 30 may start: none is refused, the rest waits, and so does a run that is started
        anew."""
        relay = self.relay("--rpm", "30", "--delay-max", "0.2")
        jobs = [self.job(chats(20), f"{name}.jsonl") for name in ("one", "two")]
        flags = ("--base-url", relay.url, "--rpm", 30)
        runs = [self.start("run", job, *flags) for job in jobs]
        wait_until(lambda: relay.attempts >= 30, "both send")
        waiting = [run for run, job in zip(runs, jobs) if self.results(job).written() < 20]
        wait_until(lambda: any("waiting for the limit" in run.err for run in waiting), "the rest waits")
        for run in runs:
            if run.running:
                run.signal(9)
            run.wait()
        again = self.start("run", jobs[0], jobs[1], *flags)
        wait_until(lambda: "waiting for the limit" in again.err, "the run after them waits as well")
        again.signal(2)
        again.wait()
        stats = relay.stats
        self.assertEqual((stats["attempts"], stats["refused"], stats["max_in_60s"]), (30, 0, 30))

    def test_tokens_a_minute(self) -> None:
        """A request is taken for about 70 tokens until its usage tells of less: so one goes at a time."""
        relay = self.relay("--head-delay", "0.05")
        self.run_job(self.job(chats(4, max_tokens=40)), relay, "--tpm", 120, "--no-stream")
        self.assertEqual(relay.stats["max_in_flight"], 1)
        self.run_job(self.job(chats(4, max_tokens=40), "wide.jsonl"), relay, "--tpm", 100000, "--no-stream")
        self.assertGreater(relay.stats["max_in_flight"], 1)

    def test_concurrency_is_the_most_in_flight(self) -> None:
        relay = self.relay("--head-delay", "0.05")
        # Not streamed: the relay is done with a reply before the client can have read it.
        self.run_job(self.job(chats(60)), relay, "--concurrency", 7, "--no-stream")
        self.assertEqual(relay.stats["max_in_flight"], 7)

    def test_it_recovers_from_a_relay_that_allows_less(self) -> None:
        """429 without a hint: slower, and in the end everything is there."""
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


if __name__ == "__main__":
    unittest.main()
