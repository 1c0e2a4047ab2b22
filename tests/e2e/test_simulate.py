"""The command `simulate`: its flags, its refusals, and its HTTP with any client."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import unittest
from decimal import Decimal
from typing import Any

from support import CHAT, KEY, Case, Run, batch, chat, chats


class Flags(Case):
    def refused(self, *flags: str) -> Run:
        port = () if flags[0].startswith("--port") else ("--port", "0")
        run = self.sluice("simulate", *port, *flags, expect=2)
        self.assertNotIn("simulated relay:", run.err)
        return run

    def test_an_empty_value_is_refused(self) -> None:
        """For example --balance "$BUDGET" with an unset variable. It must not mean "no limit"."""
        for flag, wanted in (("--balance", "US dollars"), ("--keys", "one key a line"), ("--rpm", "requests a minute"),
                             ("--port", "65535"), ("--seed", "number"), ("--tokens", "1000000"), ("--mode", "sliding"),
                             ("--ttft", "250ms"), ("--itl", "250ms"), ("--faults", "none"), ("--cheat", "none"),
                             ("--lacks", "json-schema"), ("--chat-overhead", "number of tokens")):
            with self.subTest(flag):
                self.assert_one_sentence(self.refused(flag, ""), flag, wanted)
                self.assert_one_sentence(self.refused(f"{flag}="), flag)

    def test_the_last_of_two_flags_counts(self) -> None:
        self.assertEqual(self.simulator("--rpm", "1", "--rpm", "3").ledger["attempts"], 0)

    def test_a_refusal_names_the_allowed_values(self) -> None:
        for flag, value, wanted in (
                ("--port", "abc", "a port from 0 (any free one) to 65535"), ("--port", "65536", "to 65535"),
                ("--rpm", "-1", "0 for no limit"), ("--rpm", "2.5", "0 for no limit"),
                ("--seed", "-1", "from 0 to 18446744073709551615"), ("--seed", "0x", "from 0 to 18446744073709551615"),
                ("--tokens", "0", "from 1 to 1000000"), ("--tokens", "many", "from 1 to 1000000"),
                ("--balance", "1e3", "a plain decimal such as 0.50"),
                ("--mode", "Sliding", "sliding, bucket, fixed or leaky"),
                ("--ttft", "10", "250ms"), ("--itl", "soon", "250ms"), ("--faults", "cut", "cut=0.05"),
                ("--cheat", "honestly", "mixed=SHARE"), ("--cheat", "mixed=2", "from 0 to 1"),
                ("--lacks", "tools;logprobs", "separated by commas"), ("--chat-overhead", "-1", "from 0 to 1000")):
            with self.subTest(flag=flag, value=value):
                self.assert_one_sentence(self.refused(flag, value), flag, value, wanted)

    def test_a_word_is_not_a_command(self) -> None:
        run = self.refused("extra")
        self.assert_one_sentence(run, "'extra'", "sluice simulate --help")
        self.assertNotIn("command 'extra'", run.err)
        self.assert_one_sentence(self.refused("--prot", "1"), "unknown flag '--prot'", "--port")

    def test_the_signals_of_a_run_do_not_end_it(self) -> None:
        simulator = self.simulator()
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            simulator.process.send_signal(number)
            self.assertEqual(simulator.ledger["attempts"], 0)

    def test_the_largest_seed(self) -> None:
        self.assertEqual(self.simulator("--seed", str(2**64 - 1)).ledger["attempts"], 0)


class Books(Case):
    """The ledger equals what the client received, for any client."""

    def books(self, flags: list[str], lines: int, *more: str) -> tuple[Any, Any]:
        """The counts of the client and of the relay, for a job without failures."""
        simulator = self.simulator(*flags, ttft="0")
        job = self.job([batch(f"c{i}", chat("the same question in every line", max_tokens=60)) for i in range(lines)])
        self.run_job(job, simulator, *more)
        totals, ledger = self.results(job).totals, simulator.ledger
        self.assertEqual(totals["succeeded"], lines)
        self.assertEqual(totals["attempts"], ledger["attempts"])
        self.assertEqual(ledger["delivered"]["requests"], lines)
        self.assertEqual(ledger["delivered"]["tokens"]["total"], totals["tokens"]["total"])
        return totals, ledger

    def held_against(self, flags: list[str], lines: int, *more: str) -> None:
        totals, ledger = self.books(flags, lines, *more)
        self.assertEqual(Decimal(ledger["delivered"]["cost_usd"]), Decimal(totals["cost_usd"]))

    def test_a_relay_that_inflates_usage_bills_the_reported_usage(self) -> None:
        self.held_against(["--cheat", "inflated"], 20)

    def test_a_relay_that_overcharges_reports_the_true_usage(self) -> None:
        totals, ledger = self.books(["--cheat", "overbilled"], 20)
        self.assertGreater(Decimal(ledger["delivered"]["cost_usd"]), Decimal(totals["cost_usd"]) * Decimal("1.19"))

    def test_equal_lines_have_their_own_faults_and_all_succeed(self) -> None:
        """With five attempts each, and at most three faults in a row."""
        self.held_against(["--faults", "faulty"], 400, "--idle-timeout", "1s")

    def test_replies_in_pieces_are_delivered_completely(self) -> None:
        self.held_against(["--faults", "ragged=1"], 300)

    def test_a_hang_is_a_timeout_that_may_be_billed(self) -> None:
        simulator = self.simulator("--faults", "hang=1")
        job = self.job(chats(3))
        self.run_job(job, simulator, "--first-byte-timeout", "300ms", "--max-attempts", 2, expect=1)
        results, ledger = self.results(job), simulator.ledger
        self.assertEqual([line["error"]["code"] for line in results.errors], ["request_timeout"] * 3)
        self.assertEqual(results.totals["maybe_billed_attempts"], 6)
        self.assertEqual(ledger["billed_undelivered"]["attempts"], 6)
        self.assertEqual(ledger["outcomes"], {"hang": 6})

    def test_an_early_head_does_not_change_the_time_to_the_first_token(self) -> None:
        simulator = self.simulator("--faults", "early-head=1", ttft="400ms")
        job = self.job(chats(5))
        self.run_job(job, simulator)
        for line in self.results(job).output:
            self.assertGreaterEqual(line["sluice"]["ttft_ms"], 200, "it varies by half of it")
        self.assertEqual(simulator.ledger["outcomes"], {"200": 5})

    def test_no_attempt_comes_before_the_time_of_a_hint(self) -> None:
        simulator = self.simulator("--faults", "429-hint=0.1,429-reset=0.05")
        job = self.job(chats(80))
        self.run_job(job, simulator)
        ledger = simulator.ledger
        self.assertGreater(ledger["faults"]["429-hint"], 0)
        self.assertEqual(ledger["early_after_hint"], 0)

    def test_a_client_that_closes_its_sending_side_is_answered(self) -> None:
        """Like `nc -N`; HTTP allows it."""
        simulator = self.simulator(ttft="50ms")
        body = json.dumps(chat("hi", stream=True)).encode()
        with socket.create_connection(("127.0.0.1", simulator.port), 20) as client:
            client.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: r\r\nAuthorization: Bearer {KEY}\r\n"
                           f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
            client.shutdown(socket.SHUT_WR)
            with client.makefile("rb") as replies:
                reply = replies.read()
        self.assertTrue(reply.startswith(b"HTTP/1.1 200 OK\r\n"), reply[:100])
        self.assertTrue(reply.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"), reply[-100:])
        self.assertEqual(simulator.ledger["outcomes"], {"200": 1})

    def test_head_and_get_on_one_connection(self) -> None:
        simulator = self.simulator()
        client = http.client.HTTPConnection("127.0.0.1", simulator.port, timeout=20)
        self.addCleanup(client.close)
        for method in ("HEAD", "GET", "HEAD", "GET"):
            client.request(method, "/v1/models", headers={"Authorization": f"Bearer {KEY}"})
            reply = client.getresponse()
            self.assertEqual(reply.status, 200)
            self.assertEqual(len(reply.read()) > 0, method == "GET")


if __name__ == "__main__":
    unittest.main()
