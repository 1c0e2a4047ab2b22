"""Attacks on replies on their way, by a relay or by the machine itself."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import re
import signal
import threading
import time
import unittest
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hostile_relay import Answer, End, HostileRelay, Step
from hostile_traps import (DONE, RESPONSES, ask, ask_response, chunk, completion, document, dump, event, framed, head,
                           open_stream, sized, stream)
from support import Case, Results, Run, batch, files_under, wait_until

SOME_FAILED = 1


class HostileCase(Case):
    def hostile(self, answers: dict[str, Sequence[Answer]]) -> HostileRelay:
        started = HostileRelay(answers)
        self.addCleanup(started.stop)
        return started

    def go(self, relay: HostileRelay, job: Path, *flags: Any, expect: int | None = 0, **more: Any) -> Run:
        return self.sluice("run", job, "--base-url", relay.url, "--rpm", 0, *flags, expect=expect, **more)


class Standstill(HostileCase):
    """Ctrl-Z or a paused machine: replies arrive while the program does not read. None may be lost or paid twice."""

    REQUESTS = 8
    STANDS = 4.5  # seconds of standstill; the timeouts are two seconds

    def setUp(self) -> None:
        super().setUp()
        self.stopped = threading.Event()

    def when_stopped(self, *pieces: bytes) -> Step:
        def steps() -> Iterator[bytes]:
            self.stopped.wait()
            yield from pieces

        return steps

    def stand_still(self, name: str, answer: list[Step], *flags: str, stream: bool = True,
                    unread: bool = False) -> Run:
        relay = self.hostile({name: [Answer(answer, billed=True)]})
        job = self.job([batch(f"{name}/{i}", json.loads(ask(f"{name}/{i}", stream=stream)))
                        for i in range(self.REQUESTS)])
        run = self.start("run", job, "--base-url", relay.url, "--rpm", 0, *flags)
        wait_until(lambda: relay.ledger.count == self.REQUESTS, "all requests have come to the relay")
        run.signal(signal.SIGSTOP)
        wait_until(lambda: self.state(run) == "T", "the program is stopped")
        self.stopped.set()
        time.sleep(self.STANDS)
        if unread:
            self.assertFalse(any(attempt.sent for of in relay.ledger.attempts.values() for attempt in of),
                             "the replies are larger than the kernel's buffers")
        run.signal(signal.SIGCONT)
        run.wait()
        self.assertEqual(run.code, 0, run.err)
        self.assertEqual(len(self.results(job).output), self.REQUESTS)
        self.assertEqual(relay.ledger.count, self.REQUESTS, "nothing is requested and paid twice")
        self.assertEqual(self.results(job).totals["attempts"], self.REQUESTS)
        return run

    @staticmethod
    def state(run: Run) -> str:
        return Path(f"/proc/{run.process.pid}/stat").read_text().rpartition(") ")[2][0]

    def parts(self, name: str) -> list[bytes]:
        return [event(chunk(name, {"role": "assistant", "content": "so"})), event(chunk(name, {}, "stop")), DONE]

    def test_past_the_first_byte_timeout(self) -> None:
        first, *rest = open_stream(self.parts("late"), pause=0.0)
        whole = b"".join(step for step in (first, *rest) if isinstance(step, bytes)) + b"0\r\n\r\n"
        self.stand_still("late", [self.when_stopped(whole)], "--first-byte-timeout", "2s")

    def test_past_the_idle_timeout(self) -> None:
        first, *rest = self.parts("idle")
        self.stand_still("idle", [head(200, "Transfer-Encoding: chunked", kind="text/event-stream"), framed(first),
                                  self.when_stopped(*map(framed, rest), b"0\r\n\r\n")], "--idle-timeout", "2s")

    def test_past_the_timeout_of_the_whole_attempt(self) -> None:
        body = dump(completion("whole", usage={"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}))
        body = body[:-1] + b',"padding":"' + b"x" * (2 << 20) + b'"}'
        reply = head(200, f"Content-Length: {len(body)}") + body
        self.STANDS = 8.5  # longer than the timeout, so that a busy machine has time to read the rest
        self.stand_still("whole", [self.when_stopped(reply)], "--timeout", "6s", stream=False, unread=True)

    def test_during_the_wait_for_usage(self) -> None:
        name = "usage"
        usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
        spoken, ended, done = self.parts(name)
        self.STANDS = 7.5  # the wait for usage is five seconds
        self.stand_still(name, [
            head(200, "Transfer-Encoding: chunked", kind="text/event-stream"), framed(spoken), framed(ended),
            self.when_stopped(framed(event({**chunk(name), "choices": [], "usage": usage})), framed(done),
                              b"0\r\n\r\n")])
        for line in self.results(self.folder / "job.jsonl").output:
            self.assertEqual(line["sluice"]["usage_source"], "reported")

    def test_a_silent_relay_still_times_out(self) -> None:
        relay = self.hostile({"mute": [Answer([self.when_stopped(), 30.0])]})
        job = self.job([batch("mute", json.loads(ask("mute", stream=True)))])
        run = self.start("run", job, "--base-url", relay.url, "--rpm", 0, "--first-byte-timeout", "2s",
                         "--max-attempts", 1)
        wait_until(lambda: relay.ledger.count == 1, "the request has come to the relay")
        run.signal(signal.SIGSTOP)
        time.sleep(self.STANDS)
        run.signal(signal.SIGCONT)
        run.wait(20)
        self.assertEqual(run.code, SOME_FAILED, run.err)
        [line] = self.results(job).errors
        self.assertEqual(line["error"]["code"], "request_timeout")


SHORT_KEYS = ("sk-1234", "hunter2", "1234567890123", "changemenow1", "sk-a/b")


class KeyEchoes(HostileCase):
    """Keys that are short or have only digits. A relay repeats them in every plausible way."""

    @staticmethod
    def echoes(key: str) -> list[tuple[int, list[str], Any]]:
        """The status, headers and body of each reply."""
        def said(content: Any, **more: Any) -> dict[str, Any]:
            choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop", **more}
            return {"id": "x", "object": "chat.completion", "choices": [choice],
                    "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}}

        def error(message: str) -> dict[str, Any]:
            return {"error": {"message": message, "type": "auth_error", "param": key, "code": "400"}}

        half = len(key) // 2
        tokens = [{"token": part, "logprob": -1.5, "bytes": list(part.encode()),
                   "top_logprobs": [{"token": part, "logprob": -1.5, "bytes": list(part.encode())}]}
                  for part in ("key ", key[:half], key[half:], ".")]
        packed = base64.b64encode(f"Bearer {key}".encode()).decode()
        return [
            (400, [], error(f"Authentication Error, Invalid proxy server token passed. Received API Key = {key}.")),
            (400, [], error(f"bad header: Authorization: Bearer {key}")),
            (400, [], error(f"bad header: {packed}")),
            (400, [f"x-request-id: {key}"], error("no")),
            (400, [], error("no such page: /v1?api_key=" + urllib.parse.quote(key, safe=""))),
            (400, [], "in plain words: the key " + key),
            (200, [], said(f"You are asked with the key {key}, said the relay.")),
            (200, [], said(None, message={"role": "assistant", "content": None, "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": json.dumps({"key": key})}}]})),
            (200, [], said("key .", logprobs={"content": tokens, "refusal": None})),
            (200, [], said(json.dumps({"headers": {"authorization": f"Bearer {key}"}}))),
        ]

    def test_the_key_is_never_printed(self) -> None:
        for key in SHORT_KEYS:
            with self.subTest(key=key):
                echoes = self.echoes(key)
                answers = {f"echo-{i}": [Answer(document(body, status, *lines) if isinstance(body, dict)
                                                else sized(body.encode(), status, *lines, kind="text/plain"))]
                           for i, (status, lines, body) in enumerate(echoes)}
                good = {f"good-{i}": [Answer(document(completion("good")))] for i in range(3)}
                relay = self.hostile({**good, **answers})
                folder = self.folder / f"of-{SHORT_KEYS.index(key)}"
                folder.mkdir()
                job = self.job([batch(name, json.loads(ask(name, stream=False))) for name in (*good, *answers)])
                run = self.go(relay, job, "--output-dir", folder, "-v", "--log-file", folder / "log", "--keep-going",
                              expect=SOME_FAILED, env={"OPENAI_API_KEY": key})
                lines = self.results(job, folder).by_id()
                self.assertEqual(len(lines), len(echoes) + len(good))
                for form in (key, json.dumps(key)[1:-1].replace("/", "\\/"), urllib.parse.quote(key, safe=""),
                             base64.b64encode(f"Bearer {key}".encode()).decode()):
                    self.assertNotIn(form, run.err)
                    for path in files_under(folder):
                        self.assertNotIn(form, path.read_text(), path.name)
                said = lines[f"echo-{len(echoes) - 2}"]["response"]["body"]["choices"][0]["logprobs"]["content"]
                self.assertNotIn(key, "".join(entry["token"] for entry in said))
                self.assertEqual(said[0]["bytes"], list(b"key "), "text without the key is not changed")
                self.assertIn("[key]", lines["echo-6"]["response"]["body"]["choices"][0]["message"]["content"])

    def test_a_key_that_is_a_common_word_does_not_change_answers(self) -> None:
        relay = self.hostile({"any": [Answer(document(completion("any")))]})
        job = self.job([batch("any", json.loads(ask("any", stream=False)))])
        for key in ("any", "answer", "EMPTY"):
            self.go(relay, job, "--fresh", env={"OPENAI_API_KEY": key})
            [line] = self.results(job).output
            self.assertEqual(line["response"]["body"], completion("any"))

    def test_a_proxys_password_in_its_407(self) -> None:
        proof = base64.b64encode(b"me:hunter2").decode()
        page = f"<html>no hunter2, nor me:hunter2, nor {proof}</html>"

        def refuse(connection: Any) -> None:
            connection.recv(1 << 16)
            connection.sendall(f"HTTP/1.1 407 no hunter2 in {proof}\r\nContent-Length: {len(page)}\r\n\r\n{page}".encode())

        listener = self.listener(refuse)
        job = self.job([batch("a", json.loads(ask("a")))])
        proxy = f"http://me:hunter2@127.0.0.1:{listener.port}"
        for address in ("https://relay.example/v1", "http://relay.example/v1"):
            with self.subTest(address):
                run = self.sluice("run", job, "--base-url", address, "--give-up-after", "100ms", "-v", "--log-file",
                                  "log", expect=None, env={"HTTPS_PROXY": proxy, "HTTP_PROXY": proxy})
                self.assertIn(run.code, (2, 3), run.err)
                self.assertIn("[key]", run.err)
                for path in files_under(self.folder):
                    self.assertNotIn("hunter2", path.read_text("utf-8", "replace"), path.name)
                    self.assertNotIn(proof, path.read_text("utf-8", "replace"), path.name)
                self.assertNotIn("hunter2", run.err)
                self.assertNotIn(proof, run.err)


class Bombs(HostileCase):
    """Many small replies at once that unpack to gigabytes."""

    MOST = 600 << 10  # the maximum resident memory of the program in KiB

    def blow_up(self, body: Callable[[str], bytes], *lines: str, count: int = 32) -> Run:
        answers = {f"bomb-{i}": [Answer([head(200, *lines, f"Content-Length: {len(body(f'bomb-{i}'))}")
                                         + body(f"bomb-{i}")])] for i in range(count)}
        relay = self.hostile({**answers, "good": [Answer(document(completion("good")))]})
        job = self.job([batch(name, json.loads(ask(name, stream=False))) for name in (*answers, "good")])
        run = self.start("run", job, "--base-url", relay.url, "--rpm", 0, "--max-attempts", 1, "--keep-going")
        most = 0  # KiB
        while run.running:
            with contextlib.suppress(OSError, TypeError):  # the process has just ended
                status = Path(f"/proc/{run.process.pid}/status").read_text()
                most = max(most, int(re.search(r"VmHWM:\s+(\d+)", status)[1]))
            time.sleep(0.02)
        run.wait(200)
        self.assertIn(run.code, (0, SOME_FAILED), run.err)
        self.assertEqual(len(self.results(job).by_id()), count + 1, "every request has its line")
        self.assertIn("good", self.results(job).by_id())
        if os.environ.get("SLUICE_E2E_MEMORY") != "0":
            self.assertLess(most, self.MOST)
        return run

    def test_replies_of_gzip(self) -> None:
        def body(name: str) -> bytes:
            text = dump(completion(name))
            return gzip.compress(text[:-1] + b',"padding":"' + b"x" * (24 << 20) + b'"}')

        one = body("bomb")
        self.blow_up(lambda name: one, "Content-Encoding: gzip")

    def test_replies_above_their_own_limit(self) -> None:
        one = gzip.compress(b'{"padding":"' + b"x" * (80 << 20))
        self.blow_up(lambda name: one, "Content-Encoding: gzip", count=8)

    def test_gzip_in_gzip(self) -> None:
        one = gzip.compress(gzip.compress(b'{"padding":"' + b"x" * (80 << 20)))
        self.blow_up(lambda name: one, "Content-Encoding: gzip, gzip", count=8)

    def test_large_replies_that_are_not_packed(self) -> None:
        text = dump(completion("plain"))
        one = text[:-1] + b',"padding":"' + b"x" * (24 << 20) + b'"}'
        self.blow_up(lambda name: one)

    def test_error_bodies(self) -> None:
        one = gzip.compress(b'{"error":{"message":"no"},"padding":"' + b"x" * (60 << 20) + b'"}')
        answers = {f"bomb-{i}": [Answer([head(400, "Content-Encoding: gzip", f"Content-Length: {len(one)}") + one])]
                   for i in range(64)}
        relay = self.hostile({**answers, "good": [Answer(document(completion("good")))]})
        job = self.job([batch(name, json.loads(ask(name, stream=False))) for name in ("good", *answers)])
        self.go(relay, job, "--concurrency", 1, "--limit", 3, expect=SOME_FAILED)
        for line in self.results(job).errors:
            self.assertEqual(line["response"]["status_code"], 400)
            self.assertLessEqual(len(line["response"]["body"]), 4096, "an unknown body becomes text and is cut")


class Lies(HostileCase):
    def run_one(self, body: Any, status: int = 200, **more: Any) -> tuple[Run, dict[str, Any], Results]:
        name = "lie"
        relay = self.hostile({name: [Answer(document(body, status) if not isinstance(body, bytes)
                                            else sized(body, status))],
                              "good": [Answer(document(completion("good")))]})
        job = self.job([batch(n, json.loads(ask(n, stream=False))) for n in ("good", name)])
        run = self.go(relay, job, "--max-attempts", 2, "--concurrency", 1, expect=None, **more)
        results = self.results(job)
        self.assertEqual(len(relay.ledger.of(name)), more.get("attempts", len(relay.ledger.of(name))))
        return run, results.by_id()[name], results

    def test_an_unreasonable_usage_is_ignored(self) -> None:
        for usage in ({"prompt_tokens": 9007199254740992, "completion_tokens": 9007199254740992},
                      {"prompt_tokens": 7, "completion_tokens": 1000000000001},
                      {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 2 ** 62},
                      {"prompt_tokens": 7, "completion_tokens": 3, "cost": 1e30}):
            with self.subTest(usage):
                run, line, results = self.run_one(completion("lie", usage=usage))
                self.assertEqual(run.code, 0, run.err)
                if "cost" not in usage:
                    self.assertEqual(line["sluice"]["usage_source"], "estimated")
                self.assertNotIn("reported_cost_usd", line["sluice"])
                totals = results.totals
                for kind in ("prompt", "cached", "completion", "reasoning", "total"):
                    self.assertGreaterEqual(totals["tokens"][kind], 0)
                    self.assertLess(totals["tokens"][kind], 10 ** 6)
                results.output_path.unlink()
                results.totals_path.unlink()

    def test_a_reply_that_no_reader_can_parse(self) -> None:
        deep = 100_000
        nested = b"[" * deep + b"]" * deep
        text = dump(completion("lie"))[:-1]
        for body in (text + b',"x":' + nested + b"}", text + b',"x":' + b'{"a":' * deep + b"1" + b"}" * deep + b"}",
                     nested):
            run, line, results = self.run_one(body)
            self.assertEqual(run.code, SOME_FAILED, run.err)
            self.assertEqual(line["error"]["code"], "invalid_response")
            results.output_path.unlink()
            results.errors_path.unlink()
            results.totals_path.unlink()

    def test_a_reply_that_is_deep_and_can_be_parsed(self) -> None:
        nested: Any = 1
        for _ in range(500):
            nested = [nested]
        run, line, _ = self.run_one(completion("lie", x=nested))
        self.assertEqual(run.code, 0, run.err)
        self.assertEqual(line["response"]["body"]["x"], nested)

    def test_a_stream_that_no_reader_can_parse(self) -> None:
        nested = b"[" * 100_000 + b"]" * 100_000
        parts = [event(chunk("lie", {"content": "so"}))[:-3] + b',"x":' + nested + b"}\n\n",
                 event(chunk("lie", {}, "stop")), DONE]
        relay = self.hostile({"lie": [Answer(stream(parts))], "good": [Answer(stream(
            [event(chunk("good", {"content": "so"})), event(chunk("good", {}, "stop")), DONE]))]})
        job = self.job([batch(n, json.loads(ask(n))) for n in ("good", "lie")])
        run = self.go(relay, job, "--max-attempts", 2, expect=SOME_FAILED)
        self.assertEqual(self.results(job).by_id()["lie"]["error"]["code"], "invalid_response", run.err)

    def test_an_error_that_no_reader_can_parse(self) -> None:
        nested = b"[" * 100_000 + b"]" * 100_000
        for body in (b'{"error":{"message":"no","x":' + nested + b"}}", nested):
            run, line, results = self.run_one(body, 400)
            self.assertEqual(run.code, SOME_FAILED, run.err)
            self.assertIsInstance(line["response"]["body"], str, "as a text, cut")
            self.assertLessEqual(len(line["response"]["body"]), 4096)
            results.output_path.unlink()
            results.errors_path.unlink()
            results.totals_path.unlink()


class Certificates(Case):
    def test_the_message_for_a_wrong_certificate_has_both_names(self) -> None:
        authority, certificate, key = self.certificate("other", "DNS:relay.example,DNS:*.relay.example,IP:192.0.2.7")
        relay = self.relay(tls=(authority, certificate, key))
        run = self.sluice("run", self.job([batch("a", json.loads(ask("a")))]), "--base-url", relay.url, "--rpm", 0,
                          "--give-up-after", "1s", expect=2, env={"SSL_CERT_FILE": str(authority)})
        for name in ("127.0.0.1", "relay.example", "*.relay.example", "192.0.2.7"):
            self.assertIn(name, run.err)


class Background(HostileCase):
    """A reply of the Responses API that continues in the background must not be requested and paid again."""

    def job_of(self, *names: str, **more: Any) -> Path:
        return self.job([batch(name, json.loads(ask_response(name, background=True, **more)), RESPONSES)
                         for name in names])

    @staticmethod
    def started(name: str, status: str) -> dict[str, Any]:
        return {"id": f"resp_{name}", "object": "response", "status": status, "background": True, "output": [],
                "error": None, "incomplete_details": None, "model": "gpt-4o-mini", "usage": None}

    def check(self, names: list[str], answers: dict[str, Sequence[Answer]], **more: Any) -> None:
        relay = self.hostile(answers)
        job = self.job_of(*names, **more)
        for _ in range(2):
            run = self.go(relay, job, expect=SOME_FAILED)
            for name in names:
                line = self.results(job).by_id()[name]
                self.assertEqual(line["error"]["code"], "invalid_response")
                self.assertIn(f"/v1/responses/resp_{name}", line["error"]["message"])
                self.assertIn("background", line["error"]["message"])
                self.assertIs(line["sluice"]["retryable"], False)
                self.assertEqual(len(relay.ledger.of(name)), 1, "it is not sent again, also not by another run")
            self.assertEqual(self.results(job).totals["maybe_billed_attempts"], len(names), run.err)

    def test_a_queued_reply(self) -> None:
        names = [f"bg-{i}" for i in range(25)]  # more than the number of equal failures that stop a run
        self.check(names, {name: [Answer(document(self.started(name, "queued" if i % 2 else "in_progress")))]
                           for i, name in enumerate(names)}, stream=False)

    def test_a_stream_that_is_cut(self) -> None:
        name = "bg-cut"
        parts = [b"event: response.created\n" + event({"type": "response.created", "sequence_number": 0,
                                                       "response": self.started(name, "queued")})]
        self.check([name], {name: [Answer([*open_stream(parts), End.CLOSE])]}, stream=True)

    def test_an_event_that_is_broken_inside(self) -> None:
        name = "bg-broken"
        created = event({"type": "response.created", "response": self.started(name, "queued")})
        broken = b'data: {"type":"response.other","response":{"id":"resp_%s","object"8}}\n\n' % name.encode()
        for parts in ([created, broken], [created, broken, DONE]):
            self.check([name], {name: [Answer([*open_stream(parts), End.CLOSE])]}, stream=True)
            self.results(self.folder / "job.jsonl").errors_path.unlink()


class RequestIds(HostileCase):
    def test_are_always_strings(self) -> None:
        def answer(status: int, *lines: str) -> list[Answer]:
            return [Answer(document(completion("id") if status == 200 else {"error": {"message": "no"}}, status, *lines))]

        relay = self.hostile({"none": answer(200), "one": answer(200, "x-request-id: req_1"),
                              "refused-none": answer(400), "refused-one": answer(400, "x-request-id: req_2"),
                              "filtered": [Answer(document(completion("filtered", choices=[{
                                  "index": 0, "message": {"role": "assistant", "content": None},
                                  "finish_reason": "content_filter"}]), 400))]})
        wanted = {"none": "", "one": "req_1", "refused-none": "", "refused-one": "req_2", "filtered": ""}
        job = self.job([batch(name, json.loads(ask(name, stream=False))) for name in wanted])
        self.go(relay, job, expect=SOME_FAILED)
        found = {name: line["response"]["request_id"] for name, line in self.results(job).by_id().items()}
        self.assertEqual(found, wanted)


if __name__ == "__main__":
    unittest.main()
