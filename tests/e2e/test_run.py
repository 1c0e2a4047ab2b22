"""Whole runs, checked by their files and by the servers' own counts."""

from __future__ import annotations

import gzip
import json
import re
import shlex
import shutil
import subprocess
import unittest
from decimal import Decimal
from typing import Any

from support import CHAT, SAMPLES, Case, Results, Run, batch, chat, chats, jsonl, read_jsonl, text_of

COMPLETIONS, EMBEDDINGS, RESPONSES = "/v1/completions", "/v1/embeddings", "/v1/responses"
LINE_KEYS = ["id", "custom_id", "response", "error", "sluice"]
RESULT_KEYS = ["line", "attempts", "model", "streamed", "started_at", "latency_ms", "ttft_ms", "usage",
               "usage_source", "cost_usd", "service_tier", "digest"]
TOTALS_KEYS = ["job", "status", "requests", "succeeded", "failed", "pending", "attempts", "retries", "tokens",
               "cost_usd", "cache", "unpriced_requests", "maybe_billed_attempts", "finish_reasons", "models",
               "wall_s", "max_requests_in_60s", "rpm", "latency_ms", "ttft_ms", "errors"]
FAILS_FOR_GOOD = {"match": "no such thing", "times": None, "status": 400,
                  "body": {"error": {"message": "no such thing", "type": "invalid_request_error", "param": None,
                                     "code": "invalid_value"}}}


def canonical(cost: str) -> bool:
    """No exponent, no trailing zeros, zero is "0"."""
    return re.fullmatch(r"0|(0|[1-9]\d*)\.\d*[1-9]|[1-9]\d*", cost) is not None


class SampleJobs(Case):
    jobs = sorted(SAMPLES.glob("*.jsonl"))

    def ids(self) -> dict[str, list[str]]:
        return {job.name: [line.get("custom_id", f"line-{number}")
                           for number, line in enumerate(read_jsonl(job), 1)] for job in self.jobs}

    def test_totals_equal_the_ledger_of_a_faulty_relay(self) -> None:
        simulator = self.simulator("--faults", "faulty", "--seed", "7")
        # Refusals without a hint slow a run down, as intended.
        run = self.start("run", *self.jobs, "--base-url", simulator.url, "--model", "gpt-4o-mini", "--rpm", 0,
                         "--idle-timeout", "1s", "--output-dir", self.out).wait(150)
        ledger = simulator.ledger
        totals = []
        for job in self.jobs:
            results = Results(job, self.out)
            self.assertEqual(sorted(results.by_id()), sorted(self.ids()[job.name]))
            self.assertEqual(results.totals["pending"], 0)
            totals.append(results.totals)
            lines = results.output
            self.assertEqual(sum((Decimal(line["sluice"]["cost_usd"]) for line in lines), Decimal(0)),
                             Decimal(results.totals["cost_usd"]))
        failed = sum(t["failed"] for t in totals)
        self.assertEqual(run.code, 1 if failed else 0)

        self.assertGreater(len(ledger["faults"]), 8, "the profile must have caused faults")
        self.assertEqual(sum(t["attempts"] for t in totals), ledger["attempts"])
        self.assertEqual(sum(t["succeeded"] for t in totals), ledger["delivered"]["requests"])
        for kind in ("prompt", "cached", "completion", "reasoning", "total"):
            self.assertEqual(sum(t["tokens"][kind] for t in totals), ledger["delivered"]["tokens"][kind], kind)
        self.assertEqual(sum(Decimal(t["cost_usd"]) for t in totals), Decimal(ledger["delivered"]["cost_usd"]))
        lost = ledger["billed_undelivered"]["attempts"]
        self.assertGreater(lost, 0)
        self.assertLessEqual(lost, sum(t["maybe_billed_attempts"] for t in totals))
        self.assertEqual(sum(t["retries"] for t in totals),
                         sum(t["attempts"] for t in totals) - sum(t["requests"] for t in totals))

    def test_in_process_simulator(self) -> None:
        run = self.sluice("run", *self.jobs, "--simulate", "--model", "gpt-4o-mini", "--rpm", 0,
                          "--output-dir", self.out, env={"OPENAI_API_KEY": None})
        for job in self.jobs:
            results = Results(job, self.out)
            self.assertEqual(sorted(results.by_id()), sorted(self.ids()[job.name]))
            self.assertTrue(all(line["sluice"]["simulated"] is True for line in results.output))
            self.assertIn(str(results.output_path.name), run.err)
        total = sum(Decimal(Results(job, self.out).totals["cost_usd"]) for job in self.jobs)
        self.assertIn(f"{total.normalize():f} USD", run.err)  # the simulator's own sum
        # Real results must not be added to simulated ones.
        refused = self.sluice("run", self.jobs[0], "--base-url", "http://127.0.0.1:1", "--output-dir", self.out,
                              expect=2)
        self.assert_one_sentence(refused, "simulat")


    def test_no_limit_on_concurrency(self) -> None:
        simulator = self.simulator(ttft="300ms")
        job = self.job(chats(300))
        self.run_job(job, simulator, "--concurrency", 0)
        self.assertEqual(len(self.results(job).output), 300)

    def test_more_concurrency_than_requests(self) -> None:
        job = self.job(chats(100))
        self.sluice("run", job, "--simulate", "--rpm", 0, "--concurrency", 150)
        self.assertEqual(len(self.results(job).output), 100)


