"""Replies as real relays send them: cut, silent, unusual and large ones."""

from __future__ import annotations

import json
import unittest
from typing import Any

from support import Case, Relay, Results, Run, batch, chat, chats, text_of

LAST = "data: [DONE]\n\n"
SSE = {"Content-Type": "text/event-stream"}
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def event(delta: dict[str, Any] | None = None, reason: str | None = None, **more: Any) -> str:
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "gpt-4o-mini",
             "choices": [{"index": 0, "delta": delta or {}, "finish_reason": reason}], **more}
    return f"data: {json.dumps(chunk)}\n\n"


def usage_event() -> str:
    return event(choices=[], usage=USAGE)


BEGUN = [event({"role": "assistant", "content": ""}), event({"content": "so "}), event({"content": "be it"})]
WHOLE = [*BEGUN, event(reason="stop"), usage_event(), LAST]


class ProtocolCase(Case):
    def once(self, *script: dict[str, Any], flags: tuple[Any, ...] = (), expect: int = 0,
             body: dict[str, Any] | None = None) -> tuple[Results, Relay, Run]:
        """Sends one request. The relay answers with the script, then as usual."""
        relay = self.relay(script=list(script))
        job = self.job([batch("a", body or chat("hello"))])
        run = self.run_job(job, relay, *flags, expect=expect)
        return self.results(job), relay, run

    def assert_retried(self, *script: dict[str, Any], lost: int = 1, flags: tuple[Any, ...] = ()) -> None:
        """The scripted attempts fail, and the next one succeeds."""
        results, relay, _ = self.once(*script, flags=flags)
        [line] = results.output
        self.assertEqual(text_of(line), "echo: hello")
        self.assertEqual(line["sluice"]["attempts"], len(script) + 1)
        self.assertEqual(relay.attempts, len(script) + 1)
        self.assertEqual(len(relay.stats["bodies_seen"]), 1, "all attempts have the same Idempotency-Key")
        self.assertEqual((results.totals["attempts"], results.totals["retries"],
                          results.totals["maybe_billed_attempts"]), (len(script) + 1, len(script), lost))

    def assert_taken(self, entry: dict[str, Any], text: str = "so be it", flags: tuple[Any, ...] = ()) -> dict[str, Any]:
        results, relay, _ = self.once(entry, flags=flags)
        [line] = results.output
        self.assertEqual(text_of(line), text)
        self.assertEqual((line["sluice"]["attempts"], relay.attempts), (1, 1))
        return line


