"""`--prices relay`: the price list of a relay in runs, model lists, probes and audits."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from support import KEY, Run, chats
from test_quota import Asked, OddRelay

PRICING = "/api/pricing"


def entry(model: str, ratio: Any, **more: Any) -> dict[str, Any]:
    return {"model_name": model, "quota_type": 0, "model_ratio": ratio, "completion_ratio": 4, **more}


def price_list(*entries: dict[str, Any], **groups: Any) -> tuple[int, dict[str, Any]]:
    return 200, {"success": True, "data": list(entries), "group_ratio": groups or {"default": 1}}


class Listed(Asked):
    def priced(self, *entries: dict[str, Any], **groups: Any) -> OddRelay:
        return self.odd_relay({PRICING: price_list(*entries, **groups),
                               "/v1/models": (200, ["gpt-4o", "house-model", "per-call", "gpt-4"])})

    def prices(self, relay: OddRelay, *flags: Any) -> dict[str, Any]:
        answer = self.document("models", relay.url, "--prices", "relay", *flags)
        return {model["id"]: (model["input_usd_per_million"], model["output_usd_per_million"])
                for model in answer["models"]}

    def test_models_at_the_prices_of_the_relay(self) -> None:
        relay = self.priced(entry("gpt-4o", 2.5), entry("house-model", 0.1),
                            {"model_name": "per-call", "quota_type": 1, "model_price": 0.02}, default=1.2, vip=0.5)
        self.assertEqual(self.prices(relay), {"gpt-4o": ("6", "24"), "house-model": ("0.24", "0.96"),
                                              "per-call": (None, None), "gpt-4": ("30", "60")})
        self.assertEqual(self.prices(relay, "--price-group", "vip")["gpt-4o"], ("2.5", "10"))
        self.assert_key_in_header_alone(relay)
        run = self.ask("models", relay.url, "--prices", "relay")
        self.assertIn("without a price by the token: 1 billed per call", run.err)

    def test_the_list_includes_the_group_ratio(self) -> None:
        """The multiplier is the relay's group ratio, for prices that do not include it."""
        relay = self.priced(entry("gpt-4o", 2.5))
        prices = self.prices(relay, "--price-multiplier", "2")
        self.assertEqual((prices["gpt-4o"], prices["gpt-4"]), (("5", "20"), ("60", "120")))

    def test_a_later_file_wins(self) -> None:
        relay = self.priced(entry("gpt-4o", 2.5))
        mine = self.folder / "mine.json"
        mine.write_text(json.dumps({"gpt-4o": {"input": "7", "output": "8"}}))
        self.assertEqual(self.prices(relay, "--prices", mine)["gpt-4o"], ("7", "8"))
        answer = self.document("models", relay.url, "--prices", mine, "--prices", "relay")
        self.assertEqual(answer["models"][0]["input_usd_per_million"], "5")

    def test_refusals(self) -> None:
        def refused(answers: dict[str, Any], *flags: Any) -> Run:
            return self.sluice("models", "--base-url", self.odd_relay(answers).url, "--prices", "relay", *flags,
                               expect=2)
        self.assert_one_sentence(refused({}), "--prices relay", "/api/pricing: 404", "give a file of prices")
        self.assert_one_sentence(refused({PRICING: (200, "<html></html>")}), "is a web page")
        self.assert_one_sentence(refused({PRICING: (200, {"success": False, "message": f"no, {KEY}"})}), "no, [key]")
        self.assert_one_sentence(refused({PRICING: price_list(entry("m", 1))}, "--price-group", "gold"),
                                 'no ratio for the group "gold"', "--price-group")

    def test_each_member_of_a_pool_has_its_own_prices(self) -> None:
        text = ""
        for name, ratio in (("blue", 1), ("green", 3)):
            relay = self.odd_relay({PRICING: price_list(entry("house", ratio)), "/v1/models": (200, ["gpt-4o"])})
            text += f'[[relay]]\nname = "{name}"\nbase_url = "{relay.url}"\nmodels = {{ "gpt-4o" = "house" }}\n'
        (self.folder / "sluice.toml").write_text(text)
        answer = json.loads(self.sluice("models", "--json", "--prices", "relay").out)["relays"]
        self.assertEqual({name: one["models"][0]["input_usd_per_million"] for name, one in answer.items()},
                         {"blue": "2", "green": "6"})


