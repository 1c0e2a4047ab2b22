"""Compares `sluice bench` with relays of known timings: each number must be right within 2 % or 1 ms, whichever is
more.

The true values are those that the relay recorded, including its own delays. The test checks the delays of the client.
It cannot check a client that gets no processor from the machine. So a failed comparison is repeated with a new run, up
to three times, and each failure is printed: an error of the program fails every time. If the program waited for a
processor for more than a tenth of the time in all three runs, the test is skipped with a message.
"""

from __future__ import annotations

import json
import signal
import ssl
import subprocess
import sys
import time
import unittest
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import bench_truth as truth
from support import HERE, Case, Run, Server, at_night, wait_until

TRIES = 3
STARVED = 0.1
WAVE = 256  # requests in flight: the largest number for which the precision is documented


class TimedRelay(Server):
    """timed_relay.py in its own process."""

    def __init__(self, *flags: Any, tls: tuple[Path, Path, Path] | None = None) -> None:
        command = [sys.executable, str(HERE / "timed_relay.py"), *map(str, flags)]
        if tls:
            command += ["--tls-cert", str(tls[1]), "--tls-key", str(tls[2])]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        self.port = int(self.process.stdout.readline().removeprefix("listening "))
        self.scheme = "https" if tls else "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/v1"

    @property
    def chats(self) -> list[truth.Chat]:
        """All finished chats, in the order of their requests."""
        return sorted(self.get("/truth"), key=lambda chat: chat["request"])


class BenchCase(Case):
    def timed(self, *flags: Any, **more: Any) -> TimedRelay:
        started = TimedRelay(*flags, **more)
        self.addCleanup(started.stop)
        return started

    def bench(self, server: Server, *flags: Any, **more: Any) -> Run:
        self.last = self.sluice("bench", "--base-url", server.url, "--model", "gpt-4o-mini", *flags, **more)
        return self.last

    def load(self, server: Server, *flags: Any, **more: Any) -> dict[str, Any]:
        """The only load of a benchmark without a limit."""
        loads = json.loads(self.bench(server, "--rpm", 0, "--json", *flags, **more).out)["loads"]
        self.assertEqual(len(loads), 1)
        return loads[0]

    def until_held(self, measure: Callable[[], tuple[list[str], dict[str, Any], list[truth.Chat]]],
                   ) -> tuple[dict[str, Any], list[truth.Chat]]:
        """Repeats a measurement until it has no errors. `measure` returns the errors, the measured load, and the true
        chats."""
        least_wait = 1.0
        for number in range(1, TRIES + 1):
            wrong, load, chats = measure()
            if not wrong:
                return load, chats
            waited = truth.waited_for_a_processor(load)
            least_wait = min(least_wait, waited)
            print(f"{self.id()}, try {number} of {TRIES}, {waited:.0%} of the time waiting for a processor:\n  "
                  + "\n  ".join(wrong), file=sys.stderr)
        if least_wait > STARVED:
            self.skipTest(f"the machine is too busy: at best {least_wait:.0%} of the time waiting for a processor")
        self.fail("\n".join(wrong) + "\n" + truth.distances(load, chats))

    def assert_measured_right(self, relay_flags: tuple[Any, ...], *flags: Any, warmup: int = 0,
                              without: tuple[str, ...] = ("connect_ms",), tls: Any = None
                              ) -> tuple[dict[str, Any], list[truth.Chat]]:
        """Without TLS the relay knows only when it accepted a connection, but not when it was established."""
        def measure() -> tuple[list[str], dict[str, Any], list[truth.Chat]]:
            relay = self.timed(*relay_flags, tls=tls)
            more = ("--insecure",) if tls else ()
            load = self.load(relay, *flags, *more, *(("--warmup", warmup) if warmup else ()))
            if tls:
                relay.tls = self.context(tls)
            chats = relay.chats[warmup:]
            relay.stop()
            self.assertEqual(load["succeeded"], len(chats))
            self.assertEqual(load["failed"], 0)
            return truth.errors_of(load, chats, without=without), load, chats

        return self.until_held(measure)

    @staticmethod
    def context(tls: tuple[Path, Path, Path]) -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=str(tls[0]))
        made.check_hostname = False
        return made


