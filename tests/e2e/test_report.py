"""`report`: the state of a job by its files, the savings of a cache, audits of the usage that a relay reported, and
costs at other prices."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from support import Case, Relay, batch, chat, chats, wait_until


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
        job = self.job([*chats(2), {"model": "m", "prompt": 3}])
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
        self.assertRegex(self.sluice("report", job).out, rf"running \(process {run.process.pid}, since ")
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


def reply(**usage: Any) -> dict[str, Any]:
    """A reply of relay.py's script."""
    choice = {"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}
    return {"status": 200, "times": None,
            "body": {"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage}}


class Cache(Case):
    """What the provider's cache saved, in the lines, the totals and on the screen."""

    def caching(self) -> Relay:
        reads = reply(prompt_tokens=2000, completion_tokens=10, prompt_tokens_details={"cached_tokens": 1024})
        writes = reply(prompt_tokens=3000, completion_tokens=10, prompt_tokens_details={"cache_write_tokens": 2048})
        return self.relay(script=[{"match": "reads", **reads}, {"match": "writes", **writes},
                                  {"match": None, **reply(prompt_tokens=1000, completion_tokens=10)}])

    def lines(self, model: str = "gpt-5.6-sol") -> list[dict[str, Any]]:
        return [batch(f"{kind} {i}", chat(f"{kind} {i}", model=model))
                for i in range(4) for kind in ("reads", "writes", "plain")]

    def test_totals_are_the_same_in_one_run_and_in_many(self) -> None:
        relay = self.caching()
        job = self.job(self.lines())
        summary = self.run_job(job, relay, "--no-stream").err
        whole = self.results(job).totals
        # 4 x 1024 tokens at 4 - 0.40, minus 4 x 2048 at 5 - 4, USD per million
        self.assertEqual(whole["cache"], {"read_share": round(4096 / 24000, 6), "saved_usd": "0.0065536"})
        shown = r"cache +4,096 tokens read \(17\.1 % of the prompts\), 8,192 written; saved \$0\.0065536\n"
        self.assertRegex(summary, shown)
        self.assertRegex(self.sluice("report", job).out, shown)
        self.assertEqual(sum(Decimal(line["sluice"].get("cache_saved_usd", 0)) for line in self.results(job).output),
                         Decimal("0.0065536"))
        for limit in range(1, 13):
            self.run_job(job, relay, "--no-stream", "--output-dir", self.out, "--limit", limit)
        pieces = self.results(job, self.out).totals
        for name in ("cache", "tokens", "cost_usd", "models"):
            self.assertEqual(pieces[name], whole[name])
        other = self.folder / "other.json"
        other.write_text(json.dumps({"gpt-5.6-sol": {"input": "900", "output": "900"}}))
        self.run_job(job, relay, "--no-stream", "--output-dir", self.out, "--prices", other)
        self.assertEqual(self.results(job, self.out).totals["cache"], whole["cache"],
                         "what is stored is not computed again")

    def test_without_a_price_the_amount_is_unknown(self) -> None:
        job = self.job(self.lines("nobody-knows"))
        run = self.run_job(job, self.caching(), "--no-stream")
        self.assertEqual(self.results(job).totals["cache"], {"read_share": round(4096 / 24000, 6), "saved_usd": None})
        self.assertEqual({line["custom_id"].split()[0] for line in self.results(job).output
                          if "cache_saved_usd" in line["sluice"]}, {"reads", "writes"})
        self.assertIn("what it saved is unknown", run.err)

    def test_a_repeated_opening_without_a_cache(self) -> None:
        """relay.py reports no cache. Half of the requests have one opening, half have no opening in common."""
        opening = "apple river stone cloud " * 500
        lines = []
        for i in range(6):
            lines += [batch(f"same {i}", chat(f"{opening} {i}", model="gpt-4o")),
                      batch(f"other {i}", chat(f"{i} {opening}", model="gpt-4o"))]
        job = self.job(lines)
        self.run_job(job, self.relay(), "--concurrency", 1)
        found = json.loads(self.sluice("report", job, "--audit", "--json").out)["jobs"][0]
        cache = found["models"]["gpt-4o"]["cache"]
        self.assertEqual((cache["repeated"], cache["unread"]), (5, 5))
        self.assertGreater(cache["unread_tokens"], 5 * 1600)
        self.assertLess(cache["unread_tokens"], 5 * 2010)
        self.assertEqual(Decimal(cache["unread_usd"]), cache["unread_tokens"] * Decimal("0.00000125"))
        [opening_found] = found["openings"]
        self.assertEqual((opening_found["custom_id"], opening_found["requests"]), ("same 1", 5))
        self.assertEqual(opening_found["unread_usd"], cache["unread_usd"])
        text = self.sluice("report", job, "--audit").out
        self.assertIn("same 1 (line 3) and 4 more: at least ", text)
        self.assertIn("This proves nothing by itself.", text)

    def test_a_relay_that_reports_its_cache(self) -> None:
        opening = "reads apple river stone cloud " * 500
        job = self.job([batch(f"{i}", chat(f"{opening} {i}", model="gpt-4o")) for i in range(4)])
        self.run_job(job, self.caching(), "--no-stream", "--concurrency", 1)
        found = json.loads(self.sluice("report", job, "--audit", "--json").out)["jobs"][0]
        self.assertEqual((found["models"]["gpt-4o"]["cache"]["repeated"], found["models"]["gpt-4o"]["cache"]["unread"]),
                         (3, 0))
        self.assertEqual(found["openings"], [])


class Reprice(Case):
    def reprice(self, *words: Any) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.sluice("report", *words, "--reprice", "--json").out)
        return document

    def prices(self, **models: Any) -> Path:
        path = self.folder / "prices.json"
        path.write_text(json.dumps(models))
        return path

    def test_at_the_same_prices_nothing_changes(self) -> None:
        job = self.job([batch(f"{model} {i}", chat(f"question {i}", model=model))
                        for i in range(5) for model in ("gpt-4o-mini", "gpt-4")])
        self.run_job(job, self.simulator(), "--price-multiplier", "0.7")
        before = self.results(job).bytes()
        found = self.reprice(job, "--price-multiplier", "0.7")
        cost = self.results(job).totals["cost_usd"]
        self.assertEqual(found["total"], {"requests": 10, "old_usd": cost, "new_usd": cost, "difference_usd": "0",
                                          "without_old": 0, "without_new": 0})
        self.assertEqual(found["jobs"][0]["unpriced"], [])
        self.assertRegex(self.sluice("report", job, "--reprice", "--price-multiplier", "0.7").out,
                         r"total +10 +\$[0-9.]+ +\$[0-9.]+ +none\n")
        self.assertEqual(self.results(job).bytes(), before, "no file is changed")

    def test_at_other_prices(self) -> None:
        first = self.job([batch(f"{model} {i}", chat(f"question {i}", model=model))
                          for i in range(5) for model in ("gpt-4o-mini", "gpt-4")], "first.jsonl")
        second = self.job(chats(3), "second.jsonl")
        for job in (first, second):
            self.run_job(job, self.simulator())
        prices = self.prices(**{"gpt-4o-mini": {"input": "1", "output": "2"}, "gpt-4": {"input": None, "output": None}})
        found = self.reprice(first, second, "--prices", prices)
        mini = found["jobs"][0]["models"]["gpt-4o-mini"]
        tokens = self.results(first).totals["models"]["gpt-4o-mini"]["tokens"]
        new = (tokens["prompt"] + 2 * tokens["completion"]) * Decimal("0.000001")
        old = Decimal(self.results(first).totals["models"]["gpt-4o-mini"]["cost_usd"])
        self.assertEqual(tuple(Decimal(mini[name]) for name in ("new_usd", "old_usd", "difference_usd")),
                         (new, old, new - old))
        self.assertEqual(found["jobs"][0]["models"]["gpt-4"]["new_usd"], None)
        [unpriced] = found["jobs"][0]["unpriced"]
        self.assertEqual((unpriced["model"], unpriced["missing"], unpriced["requests"]), ("gpt-4", "price", 5))
        self.assertEqual({line["custom_id"] for line in unpriced["lines"]}, {f"gpt-4 {i}" for i in range(5)})
        self.assertEqual(found["total"]["requests"], 13)
        self.assertEqual(Decimal(found["total"]["difference_usd"]), sum(
            Decimal(job["total"]["difference_usd"]) for job in found["jobs"]))
        text = self.sluice("report", first, second, "--reprice", "--prices", prices, "--worst", 2).out
        self.assertIn("all jobs\n", text)
        self.assertRegex(text, r"gpt-4, no price for the model: gpt-4 \d \(line \d+\), .+, and 3 more\n")

    def test_refusals(self) -> None:
        job = self.job(chats(1))
        self.assert_one_sentence(self.sluice("report", job, "--reprice", expect=2), "job.output.jsonl", "run the job")
        for other in (("--audit",), ("--html", self.folder / "page.html")):
            self.run_job(job, self.simulator())
            self.assert_one_sentence(self.sluice("report", job, "--reprice", *other, expect=2), "--reprice")
