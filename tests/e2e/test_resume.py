"""Stopping at any point and resuming: nothing may be lost or paid twice."""

from __future__ import annotations

import json
import random
import signal
import unittest
from collections import Counter
from pathlib import Path

from support import Case, Relay, Results, batch, chat, chats, jsonl, signal_and_wait, text_of, wait_until

UNAVAILABLE = {"status": 503, "body": {"error": {"message": "no channel", "type": "upstream_error", "code": "busy"}}}
UNAUTHORIZED = {"status": 401, "body": {"error": {"message": "no such key", "type": "x", "code": "invalid_api_key"}}}
REFUSED = {"status": 400, "body": {"error": {"message": "bad value", "type": "invalid_request_error", "code": "x"}}}


def whole_lines(path: Path) -> list[bytes]:
    data = path.read_bytes() if path.exists() else b""
    return [line for line in data.splitlines(keepends=True) if line.endswith(b"\n")]


def question_in(body: bytes) -> str:
    return str(json.loads(body)["messages"][-1]["content"])


class ResumeCase(Case):
    def assert_complete(self, results: Results, count: int) -> None:
        """Every request has its own answer exactly once."""
        found = results.by_id()
        self.assertEqual(set(found), {f"c{i}" for i in range(1, count + 1)})
        for name, line in found.items():
            self.assertEqual(text_of(line), f"echo: question number {name[1:]} of the batch")
        self.assertEqual(results.totals["succeeded"], count)
        self.assertEqual(results.totals["pending"], 0)


class Killed(ResumeCase):
    def test_kill_nine_at_random_points(self) -> None:
        count, rounds = 400, 8
        rng = random.Random(20)
        relay = self.relay("--delay-min", "0.01", "--delay-max", "0.08")
        job = self.job(chats(count))
        results = self.results(job)
        flags = ("run", job, "--base-url", relay.url, "--rpm", 0, "--concurrency", 16)
        kept: list[bytes] = []
        resent: list[str] = []
        for number in range(rounds):
            before = len(relay.bodies)
            done = {json.loads(line)["sluice"]["line"] for line in kept}
            run = self.start(*flags)
            enough = len(kept) + rng.randint(1, 40)
            wait_until(lambda: len(whole_lines(results.output_path)) >= enough or not run.running, "some lines more")
            self.assertTrue(run.running, run.err)
            run.signal(signal.SIGKILL)
            run.wait()
            after = whole_lines(results.output_path)
            self.assertEqual(after[:len(kept)], kept, f"round {number} changed a finished line")
            kept = after
            # By the relay's record, requests that were in the output before this round were not sent again.
            resent += [question for body in relay.bodies[before:]
                       if int((question := question_in(body)).split()[2]) in done]
        self.sluice(*flags)
        self.assert_complete(results, count)
        self.assertEqual(resent, [])
        self.assertEqual(whole_lines(results.output_path)[:len(kept)], kept)
        stats = relay.stats
        # All attempts of a request, over all restarts, have the same key and body.
        self.assertEqual(len(stats["bodies_seen"]), count)
        self.assertTrue(all(len(seen["sha256"]) == 1 for seen in stats["bodies_seen"].values()))
        # Attempts in flight at a kill may have been billed, and also replies that were read but not written yet: at
        # most as many again, since each had a slot. Not more than that may be sent again.
        totals = results.totals
        again = stats["attempts"] - count
        self.assertLessEqual(again, rounds * 2 * 16)
        self.assertFalse(results.state_path.exists())
        # The totals may miss attempts in flight at a kill, since they are in no file. An attempt is recorded before its
        # first byte is sent: a kill between the two counts one that never reached the relay, at most one for each slot.
        self.assertGreaterEqual(totals["attempts"], count)
        self.assertLessEqual(totals["attempts"], stats["attempts"] + rounds * 16)


