"""A hostile relay with about two hundred traps. Each must end exactly as documented, and nothing may be billed twice
without being counted.

Every trap is its own job, so that it has its own totals. All jobs of a run are sent by one process.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
import unittest
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from hostile_relay import Answer, End, HostileRelay
from hostile_traps import (CHAT, EMBEDDINGS, LARGEST, RESPONSES, Failed, Hint, Stop, Taken, Trap, Usage, ask, blank, dump,
                           hints, large, lasting, many, opening, redirects, slow, stops, streamed, twins)
from support import KEY, Case, Results, Run, batch

# USD per million tokens: input, cached input, output
PRICES = {"gpt-4o-mini": ("0.15", "0.075", "0.60"), "gpt-3.5-turbo-instruct": ("1.50", "1.50", "2.00"),
          "text-embedding-3-small": ("0.02", "0.02", "0")}
LONGEST = 120.0  # the most seconds of a run, even if all its attempts end with a timeout


def cost(model: str, usage: Usage, tier: str | None) -> str | None:
    """The cost, or None if the price list has no rate. These models have no rates for cache writes or tiers."""
    if usage.written or tier not in (None, "auto", "default"):
        return None
    fresh, cached, out = map(Decimal, PRICES[model])
    exact = ((usage.prompt - usage.cached) * fresh + usage.cached * cached + usage.completion * out) / 1_000_000
    text = f"{exact:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def wire_body(trap: Trap, streams: bool) -> bytes:
    """The exact bytes that the relay must receive for the body in the job."""
    body, named = trap.sent, json.loads(trap.sent)
    if trap.url == EMBEDDINGS:
        return body
    add = b""
    if "stream" not in named and streams:
        add += b',"stream":true'
    if (named.get("stream", streams) and "stream_options" not in named and trap.url != RESPONSES):
        add += b',"stream_options":{"include_usage":true}'
    return body[:-1] + add + b"}" if add else body


class HostileCase(Case):
    def hostile(self, answers: dict[str, Sequence[Answer]], first: str = "") -> HostileRelay:
        started = HostileRelay(answers, first)
        self.addCleanup(started.stop)
        return started

    def elsewhere(self) -> tuple[int, list[bytes]]:
        """Listens at a second address. Returns its port and the received data."""
        came: list[bytes] = []
        listener = self.listener(lambda connection: came.append(connection.recv(1 << 16)))
        return listener.port, came

    def write(self, traps: Sequence[Trap], folder: Path) -> list[Path]:
        folder.mkdir(exist_ok=True)
        jobs = []
        for trap in traps:
            job = folder / f"{trap.name}.jsonl"
            job.write_bytes(b'{"custom_id":"%b","method":"POST","url":"%b","body":%b}\n'
                            % (trap.name.encode(), trap.url.encode(), trap.sent))
            jobs.append(job)
        return jobs

    def spring(self, traps: Sequence[Trap], *flags: Any, streams: bool = True, folder: str = "out",
               watch: Callable[[Run], None] = lambda run: None) -> None:
        """Runs all traps in one run and checks their outcomes."""
        traps = [opening(), *traps]
        self.assertEqual(len({trap.name for trap in traps}), len(traps))
        relay = self.hostile({trap.name: trap.answers for trap in traps}, first="opening")
        jobs = self.write(traps, self.folder / "jobs")
        out, log = self.folder / folder, self.folder / f"{folder}.log"
        failing = any(isinstance(trap.outcome, Failed) for trap in traps)
        run = self.start("run", *jobs, "--base-url", relay.url, "--rpm", 0, "--output-dir", out, "-v", "--log-file",
                         log, *flags)
        watch(run)
        run.wait(LONGEST)
        said = log.read_text("utf-8", "replace")
        for trap in traps:
            with self.subTest(trap.name):
                self.hold(trap, Results(Path(f"{trap.name}.jsonl"), out), relay, streams)
                self.assertIn(trap.says, said)
        with self.subTest("exit status"):
            self.assertEqual(run.code, 1 if failing else 0, run.err)
        with self.subTest("ledger"):
            self.audit(traps, relay, out)

    def hold(self, trap: Trap, results: Results, relay: HostileRelay, streams: bool) -> None:
        seen = relay.ledger.of(trap.name)
        outcome = trap.outcome
        lines = results.by_id()
        self.assertEqual([*lines], [trap.name], "every request has exactly one line")
        line, totals = lines[trap.name], results.totals
        self.assertEqual(len(results.output), isinstance(outcome, Taken), line)

        if isinstance(outcome, Taken):
            self.assertIsNone(line["error"])
            self.assertEqual(line["response"]["status_code"], outcome.status)
            self.assertEqual(line["response"]["body"], outcome.body)
            self.hold_usage(outcome.usage, line["sluice"])
            self.assertLessEqual(outcome.extra.items(), line["sluice"].items())
            if outcome.finish is not None:
                self.assertEqual(totals["finish_reasons"], outcome.finish)
        else:
            if outcome.code:
                self.assertIsNone(line["response"])
                self.assertEqual(line["error"]["code"], outcome.code)
                self.assertIn(outcome.words, line["error"]["message"])
            else:
                self.assertIsNone(line["error"])
                self.assertEqual(line["response"]["status_code"], outcome.status)
                self.assertEqual(line["response"]["body"], outcome.body)
            self.assertEqual(line["sluice"]["retryable"], outcome.retryable)
            self.assertEqual(totals["errors"], {outcome.code or str(outcome.status): 1})

        attempts = trap.attempts or (len(trap.answers),)
        self.assertIn(len(seen), attempts)
        self.assertIn(totals["maybe_billed_attempts"], trap.maybe)
        self.assertEqual((line["sluice"]["attempts"], totals["attempts"], totals["retries"]),
                         (len(seen), len(seen), len(seen) - 1))
        taken = int(isinstance(outcome, Taken))
        self.assertEqual((totals["status"], totals["requests"], totals["succeeded"], totals["failed"],
                          totals["pending"]), ("completed", 1, taken, 1 - taken, 0))
        self.assertLessEqual(relay.ledger.billed(trap.name), taken + totals["maybe_billed_attempts"])

        expected = wire_body(trap, streams)
        for attempt in seen:
            self.assertEqual(attempt.target, trap.url)
            self.assertEqual(attempt.headers["authorization"], f"Bearer {KEY}")
            self.assertEqual(attempt.body, expected if attempt.whole else expected[:len(attempt.body)])
        self.assertEqual(len({attempt.headers["idempotency-key"] for attempt in seen}), 1, "one key per request")

    def hold_usage(self, usage: Usage | None, result: dict[str, Any]) -> None:
        counted = result["usage"] or {}
        if usage is None:
            self.assertIn(result["usage_source"], ("none", "estimated"))
            self.assertEqual(result["cost_usd"] is None, result["usage_source"] == "none")
            return
        self.assertEqual(result["usage_source"], "reported")
        self.assertEqual(Usage(*(counted[name] for name in ("prompt_tokens", "cached_tokens", "completion_tokens",
                                                            "reasoning_tokens", "cache_write_tokens"))), usage)
        self.assertEqual(result["cost_usd"], cost(result["model"], usage, result["service_tier"]))

    def audit(self, traps: Sequence[Trap], relay: HostileRelay, out: Path) -> None:
        """Compares the relay's bill with the totals of all jobs."""
        ledger = relay.ledger
        totals = [Results(Path(f"{trap.name}.jsonl"), out).totals for trap in traps]
        self.assertEqual(ledger.strays, [])
        self.assertEqual(ledger.count, sum(one["attempts"] for one in totals))
        billed = sum(ledger.billed(trap.name) for trap in traps)
        results = sum(one["succeeded"] for one in totals)
        again = billed - results
        self.assertLessEqual(again, sum(one["maybe_billed_attempts"] for one in totals))
        keys = [{attempt.headers["idempotency-key"] for attempt in ledger.of(trap.name)} for trap in traps]
        self.assertEqual(len(set().union(*keys)), len(traps), "no two requests share a key")


