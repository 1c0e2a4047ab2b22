#!/usr/bin/env python3
"""Tests relay.py itself: if it counted wrongly, the tests of the client would be worthless.

Run it with `python3 -m unittest tests/e2e/test_relay_py.py` or directly. It needs only the standard library.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import relay as relay_module  # noqa: E402  (the folder must be on the path first)

CHAT = "/v1/chat/completions"
HANZI = "天下皆知美之為美，斯惡已。🐎 "


def chat(text: str, **more: Any) -> bytes:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], **more}
    return json.dumps(body, ensure_ascii=False).encode()


def events(data: bytes) -> list[Any]:
    return [json.loads(line[6:]) for line in data.decode().split("\n")
            if line.startswith("data: ") and line != "data: [DONE]"]


class SlidingLogTest(unittest.TestCase):
    """The window with invented times, so that a test needs no real minute."""

    def test_refuses_within_sixty_seconds_and_admits_at_sixty(self) -> None:
        log = relay_module.SlidingLog(2)
        self.assertEqual([log.arrive(t) for t in (0, 30, 59.9, 60, 89.9, 90)], [True, True, False, True, False, True])
        self.assertEqual(log.refused, [59.9, 89.9])

    def test_most_in_window_includes_refused_attempts(self) -> None:
        log = relay_module.SlidingLog(1)
        for t in (0, 1, 2, 61.5, 61.6):
            log.arrive(t)
        self.assertEqual(log.most_in_window(), 3)
        self.assertEqual(relay_module.SlidingLog(1).most_in_window(), 0)

    def test_no_limit_refuses_nothing(self) -> None:
        log = relay_module.SlidingLog(0)
        self.assertTrue(all(log.arrive(0.001 * i) for i in range(1000)))
        self.assertEqual(log.most_in_window(), 1000)

    def test_whole_windows_leave_out_the_unfinished_one(self) -> None:
        log = relay_module.SlidingLog(0)
        for t in (5, 6, 64.9, 65, 130, 190):
            log.arrive(t)
        self.assertEqual(log.whole_windows(), [3, 1, 1])


class RelayProcess:
    """A relay in its own process for one test, by default without delays."""

    def __init__(self, *flags: str, script: list[dict[str, Any]] | None = None) -> None:
        self.folder = tempfile.TemporaryDirectory()
        command = [sys.executable, str(HERE / "relay.py"), "--delay-max", "0", "--seed", "7", *flags]
        if script is not None:
            path = Path(self.folder.name) / "script.json"
            path.write_text(json.dumps(script), "utf-8")
            command += ["--script", str(path)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        self.port = int(self.process.stdout.readline().removeprefix("listening "))

    def __enter__(self) -> RelayProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(10)
        assert self.process.stdout
        self.process.stdout.close()
        self.folder.cleanup()

    def connect(self, timeout: float = 10) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def call(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        with contextlib.closing(self.connect()) as connection:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()

    def get(self, path: str) -> Any:
        return json.loads(self.call("GET", path)[1])


class WindowTest(unittest.TestCase):
    def test_refuses_above_rpm_with_a_message(self) -> None:
        with RelayProcess("--rpm", "3") as relay:
            replies = [relay.call("POST", CHAT, chat(f"q{i}"), Authorization="Bearer k") for i in range(5)]
            self.assertEqual([status for status, _ in replies], [200, 200, 200, 429, 429])
            error = json.loads(replies[3][1])["error"]
            self.assertEqual(error["type"], "new_api_error")
            self.assertIn("1分钟内最多请求3次", error["message"])
            stats = relay.get("/stats")
            self.assertEqual((stats["attempts"], stats["arrivals_total"], stats["refused"], stats["max_in_60s"]),
                             (5, 5, 2, 5))
            self.assertEqual(stats["delivered"]["requests"], 3)
            self.assertEqual(stats["per_60s_windows"], {"counts": [], "best": None, "avg": None})
            arrivals = relay.get("/arrivals")
            self.assertEqual(arrivals, sorted(arrivals))
            self.assertEqual([arrivals[0], arrivals[-1]], [stats["first_arrival"], stats["last_arrival"]])

    def test_no_count_refuses_nothing_but_records(self) -> None:
        with RelayProcess("--rpm", "1", "--no-count") as relay:
            self.assertEqual([relay.call("POST", CHAT, chat("q"))[0] for _ in range(3)], [200] * 3)
            self.assertEqual(relay.get("/stats")["max_in_60s"], 3)

    def test_models_are_not_counted(self) -> None:
        with RelayProcess("--rpm", "1") as relay:
            self.assertEqual(relay.get("/v1/models")["object"], "list")
            self.assertEqual(relay.get("/stats")["attempts"], 0)

    def test_an_attempt_is_counted_between_its_sending_and_its_head(self) -> None:
        with RelayProcess("--delay-min", "0.1", "--delay-max", "0.1", "--head-delay", "0.1") as relay:
            leaver = relay.connect()
            leaver.request("POST", CHAT, chat("gone before the answer"))
            leaver.close()  # the request is on its way: a relay counts it even if the client has left
            before = relay_module.time.monotonic()
            relay.call("POST", CHAT, chat("q"))
            after = relay_module.time.monotonic()
            arrivals = relay.get("/arrivals")
            self.assertEqual(len(arrivals), 2)
            self.assertGreaterEqual(arrivals[-1] - before, 0.1)  # both processes use the same monotonic clock
            self.assertGreaterEqual(after - arrivals[-1], 0.1)

    def test_attempts_wait_in_parallel(self) -> None:
        with RelayProcess("--delay-min", "0.2", "--delay-max", "0.2") as relay:
            threads = [threading.Thread(target=relay.call, args=("POST", CHAT, chat(f"q{i}"))) for i in range(20)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            stats = relay.get("/stats")
            self.assertEqual(stats["max_in_60s"], 20)
            self.assertGreater(stats["max_in_flight"], 1)
            self.assertLess(stats["last_arrival"] - stats["first_arrival"], 0.2 * 20)


class AnswerTest(unittest.TestCase):
    relay: RelayProcess

    @classmethod
    def setUpClass(cls) -> None:
        cls.relay = RelayProcess("--rpm", "0")

    @classmethod
    def tearDownClass(cls) -> None:
        cls.relay.__exit__()

    def stream(self, path: str, body: dict[str, Any]) -> bytes:
        status, data = self.relay.call("POST", path, json.dumps({**body, "stream": True}).encode())
        self.assertEqual(status, 200)
        return data

    def test_chat_stream_rebuilds_the_echo_and_reports_usage(self) -> None:
        for turn in range(20):  # each text is split in a different way
            text = f"{turn} {HANZI * 3}"
            data = self.stream(CHAT, {"model": "m", "messages": [{"role": "user", "content": text}],
                                      "stream_options": {"include_usage": True}})
            self.assertTrue(data.endswith(b"data: [DONE]\n\n"))
            chunks = events(data)
            self.assertGreater(len(chunks), 5)
            self.assertEqual(len({chunk["id"] for chunk in chunks}), 1)
            deltas = [choice for chunk in chunks for choice in chunk["choices"]]
            self.assertEqual("".join(c["delta"].get("content", "") for c in deltas), f"echo: {text}")
            self.assertEqual([c["finish_reason"] for c in deltas if c["finish_reason"]], ["stop"])
            usage = chunks[-1]["usage"]
            self.assertEqual(usage["prompt_tokens"], max(1, len(text.encode()) // 6))
            self.assertEqual(usage["completion_tokens"], len(f"echo: {text}".encode()) // 6)
            self.assertTrue(all(chunk["usage"] is None for chunk in chunks[:-1]))

    def test_a_stream_has_usage_only_on_request(self) -> None:
        data = self.stream(CHAT, {"model": "m", "messages": [{"role": "user", "content": "hello"}]})
        self.assertFalse(any("usage" in chunk for chunk in events(data)))

    def test_streams_are_split_inside_characters(self) -> None:
        rng = relay_module.random.Random(1)
        whole = [f"data: {HANZI}{i}\n\n".encode() for i in range(200)]
        parts = relay_module.writes(whole, rng)
        self.assertEqual(b"".join(parts), b"".join(whole))
        self.assertGreater(sum(part[0] & 0xC0 == 0x80 for part in parts), 10)

    def test_unstreamed_chat_with_choices_and_a_limit(self) -> None:
        body = chat("one two three four five", n=2, max_tokens=2)
        reply = json.loads(self.relay.call("POST", CHAT, body)[1])
        self.assertEqual([c["message"]["content"] for c in reply["choices"]], ["echo: one tw", "echo 1: one "])
        self.assertEqual([c["finish_reason"] for c in reply["choices"]], ["length"] * 2)
        self.assertEqual(reply["usage"]["completion_tokens"], 4)

    def test_completions(self) -> None:
        data = self.stream("/v1/completions", {"model": "m", "prompt": HANZI})
        self.assertEqual("".join(c["text"] for e in events(data) for c in e["choices"]), f"echo: {HANZI}")
        reply = json.loads(self.relay.call("POST", "/v1/completions", b'{"model":"m","prompt":["a","b"]}')[1])
        self.assertEqual(reply["choices"][0]["text"], "echo: b")

    def test_responses(self) -> None:
        data = self.stream("/v1/responses", {"model": "m", "input": HANZI, "instructions": "be brief"})
        got = events(data)
        self.assertEqual([event["sequence_number"] for event in got], list(range(len(got))))
        deltas = [event["delta"] for event in got if event["type"] == "response.output_text.delta"]
        self.assertEqual("".join(deltas), f"echo: {HANZI}")
        self.assertEqual(got[-1]["type"], "response.completed")
        self.assertIn(b"event: response.completed\n", data)
        self.assertNotIn(b"[DONE]", data)
        parts = [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}]
        body = json.dumps({"model": "m", "input": parts}).encode()
        whole = json.loads(self.relay.call("POST", "/v1/responses", body)[1])
        self.assertEqual(whole["output"][0]["content"][0]["text"], "echo: hi")

    def test_embeddings(self) -> None:
        def embed(**body: Any) -> Any:
            return json.loads(self.relay.call("POST", "/v1/embeddings", json.dumps({"model": "e", **body}).encode())[1])
        many = embed(input=["a", "b", "a"], dimensions=5)["data"]
        self.assertEqual([(d["index"], len(d["embedding"])) for d in many], [(0, 5), (1, 5), (2, 5)])
        self.assertEqual(many[0]["embedding"], many[2]["embedding"])
        self.assertNotEqual(many[0]["embedding"], many[1]["embedding"])
        self.assertEqual(len(embed(input=[1, 2, 3])["data"]), 1)
        self.assertIsInstance(embed(input="a", encoding_format="base64")["data"][0]["embedding"], str)

    def test_bad_bodies_and_unknown_paths_get_errors(self) -> None:
        self.assertEqual(self.relay.call("POST", CHAT, b"{nonsense")[0], 400)
        self.assertEqual(self.relay.call("POST", CHAT, b"[]")[0], 400)
        self.assertEqual(self.relay.call("POST", "/chat/completions", chat("q"))[0], 404)

    def test_one_connection_serves_many_and_chunked_bodies_are_read(self) -> None:
        connection = self.relay.connect()
        for i in range(3):
            body = chat(f"chunked {i}")
            connection.request("POST", CHAT, iter([body[:7], body[7:]]), encode_chunked=True)
            reply = json.loads(connection.getresponse().read())
            self.assertEqual(reply["choices"][0]["message"]["content"], f"echo: chunked {i}")
        connection.close()


class RecordTest(unittest.TestCase):
    def test_bodies_come_back_byte_for_byte(self) -> None:
        odd = b'{ "messages" :[{"role":"user","content":"\\u9c81 \xe9\xb2\x81 \xff"}],"model":"m"}'
        with RelayProcess() as relay:
            relay.call("POST", CHAT, odd)
            self.assertEqual(relay.get("/bodies")[0].encode("utf-8", "surrogateescape"), odd)

    def test_headers_and_keys(self) -> None:
        with RelayProcess() as relay:
            body = chat("q")
            for agent in ("a/1", "a/1", "b/2"):
                relay.call("POST", CHAT, body, Authorization="Bearer x",
                           **{"User-Agent": agent, "Idempotency-Key": "K"})
            stats = relay.get("/stats")
            self.assertEqual(stats["headers_seen"], ["a/1", "b/2"])
            self.assertEqual(stats["authorizations_seen"], ["Bearer x"])
            self.assertEqual(stats["bodies_seen"], {"K": {"attempts": 3, "sha256": [hashlib.sha256(body).hexdigest()]}})
            self.assertFalse(stats["authorization_missing"])
            relay.call("POST", CHAT, chat("other"), **{"Idempotency-Key": "K"})
            stats = relay.get("/stats")
            self.assertEqual(len(stats["bodies_seen"]["K"]["sha256"]), 2)
            self.assertTrue(stats["authorization_missing"])

    def test_a_header_that_comes_twice_shows_with_both_values(self) -> None:
        with RelayProcess() as relay:
            connection = relay.connect()
            connection.putrequest("POST", CHAT)
            for agent in ("a/1", "b/2"):
                connection.putheader("User-Agent", agent)
            connection.putheader("Content-Length", "2")
            connection.endheaders(b"{}")
            connection.getresponse().read()
            connection.close()
            self.assertEqual(relay.get("/stats")["headers_seen"], ["a/1, b/2"])

    def test_shutdown_ends_the_process(self) -> None:
        with RelayProcess() as relay:
            self.assertEqual(relay.call("POST", "/shutdown")[0], 200)
            self.assertEqual(relay.process.wait(10), 0)


class ScriptTest(unittest.TestCase):
    def test_entries_are_used_in_order_and_by_match(self) -> None:
        script = [{"match": "apple", "times": 2, "status": 503, "body": {"error": "busy"}},
                  {"status": 401, "body": "no"}]
        with RelayProcess(script=script) as relay:
            texts = ("apple", "pear", "apple", "apple", "pear")
            self.assertEqual([relay.call("POST", CHAT, chat(q))[0] for q in texts], [503, 401, 503, 200, 200])
            stats = relay.get("/stats")
            self.assertEqual((stats["scripted"], stats["arrivals_total"], stats["delivered"]["requests"]), (3, 5, 2))

    def test_headers_and_body_stand_as_written(self) -> None:
        with RelayProcess(script=[{"status": 429, "headers": {"retry-after-ms": "5", "Content-Type": "text/plain"},
                                   "body": "慢一点"}]) as relay:
            connection = relay.connect()
            connection.request("POST", CHAT, chat("q"))
            response = connection.getresponse()
            self.assertEqual(response.status, 429)
            self.assertEqual(response.getheader("retry-after-ms"), "5")
            self.assertEqual(response.getheader("content-type"), "text/plain")
            self.assertEqual(response.read().decode(), "慢一点")
            connection.close()

    def test_raw_bytes(self) -> None:
        raw = ["HTTP/1.1 200 Fine\r\nContent-Len", "gth: 2\r\n\r\n\udce9", "!"]
        with RelayProcess(script=[{"raw": raw, "close": "after"}]) as relay:
            self.assertEqual(relay.call("POST", CHAT, chat("q")), (200, b"\xe9!"))

    def test_chunks_whole_and_cut(self) -> None:
        entry = {"headers": {"Content-Type": "text/event-stream"}, "chunks": ["data: é\udce9", "\udcb2\udc81\n\n"]}
        with RelayProcess(script=[entry, {**entry, "close": "cut"}, {"body": "0123456789", "close": "cut"}]) as relay:
            self.assertEqual(relay.call("POST", CHAT, chat("q")), (200, "data: é鲁\n\n".encode()))
            for _ in range(2):
                with self.assertRaises(http.client.IncompleteRead):
                    relay.call("POST", CHAT, chat("q"))

    def test_reset_before_the_head(self) -> None:
        with RelayProcess(script=[{"close": "rst"}]) as relay:
            with self.assertRaises(ConnectionResetError):
                relay.call("POST", CHAT, chat("q"))
            self.assertEqual(relay.call("POST", CHAT, chat("q"))[0], 200)

    def test_hold_keeps_the_socket_open_and_silent(self) -> None:
        with RelayProcess(script=[{"chunks": ["data: {}\n\n"], "hold": True}]) as relay:
            connection = relay.connect(timeout=0.3)
            connection.request("POST", CHAT, chat("q"))
            response = connection.getresponse()
            self.assertEqual(response.read(10), b"data: {}\n\n")
            with self.assertRaises(TimeoutError):
                response.read(1)
            connection.close()
            self.assertEqual(relay.call("POST", CHAT, chat("q"))[0], 200)

    def test_other_paths_can_be_scripted_and_are_not_counted(self) -> None:
        with RelayProcess(script=[{"path": "/billing/", "times": None, "body": {"total_usage": 1}}]) as relay:
            for _ in range(3):
                self.assertEqual(relay.get("/v1/dashboard/billing/usage"), {"total_usage": 1})
            self.assertEqual(relay.get("/stats")["attempts"], 0)

    def test_a_misspelt_key_is_refused(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "script.json"
            path.write_text('[{"staus": 500}]', "utf-8")
            with self.assertRaisesRegex(ValueError, "staus"):
                relay_module.load_script(str(path))


class FaultTest(unittest.TestCase):
    def one(self, fault: str, body: bytes) -> tuple[int, bytes]:
        with RelayProcess("--faults", f"{fault}=1") as relay:
            try:
                return relay.call("POST", CHAT, body)
            finally:
                stats = relay.get("/stats")
                self.assertEqual(stats["faults"], {fault: 1})
                self.assertEqual(stats["delivered"]["requests"], 0)

    def test_faults(self) -> None:
        self.assertEqual(self.one("500", chat("q"))[0], 500)
        self.assertEqual(self.one("html", chat("q"))[0], 502)
        self.assertIn("error", json.loads(self.one("error200", chat("q"))[1]))
        status, data = self.one("nofinish", chat("q", stream=True))
        self.assertTrue(data.endswith(b"[DONE]\n\n"))
        self.assertFalse(any(c["finish_reason"] for e in events(data) for c in e["choices"]))
        with self.assertRaises(http.client.IncompleteRead):
            self.one("cut", chat("q", stream=True))
        with self.assertRaises(ConnectionResetError):
            self.one("reset", chat("q"))


if __name__ == "__main__":
    unittest.main()