class Damaged(ResumeCase):
    def finished(self, count: int = 6) -> tuple[Relay, Path, Results]:
        relay = self.relay()
        job = self.job(chats(count))
        self.run_job(job, relay)
        return relay, job, self.results(job)

    def test_an_incomplete_last_line_is_dropped_and_its_request_is_sent_again(self) -> None:
        relay, job, results = self.finished()
        for cut in (1, 40, -2):
            with self.subTest(cut=cut):
                before = relay.attempts
                lines = results.output_path.read_bytes().splitlines(keepends=True)
                lost = json.loads(lines[-1])["sluice"]["line"]
                results.output_path.write_bytes(b"".join(lines[:-1]) + lines[-1][:cut])
                self.run_job(job, relay)
                self.assert_complete(results, 6)
                self.assertEqual([question_in(body).split()[2] for body in relay.bodies[before:]], [str(lost)])

    def test_a_last_line_that_lacks_only_its_newline_is_kept(self) -> None:
        relay, job, results = self.finished()
        whole = results.output_path.read_bytes()
        results.output_path.write_bytes(whole[:-1])
        self.run_job(job, relay)
        self.assertEqual(results.output_path.read_bytes(), whole)
        self.assertEqual(relay.attempts, 6)

    def test_a_damaged_line_in_the_middle_is_named(self) -> None:
        relay, job, results = self.finished()
        lines = results.output_path.read_bytes().splitlines(keepends=True)
        lines[2] = lines[2][:50] + b"\n"
        results.output_path.write_bytes(b"".join(lines))
        refused = self.run_job(job, relay, expect=2)
        self.assert_one_sentence(refused, "job.output.jsonl", "3")
        self.assertEqual(results.output_path.read_bytes(), b"".join(lines))
        self.assertEqual(relay.attempts, 6)