class Traps(HostileCase):
    def test_each_trap_has_its_documented_outcome(self) -> None:
        port, came = self.elsewhere()
        self.spring([*many(), *redirects(port)], "--concurrency", 96, "--idle-timeout", "10s")
        self.assertEqual(came, [], "a redirect is never followed")

    def test_permanent_failures(self) -> None:
        self.spring(lasting(), "--max-attempts", 2)


class Forms(HostileCase):
    def test_streamed_and_unstreamed_runs_give_the_same_bodies(self) -> None:
        for streams in (True, False):
            with self.subTest(streams=streams):
                self.spring([twin.trap(streams) for twin in twins()], *([] if streams else ["--no-stream"]),
                            streams=streams, folder="streamed" if streams else "unstreamed")
        for twin in twins():
            with self.subTest(twin.name):
                one, other = (Results(Path(f"{twin.name}.jsonl"), self.folder / name).output[0]
                              for name in ("streamed", "unstreamed"))
                for line in (one, other):
                    self.assertEqual(line["response"]["body"], twin.whole)
                for member in ("usage", "usage_source", "cost_usd", "model", "digest"):
                    self.assertEqual(one["sluice"][member], other["sluice"][member], member)


class Addresses(HostileCase):
    def test_a_request_goes_where_the_base_address_says(self) -> None:
        rows = {"": CHAT, "/": CHAT, "/v1": CHAT, "/v1/v1/": CHAT, "/prefix": f"/prefix{CHAT}",
                "/prefix/v1": f"/prefix{CHAT}", "/api/v3": "/api/v3/chat/completions",
                "/api/paas/v4/": "/api/paas/v4/chat/completions",
                "/v1beta/openai/": "/v1beta/openai/chat/completions", "/openai": "/openai/chat/completions",
                "/v1/account/gateway/compat": "/v1/account/gateway/compat/chat/completions",
                "/inference": "/inference/chat/completions", "/inference/v1": "/inference/v1/chat/completions",
                "/compatible-mode/v1": "/compatible-mode/v1/chat/completions",
                "/v1/chat/completions": CHAT, "/v1/models/": CHAT, "/v1/embeddings": CHAT,
                "/api/v3/chat/completions": "/api/v3/chat/completions",
                "/any/where#": "/any/where", "/any/where/#": "/any/where/",
                "/x/chat/completions?api-version=1#": "/x/chat/completions?api-version=1"}
        relay = self.hostile({"asked": [streamed("asked")]})
        running = []
        for number, (base, target) in enumerate(rows.items()):
            job = self.job([batch("a", json.loads(ask(f"asked/{number}")))], f"asked{number}.jsonl")
            running.append((base, target, f"asked/{number}",
                            self.start("run", job, "--base-url", relay.url.removesuffix("/v1") + base)))
        for base, target, request, run in running:
            with self.subTest(base):
                self.assertEqual(run.wait().code, 0, run.err)
                self.assertEqual([attempt.target for attempt in relay.ledger.of(request)], [target])

    def test_a_refusal_shows_the_requested_url(self) -> None:
        page = b"<html><title>Nothing here</title></html>"
        refused = Answer([b"HTTP/1.1 404 No\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%b"
                          % (len(page), page)])
        relay = self.hostile({"lost": [refused]})
        job = self.job([batch(f"c{i}", json.loads(ask(f"lost/{i}"))) for i in range(3)])
        host = f"http://127.0.0.1:{relay.port}"
        run = self.sluice("run", job, "--base-url", f"{host}/api/v3", expect=2)
        self.assertIn(f"request to {host}/api/v3/chat/completions: Nothing here", run.err)
        secret = "0123456789abcdef-of-the-address"
        run = self.sluice("run", job, "--base-url", f"{host}/lost?v=1&key={secret}#", expect=2)
        self.assertIn(f"request to {host}/lost?...: Nothing here", run.err)
        self.assertNotIn(secret, run.err)
        self.assertIn(f"'{host}/lost?v=1&key=[key]#'", run.err, "the command to type next")

    def test_other_commands_show_the_requested_url_too(self) -> None:
        host = self.relay().url.removesuffix("/v1")
        for command, path in (("models", "/api/v3/models"), ("quota", "/api/v3/dashboard/billing/subscription")):
            with self.subTest(command):
                run = self.sluice(command, "--base-url", f"{host}/api/v3", expect=3)
                self.assertIn(f"{host}{path}: 404", run.err)
        run = self.sluice("bench", "--base-url", f"{host}/nowhere", "--model", "gpt-4o-mini", "--concurrency", 1,
                          "--requests", 8, "--warmup", 0, expect=2)
        self.assertIn(f"request to {host}/nowhere/v1/chat/completions: ", run.err)


