"""`sluice bench` over sockets: its document, its limit and budget, several targets, and failures."""

from __future__ import annotations

import json
import signal
from decimal import Decimal
from typing import Any

import jsonschema

import bench_truth as truth
from support import KEY, ROOT, Case, Run, Server, chat, chats, refusing_port, wait_until
from test_bench_precision import BenchCase

SCHEMA = jsonschema.Draft202012Validator(json.loads((ROOT / "docs/bench.schema.json").read_text()))


class Bench(Case):
    def bench(self, *flags: Any, expect: int | None = 0, **more: Any) -> Run:
        log = self.folder / "log.txt"
        run = self.sluice("bench", "--seed", 3, "--log-file", log, "-v", *flags, expect=expect, **more)
        for place, text in (("stdout", run.out), ("stderr", run.err), ("the log", log.read_text())):
            self.assertNotIn(KEY, text, place)
        return run

    def document(self, *flags: Any, **more: Any) -> dict[str, Any]:
        result = json.loads(self.bench("--json", *flags, **more).out)
        for fault in SCHEMA.iter_errors(result):
            self.fail(f"{fault.json_path}: {fault.message[:500]}")
        return result

    def of(self, server: Server, *flags: Any, **more: Any) -> dict[str, Any]:
        return self.document("--base-url", server.url, "--model", "gpt-4o-mini", *flags, **more)


class Documents(Bench):
    def test_reports_each_load_in_order(self) -> None:
        server = self.simulator(ttft="20ms", itl="1ms")
        result = self.of(server, "--rpm", 0, "--concurrency", "1,4,2", "--requests", 12, "--max-tokens", 20)
        self.assertEqual(result["target"], server.url)
        self.assertEqual([load["concurrency"] for load in result["loads"]], [1, 4, 2])
        for load in result["loads"]:
            self.assertEqual((load["requests"], load["succeeded"], load["failed"]), (12, 12, 0))
            self.assertEqual(load["ttft_ms"]["count"], 12)
            self.assertEqual(sum(count for _, count in load["histograms"]["latency_ms"]), 12)
            self.assertEqual(sum(load["timeline"]["succeeded"]), 12)
            self.assertEqual(sum(load["timeline"]["output_tokens"]), load["tokens"]["completion"])
        ledger = server.ledger
        self.assertEqual(ledger["attempts"], 36)
        self.assertEqual(Decimal(result["cost_usd"]), Decimal(ledger["billed"]["cost_usd"]))
        self.assertEqual(sum(load["tokens"]["prompt"] for load in result["loads"]), 36 * 64)

    def test_the_simulator_inside_needs_no_key(self) -> None:
        result = self.document("--simulate", "--model", "gpt-4", "--requests", 5, env={"OPENAI_API_KEY": None})
        self.assertTrue(result["simulated"])
        self.assertEqual(result["loads"][0]["succeeded"], 5)

    def test_whole_replies(self) -> None:
        result = self.of(self.simulator(), "--rpm", 0, "--no-stream", "--requests", 5)
        self.assertFalse(result["streamed"])
        self.assertIsNone(result["loads"][0]["ttft_ms"])
        self.assertEqual(result["loads"][0]["latency_ms"]["count"], 5)

    def test_the_table_has_the_same_numbers(self) -> None:
        server = self.simulator()
        run = self.bench("--base-url", server.url, "--model", "gpt-4o-mini", "--rpm", 0, "--requests", 7)
        self.assertIn("8 in flight", run.out)
        self.assertRegex(run.out, r"cost \$0\.0\d+")
        self.assertTrue(all(len(line) <= 100 for line in run.out.splitlines()[:4]), run.out)

    def test_jobs_replace_generated_prompts(self) -> None:
        relay = self.relay()
        job = self.job(chats(3))
        result = self.document(job, "--base-url", relay.url, "--rpm", 0, "--concurrency", 1, "--requests", 5)
        self.assertEqual(result["input"], {"kind": "jobs", "jobs": [str(job)], "requests": 3})
        self.assertEqual(result["model"], "gpt-4o-mini")
        questions = [json.loads(body)["messages"][0]["content"] for body in relay.bodies]
        self.assertEqual(questions, [f"question number {i} of the batch" for i in (1, 2, 3, 1, 2)])
        self.assertFalse((self.folder / "job.output.jsonl").exists())

    def test_a_failure_is_counted_and_not_retried(self) -> None:
        relay = self.relay(script=[{"match": None, "times": 2, "status": 500, "body": {"error": {"message": "ouch"}}}])
        result = self.of(relay, "--rpm", 0, "--concurrency", 1, "--requests", 6, expect=1)
        load = result["loads"][0]
        self.assertEqual((load["succeeded"], load["failed"], load["errors"]), (4, 2, {"500": 2}))
        self.assertEqual(relay.attempts, 6)
        self.assertIn("ouch", load["failures"][0]["message"])

    def test_a_key_that_a_relay_repeats_is_not_printed(self) -> None:
        relay = self.relay(script=[{"match": None, "status": 500, "body": {"error": {"message": f"bad {KEY}!"}}}])
        self.of(relay, "--rpm", 0, "--concurrency", 1, "--requests", 3, expect=1)


