"""`sluice probe` over sockets: simulated relays that are honest, relays that cheat, and relays that do not answer."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from support import KEY, Case, Run

CHECKS = {"prompt_tokens", "chat_overhead", "completion_tokens", "max_tokens", "logprobs", "mixed_routing", "billing",
          "usage_log", "context_limit", "cache", "streaming", "forced_tool", "json_schema", "n", "stop", "questions",
          "reply_fields"}


class Probe(Case):
    def probe(self, url: str, *flags: Any, expect: int | None = 0, model: str = "gpt-4o-mini") -> Run:
        log = self.folder / "log.txt"
        run = self.sluice("probe", "--base-url", url, "--model", model, "--seed", 3, "--log-file", log, "-v", *flags,
                          expect=expect)
        for place, text in (("stdout", run.out), ("stderr", run.err), ("the log", log.read_text())):
            self.assertNotIn(KEY, text, place)
        return run

    def document(self, url: str, *flags: Any, **more: Any) -> dict[str, Any]:
        return json.loads(self.probe(url, "--json", "--rpm", 0, *flags, **more).out)

    def simulated(self, *flags: str) -> Any:
        return self.simulator("--balance", "5", "--cache", "memory", *flags, ttft="60ms", itl="2ms")

    def results(self, result: dict[str, Any]) -> dict[str, str]:  # type: ignore[override]
        return {one["name"]: one["result"] for one in result["checks"]}


class HonestRelays(Probe):
    def test_the_document_and_the_bill(self) -> None:
        server = self.simulated()
        result = self.document(server.url)
        self.assertEqual(list(result), ["model", "verdict", "identity", "bill", "limits", "checks", "requests", "cost_usd"])
        self.assertEqual((result["model"], result["verdict"]), ("gpt-4o-mini", "consistent"))
        self.assertEqual((result["identity"], result["bill"]), ("fits", "right"))
        self.assertEqual({one["name"] for one in result["checks"]}, CHECKS)
        self.assertEqual({one["result"] for one in result["checks"]}, {"pass"})
        for one in result["checks"]:
            self.assertIn(one["kind"], ("objective", "advisory"))
            self.assertTrue(one["evidence"] and one["proves"] and one["cannot"])
        ledger = server.ledger
        self.assertEqual(result["requests"], ledger["attempts"])
        self.assertEqual(Decimal(result["cost_usd"]), Decimal(ledger["billed"]["cost_usd"]))
        self.assertLess(Decimal(result["cost_usd"]), Decimal("0.05"))

    def test_prints_its_cost_before_it_starts(self) -> None:
        run = self.probe(self.simulated().url, "--budget", "0.001", "--rpm", 0)
        self.assertRegex(run.err, r"\d+ requests for gpt-4o-mini, 0\.000\d+ USD at most of a budget of 0\.001")
        self.assertIn("consistent: ", run.out)
        self.assertIn("identity: fits; bill: right\nWhat this does not show:\n  - ", run.out)

    def test_missing_features_are_not_suspicious(self) -> None:
        result = self.document(self.simulated("--lacks", "logprobs,tools,json-schema", "--chat-overhead", "9").url)
        results = self.results(result)
        self.assertEqual(result["verdict"], "consistent")
        self.assertEqual((results["logprobs"], results["forced_tool"], results["chat_overhead"]),
                         ("skip", "fail", "pass"))

    def test_without_a_balance_there_is_no_billing_check(self) -> None:
        result = self.document(self.simulated("--software", "api2gpt").url)
        self.assertEqual(result["verdict"], "consistent")
        self.assertEqual(self.results(result)["usage_log"], "skip")
        self.assertEqual((result["identity"], result["bill"]), ("fits", "counts right"))
        self.assertTrue([limit for limit in result["limits"] if "not compared" in limit], result["limits"])

    def test_with_the_built_in_simulator(self) -> None:
        result = json.loads(self.sluice("probe", "--simulate", "--model", "gpt-4", "--json", "--seed", 2).out)
        self.assertEqual(result["verdict"], "consistent")

    def test_a_model_without_a_public_vocabulary(self) -> None:
        # The price of this model doubles at some hours. Such an hour may begin between two requests.
        server = self.simulated()
        run = self.probe(server.url, "--rpm", 0, "--price-multiplier", 1, model="deepseek-v4-pro")
        self.assertIn("identity: not testable; bill: right\n", run.out)
        self.assertIn("is not public: no check can tell which model answers", " ".join(run.out.split()))
        result = self.document(server.url, "--price-multiplier", 1, "--seed", 5, model="deepseek-v4-pro")
        self.assertEqual((result["verdict"], result["identity"], result["bill"]),
                         ("consistent", "not testable", "right"))
        self.assertEqual(self.results(result)["cache"], "pass")

    def test_a_cache_is_only_reported(self) -> None:
        for flags, result, words in ((("--cache", "memory"), "pass", " and discounted: "),
                                     (("--cache", "memory", "--cheat", "cache-kept"), "fail", "but not discounted"),
                                     (("--cache", "none"), "fail", "no token was reported as read from a cache")):
            with self.subTest(flags):
                told = self.document(self.simulated(*flags).url)
                [cache] = [one for one in told["checks"] if one["name"] == "cache"]
                self.assertEqual((cache["kind"], cache["result"]), ("advisory", result), cache)
                self.assertIn(words, cache["evidence"])
                self.assertEqual((told["verdict"], told["bill"]), ("consistent", "right"))

    def test_a_cache_check_that_costs_too_much_is_skipped(self) -> None:
        server = self.simulated()
        result = self.document(server.url, "--budget", "0.001")
        [cache] = [one for one in result["checks"] if one["name"] == "cache"]
        self.assertEqual(cache["result"], "skip")
        self.assertIn("a larger --budget allows them", cache["evidence"])
        self.assertLess(Decimal(server.ledger["billed"]["cost_usd"]), Decimal("0.001"))

    def test_faults_are_not_suspicious(self) -> None:
        result = self.document(self.simulated("--faults", "500=0.1,429=0.1,reset=0.05").url)
        self.assertEqual(result["verdict"], "consistent", result)


class Cheats(Probe):
    def test_each_cheat_is_found_by_its_check(self) -> None:
        for cheat, check, verdict in (("substituted", "prompt_tokens", "inconsistent"),
                                      ("inflated", "prompt_tokens", "inconsistent"),
                                      ("injected", "chat_overhead", "suspicious"),
                                      ("fake-stream", "streaming", "suspicious"),
                                      ("overbilled", "billing", "inconsistent"),
                                      ("endless", "max_tokens", "inconsistent"),
                                      ("mixed", "mixed_routing", "inconsistent")):
            with self.subTest(cheat):
                result = self.document(self.simulated("--cheat", cheat).url, expect=1)
                self.assertEqual(result["verdict"], verdict)
                self.assertEqual(self.results(result)[check], "fail")

    def test_the_table_explains_a_failed_check(self) -> None:
        run = self.probe(self.simulated("--cheat", "substituted").url, "--rpm", 0, expect=1)
        self.assertIn("match cl100k_base", run.out)
        self.assertIn("It shows: ", run.out)
        self.assertIn("Its limits: ", run.out)

    def test_a_hidden_prompt_is_within_the_budget(self) -> None:
        server = self.simulated("--cheat", "injected")
        self.probe(server.url, "--rpm", 0, "--budget", "0.02", expect=1, model="gpt-4")
        self.assertLess(Decimal(server.ledger["billed"]["cost_usd"]), Decimal("0.025"))


class Refusals(Probe):
    def test_a_model_without_a_price_is_not_probed(self) -> None:
        run = self.probe("http://127.0.0.1:9/v1", "--price-multiplier", 1, expect=2, model="no-such-model")
        self.assert_one_sentence(run, "no-such-model", "--prices")

    def test_a_budget_that_is_too_small(self) -> None:
        run = self.probe("http://127.0.0.1:9/v1", "--price-multiplier", 1, "--budget", "0.0000001", expect=2,
                         model="gpt-4")
        self.assert_one_sentence(run, "--budget")

    def test_no_model(self) -> None:
        run = self.sluice("probe", "--base-url", "http://127.0.0.1:9/v1", expect=2)
        self.assert_one_sentence(run, "--model")

    def test_a_dead_relay(self) -> None:
        run = self.probe("http://127.0.0.1:9/v1", "--give-up-after", "1s", expect=None)
        self.assertEqual((run.code, run.out), (3, ""))

    def test_a_refused_key(self) -> None:
        keys = self.folder / "keys"
        keys.write_text("sk-another\n")
        run = self.probe(self.simulated("--keys", str(keys)).url, expect=3)
        self.assertEqual(run.out, "")