class Pace(HostileCase):
    def test_slow_replies(self) -> None:
        self.spring(slow(), "--idle-timeout", "1500ms", "--first-byte-timeout", "2s", "--timeout", "8s",
                    "--max-attempts", 1)

    def test_hints(self) -> None:
        """One run per hint, since a pause applies to all requests of a key."""
        running: list[tuple[Hint, HostileRelay, Path, Run]] = []
        for hint in hints():
            relay = self.hostile({hint.name: [Answer(hint.answer), streamed(hint.name)]})
            [job] = self.write([Trap(hint.name, [], Failed())], self.folder / "jobs")
            running.append((hint, relay, job, self.start("run", job, "--base-url", relay.url, "--rpm", 0)))
        for hint, relay, job, run in running:
            with self.subTest(hint.name):
                self.assertEqual(run.wait().code, 0, run.err)
                first, second = relay.ledger.of(hint.name)
                self.assertGreaterEqual(second.arrived - first.answered, hint.least)
                totals = Results(job).totals
                self.assertEqual((totals["attempts"], totals["maybe_billed_attempts"]), (2, 0))

    def test_a_request_refused_again_and_again_while_others_succeed(self) -> None:
        refused = Answer([b"HTTP/1.1 429 No\r\nretry-after-ms: 5\r\nContent-Length: 0\r\n\r\n"])
        relay = self.hostile({"refused": [refused], "other": [streamed("other")]})
        job = self.job([batch(name, json.loads(ask(name)))
                        for name in ("refused", *(f"other/{i}" for i in range(200)))])
        self.run_job(job, relay, "--concurrency", 2, expect=1)
        [line] = Results(job).errors
        self.assertEqual((line["custom_id"], line["response"]["status_code"], line["response"]["body"]),
                         ("refused", 429, ""))
        self.assertEqual((line["sluice"]["attempts"], len(relay.ledger.of("refused"))), (20, 20))
        self.assertEqual(len(Results(job).output), 200)

    def test_a_connection_closed_between_two_requests_costs_no_attempt(self) -> None:
        """The relay closes the connection long before the next request is sent."""
        for name, steps in (("announced", [b"Connection: close\r\n"]), ("unannounced", [b""])):
            with self.subTest(name):
                body = dump({"choices": [{"index": 0, "message": {"role": "assistant", "content": "so"},
                                          "finish_reason": "stop"}]})
                answer = [b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (steps[0], len(body), body)]
                relay = self.hostile({"kept": [Answer([*answer, End.CLOSE], billed=True)]})
                requests = [f"kept/{i}" for i in range(8)]
                job = self.job([batch(request, json.loads(ask(request, stream=False))) for request in requests],
                               f"{name}.jsonl")
                self.sluice("run", job, "--base-url", relay.url, "--rpm", 240, "--pace", "even", "--concurrency", 1)
                totals = Results(job).totals
                self.assertEqual((totals["succeeded"], totals["attempts"], totals["maybe_billed_attempts"]), (8, 8, 0))
                self.assertEqual([len(relay.ledger.of(request)) for request in requests], [1] * 8)
                self.assertEqual(relay.connections, 8)