class LineShape(Case):
    def test_an_output_line(self) -> None:
        relay = self.relay()
        job = self.job([batch("a", chat("Say it twice, please."))])
        self.run_job(job, relay)
        [line] = self.results(job).output
        self.assertEqual(list(line), LINE_KEYS)
        self.assertTrue(line["id"].startswith("batch_req_"))
        self.assertEqual(list(line["response"]), ["status_code", "request_id", "body"])
        self.assertEqual((line["custom_id"], line["response"]["status_code"], line["error"]), ("a", 200, None))
        self.assertEqual(line["response"]["body"]["object"], "chat.completion")
        self.assertEqual(text_of(line), "echo: Say it twice, please.")
        own = line["sluice"]
        self.assertEqual(list(own), RESULT_KEYS)
        self.assertEqual((own["line"], own["attempts"], own["model"], own["streamed"], own["usage_source"]),
                         (1, 1, "gpt-4o-mini", True, "reported"))
        used = line["response"]["body"]["usage"]
        self.assertEqual(own["usage"], {"prompt_tokens": used["prompt_tokens"], "cached_tokens": 0,
                                        "cache_write_tokens": 0, "cache_write_1h_tokens": 0,
                                        "completion_tokens": used["completion_tokens"], "reasoning_tokens": 0})
        exact = (used["prompt_tokens"] * Decimal("0.15") + used["completion_tokens"] * Decimal("0.60")) / 10**6
        self.assertEqual(Decimal(own["cost_usd"]), exact)
        self.assertTrue(canonical(own["cost_usd"]), own["cost_usd"])
        self.assertLessEqual(0, own["ttft_ms"])
        self.assertLessEqual(own["ttft_ms"], own["latency_ms"])
        self.assertRegex(own["digest"], r"^[0-9a-f]{16,}$")

    def test_an_http_error_line(self) -> None:
        relay = self.relay(script=[FAILS_FOR_GOOD,
                                   {"match": "page", "times": None, "status": 400,
                                    "headers": {"Content-Type": "text/html"}, "body": "<html>" + "x" * 9000}])
        job = self.job([batch("a", chat("there is no such thing")), batch("b", chat("a page")),
                        *chats(8)])  # enough successes, so that it does not look like a wrong address
        self.run_job(job, relay, expect=1)
        results = self.results(job)
        lines = {line["custom_id"]: line for line in results.errors}
        self.assertEqual(set(lines), {"a", "b"})
        line = lines["a"]
        self.assertEqual(list(line), LINE_KEYS)
        self.assertIsNone(line["error"])
        self.assertEqual(line["response"]["status_code"], 400)
        self.assertEqual(line["response"]["body"], FAILS_FOR_GOOD["body"])
        self.assertEqual((line["sluice"]["line"], line["sluice"]["attempts"], line["sluice"]["retryable"]),
                         (1, 1, False))
        page = lines["b"]["response"]["body"]
        self.assertIsInstance(page, str)
        self.assertTrue(page.startswith("<html>xxx"))
        self.assertLessEqual(len(page.encode()), 4096)
        self.assertEqual(results.totals["errors"], {"400": 2})
        self.assertEqual((results.totals["succeeded"], results.totals["failed"], results.totals["attempts"]),
                         (8, 2, 10))

    def test_an_error_body_with_an_invalid_byte_stays_an_object(self) -> None:
        relay = self.relay(script=[{"match": "number 2 ", "times": None, "status": 400,
                                    "body": '{"error":{"message":"caf\udce9 closed","code":"x"}}'}])
        job = self.job(chats(6))
        self.run_job(job, relay, expect=1)
        [line] = self.results(job).errors
        self.assertEqual(line["response"]["body"], {"error": {"message": "caf\ufffd closed", "code": "x"}})

    def test_costs_that_a_relay_counts_in_binary_are_summed_as_decimals(self) -> None:
        def answer(cost: float) -> dict[str, Any]:
            message = {"role": "assistant", "content": "so be it"}
            return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                    "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8, "cost": cost}}

        costs = {"c1": (1.4e-05, "0.000014"), "c2": (1e-07, "0.0000001"), "c3": (0.00030000000000000003, "0.0003")}
        relay = self.relay(script=[{"match": f"number {name[1:]} ", "status": 200, "body": answer(cost)}
                                   for name, (cost, _) in costs.items()])
        job = self.job(chats(3))
        for _ in range(2):  # the second run reads the costs from the lines
            self.run_job(job, relay)
            results = self.results(job)
            self.assertEqual({line["custom_id"]: line["sluice"]["reported_cost_usd"] for line in results.output},
                             {name: exact for name, (_, exact) in costs.items()})
            self.assertEqual(results.totals["reported_cost_usd"], "0.0003141")

    def test_a_transport_error_line(self) -> None:
        relay = self.relay(script=[{"match": "vanish", "times": None, "close": "rst"}])
        job = self.job([batch("a", chat("vanish")), *chats(4)])
        self.run_job(job, relay, "--max-attempts", 2, expect=1)
        results = self.results(job)
        [line] = results.errors
        self.assertEqual(list(line), LINE_KEYS)
        self.assertIsNone(line["response"])
        self.assertEqual(list(line["error"]), ["code", "message"])
        self.assertEqual(line["error"]["code"], "connection_failed")
        self.assertEqual((line["sluice"]["attempts"], line["sluice"]["retryable"]), (2, True))
        # Both attempts were sent completely but failed, so the relay may have billed them.
        self.assertEqual(results.totals["maybe_billed_attempts"], 2)

    def test_bad_lines_become_errors_lines_and_are_not_sent(self) -> None:
        good = json.dumps(batch("good", chat("hello"))).encode()
        rows: list[tuple[bytes, str]] = [
            (b"this is not JSON", "invalid_json_line"),
            (b'{"custom_id":"open","body":', "invalid_json_line"),
            (b'[1,2]', "invalid_request_line"),
            (b'{"custom_id":"get","method":"GET","url":"/v1/chat/completions","body":{"model":"m","messages":[]}}',
             "invalid_request_line"),
            (b'{"custom_id":"url","method":"POST","url":"/v1/images","body":{"model":"m"}}', "invalid_request_line"),
            (b'{"custom_id":"bodiless","method":"POST","url":"/v1/chat/completions"}', "invalid_request_line"),
            (b'{"custom_id":"nan","model":"m","messages":[],"temperature":NaN}', "invalid_json_line"),
            (good, "duplicate_custom_id"),
        ]
        relay = self.relay()
        job = self.job(b"\xef\xbb\xbf" + good + b"\r\n\n" + b"\r\n".join(text for text, _ in rows) + b"\n")
        self.run_job(job, relay, expect=1)
        results = self.results(job)
        lines = {line["sluice"]["line"]: line for line in results.errors}
        self.assertEqual(sorted(lines), list(range(3, 3 + len(rows))))  # the blank line 2 counts as a line
        for number, (text, code) in enumerate(rows, 3):
            with self.subTest(text=text):
                line = lines[number]
                self.assertEqual(line["error"]["code"], code)
                self.assertTrue(line["error"]["message"])
                self.assertIsNone(line["response"])
        self.assertEqual([line["custom_id"] for line in results.output], ["good"])
        self.assertEqual(relay.attempts, 1)
        totals = results.totals
        self.assertEqual((totals["requests"], totals["succeeded"], totals["failed"]), (9, 1, 8))

    def test_strict_refuses_to_start(self) -> None:
        relay = self.relay()
        job = self.job(jsonl(chats(2)) + b"{broken\n")
        refused = self.run_job(job, relay, "--strict", "--output-dir", self.out, expect=2)
        self.assert_one_sentence(refused, "3")
        self.assertEqual(relay.attempts, 0)
        self.assertFalse(self.out.exists() and list(self.out.iterdir()))

    def test_totals_key_by_key(self) -> None:
        relay = self.relay(script=[FAILS_FOR_GOOD])
        job = self.job([batch("x", chat("no such thing")), batch("y", chat("q" * 60, max_tokens=2)),
                        batch("z", chat("what is it worth", model="a-model-without-price")), *chats(5)])
        self.run_job(job, relay, expect=1)
        results = self.results(job)
        totals = results.totals
        self.assertEqual(list(totals)[:len(TOTALS_KEYS)], TOTALS_KEYS)
        self.assertEqual(totals["job"], str(job))
        self.assertEqual([totals[key] for key in ("status", "requests", "succeeded", "failed", "pending", "attempts",
                                                  "retries", "unpriced_requests", "maybe_billed_attempts", "errors")],
                         ["completed", 8, 7, 1, 0, 8, 0, 1, 0, {"400": 1}])
        self.assertEqual(totals["finish_reasons"], {"stop": 6, "length": 1})
        lines = results.output
        self.assertEqual(list(totals["tokens"]),
                         ["prompt", "cached", "cache_write", "completion", "reasoning", "total",
                          "estimated_requests"])
        for kind in ("prompt", "completion"):
            self.assertEqual(totals["tokens"][kind], sum(line["sluice"]["usage"][f"{kind}_tokens"] for line in lines))
        self.assertEqual(totals["tokens"]["total"], totals["tokens"]["prompt"] + totals["tokens"]["completion"])
        self.assertEqual(set(totals["models"]), {"gpt-4o-mini", "a-model-without-price"})
        for model in totals["models"].values():
            self.assertEqual(list(model), ["requests", "tokens", "cost_usd"])
        self.assertIsNone(totals["models"]["a-model-without-price"]["cost_usd"])
        self.assertEqual(totals["models"]["a-model-without-price"]["requests"], 1)
        for line in lines:
            if line["custom_id"] == "z":
                self.assertIsNone(line["sluice"]["cost_usd"])
        exact = sum(Decimal(line["sluice"]["cost_usd"] or 0) for line in lines)
        self.assertEqual(Decimal(totals["cost_usd"]), exact)
        self.assertTrue(canonical(totals["cost_usd"]), totals["cost_usd"])
        self.assertEqual(totals["max_requests_in_60s"], 8)
        for span in ("latency_ms", "ttft_ms"):
            self.assertEqual(list(totals[span]), ["p50", "p90", "p99"])
            self.assertLessEqual(totals[span]["p50"], totals[span]["p99"])


