"""Results in job order, equal requests that are sent once, and prompts with the same beginning."""

from __future__ import annotations

import json
import signal
import unittest
from collections import Counter
from pathlib import Path
from typing import Any

import invariants
from hostile_relay import Answer, HostileRelay
from hostile_traps import completion, document, error
from support import Case, batch, chat, jsonl, wait_until

SOME_FAILED, CANNOT_START, STOPPED, INTERRUPTED = 1, 2, 3, 130


class Ordered(Case):
    def test_results_of_a_run_with_retries_are_in_job_order(self) -> None:
        job = self.job([batch(f"c{i}", chat(f"question {i}")) for i in range(300)])
        relay = self.simulator("--faults", "502=0.1", "--seed", "3")
        self.run_job(job, relay, "--concurrency", 32)
        results = self.results(job)
        lines = [line["sluice"]["line"] for line in results.output]
        self.assertNotEqual(lines, sorted(lines))
        self.run_job(job, relay, "--ordered")
        self.assertEqual([line["custom_id"] for line in results.output], [f"c{i}" for i in range(300)])
        invariants.require_complete(results, [f"c{i}" for i in range(300)])


class Dedup(Case):
    def lines(self, count: int = 60) -> list[dict[str, Any]]:
        """Requests in groups of three equal ones."""
        return [batch(f"c{i}", chat(f"question {i % (count // 3)}")) for i in range(count)]

    def test_equal_requests_are_sent_and_billed_once(self) -> None:
        job = self.job(self.lines())
        relay = self.simulator()
        run = self.run_job(job, relay, "--dedup", "--ordered")
        results = self.results(job)
        invariants.require_complete(results, [f"c{i}" for i in range(60)])
        self.assertEqual(relay.ledger["attempts"], 20)
        self.assertIn("40 request(s) are equal to others; they get copies of their results", run.err)
        lines = results.by_id()
        for i in range(20, 60):
            first, copy = lines[f"c{i % 20}"], lines[f"c{i}"]
            self.assertEqual(copy["response"], first["response"])
            self.assertEqual(copy["sluice"]["copied_from"], f"c{i % 20}")
            self.assertEqual(copy["sluice"]["cost_usd"], "0")
        self.assertEqual([line["sluice"]["line"] for line in results.output], list(range(1, 61)))
        before = results.bytes()
        self.run_job(job, relay, "--dedup", "--ordered")
        self.assertEqual(results.output_path.read_bytes(), before["job.output.jsonl"])
        reprice = json.loads(self.sluice("report", job, "--reprice", "--json").out)
        self.assertIn('"0"', json.dumps(reprice), "copies cost nothing by any price")

    def test_copies_come_with_an_interrupted_run_and_after_a_killed_one(self) -> None:
        job = self.job(self.lines())
        relay = self.simulator(ttft="30ms")
        results = self.results(job)
        flags = ("run", job, "--base-url", relay.url, "--rpm", 0, "--dedup", "--concurrency", 2)
        run = self.start(*flags)
        wait_until(lambda: results.written() >= 5, "some results")
        run.signal(signal.SIGKILL)
        run.wait()
        sent = relay.ledger["attempts"]
        self.assertLess(sent, 20)
        run = self.start(*flags)
        wait_until(lambda: results.written() >= 8, "more results")
        run.signal(signal.SIGINT)
        run.wait()
        self.assertEqual(run.code, INTERRUPTED, run.err)
        done = results.output
        originals = {line["custom_id"] for line in done if "copied_from" not in line["sluice"]}
        copies = {line["custom_id"] for line in done if "copied_from" in line["sluice"]}
        self.assertEqual(copies, {f"c{int(name[1:]) + more}" for name in originals for more in (20, 40)})
        self.sluice(*flags)
        invariants.require_complete(results, [f"c{i}" for i in range(60)])
        self.assertLessEqual(relay.ledger["attempts"], 20 + 2 * 2)

    def test_copies_of_failures(self) -> None:
        relay = HostileRelay({"bad": [Answer(document(error("no such thing"), 400))]})
        self.addCleanup(relay.stop)
        job = self.job([batch(name, chat("trap:bad")) for name in ("a", "b", "c")])
        flags = ("run", job, "--base-url", relay.url, "--rpm", 0, "--dedup")
        self.sluice(*flags, expect=SOME_FAILED)
        results = self.results(job)
        self.assertEqual([line["custom_id"] for line in results.errors], ["a", "b", "c"])
        invariants.require_complete(results, ["a", "b", "c"])
        self.assertEqual(relay.ledger.count, 1)
        self.sluice(*flags, expect=SOME_FAILED)
        self.assertEqual(relay.ledger.count, 1)

    def test_standard_input_is_refused_with_a_reason(self) -> None:
        run = self.sluice("run", "-", "-o", "x.jsonl", "--dedup", "--base-url", "http://127.0.0.1:9", stdin=jsonl(self.lines()),
                          expect=CANNOT_START)
        self.assert_one_sentence(run, "--dedup needs the job as a file")
        self.assertEqual([path.name for path in self.folder.glob("x*")], [])


