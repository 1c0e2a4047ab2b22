"""`sluice ask`: one prompt, with the answer streamed to standard output. It is the first command of a new user."""

from __future__ import annotations

import json
import socket
import threading
import unittest
from typing import Any

from support import KEY, PATIENCE, Case, wait_until


def event(text: str, finish: str | None = None) -> bytes:
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini",
             "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


USAGE = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini","choices":[],' \
        b'"usage":{"prompt_tokens":1000000,"completion_tokens":2,"total_tokens":1000002}}\n\ndata: [DONE]\n\n'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


def read_request(connection: socket.socket) -> tuple[bytes, dict[str, Any]]:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    size = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    while len(body) < size:
        body += connection.recv(65536)
    return head, json.loads(body)


class Ask(Case):
    def server(self, *answers: list[bytes]) -> Any:
        """Sends the answers in turn, one for each connection, and then closes it."""
        left = list(answers)

        def serve(connection: socket.socket) -> None:
            server.requests.append(read_request(connection))
            for piece in left.pop(0):
                connection.sendall(piece)

        server: Any = self.listener(serve)
        server.url = f"http://127.0.0.1:{server.port}/v1"
        server.requests = []
        return server

    def test_the_first_success_in_one_line(self) -> None:
        run = self.sluice("ask", "你好", "--simulate", env={"OPENAI_API_KEY": None})
        self.assertGreater(len(run.out), 10)
        self.assertTrue(run.out.endswith("\n"))
        self.assertRegex(run.err, r"gpt-4o-mini: 8 prompt \+ [\d,]+ completion tokens, \$0\.\d+, \d+\.\d s")

    def test_the_answer_is_shown_while_it_arrives(self) -> None:
        shown = threading.Event()

        def serve(connection: socket.socket) -> None:
            read_request(connection)
            connection.sendall(HEAD + event("first ") + event("wo"))
            shown.wait(PATIENCE)
            connection.sendall(event("rd", "stop") + USAGE)

        server = self.listener(serve)
        run = self.start("ask", "hi", "--base-url", f"http://127.0.0.1:{server.port}/v1")
        wait_until(lambda: run.out == "first ", "the first word is shown")
        shown.set()
        self.assertEqual(run.wait().code, 0, run.err)
        self.assertEqual(run.out, "first word\n")
        self.assertIn("1,000,000 prompt + 2 completion tokens, $0.1500012, ", run.err)

    def test_a_local_server_needs_no_key(self) -> None:
        server = self.server([HEAD, event("Hello!", "stop"), USAGE])
        run = self.sluice("ask", "hi", "--base-url", server.url, env={"OPENAI_API_KEY": None})
        self.assertEqual(run.out, "Hello!\n")
        head, body = server.requests[0]
        self.assertNotIn(b"authorization", head.lower())
        self.assertEqual(body["messages"], [{"role": "user", "content": "hi"}])
        run = self.sluice("ask", "hi", "--base-url", "http://192.0.2.1/v1", env={"OPENAI_API_KEY": None}, expect=2)
        self.assert_one_sentence(run, "API key")

    def test_words_a_file_and_standard_input(self) -> None:
        (self.folder / "notes.txt").write_text("the notes")
        cases = [((("two", "words"), None), "two words"),
                 ((("Sum up:", "-f", "notes.txt"), None), "Sum up:\n\nthe notes"),
                 ((("-f", "notes.txt"), None), "the notes"),
                 (((), b"from a pipe"), "from a pipe"),
                 ((("-",), b"from a pipe"), "from a pipe")]
        for (words, stdin), prompt in cases:
            with self.subTest(words=words):
                server = self.server([HEAD, event("ok", "stop"), USAGE])
                self.sluice("ask", *words, "--system", "Be short.", "--model", "gpt-4o", "--max-tokens", 9, "--base-url",
                            server.url, stdin=stdin)
                body = server.requests[0][1]
                self.assertEqual(body["messages"], [{"role": "system", "content": "Be short."},
                                                    {"role": "user", "content": prompt}])
                self.assertEqual((body["model"], body["max_tokens"], body["stream"]), ("gpt-4o", 9, True))

    def test_what_is_no_prompt_is_refused(self) -> None:
        for words, stdin, named in (((), b" \n", "no prompt"), (("-f", "missing"), None, "--file missing"),
                                    (("sum up", "-f", "."), None, "--file .: is a folder"),
                                    (("sum up", "-f", "/dev/null"), None, "--file /dev/null: holds no text"),
                                    ((), b"\xff\xfe", "UTF-8")):
            self.assert_one_sentence(self.sluice("ask", *words, "--simulate", stdin=stdin, expect=2), named)

    def test_an_answer_that_breaks_off_starts_again(self) -> None:
        server = self.server([HEAD, event("half of ")], [HEAD, event("the whole", "stop"), USAGE])
        run = self.sluice("ask", "hi", "--base-url", server.url)
        self.assertEqual(run.out, "half of \nthe whole\n")
        self.assertIn("it starts again", run.err)
        self.assertIn("1 earlier attempt(s) broke and may have been billed", run.err)

    def test_a_reply_that_is_not_streamed(self) -> None:
        body = json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini", "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "whole"}, "finish_reason": "length"}]}).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        server = self.server([head, body])
        run = self.sluice("ask", "hi", "--base-url", server.url)
        self.assertEqual(run.out, "whole\n")
        self.assertIn("finish reason 'length'; raise --max-tokens", run.err)

    def test_a_key_in_the_answer_is_not_shown(self) -> None:
        pieces = [event(KEY[at:at + 5]) for at in range(0, len(KEY), 5)]
        server = self.server([HEAD, event("key: "), *pieces, event(" end", "stop"), USAGE])
        run = self.sluice("ask", "hi", "--base-url", server.url)
        self.assertEqual(run.out, "key: [key] end\n")

    def test_a_budget_that_the_answer_may_exceed(self) -> None:
        server = self.server()
        run = self.sluice("ask", "hi", "--base-url", server.url, "--budget", "0.001", expect=3)
        self.assertEqual((run.out, server.requests), ("", []))
        self.assertIn("may cost up to $0.0", run.err)
        self.assertRegex(run.err, r"max_tokens \d+ or less")

    def test_a_model_that_the_relay_does_not_have(self) -> None:
        body = b'{"error":{"message":"The model `gpt-4o-mimi` does not exist","code":"model_not_found"}}'
        head = b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        server = self.server([head, body])
        run = self.sluice("ask", "hi", "--model", "gpt-4o-mimi", "--base-url", server.url, expect=1)
        self.assertIn("did you mean gpt-4o-mini", run.err)
        self.assertIn("sluice models", run.err)

    def test_the_words_of_a_new_user(self) -> None:
        run = self.sluice(expect=2)
        self.assertEqual(run.out, "")
        self.assertIn("Commands:", run.err)
        self.assertEqual(self.sluice("help", "ask").out, self.sluice("ask", "--help").out)
        self.assertEqual(self.sluice("help").out, self.sluice("--help").out)
        self.assertEqual(self.sluice("-V").out, self.sluice("--version").out)
        self.assert_one_sentence(self.sluice("help", "aks", expect=2), "ask")


if __name__ == "__main__":
    unittest.main()