class OneInFlight(BenchCase):
    CLOSED = ("--concurrency", 1, "--requests", 15)
    SCRIPT = ("--ttft", 0.15, "--itl", 0.01, "--pieces", 30, "--jitter", 0.3, "--role-first")

    def test_streamed(self) -> None:
        load, _ = self.assert_measured_right(self.SCRIPT, *self.CLOSED)
        # an empty piece does not count as the first token
        self.assertLess(load["ttfb_ms"]["p50"] + 50, load["ttft_ms"]["p50"])

    @at_night
    def test_unstreamed(self) -> None:
        load, _ = self.assert_measured_right(("--head", 0.1, *self.SCRIPT), *self.CLOSED, "--no-stream")
        for name in ("ttft_ms", "first_content_ms", "inter_token_ms", "inter_chunk_ms"):
            self.assertIsNone(load[name])

    @at_night
    def test_reasoning_comes_before_content(self) -> None:
        load, _ = self.assert_measured_right(("--reasoning", 20, *self.SCRIPT), *self.CLOSED)
        self.assertLess(load["ttft_ms"]["p50"] + 100, load["first_content_ms"]["p50"])
        self.assertEqual(load["tokens"]["reasoning"], 15 * 20)

    @at_night
    def test_hidden_reasoning_tokens_do_not_count_between_tokens(self) -> None:
        load, _ = self.assert_measured_right(("--hidden-reasoning-tokens", 400, *self.SCRIPT), *self.CLOSED)
        self.assertEqual(load["tokens"]["completion"], 15 * 430)

    @at_night
    def test_several_tokens_per_piece(self) -> None:
        load, _ = self.assert_measured_right(("--tokens-per-piece", 4, *self.SCRIPT), *self.CLOSED)
        self.assertLess(3.5 * load["inter_token_ms"]["mean"], load["inter_chunk_ms"]["mean"])

    def test_the_connection_time_is_not_included(self) -> None:
        authority = self.certificate("relay", "IP:127.0.0.1")
        load, _ = self.assert_measured_right(("--handshake", 0.2, *self.SCRIPT), *self.CLOSED, tls=authority,
                                             without=())
        self.assertEqual(load["connect_ms"]["count"], 1)
        self.assertGreater(load["connect_ms"]["max"], 200)

    @at_night
    def test_a_warmup_is_not_measured(self) -> None:
        load, _ = self.assert_measured_right(("--stall-at", 0, "--stall-for", 0.6, *self.SCRIPT), *self.CLOSED,
                                             warmup=3)
        self.assertEqual(load["requests"], 15)
        self.assertLess(load["latency_ms"]["max"], 800)


class ManyInFlight(BenchCase):
    CLOSED = ("--concurrency", WAVE, "--requests", 3 * WAVE)
    SCRIPT = ("--ttft", 0.3, "--itl", 0.02, "--pieces", 40, "--role-first")

    @at_night
    def test_streamed(self) -> None:
        self.assert_measured_right((*self.SCRIPT, "--jitter", 0.4), *self.CLOSED)

    def test_all_at_the_same_time(self) -> None:
        """All requests are sent, and all replies arrive, at the same times. The time to start the other requests must
        not count as the time of a connection."""
        load, chats = self.assert_measured_right(self.SCRIPT, *self.CLOSED)
        self.assertEqual(load["connect_ms"]["count"], WAVE)
        to_begin_all = (chats[WAVE - 1]["request"] - chats[0]["request"]) * 1000
        self.assertLess(load["connect_ms"]["p50"], to_begin_all / 4)

    @at_night
    def test_unstreamed(self) -> None:
        self.assert_measured_right(("--head", 0.1, *self.SCRIPT, "--jitter", 0.4), *self.CLOSED, "--no-stream")

    @at_night
    def test_unstreamed_all_at_the_same_time(self) -> None:
        self.assert_measured_right(("--head", 0.1, *self.SCRIPT), *self.CLOSED, "--no-stream")

    @at_night
    def test_reasoning(self) -> None:
        self.assert_measured_right(("--reasoning", 20, *self.SCRIPT, "--jitter", 0.4), *self.CLOSED)