class Finished(ResumeCase):
    def test_running_again_sends_nothing_and_changes_nothing(self) -> None:
        relay = self.relay(script=[{"match": "number 3", "times": None, **REFUSED}])
        job = self.job(jsonl(chats(8)) + b"not JSON\n")
        self.run_job(job, relay, expect=1)
        results = self.results(job)
        before = results.bytes()
        sent = relay.attempts
        self.run_job(job, relay, expect=1)
        after = results.bytes()
        for name in (results.output_path.name, results.errors_path.name):
            self.assertEqual(after[name], before[name])
        self.assertEqual(relay.attempts, sent)
        one, two = (json.loads(files[results.totals_path.name]) for files in (before, after))
        for moving in ("wall_s", "max_requests_in_60s"):
            one.pop(moving), two.pop(moving)
        self.assertEqual(one, two)

    def test_running_again_after_success(self) -> None:
        relay = self.relay()
        job = self.job(chats(5))
        for _ in range(3):
            self.run_job(job, relay)
        self.assertEqual(relay.attempts, 5)
        self.assert_complete(self.results(job), 5)

    def test_temporary_failures_are_retried(self) -> None:
        job = self.job(chats(6))
        results = self.results(job)
        broken = self.relay(script=[{"match": "number 2", "times": None, **UNAVAILABLE},
                                    {"match": "number 5", "times": None, **REFUSED}])
        self.run_job(job, broken, "--max-attempts", 2, expect=1)
        failed = {line["custom_id"]: line for line in results.errors}
        self.assertEqual({name: line["sluice"]["retryable"] for name, line in failed.items()},
                         {"c2": True, "c5": False})
        mended = self.relay()
        self.run_job(job, mended, expect=1)
        self.assertEqual([question_in(body) for body in mended.bodies], ["question number 2 of the batch"])
        self.assertEqual([line["custom_id"] for line in results.errors], ["c5"])
        self.assertEqual(len(results.output), 5)
        self.assertEqual((results.totals["succeeded"], results.totals["failed"]), (5, 1))
        self.assertEqual(results.totals["attempts"], broken.attempts + 1)
        # A failed request that is retried by a later run gets a new key.
        self.assertFalse(set(broken.stats["bodies_seen"]) & set(mended.stats["bodies_seen"]))
        self.run_job(job, mended, "--retry-failed")
        self.assertEqual(mended.attempts, 2)
        self.assert_complete(results, 6)

    def test_a_failure_that_repeats_has_one_line(self) -> None:
        job = self.job(chats(4))
        relay = self.relay(script=[{"match": "number 2", "times": None, **UNAVAILABLE}])
        for _ in range(3):
            self.run_job(job, relay, "--max-attempts", 1, expect=1)
        results = self.results(job)
        self.assertEqual([line["custom_id"] for line in results.errors], ["c2"])
        self.assertEqual(len(results.by_id()), 4)
        self.assertEqual(relay.attempts, 6)

    def test_a_smaller_limit_leaves_the_totals_whole(self) -> None:
        relay = self.relay(script=[{"match": "number 3 ", "times": None, **REFUSED}])
        job = self.job(jsonl(chats(6)) + b"not JSON\n" + jsonl([batch("last", chat("the last"))]))
        self.run_job(job, relay, expect=1)
        results = self.results(job)
        files = [results.output_path.read_bytes(), results.errors_path.read_bytes()]
        whole = results.totals
        for limit in (1, 3, 7):
            with self.subTest(limit=limit):
                self.run_job(job, relay, "--limit", limit, expect=1)
                for key in ("status", "requests", "succeeded", "failed", "pending", "errors", "attempts"):
                    self.assertEqual(results.totals[key], whole[key], key)
                self.assertEqual([results.output_path.read_bytes(), results.errors_path.read_bytes()], files)
        self.assertEqual(relay.attempts, 7)

    def test_a_smaller_limit_on_standard_input_does_too(self) -> None:
        relay = self.relay()
        text = jsonl(chats(4)) + b"not JSON\n"
        results = Results(Path("stdin.jsonl"), self.out)
        for limit in (0, 2):
            self.run_job("-", relay, "--output-dir", self.out, "--limit", limit, stdin=text, expect=1)
            totals = results.totals
            self.assertEqual((totals["status"], totals["requests"], totals["succeeded"], totals["failed"]),
                             ("completed", 5, 4, 1))
            self.assertEqual(len(results.errors), 1)
        self.assertEqual(relay.attempts, 4)

    def test_a_limit_does_not_mix_two_jobs(self) -> None:
        relay = self.relay()
        first, second = self.job(chats(6)), self.job([batch(f"b{i}", chat("hi")) for i in range(4)], "second.jsonl")
        results = Results(Path("res.jsonl"), self.out)
        output = self.out / "res.output.jsonl"
        self.out.mkdir()
        self.run_job(first, relay, "-o", output)
        before = results.bytes()
        self.assert_one_sentence(self.run_job(second, relay, "-o", output, "--limit", 3, expect=2), "6 result(s)")
        refused = self.run_job("-", relay, "-o", output, "--limit", 3, stdin=jsonl(chats(2)), expect=2)
        self.assertIn("no longer in standard input", refused.err)
        self.assertEqual(results.bytes(), before)
        self.assertEqual(relay.attempts, 6)
        self.run_job("-", relay, "-o", output, "--limit", 3, stdin=first.read_bytes())
        self.assertEqual((results.totals["requests"], results.totals["succeeded"]), (6, 6))

    def test_fresh_renames_the_old_files(self) -> None:
        relay = self.relay()
        job = self.job(chats(4))
        self.run_job(job, relay)
        results = self.results(job)
        old = results.output_path.read_bytes()
        self.run_job(job, relay, "--fresh")
        self.assertEqual(relay.attempts, 8)
        self.assert_complete(results, 4)
        aside = [path for path in job.parent.iterdir() if path.is_file() and path.read_bytes() == old]
        self.assertEqual(len(aside), 1, sorted(path.name for path in job.parent.iterdir()))


