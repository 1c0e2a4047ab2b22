"""Attacks by a relay, a job or a config: printed keys, terminal control sequences, injected headers, and unlimited
memory."""

from __future__ import annotations

import itertools
import json
import os
import re
import resource
import stat
import unittest
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hostile_relay import Answer, HostileRelay, Step
from hostile_traps import ask, completion, document, event, framed, streamed
from support import KEY, Case, Relay, Run, batch, chat, chats, files_under, jsonl

OTHER = "tk-header-5d1c9a7e3b2f4068"  # a secret in a header that replaces the key
SOME_FAILED, CANNOT_START, STOPPED = 1, 2, 3


def strings(value: Any) -> Iterator[str]:
    """All strings in a JSON document, including member names."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from strings(item)


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(c):04x}" for c in text)


def error_body(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "x", "param": None, "code": None, **more}}


def echoes(key: str) -> list[dict[str, Any]]:
    """Replies that repeat the key in different ways, one per request."""
    half = len(key) // 2
    pieces = [f'{{"index":0,"delta":{{"content":{json.dumps(part)}}},"finish_reason":null}}'
              for part in ("your key: ", key[:3], key[3:half], key[half:], ".")]
    said = [f'data: {{"choices":[{piece}]}}\n\n' for piece in pieces]
    end = 'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    choice = {"index": 0, "message": {"role": "assistant", "content": "so"}, "finish_reason": key}
    call = {"id": key, "type": "function", "function": {"name": key, "arguments": json.dumps({"key": key})}}
    calling = {"role": "assistant", "content": None, "tool_calls": [call]}
    called = {"index": 0, "message": calling, "finish_reason": "stop"}
    return [
        {"status": 400, "body": error_body(f"bad: Bearer {key}")},
        {"status": 400, "body": error_body("no", code=key, type=key, param=key)},
        {"status": 400, "body": '{"error":{"message":"bad %s","code":"x"}}' % escaped(key)},
        {"status": 400, "body": '{"error":{"message":"bad","echo":"%s"}}' % escaped(key)},
        {"status": 400, "body": "plain words, " + "and more " * 20 + key},  # the message is cut inside the key
        {"status": 400, "body": error_body("word " * 196 + key)},
        {"status": 400, "headers": {"Content-Type": "text/html"}, "body": f"<html><title>{key}</title></html>"},
        {"status": 400, "body": f"\\{key}"},
        {"status": 400, "headers": {"x-request-id": key}, "body": error_body("no")},
        {"status": 302, "headers": {"Location": f"https://elsewhere.example/?key={key}"}, "body": ""},
        {"status": 302, "headers": {"Location": "https://elsewhere.example/" + "x" * 160 + key}, "body": ""},
        {"status": 500, "body": error_body(f"oops {key}")},
        {"status": 429, "times": 2, "headers": {"retry-after-ms": "1"}, "body": error_body(f"slow down, {key}")},
        {"status": 200, "headers": {"x-request-id": key}, "chunks": [*said, end]},
        {"status": 200, "body": {"choices": [choice]}},
        {"status": 200, "body": {"choices": [called], "model": key, "id": key}},
        {"status": 200, "body": '{"choices":[{"index":0,"message":{"role":"assistant","content":"%s"},'
                                '"finish_reason":"stop"}]}' % escaped(key)},
        {"status": 200, "body": error_body(f"error in a 200: {key}")},
        {"status": 200, "chunks": [said[0], f'data: {{"error":{{"message":"{key}"}}}}\n\n']},
        {"status": 200, "chunks": [said[0], f"<html>{key}</html>"]},
        {"status": 200, "headers": {"Content-Encoding": key}, "body": "?"},
        {"raw": f"{key} is no HTTP\r\n\r\n", "close": "after"},
        {"raw": f"HTTP/1.1 400 {key}\r\nContent-Length: 0\r\n\r\n"},
    ]


class Keys(Case):
    """Every way to configure a key, with every way in which a relay may repeat it."""

    def relay_that_echoes(self, key: str) -> tuple[Relay, Path]:
        answers = echoes(key)
        script = [{"match": f"number {number} ", "times": None, **answer} for number, answer in enumerate(answers, 1)]
        return self.relay(script=script), self.job(chats(len(answers) + 12))

    def assert_hidden(self, key: str, run: Run, *holders: Path) -> None:
        """The key, or a large part of it, may only appear in the files of the user (`holders`)."""
        parts = (key, key[:14], key[-14:])
        for text in (run.out, run.err):
            for part in parts:
                self.assertNotIn(part, text)
        for path in files_under(self.folder):
            if path in holders or path.name.startswith("script"):
                continue
            text = path.read_bytes().decode("utf-8", "replace")
            found = [text, str(path)]
            if path.suffix in (".json", ".jsonl"):
                documents = text.splitlines() if path.suffix == ".jsonl" else [text]
                found += [word for document in documents for word in strings(json.loads(document))]
            for part in parts:
                for word in found:
                    self.assertNotIn(part, word, path.name)

    def go(self, key: str, env: dict[str, str | None], *flags: Any, holders: Iterable[Path] = (),
           sent: str = "") -> None:
        relay, job = self.relay_that_echoes(key)
        (self.folder / "sluice.toml").touch()
        words = ("run", job, "--rpm", 0, "--max-attempts", 2, "--concurrency", 4, "-v", "--log-file", "log", *flags)
        run = self.sluice(*words, "--base-url", relay.url, expect=SOME_FAILED, env=env)
        self.assertEqual(relay.stats["authorizations_seen"], [sent or f"Bearer {key}"])
        self.assertGreater(len(self.results(job).output), 12)
        self.assert_hidden(key, run, *holders)
        # The run stops because of the key, with the relay's message.
        broke = self.relay(script=[{"times": None, "status": 401, "body": error_body(f"Incorrect API key: {key}")}])
        run = self.sluice(*words, "--fresh", "--base-url", broke.url, expect=STOPPED, env=env)
        self.assertIn("Incorrect API key: [key]", run.err)
        self.assert_hidden(key, run, *holders)

    def test_from_the_environment(self) -> None:
        self.go(KEY, {})

    def test_from_a_file(self) -> None:
        file = self.folder / "key"
        file.write_text(f"{KEY}\n")
        self.go(KEY, {"OPENAI_API_KEY": None}, "--api-key-file", file, holders=[file])

    def test_from_the_config(self) -> None:
        config = self.folder / "own.toml"
        config.write_text(f'api-key = "{KEY}"\n')
        self.go(KEY, {"OPENAI_API_KEY": None}, "--config", config, holders=[config])

    def test_from_a_header(self) -> None:
        """The command line of the user contains the key, but the program must not print it."""
        self.go(OTHER, {}, "--header", f"Authorization: Bearer {OTHER}")
        self.go(OTHER, {}, f"--header=authorization: Basic {OTHER}", "--fresh", sent=f"Basic {OTHER}")

    def test_of_a_pool(self) -> None:
        key = "sk-pool-1f2e3d4c5b6a7988"
        relay, job = self.relay_that_echoes(key)
        file, config = self.folder / "key", self.folder / "own.toml"
        file.write_text(f"{key}\n")
        config.write_text("".join(f'[[relay]]\nname = "{name}"\nbase_url = "{relay.url}"\n{place}\n'
                                  for name, place in (("one", 'api_key_env = "ONE_KEY"'),
                                                      ("two", f'api_key_file = "{file}"'))))
        run = self.sluice("run", job, "--config", config, "--rpm", 0, "--max-attempts", 2, "-v", "--log-file", "log",
                          expect=SOME_FAILED, env={"ONE_KEY": key})
        self.assert_hidden(key, run, file)

    def test_in_a_wrong_place(self) -> None:
        """A refusal of a line or a config must not quote the key."""
        job = self.job(chats(1))
        config = self.folder / "own.toml"
        rows: list[tuple[list[Any], str]] = [
            ([f"--api-key={KEY}"], ""),
            (["--api-key", KEY], ""),
            (["--header", f"Bearer {KEY}"], ""),
            (["--header", f"Authorization: Bearer {KEY}\r\nX-Evil: 1"], ""),
            (["--base-url", f"https://host/v1?key={KEY}"], ""),
            (["--base-url", f"https://user:{KEY}@host/v1"], ""),
            (["--config", config], f"api-key = {KEY}\n"),
            (["--config", config], f"header = [Bearer {KEY}\n"),
            (["--config", config], f'header = "Bearer {KEY}"\n'),
            (["--config", config], f'[[relay]]\nname = "a"\nbase_url = "https://x"\napi_key_env = "{KEY}"\n'),
            (["--config", config], f'[[relay]]\nname = "a"\nbase_url = "https://x"\napi_key = "{KEY}"\n'),
            (["--config", config], f'[[relay]]\nname = "a"\nbase_url = "https://x"\napi_key = {KEY}\n'),
        ]
        for words, text in rows:
            with self.subTest(words=words, config=text):
                config.write_text(text)
                run = self.sluice("run", job, *words, expect=CANNOT_START, env={"OPENAI_API_KEY": KEY})
                self.assert_one_sentence(run)
                self.assert_hidden(KEY, run, config)


class InTheClear(Case):
    NOWHERE = "http://192.0.2.1:9/v1"  # an address without a host (RFC 5737)
    FLAGS = ("--connect-timeout", "100ms", "--give-up-after", "100ms")

    def warnings(self, run: Run) -> list[str]:
        return [line for line in run.err.splitlines() if "goes unencrypted" in line]

    def test_the_warning_appears_once_per_host(self) -> None:
        job = self.job(chats(3))
        [warning] = self.warnings(self.sluice("run", job, "--base-url", self.NOWHERE, *self.FLAGS, expect=STOPPED))
        self.assertIn("192.0.2.1:9", warning)
        (self.folder / "sluice.toml").write_text("".join(
            f'[[relay]]\nname = "{name}"\nbase_url = "{self.NOWHERE}"\n' for name in ("one", "two")))
        self.assertEqual(len(self.warnings(self.sluice("run", job, *self.FLAGS, expect=STOPPED))), 1)

    def test_there_is_no_warning_for_local_hosts(self) -> None:
        job, relay = self.job(chats(3)), self.relay()
        for url in (relay.url, relay.url.replace("127.0.0.1", "localhost")):
            self.assertEqual(self.warnings(self.sluice("run", job, "--base-url", url, "--fresh")), [])
        self.assertEqual(self.warnings(self.sluice("run", job, "--simulate", "--output-dir", self.out, "--base-url",
                                                   self.NOWHERE)), [])
        run = self.sluice("run", job, "--fresh", "--base-url", self.NOWHERE.replace("http", "https"), *self.FLAGS,
                          expect=STOPPED)
        self.assertEqual(self.warnings(run), [])


EVIL = "red\x1b[31m bell\x07 del\x7f csi\u009b2J turned\u202egpj.exe\u202c \u2066isolated\u2069 end\u2028ed"
OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f\u0080-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class Terminal(Case):
    def assert_tame(self, run: Run) -> None:
        log = self.folder / "log"
        for text in (run.out, run.err, log.read_bytes().decode("utf-8") if log.exists() else ""):
            self.assertNotRegex(text, OBEYED)
        if log.exists():
            for line in log.read_text().splitlines():
                self.assertRegex(line, r"^\d{4}-\d\d-\d\dT", "foreign text must not start a line")

    def go(self, job: Path, url: str, *flags: Any, expect: int, env: dict[str, str | None] | None = None) -> Run:
        run = self.sluice("run", job, "--base-url", url, "--rpm", 0, "--max-attempts", 1, "-v", "--log-file", "log",
                          *flags, expect=expect, env=env)
        self.assert_tame(run)
        return run

    def test_messages_of_a_relay(self) -> None:
        page = f"<html><title>{EVIL}</title></html>"
        latin = "".join(chr(0xDC00 + byte) if byte > 127 else chr(byte) for byte in EVIL.encode())
        answers = [
            {"status": 400, "body": error_body(EVIL + "\nsluice: all is well")}, {"status": 400, "body": EVIL},
            {"status": 400, "headers": {"Content-Type": "text/html"}, "body": page},
            {"status": 500, "body": error_body(EVIL, code=EVIL)}, {"status": 200, "body": error_body(EVIL)},
            {"status": 200, "chunks": [f"data: {json.dumps(error_body(EVIL))}\n\n"]},
            {"status": 200, "chunks": [page]}, {"raw": f"{latin}\r\n\r\n", "close": "after"},
            {"raw": f"HTTP/1.1 302 Moved\r\nLocation: /{latin}\r\nContent-Length: 0\r\n\r\n"},
            {"raw": f"HTTP/1.1 400 {latin}\r\nContent-Length: 0\r\n\r\n"},
            {"raw": f"HTTP/1.1 200 OK\r\nContent-Encoding: {latin}\r\nContent-Length: 1\r\n\r\n?"},
            {"status": 200, "body": {"choices": [], "status": EVIL}},
        ]
        relay = self.relay(script=[{"match": f"number {number} ", "times": None, **answer}
                                   for number, answer in enumerate(answers, 1)])
        run = self.go(self.job(chats(len(answers) + 8)), relay.url, expect=SOME_FAILED)
        self.assertIn("red\\x1b[31m bell\\x07 del\\x7f csi\\u009b2J turned\\u202egpj.exe", run.err)
        self.assertNotIn("\nsluice: all is well", run.err)
        for status, body, code in ((401, error_body(EVIL), STOPPED), (404, page, CANNOT_START),
                                   (302, "", CANNOT_START)):
            broke = self.relay(script=[{"times": None, "status": status, "body": body,
                                        "headers": {"Location": "/" + latin.replace("\x1b", "").replace("\x07", "")
                                                    .replace("\x7f", "")}}])
            self.go(self.job(chats(8)), broke.url, "--fresh", expect=code)

    def test_text_of_a_job(self) -> None:
        """An unpriced model, a request id, a path: all are printed, but control sequences have no effect."""
        relay = self.relay(script=[{"match": "fail", "times": None, "status": 400, "body": error_body("no")}])
        name = EVIL.replace("/", "") + "\nsluice: all is well"
        lines = [batch(f"{EVIL}\nsluice: done", chat("fail", model=f"model {EVIL}")), *chats(6)]
        job = self.job(jsonl(lines) + b'{"custom_id":"\\u001b[31m","model":"m"}\n', f"{name}.jsonl")
        run = self.go(job, relay.url, expect=SOME_FAILED)
        self.assertIn("no price for model red\\x1b[31m", run.err)
        changed = [batch(f"{EVIL}\nsluice: done", chat("other", model="gpt-4o-mini")), *chats(6)]
        job.write_bytes(jsonl([*changed[:1], *(dict(line, custom_id=f"{EVIL}{line['custom_id']}")
                                               for line in changed[1:])]))
        self.go(job, relay.url, expect=CANNOT_START)

    def test_names_of_a_pool_and_messages_of_a_proxy(self) -> None:
        def refuse(connection: Any) -> None:
            connection.recv(1 << 16)
            connection.sendall(f"HTTP/1.1 407 {EVIL}\r\nContent-Length: 0\r\n\r\n".encode())

        listener = self.listener(refuse)
        job = self.job(chats(3))
        env: dict[str, str | None] = {"HTTPS_PROXY": f"http://127.0.0.1:{listener.port}"}
        self.go(job, "https://relay.example", "--give-up-after", "100ms", expect=CANNOT_START, env=env)
        (self.folder / "sluice.toml").write_text(
            f'[[relay]]\nname = {json.dumps(EVIL.replace(chr(0x7f), ""))}\nbase_url = "https://relay.example"\n')
        run = self.sluice("run", job, "--give-up-after", "100ms", "-v", "--log-file", "log", expect=CANNOT_START,
                          env=env)
        self.assert_tame(run)

    def test_text_of_the_command_line(self) -> None:
        for words in ((f"--{EVIL}",), (EVIL,), ("run", f"--{EVIL}"), ("run", EVIL), ("run", "x", f"--rpm={EVIL}")):
            with self.subTest(words):
                self.assert_tame(self.sluice(*words, expect=CANNOT_START))


class HostileCase(Case):
    def hostile(self, answers: dict[str, list[Answer]]) -> HostileRelay:
        started = HostileRelay(answers)
        self.addCleanup(started.stop)
        return started


class Injection(HostileCase):
    """Line ends in header values are refused before anything is sent. Data of a job never gets into a header."""

    def test_line_ends_in_header_values(self) -> None:
        relay, job = self.relay(), self.job(chats(1))
        config, key = self.folder / "own.toml", self.folder / "key"
        line_end = "\r\nX-Evil: 1"
        for text in (f"header = {json.dumps('X-A: b' + line_end)}\n", f"header = {json.dumps('X-A' + line_end)}\n",
                     f"api-key = {json.dumps('sk' + line_end)}\n"):
            with self.subTest(config=text):
                config.write_text(text)
                self.assert_one_sentence(self.run_job(job, relay, "--config", config, expect=CANNOT_START,
                                                      env={"OPENAI_API_KEY": None}))
        config.write_text(f"[[relay]]\nname = \"a\"\nbase_url = {json.dumps(relay.url + line_end)}\n")
        self.assert_one_sentence(self.sluice("run", job, "--config", config, expect=CANNOT_START))
        for words in (["--header", f"X-A: b{line_end}"], ["--header", "X-A\r\n: b"], ["--header", "X-A: b\nX-Evil: 1"],
                      ["--base-url", f"{relay.url}{line_end}"], ["--base-url", f"http://127.0.0.1{line_end}:1/v1"]):
            with self.subTest(words=words):
                self.assert_one_sentence(self.run_job(job, relay, *words, expect=CANNOT_START))
        for text in ("sk-one\rX-Evil: 1\n", "sk-one\x00two\n", "sk one\n"):
            with self.subTest(key=text):
                key.write_text(text)
                self.assert_one_sentence(self.run_job(job, relay, "--api-key-file", key, expect=CANNOT_START))
        self.assertEqual(relay.attempts, 0)

    def test_line_ends_in_a_job(self) -> None:
        relay = self.hostile({"a": [streamed("a")]})
        body = json.loads(ask("a", model="gpt\r\nX-Evil: 1", user="u\r\nX-Evil: 1"))
        job = self.job([{"custom_id": "id\r\nX-Evil: 1", "method": "POST", "url": "/v1/chat/completions", "body": body}])
        self.sluice("run", job, "--base-url", relay.url, "--rpm", 0)
        [attempt] = relay.ledger.of("a")
        self.assertNotIn("x-evil", attempt.headers)


class WithoutEnd(HostileCase):
    """Heads, interim replies and trailers without an end."""

    def check(self, steps: list[Step], *flags: Any) -> None:
        relay = self.hostile({"endless": [Answer(steps)], "good": [Answer(document(completion("good")))]})
        job = self.job([batch(name, json.loads(ask(name, stream=False))) for name in ("good/1", "endless", "good/2")])
        run = self.sluice("run", job, "--base-url", relay.url, "--rpm", 0, "--max-attempts", 1, "--timeout", "2s",
                          *flags, expect=None)
        self.assertIn(run.code, (0, SOME_FAILED), run.err)
        self.assertEqual(len(self.results(job).output) + len(self.results(job).errors), 3)
        if os.environ.get("SLUICE_E2E_MEMORY") != "0":
            self.assertLess(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, 200 << 10)

    def test_a_head_of_many_lines(self) -> None:
        self.check([b"HTTP/1.1 200 OK\r\n", lambda: itertools.repeat(b"X-Pad: " + b"a" * 4000 + b"\r\n")])

    def test_a_head_of_one_line(self) -> None:
        self.check([b"HTTP/1.1 200 OK\r\nX-Pad: ", lambda: itertools.repeat(b"a" * 65536)])

    def test_a_status_line(self) -> None:
        self.check([b"HTTP/1.1 200 ", lambda: itertools.repeat(b"a" * 65536)])

    def test_interim_replies(self) -> None:
        self.check([lambda: itertools.repeat(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 100)])

    def test_a_trailer(self) -> None:
        body = event({"choices": [{"index": 0, "delta": {"content": "so"}, "finish_reason": "stop"}]})
        self.check([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", framed(body), b"0\r\n",
                    lambda: itertools.repeat(b"X-Pad: " + b"a" * 4000 + b"\r\n")])


class LogFile(Case):
    def mode(self, path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)

    def test_only_its_owner_may_read_it(self) -> None:
        job = self.job(chats(2))
        log, existing = self.folder / "log", self.folder / "existing.log"
        existing.touch(0o644)
        existing.chmod(0o644)
        for path in (log, log, existing):
            self.sluice("run", job, "--simulate", "--rpm", 0, "--log-file", path)
        self.assertEqual(self.mode(log), 0o600)
        self.assertEqual(self.mode(existing), 0o644, "an existing file keeps its mode")


if __name__ == "__main__":
    unittest.main()