class OpenLoop(BenchCase):
    SCRIPT = ("--ttft", 0.1, "--itl", 0.01, "--pieces", 20, "--jitter", 0.3, "--role-first")

    def from_intended(self, chats: list[truth.Chat], rate: float) -> list[truth.Span]:
        """Latency from an even schedule. Its start time is unknown here: no request starts early, and at least one is
        on time."""
        gap = 60 / rate
        begin = min(chat["request"] - place * gap for place, chat in enumerate(chats))
        spans = [truth.between(begin + place * gap, chat["end"]) for place, chat in enumerate(chats)]
        return [(least * 1000, most * 1000) for least, most in spans]

    def test_even(self) -> None:
        rate = 3000.0
        load, chats = self.assert_measured_right(self.SCRIPT, "--rate", rate, "--duration", "4s")
        self.assertEqual(len(chats), 200)
        self.assertEqual(load["asked_per_s"], 50.0)
        gaps = [after["request"] - before["request"] for before, after in zip(chats, chats[1:])]
        self.assertAlmostEqual(truth.quantile(gaps, 0.5), 0.02, delta=0.001)

    @at_night
    def test_poisson(self) -> None:
        load, chats = self.assert_measured_right(self.SCRIPT, "--rate", 6000, "--rate-kind", "poisson", "--requests",
                                                 500, "--seed", 7)
        gaps = [after["request"] - before["request"] for before, after in zip(chats, chats[1:])]
        mean = sum(gaps) / len(gaps)
        deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
        self.assertAlmostEqual(mean, 0.01, delta=0.0015)  # three standard errors
        self.assertAlmostEqual(deviation / mean, 1.0, delta=0.2)
        self.assertAlmostEqual(load["latency_from_intended_ms"]["mean"], load["latency_ms"]["mean"], delta=6)

    @at_night
    def test_a_stall_of_the_relay_shows_in_latency_from_the_schedule(self) -> None:
        """An open loop continues to send, so all requests during the stall wait for its end. A closed loop waits with
        the relay, so its quantiles do not show the stall."""
        rate, count, begin, end, ttft, whole = 1200.0, 100, 1.525, 3.525, 0.1, 0.15
        script = ("--ttft", ttft, "--itl", 0.01, "--pieces", 5, "--stall-at", begin, "--stall-for", end - begin)

        def expected(start: float) -> float:
            if start + whole < begin or start + ttft > end:
                return whole
            return (end if start < begin else end + whole) - start

        def measure() -> tuple[list[str], dict[str, Any], list[truth.Chat]]:
            relay = self.timed(*script)
            load = self.load(relay, "--rate", rate, "--requests", count)
            chats = relay.chats
            measured = load["latency_from_intended_ms"]
            wrong = truth.compare("latency_from_intended_ms", measured, self.from_intended(chats, rate))
            by_schedule = [(ms, ms) for ms in (expected(place * 60 / rate) * 1000 for place in range(count))]
            wrong += truth.compare("latency_from_intended_ms, by the schedule,", measured, by_schedule, ms=10)
            # Pieces that were written together at the end of the stall have no times between them.
            without = ("connect_ms", "inter_token_ms", "inter_chunk_ms")
            return wrong + truth.errors_of(load, chats, without=without), load, chats

        load, _ = self.until_held(measure)
        self.assertGreater(load["latency_from_intended_ms"]["p99"], 2000)

        closed, _ = self.assert_measured_right(script, "--concurrency", 1, "--requests", count + 1, without=(
            "connect_ms", "inter_token_ms", "inter_chunk_ms"))
        self.assertLess(closed["latency_ms"]["p99"], 250)
        self.assertGreater(closed["latency_ms"]["max"], 1900)

    def test_latency_of_a_stopped_client_counts_from_the_schedule(self) -> None:
        """Latency from the send does not include the time that a stopped client delayed its requests. Replies that
        arrive meanwhile still have their true arrival times."""
        rate, held = 1200.0, 2.0

        def measure() -> tuple[list[str], dict[str, Any], list[truth.Chat]]:
            relay = self.timed("--ttft", 0.1, "--itl", 0.01, "--pieces", 5)
            run = self.start("bench", "--base-url", relay.url, "--model", "gpt-4o-mini", "-q", "--rpm", 0, "--json",
                             "--rate", rate, "--requests", 100)
            wait_until(lambda: len(relay.get("/truth")) >= 20, "some chats to end")
            run.signal(signal.SIGSTOP)
            time.sleep(held)
            run.signal(signal.SIGCONT)
            run.wait()
            self.assertEqual(run.code, 0, run.err)
            load = json.loads(run.out)["loads"][0]
            chats = relay.chats
            wrong = []
            for name, values in (("latency_from_intended_ms", self.from_intended(chats, rate)),
                                 ("latency_ms", truth.values_of(chats)["latency_ms"])):
                wrong += truth.compare(name, load[name], values)
            return wrong, load, chats

        load, _ = self.until_held(measure)
        self.assertGreater(load["latency_from_intended_ms"]["p90"], 1500)
        self.assertLess(load["latency_ms"]["p99"], 400)


