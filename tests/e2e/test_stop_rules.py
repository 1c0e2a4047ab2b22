"""Rules that stop a run after the failures of many requests: when it stops, what it writes, and how a new run
continues."""

from __future__ import annotations

import json
import unittest
from typing import Any

from support import Case, batch, chat, chats, jsonl

MISSING = {"error": {"message": "The model `gpt-4o-mimi` does not exist or you do not have access to it.",
                     "type": "invalid_request_error", "param": None, "code": "model_not_found"}}
# An error message that is in no table of known messages. Its id differs in each request.
FROZEN = {"error": {"message": "Workspace ws_81 is frozen (request id: 20261124125756152773054mpopnfjc)",
                    "type": "new_api_error", "param": None, "code": None}}
NO_CHANNEL = {"error": {"message": "当前分组 default 下对于模型 gpt-4o 无可用渠道", "type": "new_api_error",
                        "param": None, "code": "model_not_found"}}
QUICK = ("--rpm", "0", "--delay-max", "0")  # no limit and no delays
SPENT = {"error": {"message": "You exceeded your current quota", "type": "insufficient_quota", "param": None,
                   "code": "insufficient_quota"}}


def always(status: int, body: Any, **more: Any) -> dict[str, Any]:
    return {"times": None, "status": status, "body": body, **more}