class Changed(ResumeCase):
    def test_a_changed_request_is_refused_by_name(self) -> None:
        relay = self.relay()
        lines = chats(4)
        self.run_job(self.job(lines), relay)
        before = self.results(self.folder / "job.jsonl").bytes()
        lines[2]["body"]["temperature"] = 0.5
        job = self.job(lines)
        self.assert_one_sentence(self.run_job(job, relay, expect=2), "c3")
        self.assertEqual(self.results(job).bytes(), before)
        self.assertEqual(relay.attempts, 4)

    def test_a_changed_model_flag_is_a_change(self) -> None:
        relay = self.relay()
        job = self.job([{"custom_id": "p", "prompt": "hello"}])
        self.run_job(job, relay, "--model", "gpt-4o-mini")
        self.assert_one_sentence(self.run_job(job, relay, "--model", "gpt-4o", expect=2), "p")

    def test_a_request_removed_from_the_job_is_refused_by_name(self) -> None:
        relay = self.relay()
        self.run_job(self.job(chats(4)), relay)
        job = self.job(chats(3))
        self.assert_one_sentence(self.run_job(job, relay, expect=2), "c4")

    def test_a_changed_request_that_only_failed_is_sent(self) -> None:
        relay = self.relay(script=[{"match": "number 2", **REFUSED}])
        lines = chats(4)
        self.run_job(self.job(lines), relay, expect=1)
        lines[1]["body"]["temperature"] = 0.5
        job = self.job(lines)
        self.run_job(job, relay)
        self.assertEqual(relay.attempts, 5)
        self.assert_complete(self.results(job), 4)

    def test_on_standard_input_changes_stop_the_run(self) -> None:
        """Standard input cannot be checked before the start: the run stops at the bad line and sends nothing after
        it."""
        relay = self.relay()
        lines = chats(4)
        results = Results(Path("stdin.jsonl"), self.out)
        changed = [*lines[:2], batch("c3", chat("another question")), lines[3], batch("new", chat("new"))]
        for name, lines_now, said in (("changed", changed, "c3"), ("gone", lines[:3], "c4")):
            with self.subTest(name):
                self.run_job("-", relay, "--output-dir", self.out, "--fresh", stdin=jsonl(lines))
                written = results.bytes()
                before = relay.attempts
                refused = self.run_job("-", relay, "--output-dir", self.out, stdin=jsonl(lines_now), expect=2)
                self.assertIn(said, refused.err)
                self.assertIn("standard input", refused.err)
                self.assertEqual(results.bytes(), written)
                self.assertFalse(results.state_path.exists())
                self.assertEqual(relay.attempts, before)
                self.run_job("-", relay, "--output-dir", self.out, stdin=jsonl(lines))
                self.assertEqual(results.totals["status"], "completed")

    def test_the_totals_of_standard_input_that_is_refused_late_add_up(self) -> None:
        relay = self.relay()
        results = Results(Path("stdin.jsonl"), self.out)
        self.run_job("-", relay, "--output-dir", self.out, stdin=jsonl(chats(5)))
        new = [batch(f"new{i}", chat("new")) for i in range(2)]
        self.run_job("-", relay, "--output-dir", self.out, stdin=jsonl([*new, *chats(1)]), expect=2)
        totals = results.totals
        self.assertEqual(totals["requests"], totals["succeeded"] + totals["failed"] + totals["pending"])

    def test_more_lines_of_standard_input_are_announced_as_sent(self) -> None:
        relay = self.relay()
        self.run_job("-", relay, "--output-dir", self.out, stdin=jsonl(chats(3)))
        run = self.run_job("-", relay, "--output-dir", self.out, stdin=jsonl(chats(5)))
        self.assertNotIn("nothing to send", run.err)
        self.assertEqual(relay.attempts, 5)

    def test_stream_or_not_is_no_change(self) -> None:
        relay = self.relay()
        job = self.job(chats(4))
        self.run_job(job, relay)
        self.run_job(job, relay, "--no-stream")
        self.assertEqual(relay.attempts, 4)

    def test_a_longer_job_sends_what_is_new(self) -> None:
        relay = self.relay()
        self.run_job(self.job(chats(4)), relay)
        job = self.job(chats(7))
        self.run_job(job, relay)
        self.assertEqual(relay.attempts, 7)
        self.assert_complete(self.results(job), 7)


