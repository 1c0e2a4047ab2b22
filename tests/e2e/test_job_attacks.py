"""Ambiguous jobs, and files that are not jobs. A relay may read an ambiguous body in any way, but
must not bill more than the budget. A file that cannot be sent must be refused with its name."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import os
import re
import subprocess
import tarfile
import threading
import unittest
import zipfile
from collections.abc import Callable
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from support import CHAT, Case, batch, chat, jsonl, program, text_of, wait_until

# USD per million tokens, as in the program's own table.
PRICES = {"gpt-4": (30, 60), "gpt-4o": ("2.5", 10), "gpt-4o-mini": ("0.15", "0.6")}
PRIORITY_PRICES = {**PRICES, "gpt-4o": ("4.25", 17), "gpt-4o-mini": ("0.25", 1)}
Pairs = list[tuple[str, Any]]


def first_wins(pairs: Pairs) -> dict[str, Any]:
    return dict(reversed(pairs))


def last_wins(pairs: Pairs) -> dict[str, Any]:
    return dict(pairs)


def as_go(pairs: Pairs) -> dict[str, Any]:
    """Like Go's JSON: names ignore case (also the long s and the Kelvin sign), and the last member wins."""
    return {name.replace("\u017f", "s").replace("\u212a", "k").lower(): value for name, value in pairs}


