"""`sluice serve`: interactive calls through real HTTP, with OpenAI's SDKs and without, while batches run."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import threading
import time
import unittest
from decimal import Decimal
from typing import Any

from support import CHAT, HERE, KEY, Simulator, chat, chats, refusing_port, wait_until
from test_serve import CLIENTS, Case, Serve

SDK_KEY = "sk-alice-0123456789abcdef"


def ask(server: Serve, body: dict[str, Any], key: str = "", path: str = CHAT, **headers: str) -> Any:
    return server.call("POST", path, json.dumps(body).encode(), key, Content_Type="application/json", **headers)


class Calls(Case):
    def simulator(self, *flags: str, **more: str) -> Simulator:
        relay = Simulator(*flags, **more)
        self.addCleanup(relay.stop)
        return relay

    def keys(self, text: str) -> str:
        path = self.folder / "keys.toml"
        path.write_text(text)
        return str(path)


class Sdks(Calls):
    def run_client(self, server: Serve, *command: str, **environment: str) -> dict[str, Any]:
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120,
                             env={**os.environ, "OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": SDK_KEY,
                                  **environment})
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        return json.loads(ran.stdout)

    def check(self, *command: str, **environment: str) -> None:
        relay = self.simulator(itl="5ms")
        server = self.serve(relay.url, "--keys", self.keys(f'[[key]]\nname = "alice"\nkey = "{SDK_KEY}"\n'))
        seen = self.run_client(server, *command, **environment)
        self.assertEqual(seen["chat"]["object"], "chat.completion")
        self.assertTrue(seen["chat"]["choices"][0]["message"]["content"])
        self.assertEqual({chunk["object"] for chunk in seen["chunks"]}, {"chat.completion.chunk"})
        self.assertGreater(len(seen["chunks"]), 3)
        self.assertGreater(seen["chunks"][-1]["usage"]["total_tokens"], 0)
        self.assertTrue(seen["cut_after"])
        self.assertEqual(seen["embedding"], 2)
        self.assertEqual(seen["response"]["status"], "completed")
        self.assertEqual((seen["events"][0], seen["events"][-1]), ("response.created", "response.completed"))
        self.assertTrue(seen["completion"])
        self.assertIn("gpt-4o-mini", seen["models"])
        self.assertEqual(seen["model"], seen["models"][0])
        self.assertEqual(seen["unknown"], "model_not_found")
        self.assertEqual(seen["many"], 30)
        self.assertEqual(server.stop(), 0)

    def test_a_script_for_python_runs_unchanged(self) -> None:
        self.check(str(CLIENTS / "python/bin/python"), str(HERE / "clients/calls_sdk.py"))

    def test_a_script_for_node_runs_unchanged(self) -> None:
        self.check("node", str(HERE / "clients/calls_sdk.mjs"), NODE_CLIENT=str(CLIENTS / "node"))

    def retries(self, script: list[dict[str, Any]]) -> tuple[float, int]:
        relay = self.relay(script=script)
        server = self.serve(relay.url, "--max-attempts", "1")
        code = ('import sys, time\nfrom openai import OpenAI\nbegan = time.monotonic()\n'
                'OpenAI().chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "x"}])\n'
                'print(time.monotonic() - began)')
        ran = subprocess.run([str(CLIENTS / "python/bin/python"), "-c", code], capture_output=True, text=True,
                             check=False, timeout=60,
                             env={**os.environ, "OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "any"})
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        return float(ran.stdout), relay.attempts

    def test_the_sdk_tries_again_after_the_time_that_the_relay_asks_for(self) -> None:
        seconds, attempts = self.retries([{"match": "gpt-4o-mini", "times": 1, "status": 503,
                                           "headers": {"Retry-After": "2"}, "body": {"error": {"message": "busy"}}}])
        self.assertGreaterEqual(seconds, 2)
        self.assertEqual(attempts, 2)

    def test_the_sdk_tries_again_what_the_server_does_not(self) -> None:
        _, attempts = self.retries([{"match": "gpt-4o-mini", "times": 2, "status": 500,
                                     "body": {"error": {"message": "oops"}}}])
        self.assertEqual(attempts, 3)


class Answers(Calls):
    def test_a_stream_comes_piece_by_piece(self) -> None:
        server = self.serve(self.simulator(ttft="50ms", itl="100ms").url)
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as to:
            to.request("POST", CHAT, json.dumps({**chat("hi"), "stream": True, "max_tokens": 10}))
            reply = to.getresponse()
            self.assertEqual(reply.status, 200)
            self.assertTrue(reply.headers["Content-Type"].startswith("text/event-stream"))
            times = []
            while reply.readline():
                times.append(time.monotonic())
        self.assertGreater(times[-1] - times[0], 0.4, "the pieces were not kept back")

    def test_a_client_that_goes_away_ends_the_request_at_the_relay(self) -> None:
        relay = self.simulator(ttft="20ms", itl="200ms")
        server = self.serve(relay.url, "--concurrency", "1")
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            body = json.dumps({**chat("hi"), "stream": True, "max_tokens": 400}).encode()
            client.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            self.assertTrue(client.recv(100).startswith(b"HTTP/1.1 200"))
        # The stream would take 80 s, and only one request may be in flight.
        began = time.monotonic()
        self.assertEqual(ask(server, {**chat("next"), "max_tokens": 1}).status, 200)
        self.assertLess(time.monotonic() - began, 10)

    def test_errors_of_the_relay_come_as_it_wrote_them(self) -> None:
        error = {"error": {"message": "no such parameter", "type": "invalid_request_error", "param": "x", "code": "y"}}
        relay = self.relay(script=[{"match": "gpt-4o-mini", "times": 1, "status": 400, "body": error}])
        server = self.serve(relay.url)
        answer = ask(server, chat("hi"))
        self.assertEqual((answer.status, answer.json), (400, error))
        self.assertEqual(ask(server, {"messages": []}).json["error"]["param"], "model")
        self.assertEqual(server.call("POST", CHAT, b"{").status, 400)
        self.assertEqual(server.call("GET", CHAT).status, 404)

    def test_the_relay_gets_the_body_and_the_fields_of_the_client(self) -> None:
        relay = self.relay()
        server = self.serve(relay.url)
        body = b'{ "model" : "gpt-4o-mini","messages":[{"role":"user","content":"\\u00e9"}], "unknown":1.0 }\n'
        self.assertEqual(server.call("POST", CHAT, body, "sk-of-the-client").status, 200)
        self.assertEqual(relay.bodies, [body])
        self.assertNotIn(b"sk-of-the-client", relay.stats.__str__().encode())

    def test_a_key_over_its_limit_gets_429_and_a_time(self) -> None:
        relay = self.relay()
        server = self.serve(relay.url, "--keys", self.keys(
            f'[[key]]\nname = "alice"\nkey = "{SDK_KEY}"\nrpm = 2\nmodels = ["gpt-4o-mini"]\n'))
        self.assertEqual(ask(server, chat("hi")).status, 401)
        self.assertEqual(ask(server, chat("hi"), SDK_KEY).status, 200)
        self.assertEqual(ask(server, chat("hi"), path="/v1/chat/completions", x_api_key=SDK_KEY).status, 200)
        answer = ask(server, chat("hi"), SDK_KEY)
        self.assertEqual((answer.status, answer.json["error"]["code"]), (429, "rate_limit_exceeded"))
        self.assertTrue(1 <= int(answer.headers["Retry-After"]) <= 61)
        self.assertEqual(ask(server, {**chat("hi"), "model": "gpt-4o"}, SDK_KEY).json["error"]["code"],
                         "model_not_found")
        self.assertEqual(relay.attempts, 2)

    def test_a_budget_holds_over_a_kill(self) -> None:
        relay = self.relay()
        flags = ("--keys", self.keys(f'[[key]]\nname = "alice"\nkey = "{SDK_KEY}"\nbudget = "0.0001"\n'))
        server = self.serve(relay.url, *flags)
        body = {**chat("hi"), "max_tokens": 20}
        served = 0
        while ask(server, body, SDK_KEY).status == 200:
            served += 1
            self.assertLess(served, 1000)
        self.assertGreater(served, 0)
        wait_until(lambda: (answer := ask(server, body, SDK_KEY)).status == 429
                   and answer.json["error"]["code"] == "insufficient_quota", "the budget is used up")
        server.kill()
        server = self.serve(relay.url, *flags)
        self.assertEqual(ask(server, body, SDK_KEY).json["error"]["code"], "insufficient_quota")

    def test_no_relay_there_is_503_and_a_time(self) -> None:
        server = self.serve(f"http://127.0.0.1:{refusing_port(self)}/v1", "--max-attempts", "2")
        answer = ask(server, chat("hi"))
        self.assertEqual((answer.status, answer.json["error"]["code"]), (503, "relay_unavailable"))
        self.assertIn("Retry-After", answer.headers)

    def test_a_stop_lets_calls_finish(self) -> None:
        server = self.serve(self.simulator(ttft="2s").url)
        answers: list[int] = []
        client = threading.Thread(target=lambda: answers.append(ask(server, chat("hi")).status))
        client.start()
        time.sleep(0.5)
        self.assertEqual(server.stop(), 0)
        client.join()
        self.assertEqual(answers, [200])


class BesideBatches(Calls):
    def test_calls_go_first_and_the_cap_holds_as_the_relay_counts(self) -> None:
        relay = self.simulator("--rpm", "30")
        server = self.serve(relay.url, "--rpm", "30", "--interactive-reserve", "10")
        batch = server.start_batch(chats(300))
        wait_until(lambda: server.batch(batch["id"])["request_counts"]["completed"] >= 15, "the batch has begun")
        slowest = 0.0
        for _ in range(8):
            began = time.monotonic()
            self.assertEqual(ask(server, {**chat("interactive"), "max_tokens": 5}).status, 200)
            slowest = max(slowest, time.monotonic() - began)
        self.assertLess(slowest, 5, "the reserve is there for them")
        ledger = relay.ledger
        self.assertLessEqual(ledger["max_in_60s"], 30)
        self.assertEqual(ledger["over_limit_refusals"], 0)
        self.assertLess(server.batch(batch["id"])["request_counts"]["completed"], 30)

    def test_without_a_reserve_a_call_takes_the_next_slot(self) -> None:
        relay = self.relay()
        server = self.serve(relay.url, "--concurrency", "1")
        batch = server.start_batch(chats(200))
        wait_until(lambda: relay.attempts > 3, "the batch has begun")
        for _ in range(5):
            self.assertEqual(ask(server, chat("interactive")).status, 200)
        bodies = relay.bodies
        self.assertLess(max(i for i, body in enumerate(bodies) if b"interactive" in body), 150)
        self.assertEqual(server.ended_batch(batch["id"])["request_counts"]["completed"], 200)


class Figures(Calls):
    """The sums over batches and calls in /metrics and /sluice/status equal the counts and the bill of the relay."""

    def figures(self, server: Serve) -> dict[str, str]:
        text = server.call("GET", "/metrics").body.decode()
        return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))

    def test_they_agree_with_the_relay(self) -> None:
        relay = self.simulator(itl="1ms")
        server = self.serve(relay.url, "--rpm", "1000")
        ended = server.ended_batch(server.start_batch(chats(5, max_tokens=4))["id"])
        for _ in range(3):
            self.assertEqual(ask(server, {**chat("hi"), "max_tokens": 7}).status, 200)
        streamed = {**chat("hi"), "max_tokens": 7, "stream": True, "stream_options": {"include_usage": True}}
        self.assertEqual(ask(server, streamed).status, 200)
        self.assertEqual(ask(server, {**chat("hi"), "model": "gpt-4o", "max_tokens": 3}).status, 200)
        self.assertEqual(ask(server, {**chat("hi"), "model": "no-such-model"}).status, 404)
        self.assertEqual(server.call("POST", CHAT, b"{").status, 400)
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            body = json.dumps({**chat("hi"), "stream": True, "max_tokens": 4000}).encode()
            client.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                           + body)
            self.assertTrue(client.recv(100).startswith(b"HTTP/1.1 200"))
        wait_until(lambda: self.figures(server)['sluice_calls_total{result="gone"}'] == "1", "the client is missed")
        found = self.figures(server)
        ledger = wait_until(lambda: (now := relay.ledger)["billed"]["requests"] == 11 and now, "the relay has ended")
        status = server.call("GET", "/sluice/status").json

        self.assertEqual(found["sluice_relay_requests_total"], str(ledger["attempts"]))
        self.assertEqual(found["sluice_relay_starts_last_minute"], str(ledger["max_in_60s"]))
        self.assertEqual(status["limit"]["started_last_minute"], ledger["max_in_60s"])
        self.assertEqual(found["sluice_calls_started_total"], "8")
        self.assertEqual(found['sluice_calls_total{result="succeeded"}'], "5")
        self.assertEqual(found['sluice_calls_total{result="failed"}'], "2")
        self.assertEqual(found['sluice_call_errors_total{code="404"}'], "1")
        self.assertEqual(found['sluice_call_errors_total{code="400"}'], "1")
        self.assertEqual(found['sluice_batch_lines_total{result="succeeded"}'], "5")
        self.assertEqual(found['sluice_call_duration_seconds_bucket{le="+Inf"}'], "8")
        self.assertEqual(found["sluice_call_first_byte_seconds_count"], "6")
        # The reply that was cut off has no usage, so its tokens are not in the delivered tokens.
        tokens = lambda kind: sum(int(value) for name, value in found.items()
                                  if name.startswith("sluice_tokens_total{") and f'kind="{kind}"' in name)
        self.assertEqual(tokens("input") + tokens("output"), ledger["delivered"]["tokens"]["total"])
        cost = sum(Decimal(value) for name, value in found.items() if name.startswith("sluice_cost_usd_total{"))
        self.assertEqual(cost, Decimal(ledger["delivered"]["cost_usd"]))
        self.assertEqual(Decimal(status["cost_usd"]), cost)
        self.assertEqual(status["tokens"]["total"], ledger["delivered"]["tokens"]["total"])
        self.assertEqual(Decimal(status["calls"]["cost_usd"]) + Decimal(ended["sluice"]["cost_usd"]), cost)
        self.assertEqual({one["model"]: (one["requests"], one["calls"]) for one in status["models"]},
                         {"gpt-4o-mini": (9, 4), "gpt-4o": (1, 1)})
        self.assertEqual(status["errors"]["by_code"], {"400": 1, "404": 1})
        self.assertEqual(sum(status["recent"]["completed"]), 10)


class Refusals(Calls):
    def test_a_reserve_that_leaves_nothing_is_refused(self) -> None:
        server = self.serve("http://127.0.0.1:9/v1", "--interactive-reserve", "64", ready=False)
        self.assertEqual(server.process.wait(30), 2)
        self.assertIn("--interactive-reserve 64 leaves batch work nothing of --concurrency 64", server.log.read_text())


if __name__ == "__main__":
    unittest.main()