class StopRules(Case):
    def counts(self, job: Any) -> tuple[int, int, int]:
        totals = self.results(job).totals
        return totals["succeeded"], totals["failed"], totals["pending"]

    def run_to(self, expect: int, job: Any, relay: Any, *flags: Any) -> Any:
        return self.sluice("run", job, "--base-url", relay.url, "--rpm", 0, *flags, expect=expect)

    def test_equal_refusals_stop_the_run(self) -> None:
        job = self.job(chats(500))
        relay = self.relay(*QUICK, script=[always(404, MISSING)])
        run = self.run_to(2, job, relay, "--concurrency", 8)
        for part in ("gpt-4o-mini", "does not exist", relay.url, "--keep-going"):
            self.assertIn(part, run.err)
        self.assertEqual(self.counts(job), (0, 0, 500))
        self.assertEqual(self.results(job).errors, [])
        self.assertIn(relay.attempts, range(20, 28))
        # With a relay that has the model, the same command continues.
        good = self.relay(*QUICK)
        self.run_job(job, good)
        self.assertEqual(self.counts(job), (500, 0, 0))

    def test_a_later_stop_does_not_hide_a_refused_job(self) -> None:
        refused = self.job([batch(f"c{i}", chat(f"mistyped row {i}")) for i in range(1, 31)], "refused.jsonl")
        good = self.job(chats(200), "good.jsonl")
        relay = self.relay(*QUICK, script=[always(404, MISSING, match="mistyped row"), always(402, SPENT, after=100)])
        run = self.sluice("run", refused, good, "--base-url", relay.url, "--rpm", 0, "--concurrency", 4, expect=2)
        for part in ("does not exist", "quota is used up", "correct --model or the job"):
            self.assertIn(part, run.err)
        self.assertEqual(self.counts(refused), (0, 0, 30))
        self.assertEqual(self.results(good).errors, [])

    def test_keep_going(self) -> None:
        job = self.job(chats(60))
        relay = self.relay(*QUICK, script=[always(404, MISSING)])
        self.run_to(1, job, relay, "--keep-going")
        self.assertEqual(self.counts(job), (0, 60, 0))

    def test_a_short_job_has_its_lines(self) -> None:
        job = self.job(chats(19))
        relay = self.relay(*QUICK, script=[always(404, MISSING)])
        self.run_to(1, job, relay)
        self.assertEqual(self.counts(job), (0, 19, 0))

    def test_a_spent_account_with_an_unknown_message(self) -> None:
        for status in (403, 412):
            with self.subTest(status):
                job = self.job(chats(400), f"frozen-{status}.jsonl")
                relay = self.relay(*QUICK, script=[always(status, FROZEN, after=40)])
                run = self.run_to(3, job, relay, "--concurrency", 4)
                self.assertIn("is frozen", run.err)
                succeeded, failed, pending = self.counts(job)
                self.assertEqual((succeeded, failed, pending), (40, 0, 360))
                self.assertLess(relay.attempts, 40 + 30 + 5 + 4)

    def test_a_block_of_bad_rows_does_not_stop_the_run(self) -> None:
        lines = [batch(f"c{i}", chat(f"{'forbidden' if 100 < i <= 220 else 'good'} row {i}")) for i in range(1, 3001)]
        job = self.job(lines)
        relay = self.relay(*QUICK, script=[always(403, FROZEN, match="forbidden row")])
        self.run_to(1, job, relay, "--concurrency", 4)
        self.assertEqual(self.counts(job), (2880, 120, 0))
        self.assertEqual(relay.attempts, 3000, "each request is sent once")
        rows = [int(json.loads(body)["messages"][0]["content"].rsplit(" ", 1)[1]) for body in relay.bodies]
        self.assertGreater(max(rows[:180]), 600, "some requests were from other parts of the job")

    def test_the_last_few_of_a_job_are_tried_again(self) -> None:
        job = self.job(chats(50))
        relay = self.relay(*QUICK, script=[always(403, FROZEN, after=40)])
        self.run_to(1, job, relay, "--concurrency", 4)
        self.assertEqual(self.counts(job), (40, 10, 0))
        self.assertTrue(all(line["sluice"]["retryable"] for line in self.results(job).errors))
        self.run_job(job, self.relay(*QUICK))
        self.assertEqual(self.counts(job), (50, 0, 0))

    def test_a_spent_quota_with_status_429(self) -> None:
        job = self.job(chats(100))
        relay = self.relay(*QUICK, script=[always(429, SPENT, after=20)])
        run = self.run_to(3, job, relay, "--concurrency", 4)
        self.assertIn("You exceeded your current quota", run.err)
        self.assertNotIn("--give-up-after", run.err)
        self.assertEqual(self.counts(job), (20, 0, 80))

    def test_a_model_that_becomes_unavailable(self) -> None:
        lines = [batch(f"c{i}", chat(f"row {i}", model="gpt-4o" if i % 2 else "gpt-4o-mini")) for i in range(1, 121)]
        job = self.job(lines)
        relay = self.relay(*QUICK, script=[always(503, NO_CHANNEL, match='"gpt-4o"', after=10)])
        run = self.run_to(3, job, relay, "--concurrency", 4, "--give-up-after", "2s")
        self.assertIn("gpt-4o", run.err)
        self.assertEqual(self.counts(job), (70, 0, 50))
        self.assertLess(relay.attempts, 70 + 4 + 4)
        self.run_job(job, self.relay(*QUICK))
        self.assertEqual(self.counts(job), (120, 0, 0))

    def test_a_model_that_becomes_available_again(self) -> None:
        lines = [batch(f"c{i}", chat(f"row {i}", model="gpt-4o" if i % 2 else "gpt-4o-mini")) for i in range(1, 61)]
        job = self.job(lines)
        script = [{"match": '"gpt-4o"', "after": 5, "times": 3, "status": 503, "body": NO_CHANNEL}]
        self.run_job(job, self.relay(*QUICK, script=script), "--concurrency", 2)
        self.assertEqual(self.counts(job), (60, 0, 0))

    def test_a_gateway_that_cannot_stream(self) -> None:
        job = self.job(chats(120))
        relay = self.relay(*QUICK, script=[always(500, "<html>stream</html>", match='"stream":true')])
        run = self.run_job(job, relay)
        self.assertEqual(run.err.count("as with --no-stream"), 1)
        self.assertEqual(self.counts(job), (120, 0, 0))
        self.assertFalse(any(line["sluice"]["streamed"] for line in self.results(job).output))
        digests = {line["custom_id"]: line["sluice"]["digest"] for line in self.results(job).output}
        plain = self.job(chats(120), "plain.jsonl")
        self.run_job(plain, self.relay(*QUICK), "--no-stream")
        self.assertEqual(digests, {line["custom_id"]: line["sluice"]["digest"]
                                   for line in self.results(plain).output})

    def test_a_simulated_relay_that_cannot_stream(self) -> None:
        job = self.job(chats(60))
        simulator = self.simulator("--faults", "no-stream=1", "--rpm", "0")
        self.run_job(job, simulator)
        self.assertEqual(self.counts(job), (60, 0, 0))
        outcomes = simulator.ledger["outcomes"]
        self.assertIn(outcomes["no-stream"], range(20, 60 + 64), "twenty for the trial, and those in flight")

    def test_a_reply_that_cannot_be_read_twice(self) -> None:
        job = self.job(jsonl([batch("a", chat("broken")), batch("b", chat("good"))]))
        relay = self.relay(*QUICK, script=[always(200, '{"choices": [', match="broken")])
        self.run_to(1, job, relay, "--no-stream")
        line = self.results(job).errors[0]
        self.assertEqual((line["error"]["code"], line["sluice"]["attempts"], line["sluice"]["retryable"]),
                         ("invalid_response", 2, False))

    def test_a_wait_of_more_than_a_day(self) -> None:
        job = self.job(chats(3))
        relay = self.relay(*QUICK, script=[always(429, SPENT["error"]["message"],
                                                        headers={"Retry-After": "1000000"})])
        run = self.run_to(3, job, relay)
        self.assertIn("more than a day", run.err)
        self.assertNotIn("run again at", run.err)


if __name__ == "__main__":
    unittest.main()