class BillingRelay:
    """Reads a body by its own rules, sends the longest allowed reply, and bills it. Its account uses the priority tier."""

    def __init__(self, reads: Callable[[Pairs], dict[str, Any]]) -> None:
        self.bill = Decimal(0)
        self.requests = 0
        lock = threading.Lock()
        relay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])), object_pairs_hook=reads)
                choices = body.get("n") or 1
                limit = min(body.get("max_tokens") or 4096, 4096)
                words = [len((message.get("content") or "").split()) for message in body["messages"]]
                usage = {"prompt_tokens": sum(words) + 7, "completion_tokens": limit * choices}
                tier = body.get("service_tier") or "auto"
                served = "default" if tier == "default" else "priority"
                price, output_price = (PRICES if served == "default" else PRIORITY_PRICES)[body["model"]]
                with lock:
                    relay.requests += 1
                    relay.bill += (usage["prompt_tokens"] * Decimal(price) +
                                   usage["completion_tokens"] * Decimal(output_price)) / 1_000_000
                whole = {"id": "c", "object": "chat.completion", "created": 1, "model": body["model"], "usage": usage,
                         "service_tier": served if body["model"] != "gpt-4" else "default",
                         "choices": [{"index": i, "message": {"role": "assistant", "content": "word"},
                                      "finish_reason": "length"} for i in range(choices)]}
                data = json.dumps(whole).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class BudgetAttacks(Case):
    made = 0

    def held(self, members: str, budget: str = "0.05", model: str = '"model":"gpt-4o"', user: str = '"content":"hi"',
             sent: bool = True) -> None:
        """Sends many requests with these members. The bill must stay within the budget for every way to read them.
        They must be sent if the budget is large enough."""
        for reads in (first_wins, last_wins, as_go):
            with self.subTest(members=members[:80], model=model, user=user[:80], reads=reads.__name__):
                relay = BillingRelay(reads)
                self.addCleanup(relay.stop)
                body = f'{{{model},"messages":[{{"role":"user",{user}}}],{members}}}'
                lines = [f'{{"custom_id":"c{i}","url":"{CHAT}","body":{body}}}\n' for i in range(25)]
                self.made += 1
                job = self.job("".join(lines).encode(), f"{reads.__name__}{self.made}.jsonl")
                run = self.sluice("run", job, "--base-url", relay.url, "--rpm", 0, "--no-stream", "--budget", budget,
                                  "--concurrency", 4, expect=None)
                self.assertIn(run.code, (0, 2, 3), run.err)
                self.assertLessEqual(relay.bill, Decimal(budget), run.err)
                if sent:
                    self.assertGreater(relay.requests, 0, run.err)
                    totals = self.results(job).totals
                    kept = Decimal(totals.get("kept_usd", "0"))
                    self.assertGreaterEqual(Decimal(totals["cost_usd"]) + kept, relay.bill)
                else:
                    self.assertEqual((relay.requests, run.code), (0, 2), run.err)
                    self.assertIn(f"{job} line 1: ", run.err)

    def test_service_tiers(self) -> None:
        self.held('"max_tokens":400,"service_tier":"priority"')
        self.held('"max_tokens":400,"service_tier":"auto"')
        self.held('"max_tokens":400,"service_tier":"default","service_tier":"priority"')
        self.held('"max_tokens":400,"service_tier":"priority","service_tier":"default"')
        self.held('"max_tokens":400,"service_tier":"default","Service_Tier":"fast"')

    def test_two_limits(self) -> None:
        self.held('"max_tokens":400,"max_tokens":1')
        self.held('"max_tokens":1,"max_tokens":400')
        self.held('"max_tokens":400,"max_tok\\u0065ns":1')

    def test_limits_whose_names_differ_only_in_case(self) -> None:
        self.held('"max_tokens":1,"Max_Tokens":400')
        self.held('"MAX_TOKENS":400,"max_tokens":1')
        self.held('"max_tokens":1,"max_to\u212aens":400')
        self.held('"max_tokens":1,"max_token\\u017f":400')

    def test_a_limit_that_a_relay_may_ignore(self) -> None:
        self.held('"max_tokens":null,"max_tokens":1', budget="0.5")
        self.held('"max_tokens":1,"Max_Tokens":null', budget="0.5")
        self.held('"Max_Tokens":1', budget="0.5")

    def test_ambiguous_numbers_of_choices(self) -> None:
        self.held('"max_tokens":20,"n":19,"n":1')
        self.held('"max_tokens":20,"n":1,"n":19')
        self.held('"max_tokens":20,"N":19')
        self.held('"max_tokens":20,"n":1,"N":19')

    def test_two_models(self) -> None:
        self.held('"max_tokens":20', model='"model":"gpt-4","model":"gpt-4o-mini"')
        self.held('"max_tokens":20', model='"model":"gpt-4o-mini","model":"gpt-4"')
        self.held('"max_tokens":20', model='"model":"gpt-4o-mini","Model":"gpt-4"')
        self.held('"max_tokens":20', model='"model":"gpt-4o-mini","\\u006dodel":"gpt-4"')

    def test_two_contents_and_two_lists_of_messages(self) -> None:
        text = "word " * 2000
        self.held('"max_tokens":5', user=f'"content":"{text}","content":"hi"')
        self.held('"max_tokens":5', user=f'"content":"hi","Content":"{text}"')
        self.held(f'"max_tokens":5,"messages":[{{"role":"user","content":"{text}"}}]')
        self.held(f'"max_tokens":5,"Messages":[{{"role":"user","content":"{text}"}}]')

    def test_lines_without_a_bound_in_one_reading_are_refused(self) -> None:
        audio = '[{"type":"input_audio","input_audio":{"data":"","format":"wav"}}]'
        for user in (f'"content":{audio},"content":"hi"', f'"content":"hi","Content":{audio}',
                     '"content":[{"type":"input_audio","type":"text","text":"hi"}]'):
            self.held('"max_tokens":5', user=user, sent=False)
        self.held('"max_tokens":5,"Max_Tokens":"400"', sent=False)
        self.held('"max_tokens":5,"service_tier":"turbo"', sent=False)
        self.held('"max_tokens":5,"service_tier":"turbo","service_tier":"default"', sent=False)
        self.held('"max_tokens":5,"Service_Tier":"ultrafast"', sent=False)
        self.held('"max_tokens":5', model='"model":"gpt-4o","model":"nobody-knows"', sent=False)

    def test_ambiguous_bodies_are_sent_unchanged(self) -> None:
        relay = self.relay()
        body = '{"model":"gpt-4o","messages":[],"model":"gpt-4o-mini","max_tokens":5,"Max_Tokens":1,"n":1,"n":1 }'
        job = self.job(f'{{"custom_id":"a","url":"{CHAT}","body":{body}}}\n'.encode())
        self.run_job(job, relay, "--no-stream", "--budget", 1)
        self.assertEqual(relay.bodies, [body.encode()])

    def images(self, model: str, detail: str, count: int, budget: str, expect: int) -> int:
        relay = self.relay()
        part = {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": detail}}
        job = self.job([batch(f"c{i}", {"model": model, "max_tokens": 5, "messages": [
            {"role": "user", "content": [{"type": "text", "text": "what?"}, part]}]}) for i in range(count)],
                       f"{model}-{detail}.jsonl")
        run = self.run_job(job, relay, "--budget", budget, expect=expect)
        if expect == 2:
            self.assert_one_sentence(run, f"{job} line 1: ", "image", model)
        return relay.attempts

    def test_images_of_a_model_that_counts_33_times_as_many_tokens(self) -> None:
        # The maximum of 1,445 tokens of gpt-4o costs $0.0036; the 48,169 of gpt-4o-mini cost twice as much.
        self.assertEqual(self.images("gpt-4o", "high", 1, "0.0075", 0), 1)
        self.assertEqual(self.images("gpt-4o-mini", "high", 1, "0.0075", 3), 0)
        self.assertEqual(self.images("gpt-4o-mini", "low", 1, "0.0075", 0), 1)
        self.assertEqual(self.images("gpt-4.1-mini", "high", 1, "0.0075", 0), 1)
        self.assertEqual(self.images("gpt-5.4-mini", "low", 1, "1", 2), 0)
        self.assertEqual(self.images("gpt-4", "low", 1, "1", 2), 0)

    def test_images_in_an_estimate(self) -> None:
        def prompt(model: str) -> int:
            part = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
            job = self.job([chat("", model=model) | {"messages": [{"role": "user", "content": [part]}]}])
            return int(json.loads(self.sluice("check", job, "--lines").out)["prompt_tokens"])
        self.assertEqual(prompt("gpt-4o-mini") - prompt("gpt-4o"), 2833 + 4 * 5667 - 765)


class Ids(Case):
    def test_lone_surrogates_in_ids_are_kept(self) -> None:
        relay = self.relay()
        ids = ['"\\ud800"', '"\\ud801"', '"\\udfff"', '"a\\udc00b"', '"\\ufffd"', '"\\ud83d\\ude00"']
        job = self.job("".join(f'{{"custom_id":{name},"url":"{CHAT}","body":{json.dumps(chat("hi"))}}}\n'
                               for name in ids).encode())
        self.run_job(job, relay)
        results = self.results(job)
        self.assertEqual(results.errors, [])
        lines = results.output_path.read_text("utf-8").splitlines()
        written = {match[1] for line in lines if (match := re.search(r'"custom_id":("[^"]*")', line))}
        self.assertEqual(written, {*ids[:-2], '"\ufffd"', '"\U0001f600"'})
        before = results.bytes()
        self.run_job(job, relay)
        self.assertEqual(relay.attempts, len(ids), "the resumed run finds its results")
        self.assertEqual(results.bytes()["job.output.jsonl"], before["job.output.jsonl"])
        result = self.sluice("check", job, "--lines").out
        self.assertIn('"custom_id":"\\ud800"', result)

    def test_two_ids_with_the_same_lone_surrogate_are_one(self) -> None:
        relay = self.relay()
        job = self.job(b'{"custom_id":"\\ud800","model":"gpt-4o","messages":[]}\n'
                       b'{"custom_id":"\\uD800","model":"gpt-4o","messages":[]}\n')
        self.run_job(job, relay, expect=1)
        [error] = self.results(job).errors
        self.assertEqual(error["error"]["code"], "duplicate_custom_id")

    def test_numbers_are_ids(self) -> None:
        relay = self.relay()
        job = self.job([{"custom_id": 5, **chat("five")}, batch("x", chat("x")) | {"custom_id": 1.5},
                        {"custom_id": None, **chat("none")}])
        self.run_job(job, relay)
        self.assertEqual(set(self.results(job).by_id()), {"5", "1.5", "line-3"})

    def test_a_hundred_thousand_equal_names_take_linear_time(self) -> None:
        relay = self.relay()
        many = ",".join(['"custom_id":"x"'] * 400_000)
        job = self.job(f'{{{many},"model":"gpt-4o","messages":[]}}\n'.encode())
        self.run_job(job, relay, "--no-stream")
        self.assertEqual(relay.bodies, [b'{"model":"gpt-4o","messages":[]}'])

    def test_a_job_under_three_names_runs_once(self) -> None:
        relay = self.relay()
        job = self.job([batch(f"c{i}", chat("hi")) for i in range(3)])
        link, hard = self.folder / "link.jsonl", self.folder / "hard.jsonl"
        link.symlink_to(job)
        os.link(job, hard)
        run = self.sluice("run", job, "./job.jsonl", link, hard, "--base-url", relay.url, "--rpm", 0)
        self.assertEqual(relay.attempts, 3)
        self.assertEqual(sum("under another name" in line for line in run.err.splitlines()), 1, run.err)
        for path in (link, hard):
            self.assertFalse(self.results(path).output_path.exists(), path)
        self.assertEqual(len(json.loads(self.sluice("check", job, link, "--json").out)["jobs"]), 1)

    def test_a_short_line_from_a_pipe_is_sent_before_the_next_one_arrives(self) -> None:
        relay = self.relay()
        reading, writing = os.pipe()
        self.addCleanup(os.close, writing)
        command = [program(), "run", "-", "-o", str(self.folder / "o.jsonl"), "--model", "gpt-4o", "--base-url",
                   relay.url, "--rpm", "0"]
        with subprocess.Popen(command, stdin=reading, stderr=subprocess.DEVNULL, cwd=self.folder,
                              env=self.environment()) as run:
            self.addCleanup(run.kill)
            os.close(reading)
            os.write(writing, b'{"prompt":""}\n')
            wait_until(lambda: relay.attempts, "the first line is sent")
            run.kill()

    def test_lines_of_a_carriage_return_are_blank(self) -> None:
        relay = self.relay()
        job = self.job(b"\r\n\r\r\n" + jsonl([batch("a", chat("hi"))]) + b" \r \r\n\r")
        self.run_job(job, relay)
        self.assertEqual([line["sluice"]["line"] for line in self.results(job).output], [3])


def zipped(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("job.jsonl", data)
    return file.getvalue()


def tarred(data: bytes, mode: str = "w") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:  # type: ignore[call-overload]
        member = tarfile.TarInfo("job.jsonl")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


class ForeignFiles(Case):
    LINES = [batch("a", chat("hi")), batch("b", chat("ho"))]
    GOOD = jsonl(LINES)
    PARAMS = {"model": "claude-sonnet-4-5", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    CONTENTS = {"contents": [{"parts": [{"text": "hi"}]}]}

    def kinds(self) -> list[tuple[str, bytes, tuple[str, ...]]]:
        text = self.GOOD.decode()
        return [
            ("anthropic.jsonl", jsonl([{"custom_id": f"c{i}", "params": self.PARAMS} for i in range(3)]),
             ("Anthropic", '"url":"/v1/chat/completions"')),
            ("gemini.jsonl", jsonl([{"key": f"c{i}", "request": self.CONTENTS} for i in range(3)]), ("Gemini",)),
            ("vertex.jsonl", jsonl([{"request": self.CONTENTS}]), ("Gemini",)),
            ("bedrock.jsonl", jsonl([{"recordId": f"c{i}", "modelInput": self.PARAMS} for i in range(3)]),
             ("Bedrock", "recordId")),
            ("results.jsonl", jsonl([{"id": "batch_req_1", "custom_id": "a", "response": {"status_code": 200},
                                      "error": None}]), ("results of a batch",)),
            ("utf16.jsonl", text.encode("utf-16"), ("UTF-16", "iconv")),
            ("utf16le.jsonl", text.encode("utf-16-le"), ("UTF-16LE", "iconv")),
            ("utf16be.jsonl", text.encode("utf-16-be"), ("UTF-16BE", "iconv")),
            ("utf32.jsonl", text.encode("utf-32"), ("UTF-32", "iconv")),
            ("array.json", json.dumps(self.LINES).encode(), ("list", "jq -c '.[]'")),
            ("array-lines.json", json.dumps(self.LINES, indent=2).encode(), ("list", "jq -c '.[]'")),
            ("pretty.json", "\n".join(json.dumps(line, indent=2) for line in self.LINES).encode(),
             ("pretty-printed", "jq -c .")),
            ("requests.json", json.dumps({"requests": self.LINES}).encode(), ("list", "jq -c '.requests[]'")),
            ("table.csv", b"id,prompt\n1,hello\n2,world\n", ("CSV",)),
            ("packed.jsonl", gzip.compress(self.GOOD), ("gzip", ".gz")),
            ("packed.bz2", bz2.compress(self.GOOD), ("bzip2",)),
            ("job.zip", zipped(self.GOOD), ("zip",)),
            ("job.tar", tarred(self.GOOD), ("tar",)),
            ("job.tar.gz", tarred(self.GOOD, "w:gz"), ("tar",)),
            ("old-mac.jsonl", self.GOOD.replace(b"\n", b"\r"), ("carriage returns", "tr ")),
            ("page.html", b"<!DOCTYPE html>\n<html></html>\n", ("HTML",)),
            ("zeros.jsonl", bytes(5000), ("binary",)),
        ]

    def test_each_is_refused_with_advice_and_nothing_is_sent_or_created(self) -> None:
        relay = self.relay()
        for name, data, parts in self.kinds():
            with self.subTest(name):
                job = self.job(data, name)
                before = sorted(self.folder.iterdir())
                run = self.run_job(job, relay, expect=2)
                self.assert_one_sentence(run, f"{job}: ", *parts)
                checked = self.sluice("check", job, expect=2)
                self.assertEqual(checked.err, run.err, "check has the same message as run")
                self.assertEqual(sorted(set(self.folder.iterdir()) - {self.folder / "state"}),
                                 [path for path in before if path.name != "state"])
        self.assertEqual(relay.attempts, 0)

    def test_on_standard_input_too(self) -> None:
        relay = self.relay()
        for name, data, parts in self.kinds():
            if name.endswith(".gz"):
                continue  # on standard input this is gzip
            with self.subTest(name):
                run = self.run_job("-", relay, "-o", self.folder / "out.jsonl", stdin=data, expect=2)
                self.assert_one_sentence(run, "standard input: ", *parts)
        self.assertEqual(relay.attempts, 0)

    def test_no_job_of_the_command_is_sent_when_one_file_is_foreign(self) -> None:
        relay = self.relay()
        good = self.job(self.GOOD, "good.jsonl")
        bad = self.job(json.dumps(self.LINES).encode(), "bad.json")
        self.sluice("run", good, bad, "--base-url", relay.url, expect=2)
        self.assertEqual(relay.attempts, 0)
        self.assertFalse(self.results(good).output_path.exists())

    def test_single_foreign_lines_are_bad_lines_and_the_run_continues(self) -> None:
        relay = self.relay()
        lines = [batch("a", chat("hi")), {"custom_id": "b", "params": self.PARAMS},
                 {"key": "c", "request": self.CONTENTS}, {"recordId": "d", "modelInput": self.PARAMS},
                 batch("e", chat("hi"), "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"),
                 batch("f", chat("hi"), "https://api.openai.com/v1/chat/completions")]
        job = self.job(lines)
        self.run_job(job, relay, expect=1)
        errors = {line["sluice"]["line"]: line["error"]["message"] for line in self.results(job).errors}
        for line, part in {2: "Anthropic", 3: "Gemini", 4: "Bedrock", 5: "Azure", 6: "--base-url"}.items():
            self.assertIn(part, errors.pop(line))
        self.assertEqual(errors, {})
        result = json.loads(self.sluice("check", job, "--json", expect=1).out)["jobs"][0]["bad_lines"]
        self.assertEqual({bad["line"]: bad["message"] for bad in result},
                         {line["sluice"]["line"]: line["error"]["message"] for line in self.results(job).errors})

    def test_a_bad_first_line_does_not_make_a_foreign_file(self) -> None:
        relay = self.relay()
        for first in (b"{", b"[", b"[{}]", b"id,prompt", b"[1,2]", b"nonsense, and more", b'{"custom_id":"x","params":{}}'):
            with self.subTest(first):
                job = self.job(first + b"\n" + self.GOOD)
                self.run_job(job, relay, "--fresh", expect=1)
                self.assertEqual(self.results(job).totals["succeeded"], 2)

    def test_short_urls_are_taken(self) -> None:
        relay = self.relay()
        urls = ["/chat/completions", "chat/completions", "v1/chat/completions", "/v1/chat/completions/",
                "/v4/chat/completions"]
        job = self.job([batch(url, chat("hi"), url) for url in urls])
        self.run_job(job, relay)
        self.assertEqual(sorted(self.results(job).by_id()), sorted(urls))
        self.assertTrue(all(text_of(line) for line in self.results(job).output))


if __name__ == "__main__":
    unittest.main()
