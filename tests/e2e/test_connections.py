"""Connections to the relay: reused, closed, silent or refused, with and without TLS."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
import unittest
from pathlib import Path
from typing import Any

from support import Case, Relay, batch, chat, chats, signal_and_wait, text_of, wait_until

REPLY = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1700000000, "model": "gpt-4o-mini",
         "choices": [{"index": 0, "message": {"role": "assistant", "content": "stray"}, "finish_reason": "stop"}],
         "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}


def response(body: Any, status: str = "200 OK") -> str:
    text = json.dumps(body)
    return f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n{text}"


class Kept(Case):
    tls: tuple[Path, Path, Path] | None = None

    def serve(self, *flags: str, **more: Any) -> Relay:
        return self.relay(*flags, tls=self.tls, **more)

    def trust(self) -> dict[str, str | None]:
        return {"SSL_CERT_FILE": str(self.tls[0])} if self.tls else {}

    def test_a_reply_without_a_request_is_not_used(self) -> None:
        """An extra reply waits on the connection. It must not be used as the reply to the next request."""
        relay = self.serve(script=[{"match": "number 1 ", "raw": [response(REPLY), response(REPLY)], "gap": 0.05}])
        job = self.job(chats(6))
        self.run_job(job, relay, "--concurrency", 1, "--no-stream", "--rpm", 240, "--pace", "even", env=self.trust())
        answers = {line["custom_id"]: text_of(line) for line in self.results(job).output}
        self.assertEqual(answers, {"c1": "stray", **{f"c{i}": f"echo: question number {i} of the batch"
                                                     for i in range(2, 7)}})

    def test_a_connection_closed_while_idle_costs_nothing(self) -> None:
        relay = self.serve(script=[{"times": None, "status": 200, "body": REPLY, "close": "after"}])
        job = self.job(chats(12))
        self.run_job(job, relay, "--concurrency", 2, "--no-stream", "--rpm", 300, "--pace", "even", env=self.trust())
        totals = self.results(job).totals
        self.assertEqual((totals["succeeded"], totals["attempts"], totals["maybe_billed_attempts"]), (12, 12, 0))
        self.assertEqual(relay.attempts, 12)

    def test_connections_serve_many_requests(self) -> None:
        relay = self.serve()
        self.run_job(self.job(chats(60)), relay, "--concurrency", 4, env=self.trust())
        self.assertLess(relay.stats["connections"], 30)


class KeptUnderTls(Kept):
    def setUp(self) -> None:
        super().setUp()
        self.tls = self.certificate("relay", "IP:127.0.0.1")


class Opened(Case):
    def test_the_next_address_serves_where_the_first_refuses(self) -> None:
        """localhost often resolves to ::1 first, where nothing listens."""
        relay = self.relay()
        job = self.job(chats(3))
        self.sluice("run", job, "--base-url", f"http://localhost:{relay.port}", "--rpm", 0)
        self.assertEqual(len(self.results(job).output), 3)

    @unittest.skipUnless(Path("/proc/net/if_inet6").exists(), "this kernel has no IPv6")
    def test_an_address_of_ipv6(self) -> None:
        hosts = []

        def serve(connection: socket.socket) -> None:
            hosts.append(connection.recv(1 << 16).partition(b"Host: ")[2].partition(b"\r\n")[0])
            connection.sendall(response(REPLY).encode())

        relay = self.listener(serve, "::1")
        job = self.job(chats(1))
        self.sluice("run", job, "--base-url", f"http://[::1]:{relay.port}/v1", "--rpm", 0)
        self.assertEqual(len(self.results(job).output), 1)
        self.assertEqual(hosts, [f"[::1]:{relay.port}".encode()])

    def test_requests_still_connecting_at_the_first_interrupt_are_not_sent(self) -> None:
        silent = self.listener(lambda connection: connection.recv(1 << 16) and threading.Event().wait(120) or None)
        job = self.job(chats(5))
        run = self.start("run", job, "--base-url", f"https://127.0.0.1:{silent.port}", "--grace", "5m",
                         "--connect-timeout", "5m")
        wait_until(lambda: silent.accepted >= 5 or not run.running, "the connections")
        signal_and_wait(run)
        self.assertEqual(run.code, 130, run.err)
        totals = self.results(job).totals
        self.assertEqual((totals["status"], totals["attempts"], totals["pending"]), ("interrupted", 0, 5))

    def test_more_concurrency_than_open_files_is_refused(self) -> None:
        job = self.job(chats(2))
        run = self.sluice("run", job, "--simulate", "--concurrency", 500, expect=2,
                          wrap=["prlimit", "--nofile=256:256"])
        self.assert_one_sentence(run, "--concurrency 500", "256")


class Early(Case):
    def test_an_answer_before_the_request_is_read(self) -> None:
        """The relay refuses a large request after its head and closes the connection."""

        def refuse(connection: socket.socket) -> None:
            connection.recv(1024)
            connection.sendall(response({"error": {"message": "too large", "code": "too_large"}},
                                        "413 Content Too Large").encode())
            time.sleep(0.1)  # data sent after this meets a closed socket, so the client gets a reset

        relay = self.listener(refuse)
        # A model without a price: the run sends no balance request before it starts, as it would for an expensive job.
        job = self.job([batch("big", chat("x" * 20_000_000, model="unpriced"))])
        self.sluice("run", job, "--base-url", f"http://127.0.0.1:{relay.port}", "--rpm", 0, expect=1)
        [line] = self.results(job).errors
        self.assertEqual(line["response"]["status_code"], 413)
        self.assertEqual(line["response"]["body"]["error"]["message"], "too large")
        self.assertEqual((relay.accepted, line["sluice"]["retryable"]), (1, False))

    def test_a_hint_of_103_does_not_shorten_the_wait(self) -> None:
        def hint(connection: socket.socket) -> None:
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
            time.sleep(0.6)
            connection.sendall(response(REPLY).encode())

        relay = self.listener(hint)
        job = self.job(chats(1))
        self.sluice("run", job, "--base-url", f"http://127.0.0.1:{relay.port}", "--idle-timeout", "200ms")
        self.assertEqual(self.results(job).output[0]["sluice"]["attempts"], 1)


class Interrupted(Case):
    def test_130_wins_over_a_refused_key(self) -> None:
        """The key is refused, and then the user aborts the attempts in flight."""
        relay = self.relay(script=[{"match": "number 1 ", "hold": True, "times": None},
                                   {"times": None, "status": 401, "body": {"error": {"message": "no such key"}}}])
        run = self.start("run", self.job(chats(6)), "--base-url", relay.url, "--rpm", 0, "--concurrency", 3)
        wait_until(lambda: relay.attempts >= 3 and "no such key" in run.err or not run.running, "the refusals")
        for _ in range(2):
            run.signal(signal.SIGINT)
        run.wait()
        self.assertEqual(run.code, 130, run.err)


if __name__ == "__main__":
    unittest.main()