class Bodies(Case):
    def sent(self, lines: list[Any] | bytes, *flags: Any) -> list[bytes]:
        relay = self.relay()
        self.run_job(self.job(lines), relay, "--concurrency", 1, *flags)
        return relay.bodies

    def test_a_body_is_sent_as_it_was_written(self) -> None:
        written = (rb'{ "zeta" : 1.50 , "model":"gpt-4o-mini","unknown":{"b":[1e3,-0.0],"a":12345678901234567890},'
                   rb'"messages":[{"content":"caf\u00e9 \/ \ud83d\ude00 \ud800 ' + "漢字".encode()
                   + rb' \"q\"","role":"user"}]  }')
        line = b'{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":' + written + b"}\n"
        self.assertEqual(self.sent(line, "--no-stream"), [written])

    def test_the_stream_fields_are_added_at_the_end(self) -> None:
        written = rb'{"zeta":1,"messages":[{"role":"user","content":"\u0041 \udead"}],"model":"gpt-4o-mini"}'
        line = b'{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":' + written + b"}\n"
        [body] = self.sent(line)
        self.assertTrue(body.startswith(written[:-1]), body)
        added = json.loads(b"{" + body[len(written) - 1:].lstrip(b" ,"))
        self.assertEqual(added, {"stream": True, "stream_options": {"include_usage": True}})

    def test_a_body_with_stream_is_not_changed(self) -> None:
        lines = [batch("plain", chat("one", stream=False)),
                 batch("streamed", chat("two", stream=True)),
                 batch("asked", chat("three", stream=True, stream_options={"include_usage": False}))]
        plain, streamed, unchanged = (json.loads(body) for body in self.sent(lines))
        self.assertEqual(plain, lines[0]["body"])
        self.assertEqual(streamed, {**lines[1]["body"], "stream_options": {"include_usage": True}})
        self.assertEqual(unchanged, lines[2]["body"])

    def test_no_include_usage(self) -> None:
        [body] = self.sent([batch("a", chat("one"))], "--no-include-usage")
        self.assertEqual(json.loads(body), {**chat("one"), "stream": True})

    def test_model_and_system_fill_what_is_missing(self) -> None:
        lines = [{"prompt": "one"}, {"messages": [{"role": "user", "content": "two"}]},
                 {"model": "gpt-4o", "messages": [{"role": "system", "content": "own"},
                                                  {"role": "user", "content": "three"}]}]
        bodies = [json.loads(b) for b in self.sent(lines, "--model", "gpt-4o-mini", "--system", "Be \"brief\".",
                                                   "--no-stream")]
        system = {"role": "system", "content": 'Be "brief".'}
        self.assertEqual([b["model"] for b in bodies], ["gpt-4o-mini", "gpt-4o-mini", "gpt-4o"])
        self.assertEqual([b["messages"] for b in bodies],
                         [[system, {"role": "user", "content": "one"}], [system, {"role": "user", "content": "two"}],
                          lines[2]["messages"]])

    def test_an_empty_model_is_missing(self) -> None:
        [body] = self.sent([batch("a", chat("one", model=""))], "--model", "gpt-4o-mini", "--no-stream")
        self.assertEqual(json.loads(body), chat("one"))

    def test_override_model(self) -> None:
        bodies = [json.loads(b) for b in self.sent(chats(2, temperature=0.25), "--model", "gpt-4", "--override-model",
                                                   "--no-stream")]
        self.assertEqual([(b["model"], b["temperature"]) for b in bodies], [("gpt-4", 0.25)] * 2)

    def test_custom_id_of_a_bare_body_is_not_sent_and_missing_ones_are_numbered(self) -> None:
        relay = self.relay()
        job = self.job([{"custom_id": "mine", **chat("one")}, chat("two")])
        self.run_job(job, relay, "--no-stream", "--concurrency", 1)
        self.assertEqual([json.loads(body) for body in relay.bodies], [chat("one"), chat("two")])
        self.assertEqual(set(self.results(job).by_id()), {"mine", "line-2"})

    def test_a_duplicate_custom_id_is_not_sent(self) -> None:
        line = jsonl([{"custom_id": "one", **chat("one")}]).replace(b'"model"', b'"custom_id": "two", "model"')
        [body] = self.sent(line, "--no-stream")
        self.assertNotIn(b"custom_id", body)
        self.assertEqual(json.loads(body), chat("one"))

    def test_headers(self) -> None:
        relay = self.relay()
        self.run_job(self.job(chats(1)), relay, "--header", "X-Team: blue")
        version = self.sluice("--version").out.split()[-1]
        self.assertEqual(relay.stats["headers_seen"], [f"sluice/{version}"])
        self.assertFalse(relay.stats["authorization_missing"])

    def test_a_user_header_replaces_the_default_header(self) -> None:
        relay = self.relay()
        flags = ("--header", "user-agent: mine/1", "--header", "Authorization: Basic eA==")
        self.run_job(self.job(chats(1)), relay, *flags)
        self.assertEqual(relay.stats["headers_seen"], ["mine/1"])
        self.assertEqual(relay.stats["authorizations_seen"], ["Basic eA=="])