class Grouped(Case):
    PAUSE = 0.15  # seconds that every reply takes

    def opening(self, group: str) -> str:
        return f"{group} " + "the same words again and again " * 300

    def request(self, group: str, number: int) -> dict[str, Any]:
        return batch(f"{group}{number}", {"model": "gpt-4o-mini", "messages": [
            {"role": "system", "content": self.opening(group)}, {"role": "user", "content": f"trap:{group}/{number}"}]})

    def lines(self) -> list[dict[str, Any]]:
        return [self.request(group, number) for number in range(5) for group in ("a", "b", "c")]

    def relay_of(self, *groups: str) -> HostileRelay:
        relay = HostileRelay({group: [Answer([self.PAUSE, *document(completion(group))], billed=True)] for group in groups})
        self.addCleanup(relay.stop)
        return relay

    def arrivals(self, relay: HostileRelay, group: str) -> list[tuple[float, int]]:
        return sorted((attempt.arrived, int(name.split("/")[1])) for name, attempts in relay.ledger.attempts.items()
                      if name.startswith(f"{group}/") for attempt in attempts)

    def require_led(self, arrived: list[tuple[float, int]], leader: int) -> None:
        self.assertEqual(arrived[0][1], leader)
        for when, number in arrived[1:]:
            self.assertGreaterEqual(when - arrived[0][0], self.PAUSE, f"{number} did not wait for {leader}")

    def test_the_others_arrive_after_the_reply_to_the_first_and_after_a_resume_too(self) -> None:
        relay = self.relay_of("a", "b", "c")
        job = self.job(self.lines())
        flags = ("run", job, "--base-url", relay.url, "--rpm", 0, "--group-prefixes")
        self.sluice(*flags, "--limit", 6)  # two of each group
        for group in ("a", "b", "c"):
            arrived = self.arrivals(relay, group)
            self.assertEqual(len(arrived), 2)
            self.require_led(arrived, 0)
        self.sluice(*flags)
        for group in ("a", "b", "c"):
            arrived = self.arrivals(relay, group)
            self.assertEqual(sorted(number for _, number in arrived), [0, 1, 2, 3, 4])
            self.require_led(arrived[2:], 2)
        invariants.require_complete(self.results(job), [line["custom_id"] for line in self.lines()])

    def test_a_group_stays_together(self) -> None:
        relay = self.relay_of("a", "b")
        job = self.job([self.request(group, number) for number in range(80) for group in ("a", "b")])
        self.sluice("run", job, "--base-url", relay.url, "--rpm", 0, "--group-prefixes", "--concurrency", 4)
        order = "".join(name[0] for _, name in sorted((attempt.arrived, name) for name, attempts in
                                                      relay.ledger.attempts.items() for attempt in attempts))
        self.assertEqual(Counter(order), {"a": 80, "b": 80})
        first_b = order.index("b")
        self.assertGreater(first_b, 10, "b begins when less than 64 of a are left")
        self.assertGreater(order.index("b", first_b + 1), order.rindex("a") - 4, "but for its first, b follows a")

    def test_the_cache_of_a_provider_is_written_once_for_each_opening(self) -> None:
        misses = {}
        for flag in ("--group-prefixes", "--dedup"):  # --dedup does not change the order
            relay = self.simulator("--cache", "memory", ttft="100ms")
            folder = self.folder / flag.strip("-")
            job = self.job(self.lines())
            self.run_job(job, relay, flag, "--concurrency", 12, "--output-dir", folder)
            results = self.results(job, folder)
            invariants.require_complete(results, [line["custom_id"] for line in self.lines()])
            misses[flag] = Counter(line["custom_id"][0] for line in results.output
                                   if line["sluice"]["usage"]["cached_tokens"] == 0)
        self.assertEqual(misses["--group-prefixes"], {"a": 1, "b": 1, "c": 1})

    def test_jobs_that_cannot_be_read_in_another_order_are_refused(self) -> None:
        packed = self.folder / "job.jsonl.gz"
        packed.write_bytes(b"")
        for name, stdin in ((packed, None), ("-", jsonl(self.lines()))):
            run = self.sluice("run", name, "-o", "x.jsonl", "--group-prefixes", "--base-url", "http://127.0.0.1:9",
                              stdin=stdin, expect=CANNOT_START)
            self.assert_one_sentence(run, "--group-prefixes", "needs the job as a plain file; ")

    def test_bad_lines_failures_and_copies_have_their_lines(self) -> None:
        relay = self.simulator("--faults", "too-large=0.2", "--seed", "5")
        lines = self.lines() + [self.request("d", 0), {**self.request("d", 0), "custom_id": "copy"}]
        job = self.folder / "job.jsonl"
        job.write_bytes(jsonl(lines[:4]) + b"not JSON\n" + jsonl(lines[4:]))
        ended = self.sluice("run", job, "--base-url", relay.url, "--rpm", 0, "--group-prefixes", "--dedup", "--ordered",
                            "--keep-going", expect=None)
        self.assertIn(ended.code, (0, SOME_FAILED), ended.err)
        results = self.results(Path(job))
        invariants.require_complete(results, [*(line["custom_id"] for line in lines), "line-5"])
        for part in (results.output, results.errors):
            numbers = [line["sluice"]["line"] for line in part]
            self.assertEqual(numbers, sorted(numbers))


if __name__ == "__main__":
    unittest.main()
