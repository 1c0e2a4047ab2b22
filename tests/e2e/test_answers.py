"""Answers that must have a shape. A rejected reply is paid, counted once, and its request is sent again."""

from __future__ import annotations

import json
import random
import re
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator

from support import Case, Simulator, batch, chat, chats, text_of

SCHEMA: dict[str, Any] = {
    "type": "object", "additionalProperties": False, "required": ["name", "tags", "count"],
    "properties": {"name": {"type": "string"}, "tags": {"type": "array", "items": {"type": "string"}},
                   "count": {"type": "integer", "minimum": 0}}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "thing", "schema": SCHEMA}}


def shaped(count: int, **more: Any) -> list[dict[str, Any]]:
    return chats(count, response_format=FORMAT, max_tokens=60, **more)


def ledger_cost(simulator: Simulator) -> Decimal:
    return Decimal(simulator.ledger["billed"]["cost_usd"])


class Answers(Case):
    def assert_fits(self, lines: list[dict[str, Any]]) -> None:
        check = Draft7Validator(SCHEMA)
        for line in lines:
            check.validate(json.loads(text_of(line)))

    def test_a_faulty_relay_s_answers_are_right_in_the_end_and_the_bill_is_exact(self) -> None:
        simulator = self.simulator("--faults", "malformed=0.4")
        count = 200  # enough for each kind of fault
        job = self.job(shaped(count))
        run = self.run_job(job, simulator, "--expect", "schema", "--max-rejections", 20)
        found = self.results(job)
        self.assertEqual(len(found.output), count)
        self.assert_fits(found.output)
        totals = found.totals
        self.assertEqual(Decimal(totals["cost_usd"]), ledger_cost(simulator))
        self.assertEqual(totals["attempts"], simulator.ledger["attempts"])
        self.assertEqual(totals["rejected"]["replies"], totals["attempts"] - count)
        self.assertGreater(totals["rejected"]["replies"], 50)
        self.assertEqual(sum(Decimal(line["sluice"]["cost_usd"]) for line in found.output),
                         Decimal(totals["cost_usd"]))
        reasons = {one["reason"] for line in found.output for one in line["sluice"].get("rejected", [])}
        self.assertIn("the reply wraps its JSON in a Markdown fence (```)", reasons)
        self.assertTrue(any("does not fit the schema" in reason for reason in reasons), reasons)
        self.assertRegex(run.err, r"cost +\$[0-9.]+, of it \$[0-9.]+ for \d+ rejected replies")

    def test_under_a_budget_with_kills_no_cost_is_lost(self) -> None:
        simulator = self.simulator("--faults", "malformed=0.4,cut=0.03", ttft="15ms")
        job = self.job(shaped(80))
        flags = ("--expect", "schema", "--max-rejections", 20, "--tell-why", "--budget", "0.5", "--concurrency", 6,
                 "--idle-timeout", "1s")
        chance = random.Random(11)
        rejected = 0
        for _ in range(10):
            run = self.start("run", job, "--base-url", simulator.url, "--rpm", 0, *flags)
            time.sleep(chance.uniform(0.05, 0.4))  # the moment of the kill
            if run.running:
                run.signal(9)
            run.wait()
            # A run that ends before it can send anything still repairs the records and writes the totals.
            self.run_job(job, simulator, *flags[:-4], "--deadline", "1ms", expect=None)
            now = self.results(job).totals.get("rejected", {}).get("replies", 0)
            self.assertGreaterEqual(now, rejected, "a kill takes no rejected reply off the record")
            rejected = now
        self.run_job(job, simulator, *flags)
        found = self.results(job)
        self.assertEqual(len(found.output), 80)
        self.assert_fits(found.output)
        totals, billed = found.totals, simulator.ledger["billed"]
        listed = [{"id": line["custom_id"], **one} for line in found.output
                  for one in line["sluice"].get("rejected", [])]
        self.assertEqual(totals["rejected"]["replies"], len(listed))
        self.assertGreaterEqual(len(listed), rejected)
        self.assertEqual(len({(one["id"], one["started_at"], one["latency_ms"]) for one in listed}), len(listed),
                         "each is counted once")
        unknown = billed["requests"] - totals["succeeded"] - len(listed)
        self.assertGreaterEqual(unknown, 0)
        self.assertLessEqual(unknown, totals["maybe_billed_attempts"])
        cost, kept = Decimal(totals["cost_usd"]), Decimal(totals.get("kept_usd", "0"))
        self.assertLessEqual(cost, ledger_cost(simulator))
        self.assertLessEqual(ledger_cost(simulator), cost + kept)
        self.assertLessEqual(cost + kept, Decimal("0.5"))

    def test_a_request_that_is_rejected_too_often_fails_with_its_reply(self) -> None:
        simulator = self.simulator("--faults", "malformed=1")
        job = self.job(shaped(5))
        run = self.run_job(job, simulator, "--expect", "schema", expect=1)
        self.assertIn("reply_rejected", run.err)
        found = self.results(job)
        self.assertEqual(found.output, [])
        for line in found.errors:
            self.assertEqual(line["error"]["code"], "reply_rejected")
            self.assertEqual(line["response"]["status_code"], 200)
            self.assertTrue(text_of(line))
            self.assertEqual(len(line["sluice"]["rejected"]), 3)
            self.assertEqual(line["sluice"]["attempts"], 3)
        self.assertEqual(Decimal(found.totals["cost_usd"]), ledger_cost(simulator))
        before, attempts = found.bytes(), simulator.ledger["attempts"]
        self.run_job(job, simulator, "--expect", "schema", expect=1)
        self.assertEqual(simulator.ledger["attempts"], attempts, "it is not tried again by itself")
        self.assertEqual(found.bytes(), before)
        self.run_job(job, simulator, "--expect", "schema", "--max-rejections", 0, "--retry-failed", expect=1)
        self.assertEqual(simulator.ledger["attempts"], attempts + 5)
        self.assertEqual([len(line["sluice"]["rejected"]) for line in found.errors], [4] * 5)
        self.assertEqual(Decimal(found.totals["cost_usd"]), ledger_cost(simulator))

    def test_the_model_is_told_why(self) -> None:
        relay = self.relay()
        job = self.job([batch("a", chat("say it", max_tokens=20))])
        self.run_job(job, relay, "--expect", "regex=^no such text$", "--max-rejections", 1, "--tell-why", expect=1)
        first, second = (json.loads(body) for body in relay.bodies)
        self.assertEqual(second["messages"][0], first["messages"][0])
        self.assertEqual([one["role"] for one in second["messages"]], ["user", "assistant", "user"])
        self.assertIn("does not match ^no such text$", second["messages"][2]["content"])
        self.run_job(job, relay, "--expect", "regex=^no such text$", expect=1)
        self.assertEqual(relay.attempts, 2, "the digest is that of the line")

    def test_json_and_patterns(self) -> None:
        simulator = self.simulator("--faults", "malformed=0.3")
        job = self.job(chats(30, response_format={"type": "json_object"}))
        self.run_job(job, simulator, "--expect", "json", "--max-rejections", 20)
        for line in self.results(job).output:
            json.loads(text_of(line))
        other = self.job(chats(3), "other.jsonl")
        self.run_job(other, simulator, "--expect", "regex=(?i)[a-z]")
        self.assertNotIn("rejected", self.results(other).totals)

    def test_a_schema_for_all_lines(self) -> None:
        simulator = self.simulator("--faults", "malformed=0.3")
        wrapped = self.folder / "wrapped.json"
        for content in (SCHEMA, FORMAT, FORMAT["json_schema"]):
            wrapped.write_text(json.dumps(content))
            job = self.job(shaped(10))
            self.run_job(job, simulator, "--expect", f"schema={wrapped}", "--max-rejections", 20, "--fresh")
            self.assert_fits(self.results(job).output)
        self.run_job(self.job(chats(2), "prose.jsonl"), simulator, "--expect", f"schema={wrapped}", expect=1)

    def test_lines_without_a_schema_are_bad_lines(self) -> None:
        simulator = self.simulator()
        job = self.job([*shaped(2), batch("bare", chat("no schema")),
                        batch("e", {"model": "text-embedding-3-small", "input": "x"}, "/v1/embeddings")])
        check = self.sluice("check", job, "--expect", "schema", expect=1)
        self.assertIn("has no JSON schema in its response_format", check.out + check.err)
        self.run_job(job, simulator, "--expect", "schema", expect=1)
        errors = {line["custom_id"]: line["error"] for line in self.results(job).errors}
        self.assertEqual({error["code"] for error in errors.values()}, {"invalid_request_line"})
        self.assertIn("--expect schema=FILE", errors["bare"]["message"])
        self.assertIn("has none", errors["e"]["message"])
        self.assertEqual(simulator.ledger["attempts"], 2)

    def test_what_cannot_be_expected_is_refused_in_a_sentence(self) -> None:
        job = self.job(shaped(1))
        bad = self.folder / "bad.json"
        for content, words in ((b"{", "is not JSON"), (b'{"type": 7}', ""), (b"[]", "is not a JSON object"),
                               (b'{"prefixItems": []}', "prefixItems, which is not checked"),
                               (b'{"multipleOf": 0}', "a multipleOf that is not a number above 0"),
                               (b'{"$ref": "#"}', "refers to itself")):
            bad.write_bytes(content)
            run = self.sluice("run", job, "--base-url", "http://127.0.0.1:9", "--expect", f"schema={bad}", expect=2)
            self.assert_one_sentence(run, "--expect", "bad.json", words)
        for value, words in (("schema=missing.json", "cannot be read"), ("regex=(", "not understood"),
                             ("regex=(?=a)", "RE2"), ("yaml", "is not json, schema, schema=FILE or regex=PATTERN")):
            run = self.sluice("run", job, "--base-url", "http://127.0.0.1:9", "--expect", value, expect=2)
            self.assert_one_sentence(run, "--expect", words)
        run = self.sluice("run", job, "--base-url", "http://127.0.0.1:9", "--tell-why", expect=2)
        self.assert_one_sentence(run, "--tell-why needs --expect")

    def test_copies_get_the_accepted_reply(self) -> None:
        simulator = self.simulator("--faults", "malformed=0.5")
        body = chat("the same", response_format=FORMAT)
        job = self.job([batch(f"c{i}", body) for i in range(20)])
        self.run_job(job, simulator, "--expect", "schema", "--max-rejections", 30, "--dedup")
        found = self.results(job)
        self.assert_fits(found.output)
        self.assertEqual(len(found.output), 20)
        self.assertEqual(Decimal(found.totals["cost_usd"]), ledger_cost(simulator))

    def test_reports_and_the_audit_know_rejected_replies(self) -> None:
        simulator = self.simulator("--faults", "malformed=0.5")
        job = self.job(shaped(30))
        self.run_job(job, simulator, "--expect", "schema", "--max-rejections", 30)
        totals = self.results(job).totals
        replies = totals["rejected"]["replies"]
        text = self.sluice("report", job).out
        self.assertIn(f"for {replies} replies that were rejected", text)
        document = json.loads(self.sluice("report", job, "--json").out)
        self.assertEqual(document.get("jobs", [document])[0]["rejected"], totals["rejected"])
        audit = json.loads(self.sluice("report", job, "--audit", "--json").out)
        self.assertEqual(audit["jobs"][0]["skipped"]["rejected_reply"], replies)
        prices = json.loads(self.sluice("report", job, "--reprice", "--json").out)
        self.assertEqual(prices["jobs"][0]["total"]["old_usd"], totals["cost_usd"])
        self.assertEqual(prices["jobs"][0]["total"]["new_usd"], totals["cost_usd"])

    def test_a_table_of_answers(self) -> None:
        simulator = self.simulator("--faults", "malformed=0.4")
        (self.folder / "t.json").write_text(json.dumps(
            {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Describe {{name}}"}],
             "response_format": FORMAT}))
        (self.folder / "d.csv").write_text("name\n" + "".join(f"thing {i}\n" for i in range(20)))
        self.sluice("run", "d.csv", "--template", "t.json", "-o", "o.csv", "--base-url", simulator.url, "--rpm", 0,
                    "--column", "tag=.json.tags", "--expect", "schema", "--max-rejections", 30)
        rows = (self.folder / "o.csv").read_text().splitlines()
        self.assertEqual(len(rows), 21)
        self.assertTrue(all(re.search(r"\[", row) for row in rows[1:]), rows)