class Reports(Bench):
    def test_a_page_and_a_comparison(self) -> None:
        server = self.simulator(ttft="20ms")
        saved = self.folder / "old.json"
        flags = ["--base-url", server.url, "--model", "gpt-4o-mini", "--rpm", 0, "--requests", 40]
        saved.write_text(self.bench("--json", *flags).out)
        page = self.folder / "page.html"
        result = self.of(server, "--rpm", 0, "--requests", 40, "--compare", saved, "--html", page)
        self.assertEqual(len(result["comparison"]["loads"]), 1)
        self.assertIn(str(result["loads"][0]["latency_ms"]["p50"]), page.read_text())
        self.assertEqual(page.stat().st_mode & 0o777, 0o600)
        run = self.bench(*flags, "--compare", saved)
        self.assertIn("latency_ms.p50", run.out)

    def test_report_shows_a_saved_document(self) -> None:
        saved = self.folder / "old.json"
        run = self.bench("--simulate", "--model", "gpt-4o-mini", "--requests", 20, "--json")
        saved.write_text(run.out)
        self.assertIn("8 in flight", self.sluice("report", saved).out)
        page = self.folder / "page.html"
        self.assertEqual(self.sluice("report", saved, "--html", page).out, "")
        self.assertIn("gpt-4o-mini", page.read_text())

    def test_bad_comparisons_and_pages_are_refused_before_anything_is_sent(self) -> None:
        server = self.simulator()
        bad = self.job(b"{}\n", "bad.json")
        for flags, parts in ((["--compare", bad], ["--compare", "bad.json"]),
                             (["--compare", "nowhere.json"], ["--compare nowhere.json"]),
                             (["--html", "nowhere/page.html"], ["nowhere/page.html"])):
            run = self.sluice("bench", "--base-url", server.url, "--model", "gpt-4o-mini", *flags, expect=2)
            self.assert_one_sentence(run, *parts)
        self.assertEqual(server.ledger["attempts"], 0)


class SearchForTheLimit(Bench):
    def test_finds_no_limit_below_its_own_ceiling_and_says_so(self) -> None:
        relay = self.relay()
        result = self.of(relay, "--find-limit", "--ceiling", 30)["limit"]
        self.assertEqual((result["kind"], result["refused"], result["ceiling"]), ("none_found", 0, 30))
        self.assertLessEqual(relay.attempts, 30)
        # The limit also counts the starts of a run in another process.
        run = self.start("run", self.job(chats(5)), "--base-url", relay.url, "--rpm", 20)
        wait_until(lambda: "waiting for the limit" in run.err, "the run to say that it waits")
        run.signal(signal.SIGINT)
        run.wait()
        self.assertEqual(relay.attempts, result["requests"])

    def test_finds_a_leaky_bucket(self) -> None:
        server = self.simulator("--rpm", "200", "--mode", "leaky")
        result = self.of(server, "--find-limit", "--ceiling", 400)["limit"]
        self.assertEqual(result["kind"], "leaky", result)
        # The precision depends on how evenly this machine sends, but the true limit must always be within the bounds.
        self.assertLessEqual(result["at_least"], 200, result)
        self.assertGreaterEqual(result["at_most"], 200, result)
        self.assertLess(result["refused"], 40)
        self.assertEqual(Decimal(result["cost_usd"]), Decimal(server.ledger["billed"]["cost_usd"]))


