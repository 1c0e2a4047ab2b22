"""Several threads on one job: one result for each request, one limit, one budget, one bill."""

from __future__ import annotations

import random
import signal
import time
import unittest
from decimal import Decimal
from pathlib import Path

from support import Case, Simulator, batch, chat, read_jsonl, signal_and_wait, wait_until


class Threads(Case):
    def requests(self, count: int) -> list[dict[str, object]]:
        return [batch(f"c{i}", chat(f"question {i}", max_tokens=20, model="gpt-4")) for i in range(count)]

    def expect_one_line_each(self, job: Path, count: int) -> None:
        ids = [line["custom_id"] for line in self.results(job).output]
        self.assertEqual(sorted(ids), sorted(f"c{i}" for i in range(count)))

    def bill_of(self, simulator: Simulator) -> Decimal:
        return Decimal(simulator.ledger["billed"]["cost_usd"])

    def test_a_job_is_done_once_and_its_bill_is_exact(self) -> None:
        simulator = self.simulator("--faults", "faulty", "--tokens", "40", "--seed", "3")
        job = self.job(self.requests(300))
        self.run_job(job, simulator, "--threads", 4, "--idle-timeout", "1s", "--max-attempts", 50)
        self.expect_one_line_each(job, 300)
        totals = self.results(job).totals
        self.assertEqual((totals["status"], totals["succeeded"]), ("completed", 300))
        self.assertEqual(totals["attempts"], simulator.ledger["attempts"])
        self.assertEqual(totals["attempts"], totals["max_requests_in_60s"], "the run took less than a minute")
        cost = sum(Decimal(line["sluice"]["cost_usd"]) for line in self.results(job).output)
        self.assertEqual(Decimal(totals["cost_usd"]), cost)
        if totals.get("maybe_billed_attempts", 0) == 0:
            self.assertEqual(self.bill_of(simulator), cost)

    def test_they_keep_one_limit(self) -> None:
        simulator = self.simulator("--rpm", "60")
        job = self.job(self.requests(80))
        run = self.start("run", job, "--base-url", simulator.url, "--rpm", 60, "--threads", 3)
        wait_until(lambda: self.results(job).written() == 60, "the limit is used up")
        signal_and_wait(run)
        self.assertEqual(run.code, 130, run.err)
        self.assertEqual(simulator.ledger["attempts"], 60)
        self.assertEqual(simulator.ledger["over_limit_refusals"], 0)
        self.assertEqual(self.results(job).totals["pending"], 20)

    def test_they_keep_one_budget(self) -> None:
        simulator = self.simulator("--tokens", "40")
        job = self.job(self.requests(200))
        flags = ("--budget", "0.12", "--concurrency", 9, "--threads", 3)
        run = self.run_job(job, simulator, *flags, expect=3)
        self.assertIn("the budget is used up", run.err)
        self.assertLessEqual(self.bill_of(simulator), Decimal("0.12"))
        self.assertGreater(self.bill_of(simulator), Decimal("0.1"), "most of the budget is used")
        self.assertEqual(self.results(job).totals["failed"], 0)

    def test_kills_lose_nothing(self) -> None:
        simulator = self.simulator("--tokens", "10", ttft="20ms")
        job = self.job(self.requests(400))
        chance = random.Random(11)
        for _ in range(8):
            run = self.start("run", job, "--base-url", simulator.url, "--rpm", 0, "--concurrency", 12,
                             "--threads", 3)
            time.sleep(chance.uniform(0.05, 0.3))  # the moment of the kill
            if run.running:
                run.signal(signal.SIGKILL)
            run.wait()
        self.run_job(job, simulator, "--threads", 3)
        self.expect_one_line_each(job, 400)
        totals = self.results(job).totals
        self.assertGreaterEqual(totals["attempts"], simulator.ledger["attempts"])
        unpaid = simulator.ledger["billed"]["requests"] - totals["succeeded"]
        self.assertGreaterEqual(totals["maybe_billed_attempts"], unpaid)

    def test_an_interrupt_lets_all_threads_finish(self) -> None:
        simulator = self.simulator("--tokens", "5", ttft="300ms")
        job = self.job(self.requests(500))
        run = self.start("run", job, "--base-url", simulator.url, "--rpm", 0, "--concurrency", 20, "--threads", 4)
        wait_until(lambda: self.results(job).written() > 20, "results")
        signal_and_wait(run)
        self.assertEqual(run.code, 130, run.err)
        totals = self.results(job).totals
        self.assertEqual(totals["succeeded"], simulator.ledger["attempts"])
        self.assertEqual(totals["succeeded"], len(read_jsonl(self.results(job).paths[0])))

    def test_bad_numbers_are_refused(self) -> None:
        job = self.job(self.requests(1))
        for wrong in ("0", "257", "two"):
            run = self.sluice("run", job, "--simulate", "--threads", wrong, expect=2)
            self.assert_one_sentence(run, "--threads")
        run = self.sluice("run", job, "--base-url", "http://127.0.0.1:9", "--threads", 2, "--store",
                          "postgresql://127.0.0.1:9/none", expect=2)
        self.assert_one_sentence(run, "--threads and --store")


if __name__ == "__main__":
    unittest.main()