class Interrupted(ResumeCase):
    """The relay delays every reply until after the signal, so that the requests in flight are known."""

    count = 12

    def in_flight(self, relay: Relay, *flags: object) -> tuple[Path, object]:
        job = self.job(chats(self.count))
        run = self.start("run", job, "--base-url", relay.url, "--rpm", 0, "--concurrency", 4, *flags)
        wait_until(lambda: relay.stats["attempts"] >= 4 or not run.running, "four requests in flight")
        return job, run

    def check_graceful(self, number: int) -> None:
        relay = self.relay("--head-delay", "1")
        job, run = self.in_flight(relay)
        signal_and_wait(run, number)
        self.assertEqual(run.code, 130, run.err)
        results = self.results(job)
        done = results.output
        self.assertEqual(len(done), relay.attempts, "the requests in flight have finished")
        self.assertLess(len(done), self.count)
        self.assertEqual(results.errors, [])
        self.assertEqual((results.totals["status"], results.totals["pending"]),
                         ("interrupted", self.count - len(done)))
        mended = self.relay()
        self.run_job(job, mended)
        self.assertEqual(mended.attempts, self.count - len(done))
        self.assert_complete(results, self.count)
        self.assertEqual(results.totals["status"], "completed")

    def test_ctrl_c_lets_requests_in_flight_finish(self) -> None:
        self.check_graceful(signal.SIGINT)

    def test_sigterm_lets_requests_in_flight_finish(self) -> None:
        self.check_graceful(signal.SIGTERM)

    def test_a_second_ctrl_c_stops_at_once(self) -> None:
        relay = self.relay(script=[{"times": None, "hold": True}])
        job, run = self.in_flight(relay, "--grace", "10m")
        run.signal(signal.SIGINT)
        wait_until(lambda: "interrupt" in run.err, "the first signal is handled")
        self.assertTrue(run.running)
        signal_and_wait(run, signal.SIGINT)
        self.assertEqual(run.code, 130, run.err)
        results = self.results(job)
        self.assertEqual((results.output, results.errors), ([], []))
        self.assertEqual(results.totals["pending"], self.count)
        self.assertEqual(results.totals["maybe_billed_attempts"], 4)
        mended = self.relay()
        self.run_job(job, mended)
        self.assert_complete(results, self.count)
        self.assertEqual(results.totals["attempts"], 4 + self.count)
        self.assertEqual(set(relay.stats["bodies_seen"]) - set(mended.stats["bodies_seen"]), set(),
                         "an unfinished request keeps its key")

    def test_grace_ends(self) -> None:
        relay = self.relay(script=[{"times": None, "hold": True}])
        job, run = self.in_flight(relay, "--grace", "200ms")
        signal_and_wait(run, signal.SIGINT)
        self.assertEqual(run.code, 130, run.err)
        self.assertEqual(self.results(job).totals["pending"], self.count)

    def test_ctrl_c_while_waiting_for_the_limit(self) -> None:
        relay = self.relay()
        job = self.job(chats(20))
        run = self.start("run", job, "--base-url", relay.url, "--rpm", 5)
        results = self.results(job)
        wait_until(lambda: results.written() >= 5 or not run.running, "the first window")
        signal_and_wait(run, signal.SIGINT)
        self.assertEqual(run.code, 130, run.err)
        self.assertEqual((results.totals["succeeded"], results.totals["pending"], relay.attempts), (5, 15, 5))


