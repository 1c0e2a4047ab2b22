"""Budgets: the relay's own ledger must never exceed them, even with cut replies and killed runs."""

from __future__ import annotations

import random
import re
import shlex
import time
import unittest
from decimal import Decimal

from support import Case, Simulator, batch, chat


class Budget(Case):
    def requests(self, count: int, **more: object) -> list[dict[str, object]]:
        return [batch(f"c{i}", chat(f"question {i}", max_tokens=20, model="gpt-4", **more)) for i in range(count)]

    def billed(self, simulator: Simulator) -> Decimal:
        return Decimal(simulator.ledger["billed"]["cost_usd"])

    def test_the_bill_stays_within_it_and_a_rerun_sends_nothing(self) -> None:
        simulator = self.simulator("--faults", "faulty", "--tokens", "40")
        job = self.job(self.requests(200))
        flags = ("--budget", "0.12", "--concurrency", 8, "--idle-timeout", "1s")
        run = self.run_job(job, simulator, *flags, expect=3)
        self.assertIn("the budget is used up", run.err)
        first, totals = self.billed(simulator), self.results(job).totals
        self.assertLessEqual(first, Decimal("0.12"))
        self.assertGreater(first, Decimal("0.04"), "most of the budget is used")
        self.assertEqual(totals["status"], "stopped")
        self.assertGreater(totals["pending"], 0)
        self.assertEqual(totals["failed"], 0, "requests without budget are not failures")
        spent = Decimal(totals["cost_usd"]) + Decimal(totals.get("kept_usd", "0"))
        self.assertLessEqual(spent, Decimal("0.12"))
        attempts = simulator.ledger["attempts"]
        again = self.run_job(job, simulator, *flags, expect=3)
        self.assertIn("the budget is used up", again.err)
        self.assertEqual(simulator.ledger["attempts"], attempts)
        self.run_job(job, simulator, *flags[2:], "--budget", "100")
        self.assertEqual(self.results(job).totals["succeeded"], 200)

    def test_the_command_to_type_next_completes_the_job(self) -> None:
        simulator = self.simulator("--tokens", "40")
        job = self.job(self.requests(60))
        run = self.run_job(job, simulator, "--budget", "0.02", expect=3)
        self.assertRegex(run.err, r"may cost up to \$0\.00\d+, and \$0\.00\d+ is left; raise --budget")
        [said] = re.findall(r"^next +(.*)$", run.err, re.MULTILINE)
        words = shlex.split(said)[1:]
        self.assertGreater(Decimal(words[-1]), Decimal("0.02"))
        self.sluice(*words)
        self.assertLessEqual(self.billed(simulator), Decimal(words[-1]))
        again = self.sluice(*words)
        self.assertIn("nothing to send: 60 of 60 done before", again.err)

    def test_it_holds_over_kills_and_restarts(self) -> None:
        simulator = self.simulator("--faults", "faulty", "--tokens", "40", ttft="20ms")
        job = self.job(self.requests(120))
        chance = random.Random(7)
        for _ in range(12):
            run = self.start("run", job, "--base-url", simulator.url, "--rpm", 0, "--budget", "0.2",
                             "--concurrency", 6, "--idle-timeout", "1s")
            time.sleep(chance.uniform(0.03, 0.25))  # the moment of the kill
            if run.running:
                run.signal(9)
            run.wait()
        self.run_job(job, simulator, "--budget", "0.2", "--idle-timeout", "1s", expect=None)
        self.assertLessEqual(self.billed(simulator), Decimal("0.2"))
        totals = self.results(job).totals
        self.assertGreaterEqual(totals["attempts"], simulator.ledger["attempts"])
        unpaid = simulator.ledger["billed"]["requests"] - totals["succeeded"]
        self.assertGreaterEqual(totals["maybe_billed_attempts"], unpaid)

    def test_it_counts_what_a_fresh_start_without_one_replaced(self) -> None:
        simulator = self.simulator("--tokens", "20")
        self.run_job(self.job(self.requests(5)), simulator, "--budget", "1")
        job = self.job(self.requests(5))
        self.run_job(job, simulator, "--fresh")
        billed = self.billed(simulator)
        totals = self.results(job).totals
        self.assertEqual(Decimal(totals["cost_usd"]) + Decimal(totals["kept_usd"]), billed)
        job = self.job(self.requests(6))
        self.run_job(job, simulator, "--budget", billed, expect=3)
        self.assertEqual(self.billed(simulator), billed)

    def test_all_jobs_of_a_command_share_it(self) -> None:
        simulator = self.simulator("--tokens", "20")
        jobs = [self.job(self.requests(60), name) for name in ("a.jsonl", "b.jsonl")]
        self.sluice("run", *jobs, "--base-url", simulator.url, "--rpm", 0, "--budget", "0.1", expect=3)
        self.assertLessEqual(self.billed(simulator), Decimal("0.1"))
        self.assertTrue(all(self.results(job).totals["succeeded"] > 0 for job in jobs))

    def test_it_can_apply_to_one_run_only(self) -> None:
        simulator = self.simulator("--tokens", "20")
        job = self.job(self.requests(60))
        for run in range(1, 3):
            self.run_job(job, simulator, "--budget", "0.02", "--budget-mode", "run", expect=3)
            self.assertLessEqual(self.billed(simulator), Decimal("0.02") * run)
            self.assertGreater(self.billed(simulator), Decimal("0.02") * (run - 1))

    def test_unbounded_requests_are_refused_before_anything_is_sent(self) -> None:
        simulator = self.simulator()
        for body, words in ((chat("hi", model="nobody-knows"), ("line 1", "nobody-knows", "--prices")),
                            (chat([{"type": "image_url", "image_url": {"url": "x"}}], model="gpt-4"),
                             ("line 1", "image_url"))):
            job = self.job([batch("a", body)])
            self.assert_one_sentence(self.run_job(job, simulator, "--budget", "1", expect=2), *words)
        self.assertEqual(simulator.ledger["attempts"], 0)


if __name__ == "__main__":
    unittest.main()