class Limits(Bench):
    def test_its_limit_holds_and_is_reported(self) -> None:
        relay = self.relay()
        result = self.of(relay, "--rpm", 30, "--duration", "5s")
        load = result["loads"][0]
        self.assertEqual(relay.attempts, 30)
        self.assertEqual(load["most_in_60s"], 30)
        self.assertGreater(load["held_by_cap"], 0.5)
        run = self.bench("--base-url", relay.url, "--model", "gpt-4o-mini", "--rpm", 31, "--duration", "3s")
        self.assertIn("sluice's own cap of 31 a minute held it", run.out)
        self.assertEqual(relay.attempts, 31, "all runs share the window")

    def test_a_run_counts_what_a_benchmark_started(self) -> None:
        relay = self.relay()
        self.of(relay, "--rpm", 20, "--requests", 20, "--concurrency", 4)
        run = self.start("run", self.job(chats(5)), "--base-url", relay.url, "--rpm", 20)
        wait_until(lambda: "waiting for the limit" in run.err, "the run to say that it waits")
        run.signal(signal.SIGINT)
        run.wait()
        self.assertEqual(relay.attempts, 20)

    def test_a_sweep_ends(self) -> None:
        result = self.of(self.simulator(ttft="30ms"), "--rpm", 0, "--sweep", "--concurrency", "1,8", "--duration", "1s")
        loads = [load["concurrency"] for load in result["loads"]]
        self.assertEqual(loads, [1, 2, 4, 8][:len(loads)])
        self.assertGreater(len(loads), 2)

    def test_a_budget_holds_and_the_measurements_are_printed(self) -> None:
        server = self.simulator()
        result = self.of(server, "--rpm", 0, "--concurrency", "2,4", "--requests", 1000, "--budget", "0.002", expect=3)
        self.assertIn("budget of 0.002 USD", result["stopped"])
        self.assertGreater(result["loads"][0]["succeeded"], 10)
        self.assertLessEqual(Decimal(server.ledger["billed"]["cost_usd"]), Decimal("0.002"))

    def test_an_interrupt_prints_the_measurements(self) -> None:
        server = self.simulator(ttft="50ms")
        run = self.start("bench", "--base-url", server.url, "--model", "gpt-4o-mini", "--rpm", 0, "--requests", 100000,
                         "--json")
        wait_until(lambda: server.ledger["attempts"] > 20, "some requests")
        run.signal(signal.SIGINT)
        self.assertEqual(run.wait().code, 130, run.err)
        result = json.loads(run.out)
        self.assertEqual(result["stopped"], "interrupted")
        self.assertEqual(result["loads"][0]["failed"], 0)
        self.assertEqual(result["loads"][0]["succeeded"], server.ledger["attempts"])


class OwnLimits(BenchCase):
    """The report says which limits come from sluice and not from the relay."""

    def test_limited_by_its_own_rate_limit(self) -> None:
        flags = ("--rpm", 60, "--concurrency", 4, "--duration", "8s")

        def measure() -> tuple[list[str], dict[str, Any], list[truth.Chat]]:
            relay = self.timed("--ttft", 0.02, "--itl", 0.002, "--pieces", 5)
            load = json.loads(self.bench(relay, *flags, "--json").out)["loads"][0]
            chats = relay.chats
            relay.stop()
            self.assertEqual(load["requests"], 60)
            self.assertEqual(load["most_in_60s"], 60)
            # 60 requests of about 30 ms were sent; for the rest of the eight seconds the four callers waited.
            sent_ms, _ = truth.stats_of(truth.values_of(chats)["latency_ms"])["mean"]
            held = 1 - 60 * sent_ms / (4 * 8000)
            wrong = [] if abs(load["held_by_cap"] - held) <= 0.02 else [
                f"held_by_cap is {load['held_by_cap']}, not {held:.3f}"]
            return wrong, load, chats

        self.until_held(measure)

    def test_the_table_names_its_own_limit(self) -> None:
        relay = self.timed("--ttft", 0.02, "--itl", 0.002, "--pieces", 5)
        run = self.bench(relay, "--rpm", 20, "--concurrency", 4, "--duration", "3s")
        self.assertIn("sluice's own cap of 20 a minute held it", run.out)
        free = self.bench(relay, "--rpm", 0, "--concurrency", 4, "--requests", 40)
        self.assertNotIn("sluice's own cap", free.out)