class StoppedAgain(ResumeCase):
    """A run that ends early while it retries failures: the job is unfinished, and no failure may be lost."""

    count = 6

    def check(self, script: list[dict[str, object]], code: int, status: str) -> None:
        job = self.job(chats(self.count))
        results = self.results(job)
        failing = [{"match": f"number {number} ", "times": None, **UNAVAILABLE} for number in (2, 5)]
        first = self.relay(script=failing)
        self.run_job(job, first, "--max-attempts", 1, expect=1)
        lines = results.errors
        self.assertEqual({line["custom_id"] for line in lines}, {"c2", "c5"})
        second = self.relay(script=script)
        run = self.start("run", job, "--base-url", second.url, "--rpm", 0)
        if code == 130:
            wait_until(lambda: second.stats["attempts"] >= 2 or not run.running, "both to be in flight")
            run.signal(signal.SIGINT)
            wait_until(lambda: "interrupt" in run.err, "the first signal is handled")
            run.signal(signal.SIGINT)
        run.wait()
        self.assertEqual(run.code, code, run.err)
        totals = results.totals
        self.assertEqual((totals["status"], totals["succeeded"], totals["failed"]), (status, self.count - 2, 2))
        self.assertEqual(results.errors, lines, "the old lines stay until there are new ones")
        self.assertTrue(results.state_path.exists())
        third = self.relay()
        self.run_job(job, third)
        self.assert_complete(results, self.count)
        self.assertEqual(results.totals["status"], "completed")
        self.assertFalse(results.state_path.exists())
        self.assertLessEqual(set(second.stats["bodies_seen"]), set(third.stats["bodies_seen"]))
        self.assertFalse(set(first.stats["bodies_seen"]) & set(third.stats["bodies_seen"]))

    def test_by_ctrl_c(self) -> None:
        self.check([{"times": None, "hold": True}], 130, "interrupted")

    def test_by_the_end_of_the_key(self) -> None:
        self.check([{"times": None, **UNAUTHORIZED}], 3, "stopped")


class Locked(ResumeCase):
    def test_a_second_run_on_the_same_output_names_the_first(self) -> None:
        relay = self.relay(script=[{"times": None, "hold": True}])
        job = self.job(chats(3))
        first = self.start("run", job, "--base-url", relay.url, "--rpm", 0)
        wait_until(lambda: relay.stats["attempts"] >= 3 or not first.running, "the first run to be at work")
        refused = self.run_job(job, relay, expect=2)
        self.assert_one_sentence(refused, str(first.process.pid))
        self.assertEqual(relay.attempts, 3)
        self.assertTrue(first.running)

    def test_all_jobs_are_locked_before_any_is_sent(self) -> None:
        relay = self.relay(script=[{"match": "held back", "times": None, "hold": True}])
        held = self.job([batch("h", chat("held back"))], "held.jsonl")
        free = self.job(chats(2), "free.jsonl")
        first = self.start("run", held, "--base-url", relay.url, "--rpm", 0)
        wait_until(lambda: relay.stats["attempts"] >= 1 or not first.running, "the first run to be at work")
        refused = self.sluice("run", free, held, "--base-url", relay.url, "--rpm", 0, expect=2)
        self.assert_one_sentence(refused, "held", str(first.process.pid))
        self.assertEqual(relay.attempts, 1)
        first.signal(signal.SIGKILL)
        first.wait()
        self.run_job(free, relay)  # the lock was released with its process
        self.assertEqual(Counter(line["custom_id"] for line in self.results(free).output), {"c1": 1, "c2": 1})

    def test_simulated_results_are_not_added_to_real_ones(self) -> None:
        relay = self.relay()
        job = self.job(chats(2))
        self.run_job(job, relay)
        self.assert_one_sentence(self.sluice("run", job, "--simulate", expect=2), "simulat")


if __name__ == "__main__":
    unittest.main()
