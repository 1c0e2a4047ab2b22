"""`sluice check`: its document is compared with exact counts, and with the results and the bill of a run."""

from __future__ import annotations

import gzip
import json
import os
import unittest
from decimal import Decimal
from typing import Any

from support import Case, Run, batch, chat, jsonl

# Token counts by tiktoken. A chat of one message has 7 more.
COUNTS = [("gpt-4", "hi", 1), ("gpt-4o", "hi", 1), ("gpt-4", "hello world", 2), ("gpt-4o", "hello world", 2),
          ("gpt-4", "人工智能正在改变我们的生活" * 10, 120), ("gpt-4o", "人工智能正在改变我们的生活" * 10, 60),
          ("gpt-4", "नमस्ते दुनिया " * 10, 140), ("gpt-4o", "नमस्ते दुनिया " * 10, 42),
          ("gpt-4", "1234567890" * 20, 67), ("gpt-4o", "1234567890" * 20, 67)]


class Check(Case):
    def check(self, *words: Any, **more: Any) -> Run:
        return self.sluice("check", *words, **more)

    def document(self, *words: Any, **more: Any) -> dict[str, Any]:
        return json.loads(self.check(*words, "--json", **more).out)

    def test_counts_are_exact(self) -> None:
        job = self.job([batch(f"c{i}", chat(text, model=model)) for i, (model, text, _) in enumerate(COUNTS)])
        run = self.check(job, "--lines", env={"OPENAI_API_KEY": None})
        result = [json.loads(line) for line in run.out.splitlines()]
        self.assertEqual([line["prompt_tokens"] for line in result], [tokens + 7 for _, _, tokens in COUNTS])
        self.assertEqual(result[0], {"line": 1, "custom_id": "c0", "model": "gpt-4", "prompt_tokens": 8,
                                     "encoding": "cl100k_base"})
        self.assertEqual(result[1]["encoding"], "o200k_base")

    def test_the_document(self) -> None:
        job = self.job([batch("a", chat("hi", model="gpt-4", max_tokens=100)), "oops",
                        batch("a", chat("hi", model="gpt-4")), batch("b", chat("hi", model="gpt-4o", max_tokens=7))])
        [result] = self.document(job, "--rpm", 4, expect=1)["jobs"]
        self.assertEqual([(bad["line"], bad["code"]) for bad in result.pop("bad_lines")],
                         [(2, "invalid_request_line"), (3, "duplicate_custom_id")])
        prompt = 8 * Decimal("0.00003") + 8 * Decimal("0.0000025")
        likely = prompt + 100 * Decimal("0.00006") + 7 * Decimal("0.00001")
        most = 8 * Decimal("0.00003") + 8 * Decimal("0.00000425") + 100 * Decimal("0.00006") + 7 * Decimal("0.000017")
        cost = {"prompt": f"{prompt.normalize():f}", "likely": f"{likely.normalize():f}",
                "at_most": f"{most.normalize():f}"}
        self.assertEqual(result, {"job": str(job), "requests": 4, "prompt_tokens": 16, "max_completion_tokens": 107,
                                  "models": {"gpt-4": {"requests": 1, "prompt_tokens": 8},
                                             "gpt-4o": {"requests": 1, "prompt_tokens": 8}},
                                  "cost_usd": cost, "minutes_at_limit": 0.5})

    def test_a_run_has_the_same_counts_and_bill(self) -> None:
        simulator = self.simulator()
        good = [batch(f"c{i}", chat(f"question {i}: 为什么?", max_tokens=10)) for i in range(40)]
        job = self.job(jsonl(good[:20]) + b'{"a":\n[1]\n{"method":"GET","body":{}}\n' + jsonl([good[3], *good[20:]]))
        result = self.document(job, "--rpm", 0, expect=1)["jobs"][0]
        self.run_job(job, simulator, expect=1)
        results = self.results(job)
        errors = [(line["sluice"]["line"], line["error"]["code"], line["error"]["message"]) for line in results.errors]
        self.assertEqual([tuple(bad.values()) for bad in result["bad_lines"]], sorted(errors))
        totals = results.totals
        self.assertEqual(result["requests"], totals["requests"])
        self.assertEqual(result["prompt_tokens"], simulator.ledger["billed"]["tokens"]["prompt"])
        self.assertLessEqual(Decimal(result["cost_usd"]["prompt"]), Decimal(totals["cost_usd"]))
        self.assertGreaterEqual(Decimal(result["cost_usd"]["at_most"]), Decimal(totals["cost_usd"]))
        self.assertIsNone(result["minutes_at_limit"])
        # Now the likely cost follows the replies of the run.
        likely = Decimal(self.document(job, "--rpm", 0, expect=1)["jobs"][0]["cost_usd"]["likely"])
        self.assertAlmostEqual(likely / Decimal(totals["cost_usd"]), 1, delta=Decimal("0.2"))
        self.assertIn("as long as those of the earlier run", self.check(job, expect=1).out)

    def test_replies_of_a_rehearsal_say_nothing_about_those_of_a_run(self) -> None:
        job = self.job([batch(f"c{i}", chat(f"question {i}", max_tokens=500)) for i in range(4)])
        before = self.check(job).out
        self.sluice("run", job, "--simulate")
        self.assertIs(self.results(job).totals["simulated"], True)
        self.assertEqual(self.check(job).out, before)

    def test_totals_that_are_no_file_are_not_read(self) -> None:
        job = self.job([batch("a", chat("hi"))])
        before = self.check(job).out
        os.mkfifo(self.results(job).totals_path)
        self.assertEqual(self.check(job).out, before)

    def test_the_flags_of_a_run_have_the_same_meaning(self) -> None:
        job = self.job([{"prompt": "hi"}, {"model": "gpt-4", "input": "hi"}])
        run = self.check(job, "--lines", "--model", "gpt-4o", "--system", "hi", "--override-model")
        first, second = (json.loads(line) for line in run.out.splitlines())
        self.assertEqual((first["model"], first["prompt_tokens"], first["custom_id"]), ("gpt-4o", 8 + 5, "line-1"))
        self.assertEqual((second["model"], second["encoding"]), ("gpt-4o", "o200k_base"))
        prices = self.folder / "prices.json"
        prices.write_text(json.dumps({"mine": {"input": "1", "output": "2", "max_output_tokens": 50}}))
        job = self.job([{"model": "mine", "messages": [{"role": "user", "content": "hi"}]}])
        result = self.document(job, "--prices", prices, "--price-multiplier", "0.5")["jobs"][0]
        tokens = result["prompt_tokens"]
        self.assertEqual(result["max_completion_tokens"], 50)
        self.assertEqual(Decimal(result["cost_usd"]["at_most"]), (tokens * Decimal("0.5") + 50) / 1_000_000)
        result = self.document(job, "--prices", prices, "--max-tokens", "20")["jobs"][0]
        self.assertEqual(result["max_completion_tokens"], 20)

    def test_the_config_of_a_run_works_without_its_key(self) -> None:
        (self.folder / "sluice.toml").write_text('api-key-file = "missing"\nbase-url = "nonsense"\nrpm = 10\n')
        job = self.job([chat("hi", max_tokens=1)])
        result = self.document(job, env={"OPENAI_API_KEY": None})["jobs"][0]
        self.assertEqual(result["minutes_at_limit"], 0.1)

    def test_prices_of_the_relay_need_it_and_its_key(self) -> None:
        simulator = self.simulator()
        job = self.job([chat("hi", max_tokens=1)])
        flags = (job, "--prices", "relay", "--base-url", simulator.url)
        result = self.document(*flags)["jobs"][0]
        own = self.document(job, "--tier-default", "standard")["jobs"][0]
        self.assertEqual(result["cost_usd"], own["cost_usd"])
        far = (*flags[:-1], "http://192.0.2.1/v1")
        self.assert_one_sentence(self.check(*far, env={"OPENAI_API_KEY": None}, expect=2), "API key")

    def test_jobs_of_every_form(self) -> None:
        plain = self.job(jsonl([chat("hi")]))
        packed = self.folder / "packed.jsonl.gz"
        packed.write_bytes(gzip.compress(b"\xef\xbb\xbf" + jsonl([chat("hi"), chat("hi")]).replace(b"\n", b"\r\n\r\n")))
        result = self.document(plain, packed, "-", stdin=jsonl([chat("hi")] * 3))["jobs"]
        self.assertEqual([(job["job"], job["requests"]) for job in result],
                         [(str(plain), 1), (str(packed), 2), ("-", 3)])

    def test_the_table(self) -> None:
        job = self.job([batch("a", chat("hi", model="some-model"))])
        run = self.check(job)
        self.assertIn("rough", run.out)
        self.assertIn("some-model", run.out)
        self.assertIn("is not known", run.err)

    def test_unreadable_jobs_are_refused_and_nothing_is_printed(self) -> None:
        job = self.job([chat("hi")])
        missing = self.folder / "missing.jsonl"
        for words in ((job, missing), (job, missing, "--lines")):
            self.assert_one_sentence(self.check(*words, expect=2), "missing.jsonl")
        self.assert_one_sentence(self.check(self.job(b"", "empty.jsonl"), expect=2), "empty")
        self.assert_one_sentence(self.check(expect=2), "no job to check")

    def test_a_bad_line_gives_the_same_exit_status_for_every_output(self) -> None:
        job = self.job(jsonl([chat("hi")]) + b"oops\n")
        for flags in ((), ("--json",), ("--lines",)):
            self.assertTrue(self.check(job, *flags, expect=1).out)
        self.assertIn("line 2: invalid_json_line", self.check(job, expect=1).out)
        self.assertIn("line 2", self.check(job, "--lines", expect=1).err)


if __name__ == "__main__":
    unittest.main()
