"""Several relays and keys for one job: `[[relay]]` tables in the config file."""

from __future__ import annotations

import json
import unittest
from decimal import Decimal
from pathlib import Path
from typing import Any

from support import Case, Run, batch, chat, chats

KEYS = {"BLUE_KEY": "sk-blue-77f0c1d2e3a4b5c6", "GREEN_KEY": "sk-green-1a2b3c4d5e6f7081"}
SPENT = {"status": 403, "times": None, "body": {"error": {
    "message": "用户额度不足, 剩余额度: $0.00", "type": "new_api_error", "code": "insufficient_user_quota"}}}


class Pool(Case):
    def members(self, **tables: dict[str, Any]) -> None:
        """Writes ./sluice.toml with one table per member."""
        text = ""
        for name, entries in tables.items():
            text += f'[[relay]]\nname = "{name}"\napi_key_env = "{name.upper()}_KEY"\n'
            for key, value in entries.items():
                shown = ("{ " + ", ".join(f'"{a}" = "{b}"' for a, b in value.items()) + " }"
                         if isinstance(value, dict) else json.dumps(value))
                text += f"{key} = {shown}\n"
        (self.folder / "sluice.toml").write_text(text)

    def go(self, job: Path, *flags: Any, expect: int = 0, **more: Any) -> Run:
        return self.sluice("run", job, "--rpm", 0, *flags, expect=expect, env={**KEYS, **more})

    def test_members_share_the_work_with_their_own_key_model_and_price(self) -> None:
        blue, green = self.relay(), self.relay()
        self.members(blue={"base_url": blue.url, "weight": 2},
                     green={"base_url": green.url, "price_multiplier": 0.5,
                            "models": {"gpt-4o-mini": "mini-2024"}})
        job = self.job(chats(60))
        self.go(job, "--concurrency", 12)
        self.assertEqual((blue.attempts, green.attempts), (40, 20))
        self.assertEqual(blue.stats["authorizations_seen"], ["Bearer " + KEYS["BLUE_KEY"]])
        self.assertEqual(green.stats["authorizations_seen"], ["Bearer " + KEYS["GREEN_KEY"]])
        self.assertEqual({json.loads(body)["model"] for body in blue.bodies}, {"gpt-4o-mini"})
        self.assertEqual({json.loads(body)["model"] for body in green.bodies}, {"mini-2024"})

        results = self.results(job)
        lines = {name: [line["sluice"] for line in results.output if line["sluice"]["relay"] == name]
                 for name in ("blue", "green")}
        for name, relay in (("blue", blue), ("green", green)):
            member = results.totals["relays"][name]
            self.assertEqual(member["requests"], relay.stats["delivered"]["requests"])
            self.assertEqual(member["tokens"]["prompt"], relay.stats["delivered"]["prompt_tokens"])
            self.assertEqual(member["tokens"]["completion"], relay.stats["delivered"]["completion_tokens"])
            self.assertEqual(Decimal(member["cost_usd"]), sum(Decimal(line["cost_usd"]) for line in lines[name]))
            for line in lines[name]:
                usage = line["usage"]
                price = (usage["prompt_tokens"] * Decimal("0.15") + usage["completion_tokens"] * Decimal("0.6")) / 10**6
                self.assertEqual(Decimal(line["cost_usd"]), price / (2 if name == "green" else 1))
        self.assertEqual(Decimal(results.totals["cost_usd"]),
                         sum(Decimal(line["cost_usd"]) for part in lines.values() for line in part))

        before = results.bytes()
        self.go(job)  # the job is complete: nothing is sent, and the totals per member equal the lines
        self.assertEqual(blue.attempts + green.attempts, 60)
        self.assertEqual(results.bytes()[results.output_path.name], before[results.output_path.name])
        self.assertEqual(results.totals["relays"], json.loads(before[results.totals_path.name])["relays"])

    def test_a_member_without_money_is_not_used(self) -> None:
        blue, green = self.relay(script=[SPENT]), self.relay("--delay-min", "0.2", "--delay-max", "0.3")
        self.members(blue={"base_url": blue.url}, green={"base_url": green.url})
        job = self.job(chats(120))
        run = self.go(job, "--concurrency", 8)
        self.assertEqual(green.stats["delivered"]["requests"], 120)
        self.assertLess(blue.attempts, 12)
        self.assertIn("relay blue: ", run.err)
        self.assertIn("1 other relay(s) continue", run.err)

    def test_if_no_member_has_money_the_run_stops_without_failures(self) -> None:
        blue, green = self.relay(script=[SPENT]), self.relay(script=[SPENT])
        self.members(blue={"base_url": blue.url}, green={"base_url": green.url})
        job = self.job(chats(20))
        self.go(job, expect=3)
        totals = self.results(job).totals
        self.assertEqual((totals["status"], totals["pending"], totals["failed"]), ("stopped", 20, 0))

    def test_a_member_that_cannot_be_reached_costs_nothing(self) -> None:
        green = self.relay()
        with_none = self.listener(lambda connection: None)
        with_none.stop()
        self.members(blue={"base_url": f"http://127.0.0.1:{with_none.port}"}, green={"base_url": green.url})
        job = self.job(chats(30))
        self.go(job)
        totals = self.results(job).totals
        self.assertEqual((totals["succeeded"], totals["attempts"]), (30, 30))

    def test_each_member_has_its_own_limit(self) -> None:
        blue, green = self.relay("--rpm", "3"), self.relay("--rpm", "5")
        self.members(blue={"base_url": blue.url, "rpm": 3}, green={"base_url": green.url, "rpm": 5})
        job = self.job(chats(8))
        self.go(job)
        for relay, limit in ((blue, 3), (green, 5)):
            self.assertEqual((relay.stats["max_in_60s"], relay.stats["refused"]), (limit, 0))

    def test_base_url_on_the_command_line_disables_the_pool(self) -> None:
        blue, alone = self.relay(), self.relay()
        self.members(blue={"base_url": blue.url})
        job = self.job(chats(3))
        self.go(job, "--base-url", alone.url)
        self.assertEqual((blue.attempts, alone.attempts), (0, 3))
        self.assertNotIn("relays", self.results(job).totals)

    def test_simulation_and_another_relay_do_not_need_the_keys_of_members(self) -> None:
        alone = self.relay()
        self.members(blue={"base_url": "https://blue.example"})
        job = self.job(chats(2))
        self.sluice("run", job, "--simulate", "--output-dir", "rehearsal")
        self.sluice("run", job, "--base-url", alone.url)
        self.assertEqual(alone.attempts, 2)

    def test_the_keys_of_members_are_never_written_or_printed(self) -> None:
        def blab(relay_key: str) -> list[dict[str, Any]]:
            return [{"match": "number 1 ", "status": 400,
                     "body": {"error": {"message": f"bad request with {relay_key}", "code": "x"}}}]

        blue = self.relay(script=blab(KEYS["BLUE_KEY"]))
        green = self.relay(script=blab(KEYS["GREEN_KEY"]))
        self.members(blue={"base_url": blue.url}, green={"base_url": green.url})
        job = self.job([batch(f"b{i}", chat("number 1 of many")) for i in range(6)])
        run = self.go(job, "-v", "--log-file", "log", expect=1)
        written = [*self.results(job).paths, self.folder / "log"]
        for text in (run.err, run.out, *(path.read_text("utf-8") for path in written)):
            for key in KEYS.values():
                self.assertNotIn(key, text)

    def test_bad_members_are_refused_by_name(self) -> None:
        job = self.job(chats(1))
        for tables, env, message in (
                ({"blue": {"base_url": "relay"}}, {}, "'relay'"),
                ({"blue": {}}, {}, "base_url"),
                ({"blue": {"base_url": "https://x", "rmp": 3}}, {}, "did you mean 'rpm'"),
                ({"blue": {"base_url": "https://x"}}, {"BLUE_KEY": None}, "BLUE_KEY"),
        ):
            self.members(**tables)
            run = self.sluice("run", job, expect=2, env={**KEYS, **env})
            self.assert_one_sentence(run, message)


if __name__ == "__main__":
    unittest.main()
