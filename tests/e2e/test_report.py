"""`report`: the state of a job by its files, and audits of the usage that a relay reported."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from support import Case, batch, chat, chats, wait_until


class Totals(Case):
    def test_json_is_the_totals_document(self) -> None:
        relay = self.simulator()
        first, second = self.job(chats(3), "first.jsonl"), self.job(chats(2), "second.jsonl")
        self.sluice("run", first, second, "--base-url", relay.url, "--rpm", 0)
        self.assertEqual(json.loads(self.sluice("report", first, "--json").out), self.results(first).totals)
        self.assertEqual(json.loads(self.sluice("report", first, second, "--json").out),
                         {"jobs": {str(job): self.results(job).totals for job in (first, second)}})

    def test_a_partly_failed_job(self) -> None:
        relay = self.simulator("--faults", "model-denied=1")
        job = self.job([*chats(2), {"prompt": 3}])
        self.run_job(job, relay, "--output-dir", self.out, expect=1)
        text = self.sluice("report", job, "--output-dir", self.out).out
        self.assertIn(f"{job}: completed: 0 of 3 succeeded, 3 failed, 0 pending", text)
        self.assertRegex(text, r"failed +2 x 403: .+")
        self.assertRegex(text, r"failed +1 x invalid_request_line: .+")

    def test_a_running_job(self) -> None:
        relay = self.simulator(ttft="40s")
        job = self.job(chats(2))
        run = self.start("run", job, "--base-url", relay.url, "--rpm", 0)
        wait_until(self.results(job).totals_path.exists, "totals")
        result = json.loads(self.sluice("report", job, "--json").out)
        self.assertEqual((result["status"], result["requests"]), ("running", 2))
        self.assertRegex(self.sluice("report", job).out, "running, as of .+ ago")
        self.assertEqual(json.loads(self.sluice("report", job, "--audit", "--json").out)["jobs"][0]["worst"], [])
        self.assertTrue(run.running)

    def test_refusals(self) -> None:
        job = self.job(chats(1))
        self.assert_one_sentence(self.sluice("report", job, expect=2), "job.totals.json", "run the job first")
        self.assert_one_sentence(self.sluice("report", job, "--audit", expect=2), "job.output.jsonl")
        self.assert_one_sentence(self.sluice("report", expect=2), "no job")
        self.results(job).totals_path.write_text("[]")
        self.assert_one_sentence(self.sluice("report", job, expect=2), "is not a totals document")
        text = self.sluice("report", "--help").out
        self.assertIn("Examples:\n", text)
        self.assertLessEqual(max(map(len, text.splitlines())), 80)


class Audit(Case):
    def audit(self, job: Any, *flags: Any) -> dict[str, Any]:
        document = json.loads(self.sluice("report", job, "--audit", "--json", *flags).out)
        return document["jobs"][0]

    def lines(self) -> list[dict[str, Any]]:
        return [batch(f"{model} {i}", chat(f"人工智能 and question {i}", model=model))
                for i in range(10) for model in ("gpt-4o-mini", "gpt-4")]

    def test_an_honest_relay(self) -> None:
        relay = self.simulator()
        job = self.job(self.lines())
        self.run_job(job, relay)
        result = self.audit(job)
        self.assertEqual(result["worst"], [])
        self.assertEqual(result["skipped"], {})
        for model in ("gpt-4o-mini", "gpt-4"):
            found = result["models"][model]
            self.assertEqual((found["requests"], found["audited"], found["excess_tokens"], found["excess_usd"]),
                             (10, 10, 0, "0"))
            self.assertEqual(found["prompt"]["reported"], found["prompt"]["counted"])

    def test_an_inflating_relay_is_found_exactly(self) -> None:
        relay = self.simulator("--cheat", "inflated", "--seed", "3")
        job = self.job(self.lines())
        self.run_job(job, relay)
        result = self.audit(job, "--worst", 4)
        for model, found in result["models"].items():
            for side in ("prompt", "completion"):
                self.assertGreater(found[side]["reported"], found[side]["counted"], model)
            excess = sum(found[side]["reported"] - found[side]["counted"] for side in ("prompt", "completion"))
            self.assertEqual(found["excess_tokens"], excess)
        mini = result["models"]["gpt-4o-mini"]
        price = {"prompt": Decimal("0.15"), "completion": Decimal("0.6")}
        self.assertEqual(Decimal(mini["excess_usd"]), sum(
            (mini[side]["reported"] - mini[side]["counted"]) * price[side] for side in price) / 1_000_000)
        worst = result["worst"]
        self.assertEqual(len(worst), 4)
        self.assertEqual({one["model"] for one in worst}, {"gpt-4"})  # a hundred times more expensive
        money = [Decimal(one["excess_usd"]) for one in worst]
        self.assertEqual(money, sorted(money, reverse=True))
        by_id = self.results(job).by_id()
        for one in worst:
            usage = by_id[one["custom_id"]]["sluice"]["usage"]
            self.assertEqual(one["reported"], usage["prompt_tokens"] + usage["completion_tokens"])
            self.assertEqual(one["line"], by_id[one["custom_id"]]["sluice"]["line"])
        double = self.audit(job, "--price-multiplier", "2")["models"]["gpt-4o-mini"]
        self.assertEqual(Decimal(double["excess_usd"]), 2 * Decimal(mini["excess_usd"]))
        self.assertIn("the worst requests:\n", self.sluice("report", job, "--audit").out)

    def test_an_injected_prompt_is_found_on_the_prompt_side(self) -> None:
        relay = self.simulator("--cheat", "injected", "--seed", "3")
        job = self.job(self.lines())
        self.run_job(job, relay)
        for found in self.audit(job)["models"].values():
            self.assertGreaterEqual(found["prompt"]["reported"] - found["prompt"]["counted"], 20 * 10)
            self.assertEqual(found["completion"]["reported"], found["completion"]["counted"])

    def test_a_changed_request_is_skipped(self) -> None:
        relay = self.simulator()
        job = self.job(self.lines())
        self.run_job(job, relay)
        lines = self.lines()
        lines[0]["body"]["temperature"] = 1
        self.job(lines)
        result = self.audit(job)
        self.assertEqual(result["skipped"], {"request_changed_or_gone": 1})
        self.assertEqual(result["models"]["gpt-4o-mini"]["audited"], 9)