class Simulated(BenchCase):
    """The simulator's delays are random, so only means, totals and costs are compared."""

    def measure(self, *flags: Any, ttft: float, itl: float, concurrency: int, requests: int) -> None:
        simulator = self.simulator("--seed", "11", "--tokens", "40", ttft=f"{ttft}ms", itl=f"{itl}ms")
        run = self.bench(simulator, "--rpm", 0, "--json", "--concurrency", concurrency, "--requests", requests, *flags)
        document = json.loads(run.out)
        load = document["loads"][0]
        delivered = simulator.ledger["delivered"]
        self.assertEqual(load["succeeded"], requests)
        self.assertEqual(delivered["requests"], requests)
        for name in ("prompt", "completion"):
            self.assertEqual(load["tokens"][name], delivered["tokens"][name])
        self.assertEqual(load["tokens"]["estimated_requests"], 0)
        self.assertEqual(Decimal(document["cost_usd"]), Decimal(delivered["cost_usd"]))
        self.assertEqual(Decimal(load["cost_usd"]), Decimal(delivered["cost_usd"]))
        if load["ttft_ms"] is None:
            return
        # A delay is uniform from 0.5 to 1.5 times its mean: its standard deviation is 0.29 of the mean. The average
        # of n delays has this divided by the root of n.
        spread = 4 * 0.29 / requests ** 0.5
        self.assertAlmostEqual(load["ttft_ms"]["mean"], ttft, delta=max(ttft * (spread + 0.02), 1))
        self.assertAlmostEqual(load["inter_token_ms"]["mean"], itl, delta=max(itl * (spread + 0.02), 1))

    def test_one_in_flight(self) -> None:
        self.measure(ttft=100, itl=10, concurrency=1, requests=20)

    @at_night
    def test_many_in_flight(self) -> None:
        self.measure(ttft=400, itl=20, concurrency=WAVE, requests=3 * WAVE)

    @at_night
    def test_unstreamed(self) -> None:
        self.measure("--no-stream", ttft=100, itl=10, concurrency=64, requests=256)


class NearTheLimitOfTheClient(BenchCase):
    """A client that is almost overloaded. It reads data late, but uses the kernel's time stamps, so its measurements
    are right as long as it reads each piece before the next one arrives."""

    WANTED = 0.78  # the client's load: above the warning level, but not overloaded
    SLOW = 0.024  # seconds between two pieces that the client can easily handle
    CLOSED = ("--concurrency", WAVE, "--requests", 12 * WAVE)

    @staticmethod
    def script(itl: float) -> tuple[Any, ...]:
        """Replies with varying delays, so that the load is even over time."""
        return ("--ttft", 8 * itl, "--itl", itl, "--pieces", 20, "--jitter", 0.8, "--role-first", "--piece-bytes", 8000)

    @at_night
    def test_it_measures_right_and_warns(self) -> None:
        itl, busy = self.SLOW, 0.0
        for _ in range(6):  # the more pieces there are, the less time each one takes
            relay = self.timed(*self.script(itl))
            busy = self.load(relay, *self.CLOSED)["client_busy"]
            relay.stop()
            if abs(busy - self.WANTED) < 0.06:
                break
            itl *= busy / self.WANTED
        for _ in range(4):  # the speed of the machine differs between runs
            load, _chats = self.assert_measured_right(self.script(itl), *self.CLOSED, without=(
                "connect_ms", "inter_chunk_ms"))  # pieces that waited together count as one arrival
            if load["client_busy"] > 0.7:
                break
            self.assertNotIn("this program was busy for", self.last.err)
            itl *= load["client_busy"] / self.WANTED
        if load["client_busy"] <= 0.7:
            self.skipTest(f"could not load the client enough: {load['client_busy']:.0%} of the time at the last try")
        self.assertIn("this program was busy for", self.last.err)


if __name__ == "__main__":
    unittest.main()