class WholeReplies(ProtocolCase):
    def test_the_usual_stream(self) -> None:
        line = self.assert_taken({"chunks": WHOLE, "headers": SSE})
        self.assertEqual(line["response"]["body"], {
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1700000000, "model": "gpt-4o-mini",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "so be it", "refusal": None},
                         "logprobs": None, "finish_reason": "stop"}], "usage": USAGE})

    def test_without_done(self) -> None:
        self.assert_taken({"chunks": WHOLE[:-1], "headers": SSE})
        self.assert_taken({"chunks": WHOLE[:-1], "headers": SSE, "close": "cut"}, flags=("--fresh",))

    def test_without_usage(self) -> None:
        line = self.assert_taken({"chunks": [*BEGUN, event(reason="stop"), LAST], "headers": SSE})
        self.assertIn(line["sluice"]["usage_source"], ("none", "estimated"))
        if line["sluice"]["usage_source"] == "none":
            self.assertIsNone(line["sluice"]["cost_usd"])

    def test_split_at_every_byte(self) -> None:
        text = "".join([*WHOLE[:1], event({"content": "漢字 🐎 "}), *WHOLE[1:]])
        raw = text.encode()
        pieces = [raw[i:i + 1].decode("utf-8", "surrogateescape") for i in range(len(raw))]
        self.assert_taken({"chunks": pieces, "headers": SSE, "gap": 0}, "漢字 🐎 so be it")

    def test_line_ends_comments_and_fields(self) -> None:
        text = "".join(WHOLE).replace("\n", "\r\n")
        text = ": PING\r\n\r\nretry: 10\r\nid: 7\r\n" + text.replace("data: ", "data:", 2)
        self.assert_taken({"chunks": [text], "headers": SSE})

    def test_last_event_without_a_blank_line(self) -> None:
        self.assert_taken({"chunks": [*BEGUN, event(reason="stop").rstrip("\n")], "headers": SSE})

    def test_held_open_after_done(self) -> None:
        """Without a limited wait the run would last until the timeouts, much longer than this test allows."""
        self.assert_taken({"chunks": WHOLE, "headers": SSE, "hold": True}, flags=("--idle-timeout", "10m"))

    def test_held_open_after_the_finish_reason(self) -> None:
        self.assert_taken({"chunks": [*BEGUN, event(reason="stop")], "headers": SSE, "hold": True},
                          flags=("--idle-timeout", "10m"))

    def test_a_whole_object_instead_of_a_stream(self) -> None:
        """The relay ignores `stream` and answers with the whole object."""
        document = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini",
                    "choices": [{"index": 0, "message": {"role": "assistant", "content": "so be it"},
                                 "finish_reason": "stop"}], "usage": USAGE}
        line = self.assert_taken({"status": 200, "body": document})
        self.assertEqual(line["response"]["body"], document)

    def test_numbers_keep_their_text(self) -> None:
        raw = ('{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":'
               '{"role":"assistant","content":"so be it"},"finish_reason":"stop","score":1.50e-7,'
               '"big":12345678901234567890123}],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}')
        results, _, _ = self.once({"status": 200, "body": raw}, flags=("--no-stream",))
        text = results.output_path.read_text("utf-8")
        self.assertIn("1.50e-7", text)
        self.assertIn("12345678901234567890123", text)

    def test_invalid_utf8_is_replaced(self) -> None:
        chunk = BEGUN[1].replace("so ", "so\udcff ")
        self.assert_taken({"chunks": [BEGUN[0], chunk, *WHOLE[2:]], "headers": SSE}, "so\ufffd be it")

    def test_two_choices_need_two_finish_reasons(self) -> None:
        def choice(index: int, delta: dict[str, Any], reason: str | None = None) -> str:
            return event(choices=[{"index": index, "delta": delta, "finish_reason": reason}])

        half = [choice(0, {"content": "a"}), choice(1, {"content": "b"}), choice(0, {}, "stop"), LAST]
        whole = [*half[:-1], choice(1, {}, "length"), usage_event(), LAST]
        results, _, _ = self.once({"chunks": half, "headers": SSE}, {"chunks": whole, "headers": SSE},
                                  body=chat("hello", n=2))
        [line] = results.output
        self.assertEqual(line["sluice"]["attempts"], 2)
        self.assertEqual([(c["index"], c["message"]["content"], c["finish_reason"])
                          for c in line["response"]["body"]["choices"]], [(0, "a", "stop"), (1, "b", "length")])
        self.assertEqual(results.totals["finish_reasons"], {"stop": 1, "length": 1})

    def test_tool_calls_are_put_together(self) -> None:
        def call(**piece: Any) -> str:
            return event({"tool_calls": [piece]})

        chunks = [BEGUN[0],
                  call(index=0, id="call_1", type="function", function={"name": "look", "arguments": ""}),
                  call(index=0, function={"arguments": '{"at":'}),
                  call(index=1, id="call_2", type="function", function={"name": "stop", "arguments": "{}"}),
                  call(index=0, function={"arguments": '"sky"}'}),
                  event(reason="tool_calls"), usage_event(), LAST]
        results, _, _ = self.once({"chunks": chunks, "headers": SSE})
        message = results.output[0]["response"]["body"]["choices"][0]["message"]
        self.assertEqual(message["tool_calls"], [
            {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at":"sky"}'}},
            {"id": "call_2", "type": "function", "function": {"name": "stop", "arguments": "{}"}}])

    def test_chunked_content_length_and_until_close(self) -> None:
        text = "".join(WHOLE)
        for name, entry in (("chunked", {"chunks": WHOLE, "headers": SSE}),
                            ("length", {"status": 200, "body": text, "headers": SSE}),
                            ("close", {"raw": "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + text,
                                       "close": "after"}),
                            ("1.0", {"raw": "HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + text,
                                     "close": "after"}),
                            ("continue", {"raw": ["HTTP/1.1 100 Continue\r\n\r\n",
                                                  "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                                                  "Connection: close\r\n\r\n", text], "close": "after"})):
            with self.subTest(name):
                self.assert_taken(entry)
                for path in self.results(self.folder / "job.jsonl").paths:
                    path.unlink()

    def test_connection_close_every_time(self) -> None:
        relay = self.relay(script=[{"times": None, "chunks": WHOLE, "headers": {**SSE, "Connection": "close"},
                                    "close": "after"}])
        job = self.job(chats(60))
        self.run_job(job, relay, "--concurrency", 8)
        self.assertEqual(len(self.results(job).output), 60)
        self.assertEqual(relay.attempts, 60, "a closed connection costs no attempt")

    def test_connections_closed_while_idle(self) -> None:
        """The connection is closed long before it would be used again. That must not cost an attempt."""
        relay = self.relay(script=[{"times": None, "chunks": WHOLE, "headers": SSE, "close": "after"}])
        job = self.job(chats(12))
        self.sluice("run", job, "--base-url", relay.url, "--rpm", 300, "--pace", "even", "--concurrency", 2)
        self.assertEqual(len(self.results(job).output), 12)
        self.assertEqual(relay.attempts, 12)
        self.assertEqual(self.results(job).totals["attempts"], 12)

    def test_connections_closed_just_when_the_next_request_is_sent(self) -> None:
        """The relay often closes a connection just when the next request is sent. No request may fail."""
        relay = self.relay(script=[{"times": None, "chunks": WHOLE, "headers": SSE, "close": "after"}])
        job = self.job(chats(30))
        self.run_job(job, relay, "--concurrency", 2, "--max-attempts", 20)
        self.assertEqual(len(self.results(job).output), 30)

    def test_connections_are_kept(self) -> None:
        relay = self.relay()
        self.run_job(self.job(chats(60)), relay, "--concurrency", 4)
        # The end of a reply may still be on its way when the next request starts, so some connections are not reused.
        self.assertLess(relay.stats["connections"], 30)

    def test_a_reply_of_some_megabytes(self) -> None:
        part = "0123456789abcdef" * 4096
        chunks = [BEGUN[0], *[event({"content": part})] * 80, event(reason="stop"), usage_event(), LAST]
        self.assert_taken({"chunks": chunks, "headers": SSE, "gap": 0}, part * 80)
        self.assert_taken({"chunks": [BEGUN[0], event({"content": part * 80}), *WHOLE[3:]], "headers": SSE},
                          part * 80, flags=("--fresh",))

    def test_content_filter_is_a_success(self) -> None:
        results, relay, _ = self.once({"chunks": [*BEGUN, event(reason="content_filter"), usage_event(), LAST],
                                       "headers": SSE})
        self.assertEqual(results.totals["finish_reasons"], {"content_filter": 1})
        self.assertEqual(relay.attempts, 1)


class BrokenReplies(ProtocolCase):
    def test_done_without_a_finish_reason(self) -> None:
        self.assert_retried({"chunks": [*BEGUN, LAST], "headers": SSE})

    def test_an_empty_finish_reason_does_not_count(self) -> None:
        self.assert_retried({"chunks": [*BEGUN, event(reason=""), LAST], "headers": SSE})

    def test_cut_streams(self) -> None:
        self.assert_retried({"chunks": BEGUN, "headers": SSE, "close": "cut"},
                            {"chunks": BEGUN, "headers": SSE, "close": "rst"},
                            {"chunks": BEGUN, "headers": SSE}, lost=3)

    def test_a_cut_body(self) -> None:
        self.assert_retried({"status": 200, "body": {"choices": ["x" * 200]}, "close": "cut"}, flags=("--no-stream",))

    def test_resets_before_the_head(self) -> None:
        self.assert_retried({"close": "rst"}, {"close": "after"}, lost=2)

    def test_errors_inside_a_200(self) -> None:
        error = {"message": "upstream is overloaded", "type": "server_error", "code": "busy"}
        self.assert_retried({"status": 200, "body": {"error": error}},
                            {"chunks": [BEGUN[0], f"data: {json.dumps({'error': error})}\n\n", LAST], "headers": SSE},
                            {"chunks": [f"event: error\ndata: {json.dumps(error)}\n\n"], "headers": SSE}, lost=3)
        self.assert_retried({"status": 200, "body": {"success": False, "message": "no"}},
                            {"status": 200, "body": []}, {"status": 200, "body": ""}, lost=3, flags=("--fresh",))

    def test_a_permanent_error_inside_a_200(self) -> None:
        entry = {"status": 200, "body": {"error": {"message": "upstream is overloaded", "code": "busy"}}, "times": None}
        results, relay, _ = self.once(entry, flags=("--max-attempts", 2), expect=1)
        [line] = results.errors
        self.assertEqual(line["error"]["code"], "invalid_response")
        self.assertIn("upstream is overloaded", line["error"]["message"])
        self.assertIsNone(line["response"])
        self.assertTrue(line["sluice"]["retryable"])
        self.assertEqual(relay.attempts, 2)

    def test_a_page_with_status_200(self) -> None:
        self.assert_retried({"status": 200, "headers": {"Content-Type": "text/html"}, "body": "<html>busy</html>"})

    def test_temporary_statuses(self) -> None:
        self.assert_retried(*({"status": status, "body": {"error": {"message": "later"}}}
                              for status in (503, 500, 408)), lost=0)

    def test_429_does_not_use_up_the_attempts(self) -> None:
        self.assert_retried(*[{"status": 429, "headers": {"retry-after-ms": "20"},
                               "body": {"error": {"message": "slow down"}}}] * 4, lost=0,
                            flags=("--max-attempts", 1))

    def test_permanent_statuses(self) -> None:
        lines = [batch(str(status), chat(f"status {status}")) for status in (400, 413, 422, 501)]
        relay = self.relay(script=[{"match": f"status {line['custom_id']}", "times": None,
                                    "status": int(line["custom_id"]), "body": {"error": {"message": "no"}}}
                                   for line in lines])
        job = self.job([*lines, *chats(6)])
        self.run_job(job, relay, expect=1)
        results = self.results(job)
        self.assertEqual(results.totals["errors"], {"400": 1, "413": 1, "422": 1, "501": 1})
        self.assertEqual(relay.attempts, 10)

    def test_when_the_attempts_run_out(self) -> None:
        for name, entry, code, flags in (
                ("cut", {"chunks": BEGUN, "headers": SSE, "close": "cut"}, "stream_interrupted", ()),
                ("silent", {"chunks": BEGUN, "headers": SSE, "hold": True}, "request_timeout",
                 ("--idle-timeout", "200ms")),
                ("no head", {"hold": True}, "request_timeout", ("--first-byte-timeout", "200ms")),
                ("too long", {"hold": True}, "request_timeout", ("--timeout", "200ms")),
                ("too large", {"chunks": [BEGUN[0], event({"content": "x" * 5000})], "headers": SSE, "hold": True},
                 "response_too_large", ("--max-response-bytes", 4000))):
            with self.subTest(name):
                results, _, _ = self.once({**entry, "times": None}, flags=("--max-attempts", 1, "--fresh", *flags),
                                          expect=1)
                [line] = results.errors
                self.assertEqual(line["error"]["code"], code)
                self.assertTrue(line["error"]["message"])
                self.assertEqual(results.totals["maybe_billed_attempts"], 1)

    def test_silence_is_retried(self) -> None:
        self.assert_retried({"chunks": BEGUN, "headers": SSE, "hold": True}, {"hold": True}, lost=2,
                            flags=("--idle-timeout", "300ms", "--first-byte-timeout", "300ms"))

    def test_a_reply_that_is_not_http(self) -> None:
        self.assert_retried({"raw": "SSH-2.0-OpenSSH_9.2\r\n", "close": "after"},
                            {"raw": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n", "close": "after"},
                            lost=2)


if __name__ == "__main__":
    unittest.main()