class Simulated(Asked):
    def test_a_run_at_the_prices_of_the_relay_costs_what_it_bills(self) -> None:
        relay = self.simulator()
        job = self.job(chats(5))
        wrong = self.folder / "wrong.json"
        wrong.write_text(json.dumps({"gpt-4o-mini": {"input": "900", "output": "900"}}))
        self.run_job(job, relay, "--prices", wrong, "--prices", "relay")
        self.assertEqual(Decimal(self.results(job).totals["cost_usd"]), Decimal(relay.ledger["billed"]["cost_usd"]))

    def test_a_simulated_run(self) -> None:
        job = self.job(chats(2))
        self.sluice("run", job, "--simulate", "--rpm", 0, "--prices", "relay")
        self.assertGreater(Decimal(self.results(job).totals["cost_usd"]), 0)

    def test_a_run_without_the_price_list_does_not_start(self) -> None:
        relay = self.simulator("--software", "one-api")
        job = self.job(chats(1))
        run = self.run_job(job, relay, "--prices", "relay", expect=2)
        self.assert_one_sentence(run, "--prices relay", "/api/pricing")
        self.assertFalse(self.results(job).output_path.exists())
        self.assertEqual(relay.ledger["attempts"], 0)

    def probe(self, *flags: Any, **more: Any) -> dict[str, Any]:
        run = self.sluice("probe", "--model", "gpt-4o-mini", "--json", "--rpm", 0, "--seed", 5, *flags, **more)
        return {check["name"]: check for check in json.loads(run.out)["checks"]}

    def test_a_probe_compares_the_bill_with_the_list(self) -> None:
        relay = self.simulator("--balance", "100")
        billing = self.probe("--base-url", relay.url, expect=None)["billing"]
        self.assertEqual(billing["result"], "pass", billing)
        self.assertIn("by the relay's own price list", billing["evidence"])
        billing = self.probe("--base-url", relay.url, "--price-multiplier", "3", expect=None)["billing"]
        self.assertIn("at 3 times the price", billing["evidence"])

    def test_a_bill_above_the_list_is_found(self) -> None:
        relay = self.simulator("--balance", "100", "--cheat", "overbilled", "--seed", "2")
        billing = self.probe("--base-url", relay.url, expect=1)["billing"]
        self.assertEqual(billing["result"], "fail", billing)
        self.assertIn("by the relay's own price list", billing["evidence"])

    def test_a_probe_of_a_relay_without_a_list(self) -> None:
        relay = self.simulator("--balance", "100", "--software", "one-api")
        billing = self.probe("--base-url", relay.url, expect=None)["billing"]
        self.assertIn("at 1 times the price", billing["evidence"])

    def test_an_audit_at_the_prices_of_the_relay(self) -> None:
        relay = self.simulator("--cheat", "inflated", "--seed", "3")
        job = self.job(chats(5))
        self.run_job(job, relay)

        def excess(*flags: Any) -> str:
            document = json.loads(self.sluice("report", job, "--audit", "--json", *flags).out)
            return document["jobs"][0]["models"]["gpt-4o-mini"]["excess_usd"]
        self.assertEqual(excess("--prices", "relay", "--base-url", relay.url), excess())


class LowBalance(Asked):
    """A run warns before it starts if the balance is too low."""

    def costly(self) -> Any:
        """Three prompts that cost a little more than 0.10 USD each at 10 USD per million tokens."""
        return self.job([{"model": "gpt-4-1106-preview", "prompt": "word " * 10_000}] * 3)

    def warned(self, run: Run) -> bool:
        return "the balance of the key is" in run.err

    def test_less_than_the_prompts_cost(self) -> None:
        relay = self.simulator("--balance", "0.25")
        run = self.run_job(self.costly(), relay, expect=None)
        self.assertRegex(run.err, r"balance of the key is \$0\.25, and the prompts alone cost about \$0\.3002")
        self.assertNotIn(KEY, run.err)

    def test_enough(self) -> None:
        for flags in (("--balance", "10"), ()):
            relay = self.simulator(*flags)
            self.assertFalse(self.warned(self.run_job(self.costly(), relay, "--fresh")))

    def test_only_what_is_still_to_be_sent_counts(self) -> None:
        relay = self.simulator("--balance", "10")
        job = self.costly()
        self.run_job(job, relay, "--limit", 2)
        poor = self.simulator("--balance", "0.2")
        self.assertFalse(self.warned(self.run_job(job, poor, expect=None)))

    def test_a_relay_without_a_balance(self) -> None:
        relay = self.relay()
        run = self.run_job(self.costly(), relay)
        self.assertFalse(self.warned(run))
        self.assertEqual(relay.attempts, 3)

    def test_cheap_jobs_send_no_balance_request(self) -> None:
        relay = self.odd_relay({})
        self.sluice("run", self.job(chats(3)), "--base-url", relay.url, "--rpm", 0, expect=None)
        self.assertEqual(relay.targets, [])
        self.sluice("run", self.costly(), "--base-url", relay.url, "--rpm", 0, "--fresh", expect=None)
        self.assertTrue(any("billing" in target for target in relay.targets), relay.targets)

    def test_a_simulated_run_sends_no_balance_request(self) -> None:
        self.assertFalse(self.warned(self.sluice("run", self.costly(), "--simulate", "--rpm", 0, expect=None)))