class Targets(Bench):
    def test_each_target_gets_its_own_key(self) -> None:
        blue, green = self.relay(), self.relay()
        keys = {"BLUE_API_KEY": "sk-blue-0123456789abcdef", "GREEN_ONE_API_KEY": "sk-green-0123456789abcdef"}
        result = self.document("--model", "gpt-4o-mini", "--target", f"blue={blue.url}", "--target",
                               f"green-one={green.url}", "--rpm", 0, "--concurrency", "2", "--requests", 10, env=keys)
        self.assertEqual([one["name"] for one in result["targets"]], ["blue", "green-one"])
        for one, server, key in zip(result["targets"], (blue, green), keys.values()):
            self.assertEqual(one["loads"][0]["succeeded"], 10)
            self.assertEqual(server.attempts, 10)
            self.assertEqual(server.stats["authorizations_seen"], [f"Bearer {key}"])

    def test_tables_of_the_config_are_targets(self) -> None:
        blue, green = self.relay(), self.relay()
        (self.folder / "sluice.toml").write_text(
            "".join(f'[[relay]]\nname = "{name}"\nbase_url = "{server.url}"\n'
                    for name, server in (("blue", blue), ("green", green))))
        result = self.document("--model", "gpt-4o-mini", "--rpm", 0, "--requests", 4)
        self.assertEqual([one["name"] for one in result["targets"]], ["blue", "green"])
        only = self.document("--model", "gpt-4o-mini", "--rpm", 0, "--requests", 4, "--target", "green")
        self.assertEqual((only["name"], blue.attempts, green.attempts), ("green", 4, 8))

    def test_a_target_that_is_down_does_not_stop_the_others(self) -> None:
        relay = self.relay()
        result = self.document("--model", "gpt-4o-mini", "--target", f"up={relay.url}", "--target",
                               f"down=http://127.0.0.1:{refusing_port(self)}", "--rpm", 0, "--requests", 10, expect=3)
        up, down = result["targets"]
        self.assertEqual(up["loads"][0]["succeeded"], 10)
        self.assertIn("cannot be reached", down["stopped"])


class Refusals(Bench):
    def test_a_target_that_is_down(self) -> None:
        run = self.bench("--base-url", f"http://127.0.0.1:{refusing_port(self)}", "--model", "m", "--json", expect=3)
        self.assertEqual(run.out, "")
        self.assertIn("cannot be reached", run.err)

    def test_a_model_that_is_refused(self) -> None:
        words = {"error": {"message": "The model `gpt-x` does not exist", "type": "invalid_request_error",
                           "code": "model_not_found"}}
        relay = self.relay(script=[{"match": None, "times": None, "status": 404, "body": words}])
        result = self.of(relay, "--rpm", 0, "--requests", 50, expect=3)
        self.assertIn("does not exist", result["stopped"])
        self.assertLess(relay.attempts, 20)

    def test_a_key_that_is_refused(self) -> None:
        relay = self.relay(script=[{"match": None, "times": None, "status": 401,
                                    "body": {"error": {"message": "Incorrect API key provided"}}}])
        result = self.of(relay, "--rpm", 0, "--requests", 50, "--concurrency", 1, expect=3)
        self.assertIn("Incorrect API key", result["stopped"])
        self.assertEqual(relay.attempts, 2)

    def test_settings_that_make_no_sense(self) -> None:
        job = self.job([chat("hi")])
        port = refusing_port(self)
        for flags, part in (
                (["--concurrency", "0", "--model", "m"], "0 requests in flight"),
                (["--concurrency", "2,x", "--model", "m"], "'x'"),
                (["--rate", "-5", "--model", "m"], "'-5' is not a rate"),
                (["--rate", "5", "--concurrency", "2", "--model", "m"], "two kinds of load"),
                (["--rate-kind", "poisson", "--model", "m"], "--rate"),
                ([], "--model is missing"),
                ([job, "--max-tokens", "5"], "generated prompts"),
                (["--model", "unpriced", "--budget", "1"], "no price"),
                (["--model", "m", "--target", "=http://x"], "no name"),
                (["--model", "m", "--target", "blue"], "no [[relay]] of that name"),
                (["--model", "m", "--target", "a=http://127.0.0.1", "--target", "b=http://127.0.0.1"],
                 "has the address and the key of another"),
                (["--model", "m", "--duration", "0s"], "above zero")):
            with self.subTest(flags):
                run = self.sluice("bench", "--base-url", f"http://127.0.0.1:{port}", *flags, expect=2)
                self.assert_one_sentence(run, part)