class Endpoints(Case):
    def lines(self) -> list[dict[str, Any]]:
        return [
            batch("chat", chat("Ünïcode 漢字 🐎 echo", n=2)),
            batch("text", {"model": "gpt-3.5-turbo-instruct", "prompt": "Once upon a time 🐎", "n": 2}, COMPLETIONS),
            batch("answer", {"model": "gpt-4o-mini", "input": "What is 漢字?"}, RESPONSES),
            batch("short", {"model": "gpt-4o-mini", "input": "x" * 90, "max_output_tokens": 3}, RESPONSES),
            batch("vector", {"model": "text-embedding-3-small", "input": ["a", "b"]}, EMBEDDINGS),
        ]

    def test_streamed_and_not_streamed_give_the_same_bodies(self) -> None:
        job = self.job(self.lines())
        relay = self.relay()
        found = []
        for name, flags in (("streamed", []), ("plain", ["--no-stream"])):
            out = self.folder / name
            self.run_job(job, relay, "--output-dir", out, *flags)
            found.append(self.results(job, out).by_id())
        streamed, plain = found
        self.assertEqual(streamed.keys(), plain.keys())

        def without_chance(value: Any) -> Any:
            """The value without ids and times, which differ between calls."""
            if isinstance(value, dict):
                return {k: without_chance(v) for k, v in value.items() if k not in ("id", "created", "created_at")}
            return [without_chance(item) for item in value] if isinstance(value, list) else value

        for name, line in plain.items():
            with self.subTest(name):
                self.assertEqual(without_chance(streamed[name]["response"]["body"]),
                                 without_chance(line["response"]["body"]))
                self.assertEqual(streamed[name]["sluice"]["usage"], line["sluice"]["usage"])
                self.assertEqual(streamed[name]["sluice"]["cost_usd"], line["sluice"]["cost_usd"])
                self.assertEqual(streamed[name]["sluice"]["digest"], line["sluice"]["digest"])
                self.assertEqual(streamed[name]["sluice"]["streamed"], name != "vector")
                self.assertFalse(line["sluice"]["streamed"])

    def test_bare_bodies_find_their_endpoint(self) -> None:
        relay = self.relay()
        job = self.job([{"custom_id": "v", "model": "text-embedding-3-small", "input": "a"},
                        {"custom_id": "r", "model": "gpt-4o-mini", "input": "a"},
                        {"custom_id": "c", **chat("a")}])
        self.run_job(job, relay)
        objects = {name: line["response"]["body"]["object"] for name, line in self.results(job).by_id().items()}
        self.assertEqual(objects, {"v": "list", "r": "response", "c": "chat.completion"})

    def test_endpoint_flag(self) -> None:
        relay = self.relay()
        job = self.job([{"model": "gpt-3.5-turbo-instruct", "prompt": "a"}])
        self.run_job(job, relay, "--endpoint", "completions")
        [line] = self.results(job).output
        self.assertEqual(line["response"]["body"]["object"], "text_completion")

    def test_base_url_in_its_four_forms(self) -> None:
        relay = self.relay()
        job = self.job(chats(1))
        host = relay.url.removesuffix("/v1")
        for number, form in enumerate((host, host + "/", host + "/v1", host + "/v1/")):
            with self.subTest(form):
                self.sluice("run", job, "--base-url", form, "--output-dir", self.folder / f"out{number}")


