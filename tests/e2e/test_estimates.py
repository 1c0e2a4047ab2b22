"""Token counts for replies without usage, compared with the ledger of the simulator."""

from __future__ import annotations

import unittest
from decimal import Decimal

from support import Case, batch, chat


class Usage(Case):
    def test_missing_usage_is_estimated(self) -> None:
        simulator = self.simulator("--faults", "no-usage=1")
        job = self.job([batch(f"{model}-{i}", chat(f"question {i}: 为什么?", model=model))
                        for model in ("gpt-4", "gpt-4o-mini") for i in range(10)])
        self.run_job(job, simulator)
        billed, result = simulator.ledger["billed"], self.results(job)
        for line in result.output:
            self.assertEqual(line["sluice"]["usage_source"], "estimated")
            self.assertNotIn("usage", line["response"]["body"])
        totals = result.totals
        self.assertEqual(totals["tokens"]["estimated_requests"], 20)
        self.assertEqual(totals["unpriced_requests"], 0)
        self.assertEqual(totals["tokens"]["prompt"], billed["tokens"]["prompt"])
        self.assertEqual(totals["tokens"]["completion"], billed["tokens"]["completion"])
        self.assertEqual(Decimal(totals["cost_usd"]), Decimal(billed["cost_usd"]))
        self.run_job(job, simulator)
        self.assertEqual({**result.totals, "wall_s": 0}, {**totals, "wall_s": 0}, "totals from the lines are the same")

    def test_without_a_vocabulary_there_is_no_estimate(self) -> None:
        simulator = self.simulator("--faults", "no-usage=1")
        job = self.job([batch("a", chat("hi", model="deepseek-chat"))])
        self.run_job(job, simulator)
        result = self.results(job).output[0]["sluice"]
        self.assertEqual((result["usage"], result["usage_source"], result["cost_usd"]), (None, "none", None))
        self.assertEqual(self.results(job).totals["tokens"]["estimated_requests"], 0)

    def test_a_budget_keeps_the_reservation_if_usage_is_estimated(self) -> None:
        simulator = self.simulator("--faults", "no-usage=1", "--tokens", "5")
        job = self.job([batch(f"c{i}", chat(f"question {i}", model="gpt-4", max_tokens=100)) for i in range(50)])
        self.run_job(job, simulator, "--budget", "0.1", expect=3)
        totals = self.results(job).totals
        self.assertGreater(totals["succeeded"], 0)
        spent = Decimal(totals["cost_usd"]) + Decimal(totals["kept_usd"])
        self.assertLessEqual(spent, Decimal("0.1"))
        self.assertGreater(spent, Decimal("0.09"), "all of the reservations count")


if __name__ == "__main__":
    unittest.main()