class Large(HostileCase):
    def test_large_replies_need_bounded_memory(self) -> None:
        peak = 0

        def watch(run: Run) -> None:
            nonlocal peak
            end = time.monotonic() + LONGEST
            while run.running and time.monotonic() < end:
                with contextlib.suppress(OSError):
                    status = Path(f"/proc/{run.process.pid}/status").read_text()
                    if found := re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE):
                        peak = max(peak, int(found[1]) * 1024)
                time.sleep(0.01)

        self.spring(large(), "--concurrency", 4, "--max-response-bytes", LARGEST, "--max-attempts", 2,
                    "--timeout", "30s", watch=watch)
        self.assertGreater(peak, LARGEST)
        if os.environ.get("SLUICE_E2E_MEMORY") != "0":  # sanitizers do not reuse freed memory at once
            self.assertLess(peak, 12 * LARGEST, "four replies at once, each in three forms")


    def test_a_reply_of_blanks(self) -> None:
        self.spring(blank(), "--max-response-bytes", LARGEST, "--max-attempts", 2, "--timeout", "15s")


class Stops(HostileCase):
    COUNT = 20

    def test_the_run_ends(self) -> None:
        port, came = self.elsewhere()
        running: list[tuple[Stop, HostileRelay, Path, Run]] = []
        for stop in stops(port):
            relay = self.hostile({stop.name: [Answer(stop.answer)]})
            job = self.job([batch(f"c{i}", json.loads(ask(f"{stop.name}/{i}"))) for i in range(self.COUNT)],
                           f"{stop.name}.jsonl")
            running.append((stop, relay, job, self.start("run", job, "--base-url", relay.url, "--rpm", 0,
                                                         "--concurrency", 3, *stop.flags)))
        for stop, relay, job, run in running:
            with self.subTest(stop.name):
                self.assertEqual(run.wait().code, stop.exit, run.err)
                for words in stop.says:
                    self.assertIn(words, run.err)
                if stop.name.startswith("later-"):
                    self.assertRegex(run.err, r"\d\d:\d\d", "when to run it again")
                    self.assertRegex(run.err, rf"again at {datetime.now().year}|again at {datetime.now().year + 1}")
                if stop.name.startswith("address-"):
                    self.assertIn(f"request to http://127.0.0.1:{relay.port}{CHAT}: ", run.err)
                results, seen = Results(job), relay.ledger.count
                self.assertEqual((results.output, results.errors), ([], []), "there are no failures")
                self.assertGreaterEqual(seen, stop.least)
                self.assertLess(seen, self.COUNT)
                totals = results.totals
                self.assertEqual((totals["status"], totals["pending"], totals["failed"], totals["attempts"],
                                  totals["maybe_billed_attempts"]),
                                 ("stopped", self.COUNT, 0, seen, seen if stop.lost else 0))
        self.assertEqual(came, [], "a redirect is never followed")

    def test_a_quota_refusal_that_is_not_confirmed_does_not_stop_the_run(self) -> None:
        refused = Answer([b"HTTP/1.1 429 No\r\nContent-Type: application/json\r\nContent-Length: 69\r\n\r\n"
                          b'{"error":{"code":"insufficient_quota","message":"no","param":null  }}'])
        relay = self.hostile({"doubted": [refused, streamed("doubted")], "other": [streamed("other")]})
        job = self.job([batch(name, json.loads(ask(name))) for name in ("doubted", *(f"other/{i}" for i in range(5)))])
        self.run_job(job, relay, "--concurrency", 1)
        self.assertEqual(len(Results(job).output), 6)
        self.assertEqual([len(relay.ledger.of(name)) for name in ("doubted", "other/0")], [2, 1])

    def test_a_quota_error_only_in_the_message_does_not_stop_the_run(self) -> None:
        body = dump({"error": {"message": "insufficient_quota", "type": "requests", "code": None}})
        refused = Answer([b"HTTP/1.1 429 No\r\nretry-after-ms: 10\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)])
        relay = self.hostile({"worded": [refused] * 2 + [streamed("worded")]})
        job = self.job([batch(f"c{i}", json.loads(ask(f"worded/{i}"))) for i in range(3)])
        self.run_job(job, relay)
        self.assertEqual(len(Results(job).output), 3)
        self.assertEqual(relay.ledger.count, 9)

    def test_a_quota_error_only_in_the_type_stops_the_run(self) -> None:
        """OpenAI itself used this form for years: the code was null."""
        body = dump({"error": {"message": "You exceeded your current quota", "type": "insufficient_quota",
                               "param": None, "code": None}})
        refused = Answer([b"HTTP/1.1 429 No\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)])
        relay = self.hostile({"spent": [refused] * 6})
        job = self.job([batch(f"c{i}", json.loads(ask(f"spent/{i}"))) for i in range(3)])
        self.run_job(job, relay, expect=3)
        self.assertEqual(Results(job).totals["pending"], 3)


if __name__ == "__main__":
    unittest.main()