class Files(Case):
    def test_output_flag_names_all_three(self) -> None:
        relay = self.relay()
        self.out.mkdir()
        self.run_job(self.job(chats(2)), relay, "-o", self.out / "answers.jsonl")
        self.assertEqual(sorted(p.name for p in self.out.iterdir()),
                         ["answers.errors.jsonl", "answers.jsonl", "answers.totals.json"])
        self.assertEqual(len(read_jsonl(self.out / "answers.jsonl")), 2)

    def test_beside_the_job_and_into_a_new_folder(self) -> None:
        relay = self.relay()
        job = self.job(chats(2))
        self.run_job(job, relay)
        deep = self.out / "deeper"
        self.run_job(job, relay, "--output-dir", deep)
        for results in (self.results(job), self.results(job, deep)):
            self.assertEqual(len(results.output), 2)
            self.assertEqual(results.errors, [])
            self.assertFalse(results.state_path.exists(), "removed when the job is complete")

    def test_standard_input(self) -> None:
        relay = self.relay()
        self.run_job("-", relay, "--output-dir", self.out, stdin=jsonl(chats(3)))
        self.assertEqual(len(read_jsonl(self.out / "stdin.output.jsonl")), 3)
        refused = self.run_job("-", relay, stdin=jsonl(chats(3)), expect=2)
        self.assert_one_sentence(refused, "--output-dir")

    def test_gzip(self) -> None:
        relay = self.relay()
        data = jsonl(chats(40))
        # Two members, like the output of `cat a.gz b.gz`.
        job = self.job(gzip.compress(data[:1000]) + gzip.compress(data[1000:]), "packed.jsonl.gz")
        self.run_job(job, relay)
        self.assertEqual(len(self.results(job).output), 40)
        padded = self.job(gzip.compress(data) + bytes(1024), "padded.jsonl.gz")
        self.run_job(padded, relay)
        self.assertEqual(len(self.results(padded).output), 40)
        torn = self.job(gzip.compress(data)[:-20], "torn.jsonl.gz")
        self.assert_one_sentence(self.run_job(torn, relay, expect=2), "torn.jsonl.gz")

    @unittest.skipUnless(shutil.which("zstd"), "needs the zstd program")
    def test_zstd(self) -> None:
        relay = self.relay()
        packed = subprocess.run(["zstd", "-q", "-c"], input=jsonl(chats(40)), stdout=subprocess.PIPE, check=True)
        job = self.job(packed.stdout, "packed.jsonl.zst")
        self.run_job(job, relay)
        self.assertEqual(len(self.results(job).output), 40)
        torn = self.job(packed.stdout[:-9], "torn.jsonl.zst")
        self.assert_one_sentence(self.run_job(torn, relay, expect=2), "torn.jsonl.zst")

    def test_a_flag_without_its_value_does_not_take_the_next_word(self) -> None:
        first, second = self.job(chats(1), "a.jsonl"), self.job(chats(1), "b.jsonl")
        run = self.sluice("run", "--simulate", "--model=", first, second, expect=2)
        self.assert_one_sentence(run, "--model= has no value")
        self.assertEqual(list(self.folder.glob("*.output.jsonl")), [])
        self.sluice("run", "--simulate", "--system", "--model=", first)

    def test_limit_takes_the_first_requests(self) -> None:
        relay = self.relay()
        job = self.job(chats(9))
        self.run_job(job, relay, "--limit", 4)
        self.assertEqual(set(self.results(job).by_id()), {"c1", "c2", "c3", "c4"})
        self.assertEqual(relay.attempts, 4)
        self.run_job(job, relay)
        self.assertEqual(len(self.results(job).by_id()), 9)
        self.assertEqual(relay.attempts, 9)

    def test_two_jobs_that_would_share_a_file(self) -> None:
        relay = self.relay()
        one, two = self.job(chats(1)), self.folder / "two"
        two.mkdir()
        other = two / "job.jsonl"
        other.write_bytes(jsonl(chats(1)))
        refused = self.sluice("run", one, other, "--base-url", relay.url, "--output-dir", self.out, expect=2)
        self.assert_one_sentence(refused, "job.output.jsonl")
        self.assertEqual(relay.attempts, 0)

    def test_result_files_among_the_jobs_are_skipped(self) -> None:
        relay = self.relay()
        job = self.job(chats(2))
        self.run_job(job, relay)
        results = self.results(job)
        again = self.sluice("run", job, results.output_path, results.errors_path, "--base-url", relay.url)
        self.assertIn("job.output.jsonl", again.err)
        self.assertEqual(relay.attempts, 2)

    def test_two_jobs_alternate(self) -> None:
        relay = self.relay()
        long = self.job([batch(f"l{i}", chat(f"long {i}")) for i in range(60)], "long.jsonl")
        short = self.job([batch(f"s{i}", chat(f"short {i}")) for i in range(20)], "short.jsonl")
        self.sluice("run", long, short, "--base-url", relay.url, "--rpm", 0, "--concurrency", 1)
        order = ["short" if b"short" in body else "long" for body in relay.bodies]
        self.assertEqual(len(order), 80)
        turns = order[:40]
        self.assertEqual((turns.count("short"), turns.count("long")), (20, 20))
        self.assertLessEqual(max(len(run) for run in re.findall(r"s+|l+", "".join(t[0] for t in turns))), 2, turns)


class Config(Case):
    def config(self, text: str) -> None:
        (self.folder / "sluice.toml").write_text(text)

    def test_small_numbers(self) -> None:
        job = self.job(chats(1))
        self.config("price-multiplier = 0.00001\n")
        self.sluice("run", job, "--simulate")
        [line] = self.results(job).output
        used = line["sluice"]["usage"]
        exact = (used["prompt_tokens"] * Decimal("0.15") + used["completion_tokens"] * Decimal("0.60")) / 10**11
        self.assertGreater(exact, 0)
        self.assertEqual(line["sluice"]["cost_usd"], f"{exact.normalize():f}")

    def test_a_flag_that_may_lack_its_value_can_be_switched_on_and_off(self) -> None:
        relay = self.relay()
        job = self.job(chats(2))
        for value, simulated in (("true", True), ("false", False), ('"clean"', True)):
            with self.subTest(value):
                self.config(f"simulate = {value}\n")
                before = relay.attempts
                self.run_job(job, relay, "--fresh")
                self.assertEqual(relay.attempts, before if simulated else before + 2)
                self.assertEqual([line["sluice"].get("simulated", False) for line in self.results(job).output],
                                 [simulated] * 2)


class Summary(Case):
    """The command that the summary recommends as the next step."""

    def next_of(self, run: Run) -> str:
        [line] = [line for line in run.err.splitlines() if line.startswith("next ")]
        return line.removeprefix("next").strip()

    def test_after_bad_lines_it_recommends_to_correct_them(self) -> None:
        relay = self.relay()
        job = self.job(jsonl(chats(2)) + b"not JSON\n")
        for flags in ((), ("--limit", 2)):  # the bad line is reported again, although it is after the limit
            command = self.next_of(self.run_job(job, relay, *flags, expect=1))
            self.assertIn(str(self.results(job).errors_path), command)
            self.assertIn(f"sluice run {job} ", command)
            self.assertNotIn("--retry-failed", command)

    def test_permanent_failures_need_a_flag_for_a_retry(self) -> None:
        for status in (400, 501):
            with self.subTest(status):
                relay = self.relay(script=[{**FAILS_FOR_GOOD, "match": "number 2 ", "status": status}])
                # One after the other: a success after the failure shows that the key is not the reason.
                command = self.next_of(self.run_job(self.job(chats(8)), relay, "--fresh", "--concurrency", 1, expect=1))
                self.assertTrue(command.endswith(" --retry-failed"), command)

    def test_temporary_failures_are_retried_without_a_flag(self) -> None:
        busy = {"error": {"message": "busy", "type": "server_error", "param": None, "code": None}}
        relay = self.relay(script=[{**FAILS_FOR_GOOD, "match": "number 2 ", "status": 500, "body": busy}])
        command = self.next_of(self.run_job(self.job(chats(8)), relay, "--max-attempts", 1, expect=1))
        self.assertNotIn("--retry-failed", command)

    def test_paths_can_be_pasted(self) -> None:
        relay = self.relay()
        job = self.job(chats(2), "my job.jsonl")
        command = self.next_of(self.run_job(job, relay))
        self.assertTrue(command.startswith("jq "), command)
        self.assertEqual(shlex.split(command)[-1], str(self.results(job).output_path))

    def test_the_command_can_be_typed_again(self) -> None:
        relay = self.relay(script=[{**FAILS_FOR_GOOD, "match": "number 2 ", "status": 500}])
        flags = ["--header", "X-Title: it's mine, for $5", "--header=HTTP-Referer: https://acme.example/?a=b&c",
                 "--max-attempts", "1"]
        command = self.next_of(self.run_job(self.job(chats(8)), relay, *flags, expect=1))
        self.assertEqual([word for word in shlex.split(command) if word in flags], flags)

    def test_it_uses_a_placeholder_for_a_secret(self) -> None:
        relay = self.relay(script=[{**FAILS_FOR_GOOD, "match": "number 2 ", "status": 500}])
        run = self.run_job(self.job(chats(8)), relay, "--header", "X-Team: blue", "--header", "X-Api-Key: wonderland",
                           "--max-attempts", 1, expect=1)
        words = shlex.split(self.next_of(run))
        self.assertEqual([words[i + 1] for i, word in enumerate(words) if word == "--header"],
                         ["X-Team: blue", "X-Api-Key: [key]"])
        self.assertIn("with the value of X-Api-Key in the place of [key]", run.err)
        self.assertNotIn("wonderland", run.err)

    def test_a_long_reason_is_cut_between_characters(self) -> None:
        for ahead in ("", "x", "xy"):
            with self.subTest(ahead):
                reason = ahead + "模型服务暂时不可用请稍后再试" * 10
                relay = self.relay(script=[{"match": "number 2 ", "status": 400,
                                            "body": {"error": {"message": reason}}}])
                run = self.run_job(self.job(chats(8)), relay, "--fresh", expect=1)
                self.assertIn(reason[:30], run.err)
                self.assertNotIn("\ufffd", run.err)


if __name__ == "__main__":
    unittest.main()
