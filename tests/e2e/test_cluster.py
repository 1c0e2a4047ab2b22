"""One job on several workers over PostgreSQL: the commands enqueue, work, collect and jobs. Workers and the database
are killed. Each worker has its own state folder, as if it ran on its own host."""

from __future__ import annotations

import json
import random
import signal
import socket
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema

from postgres import PASSWORD_IN_URL, Postgres
from support import ROOT, Case, Relay, Results, Run, Server, batch, chat, chats, jsonl, read_jsonl, wait_until
from test_serve_postgres import forward

LEASE = "3s"
VOLATILE = ("started_at", "latency_ms", "ttft_ms", "attempts", "kept_usd")


def steady(line: dict[str, Any]) -> dict[str, Any]:
    """The parts of a result line that are equal in every run of the same job."""
    kept = json.loads(json.dumps(line))
    for name in VOLATILE:
        kept["sluice"].pop(name, None)
    kept.pop("id")
    if kept["response"]:
        kept["response"].pop("request_id", None)
        for name in ("id", "created"):
            kept["response"]["body"].pop(name, None)
    return kept


class ClusterCase(Case):
    database: Postgres
    number = 0

    @classmethod
    def setUpClass(cls) -> None:
        cls.database = Postgres()
        cls.addClassCleanup(cls.database.close)

    def setUp(self) -> None:
        super().setUp()
        ClusterCase.number += 1
        self.name = f"jobs{ClusterCase.number}"
        self.database.sql(f"CREATE DATABASE {self.name}")
        self.store = self.database.url(self.name)

    def enqueue(self, job: Path, *flags: Any, expect: int = 0) -> Run:
        return self.sluice("enqueue", job, "--store", self.store, *flags, expect=expect)

    def worker(self, host: str, server: Server, *flags: Any, rpm: int = 0, env: dict[str, str] | None = None) -> Run:
        return self.start("work", "--store", self.store, "--base-url", server.url, "--rpm", rpm, "--lease", LEASE, *flags,
                          env={"XDG_STATE_HOME": str(self.folder / host)} | (env or {}))

    def collect(self, job: Path, *flags: Any, expect: int = 0) -> Results:
        self.sluice("collect", job, "--store", self.store, *flags, expect=expect)
        return self.results(job)

    def jobs(self) -> list[dict[str, Any]]:
        return json.loads(self.sluice("jobs", "--store", self.store, "--json").out)["jobs"]

    def holders(self) -> int:
        """How many workers hold a lease."""
        return int(self.database.sql("SELECT count(DISTINCT worker) FROM sluice.job_chunks WHERE state = 1",
                                     self.name)[0][0])

    def done(self) -> int:
        return sum(job["succeeded"] + job["failed"] for job in self.jobs())

    def one_each(self, job: Path, results: Results) -> None:
        ids = [line["custom_id"] for line in results.output + results.errors]
        self.assertEqual(sorted(ids), sorted(line["custom_id"] for line in read_jsonl(job)))

    def sent(self, relay: Relay) -> Counter[str]:
        return Counter(json.loads(body)["messages"][0]["content"] for body in relay.bodies)

    def check_attempts(self, relay: Relay, results: Results, lost: int) -> None:
        """A request is sent twice only if it was in flight when its worker failed. It then counts as maybe billed."""
        again = sum(count - 1 for count in self.sent(relay).values())
        totals = results.totals
        self.assertLessEqual(again, lost)
        self.assertGreaterEqual(totals["attempts"], relay.attempts)
        self.assertLessEqual(totals["attempts"], totals["requests"] + lost)
        self.assertGreaterEqual(totals["maybe_billed_attempts"], again)


class Jobs(ClusterCase):
    def test_four_workers_end_like_one_run(self) -> None:
        refusal = {"error": {"message": "this prompt is not allowed", "type": "invalid_request_error", "code": None}}
        relay = self.relay("--delay-min", "0.01", "--delay-max", "0.03",
                           script=[{"match": "forbidden", "times": None, "status": 400, "body": refusal}])
        lines = chats(120) + [batch(f"f{n}", chat(f"forbidden {n}")) for n in range(5)]
        random.Random(4).shuffle(lines)
        job = self.job(jsonl(lines[:60]) + b"no json\n" + jsonl(lines[60:]))
        self.run_job(job, relay, "--ordered", expect=1)
        alone = self.results(job)
        output, errors, totals = alone.output, alone.errors, alone.totals
        for path in alone.paths:
            path.unlink()
        self.enqueue(job, expect=1)
        workers = [self.worker(f"host{n}", relay, "--concurrency", 4) for n in range(4)]
        for worker in workers:
            self.assertIn(worker.wait().code, (0, 1), worker.err)
        self.assertEqual(sum("succeeded" in worker.err for worker in workers), 4)
        shared = self.collect(job, expect=1)
        self.assertEqual([steady(line) for line in shared.output], [steady(line) for line in output])
        self.assertEqual(sorted(map(str, map(steady, shared.errors))), sorted(map(str, map(steady, errors))))
        same = ("status", "requests", "succeeded", "failed", "pending", "attempts", "retries", "tokens", "cost_usd",
                "models", "errors", "finish_reasons", "maybe_billed_attempts", "unpriced_requests")
        self.assertEqual({name: shared.totals.get(name) for name in same}, {name: totals.get(name) for name in same})
        # Each worker got some requests.
        listed = self.jobs()[0]
        self.assertEqual((listed["state"], listed["succeeded"], listed["failed"], listed["open_chunks"]),
                         ("finished", 120, 6, 0))
        self.assertEqual(listed["cost_usd"], totals["cost_usd"])

    def test_a_job_is_stored_once_and_the_name_is_taken(self) -> None:
        job = self.job(chats(30))
        self.assertIn("in chunks of", self.enqueue(job).err)
        self.assertIn("stored before", self.enqueue(job).err)
        self.assertEqual([one["requests"] for one in self.jobs()], [30])
        other = self.job(chats(31), "other.jsonl")
        self.assert_one_sentence(self.enqueue(other, "--name", "job", expect=2), "another job with the name job")
        self.enqueue(other)
        self.assertEqual([one["name"] for one in self.jobs()], ["job", "other"])
        table = self.sluice("jobs", "--store", self.store).out.splitlines()
        self.assertEqual([line.split()[:3] for line in table],
                         [["job", "state", "done"], ["job", "queued", "0/30"], ["other", "queued", "0/31"]])
        self.sluice("jobs", "--store", self.store, "--remove", "job")
        self.assertEqual([one["name"] for one in self.jobs()], ["other"])

    def test_an_enqueue_that_is_killed_goes_on(self) -> None:
        job = self.job(chats(4000))
        flags = ("--chunk", 4)
        for stored in (1, 100, 200):
            started = self.start("enqueue", job, "--store", self.store, *flags)
            wait_until(lambda: self.blocks() >= stored or not started.running, "blocks are stored")
            started.signal(signal.SIGKILL)
            started.wait()
        self.assertEqual(self.jobs()[0]["state"], "enqueuing")
        self.enqueue(job, *flags)
        self.assertEqual([(one["state"], one["requests"], one["open_chunks"]) for one in self.jobs()],
                         [("queued", 4000, 1000)])
        relay = self.simulator("--tokens", "1", ttft="0")
        self.assertEqual(self.worker("one", relay, "--concurrency", 64).wait().code, 0)
        self.one_each(job, self.collect(job))
        self.assertEqual(relay.ledger["attempts"], 4000)

    def blocks(self) -> int:
        if self.database.sql("SELECT to_regclass('sluice.jobs')", self.name) == [[""]]:
            return 0
        return int(self.database.sql("SELECT coalesce(max(blocks), 0) FROM sluice.jobs", self.name)[0][0])

    def test_collect_writes_what_there_is(self) -> None:
        relay = self.relay("--delay-min", "0.02", "--delay-max", "0.05")
        job = self.job(chats(150))
        self.enqueue(job)
        worker = self.worker("one", relay, "--concurrency", 4)
        wait_until(lambda: self.done() > 20, "results are stored")
        part = self.collect(job, expect=3)
        self.assertEqual((part.totals["status"], part.totals["store_job"]), ("stopped", "job"))
        early = {line["custom_id"]: line for line in part.output}
        self.assertGreater(len(early), 20)
        self.assertEqual(worker.wait().code, 0)
        whole = self.collect(job)
        self.one_each(job, whole)
        self.assertEqual({line["custom_id"]: line for line in whole.output if line["custom_id"] in early}, early)
        self.assertEqual([line["sluice"]["line"] for line in whole.output], list(range(1, 151)))

    def test_results_that_only_the_files_have_are_not_replaced(self) -> None:
        relay = self.relay()
        job = self.job(chats(20))
        self.run_job(job, relay)
        paid = {path: path.read_bytes() for path in self.results(job).paths if path.exists()}
        self.enqueue(job)
        for words in ((), ("--lang", "zh")):
            self.assert_one_sentence(self.sluice("collect", job, "--store", self.store, *words, expect=2),
                                     "job.output.jsonl", " 20 ", "--output-dir")
            self.assertEqual({path: path.read_bytes() for path in paid}, paid)
        self.run_job(job, relay)
        self.assertEqual(relay.attempts, 20)
        # With another place, and again and again.
        self.assertEqual(self.worker("one", relay).wait().code, 0)
        for _ in range(3):
            self.sluice("collect", job, "--store", self.store, "--output-dir", self.folder / "out")
            self.collect(job)
        whole = self.results(job)
        self.one_each(job, whole)
        # The store has lost them.
        only_copy = whole.paths[0].read_bytes()
        self.sluice("jobs", "--store", self.store, "--remove", "job")
        self.enqueue(job)
        self.assert_one_sentence(self.sluice("collect", job, "--store", self.store, expect=2), "20 result(s)")
        self.assertEqual(whole.paths[0].read_bytes(), only_copy)

    def test_a_partial_collect_is_not_taken_for_a_killed_run(self) -> None:
        job = self.job(chats(6))
        self.enqueue(job)
        totals = self.collect(job, expect=3).totals
        jsonschema.validate(totals, json.loads((ROOT / "docs/totals.schema.json").read_text("utf-8")))
        report = self.sluice("report", job)
        self.assertIn("job.jsonl: collected so far; 'sluice collect' gets more from the store: 0 of 6", report.out)
        self.assertNotIn("run the same command", report.out)
        self.assertEqual(json.loads(self.sluice("report", job, "--json").out)["status"], "stopped")
        self.assertIn("collected so far", self.sluice("report", job, "--watch=100ms", expect=3).out)
        # A run takes the files over.
        relay = self.relay()
        self.run_job(job, relay)
        self.assertNotIn("store_job", self.results(job).totals)
        self.assertIn("completed: 6 of 6", self.sluice("report", job).out)

    def test_a_simulated_job_with_a_bad_line_can_be_run_further(self) -> None:
        job = self.job(jsonl(chats(2)) + b"no json\n")
        self.enqueue(job, expect=1)
        self.sluice("work", "--store", self.store, "--simulate")
        collected = self.collect(job, expect=1)
        self.assertEqual([line["sluice"].get("simulated") for line in collected.output + collected.errors], [True] * 3)
        self.sluice("run", job, "--simulate", expect=1)
        self.assert_one_sentence(self.sluice("run", job, "--base-url", "http://127.0.0.1:9", expect=2), "simulated")

    def test_a_job_that_is_always_refused_does_not_end_the_others(self) -> None:
        refusal = {"error": {"message": "no such thing", "type": "invalid_request_error", "code": None}}
        relay = self.relay(script=[{"match": "refused", "times": None, "status": 400, "body": refusal}])
        bad = self.job([batch(f"b{n}", chat(f"refused {n}")) for n in range(40)], "bad.jsonl")
        good = self.job(chats(40), "good.jsonl")
        alone = self.sluice("run", bad, good, "--base-url", relay.url, "--rpm", 0, "--output-dir",
                            self.folder / "alone", expect=None)
        for job in (bad, good):
            self.enqueue(job)
        worker = self.worker("one", relay).wait()
        self.assertEqual((worker.code, alone.code), (2, 2), worker.err)
        self.assertIn("stopped: bad: the first 20 requests", worker.err)
        self.one_each(good, self.collect(good))
        refused = self.collect(bad, expect=3)
        self.assertEqual((refused.by_id(), refused.totals["pending"]), ({}, 40))

    def test_what_is_wrong_is_one_sentence(self) -> None:
        job = self.job(chats(3))
        self.assert_one_sentence(self.sluice("enqueue", job, expect=2), "--store postgresql://HOST/DATABASE")
        self.assert_one_sentence(self.sluice("jobs", "--store", "mysql://u:secret@h/d", expect=2), "--store")
        self.assert_one_sentence(self.sluice("enqueue", "--store", self.store, expect=2), "name a JSONL file")
        self.enqueue(job)
        wrong = self.sluice("collect", "jop", "--store", self.store, expect=2)
        self.assert_one_sentence(wrong, "no job 'jop'", "did you mean 'job'")
        for run in (wrong, self.sluice("jobs", "--store", self.store.replace("p%27w%2F%201", "wrong"), expect=2)):
            self.assertNotIn("p'w/ 1", run.err)
        self.database.sql("UPDATE sluice.job_schema SET version = 1000", self.name)
        self.assert_one_sentence(self.sluice("jobs", "--store", self.store, expect=2), "version 1000")


    def test_the_least_rights_suffice(self) -> None:
        job = self.job(chats(20))
        self.enqueue(job)
        rights = (ROOT / "docs/many-machines.md").read_text().split("```sql\n")[1].split("```")[0]
        self.database.sql(rights.replace("SECRET", "x"), self.name)
        later = self.job(chats(20), "later.jsonl")
        self.enqueue(later)
        store = f"postgresql://sluice_worker:x@127.0.0.1:{self.database.port}/{self.name}"
        relay = self.relay()
        self.sluice("work", "--store", store, "--base-url", relay.url, "--rpm", 60)
        for one in (job, later):
            self.one_each(one, self.collect(one))


class Deaths(ClusterCase):
    def test_a_killed_worker_is_relieved(self) -> None:
        relay = self.relay("--delay-min", "0.05", "--delay-max", "0.1")
        job = self.job(chats(150))
        self.enqueue(job)
        first = self.worker("one", relay, "--concurrency", 4)
        wait_until(lambda: relay.attempts >= 30, "the job is under way")
        second = self.worker("two", relay, "--concurrency", 4)
        first.signal(signal.SIGKILL)
        first.wait()
        self.assertEqual(second.wait().code, 0, second.err)
        self.assertRegex(second.err, r"took over a chunk|may have been billed")
        results = self.collect(job)
        self.one_each(job, results)
        self.check_attempts(relay, results, 4 + 2)

    def test_a_frozen_worker_stores_nothing_when_it_wakes(self) -> None:
        relay = self.relay("--delay-min", "0.05", "--delay-max", "0.1")
        job = self.job(chats(150))
        self.enqueue(job)
        first = self.worker("one", relay, "--concurrency", 4)
        wait_until(lambda: self.done() >= 20, "results are stored")
        first.signal(signal.SIGSTOP)
        second = self.worker("two", relay, "--concurrency", 4)
        wait_until(lambda: "took over" in second.err, "the other one takes over")
        first.signal(signal.SIGCONT)
        self.assertEqual(second.wait().code, 0, second.err)
        self.assertEqual(first.wait().code, 0, first.err)
        results = self.collect(job)
        self.one_each(job, results)
        self.check_attempts(relay, results, 4 + 4 + 2)

    def test_an_interrupted_worker_leaves_its_requests_to_others(self) -> None:
        relay = self.relay("--delay-min", "0.05", "--delay-max", "0.1")
        job = self.job(chats(300))  # enough that the first worker cannot finish before the signal arrives
        self.enqueue(job)
        first = self.worker("one", relay, "--concurrency", 4, "--lease", "10m")
        wait_until(lambda: relay.attempts >= 20, "the job is under way")
        first.signal(signal.SIGINT)
        self.assertEqual(first.wait().code, 130, first.err)
        self.assertEqual(self.worker("two", relay, "--concurrency", 32).wait().code, 0)
        results = self.collect(job)
        self.one_each(job, results)
        self.assertEqual(relay.attempts, 300)
        self.assertEqual(results.totals["maybe_billed_attempts"], 0)

    def test_a_signal_while_the_database_is_away_ends_the_worker(self) -> None:
        relay = self.relay("--delay-min", "0.02", "--delay-max", "0.05")
        job = self.job(chats(400))
        self.enqueue(job)
        workers = [self.worker(f"host{n}", relay, "--concurrency", 4, "--grace", grace)
                   for n, grace in enumerate(("1s", "1h"))]
        wait_until(lambda: all("prices of" in worker.err for worker in workers), "both have connected")
        wait_until(lambda: relay.attempts >= 40, "the job is under way")
        self.database.kill_9()
        try:
            wait_until(lambda: all("nothing new is sent" in worker.err for worker in workers), "both notice it")
            for worker in workers:
                worker.signal(signal.SIGTERM)
            wait_until(lambda: "interrupted: " in workers[1].err, "the signal was noticed")
            workers[1].signal(signal.SIGTERM)
            codes = [worker.wait().code for worker in workers]
        finally:
            self.database.start()
        self.assertEqual(codes, [130, 130], [worker.err for worker in workers])
        self.assertEqual(self.worker("last", relay, "--concurrency", 8).wait().code, 0)
        self.one_each(job, self.collect(job))

    def test_the_database_dies_and_comes_back(self) -> None:
        relay = self.relay("--delay-min", "0.02", "--delay-max", "0.05")
        job = self.job(chats(400))
        self.enqueue(job)
        workers = [self.worker(f"host{n}", relay, "--concurrency", 4) for n in range(2)]
        wait_until(lambda: all("prices of" in worker.err for worker in workers), "both have connected")
        for outage, step in ((1, 60), (2, 180)):
            wait_until(lambda: relay.attempts >= step, "the job is under way")
            self.database.kill_9()
            sent = relay.attempts
            wait_until(lambda: all(worker.err.count("nothing new is sent") >= outage for worker in workers),
                       "both notice that the database is away")
            # Workers send nothing without a record in the database, so only recorded attempts still arrive.
            self.assertLessEqual(relay.attempts, sent + 8)
            self.database.start()
        for worker in workers:
            self.assertEqual(worker.wait().code, 0, worker.err)
            self.assertIn("the database answers again", worker.err)
        results = self.collect(job)
        self.one_each(job, results)
        # On a slow machine, a worker may be silent for longer than its lease, and loses its requests in flight.
        self.check_attempts(relay, results, 2 * 2 * 4)

    def test_a_worker_without_a_database_gives_up(self) -> None:
        relay = self.relay("--delay-min", "0.05", "--delay-max", "0.1")
        job = self.job(chats(200))
        self.enqueue(job)
        worker = self.worker("one", relay, "--concurrency", 2, "--give-up-after", "2s")
        wait_until(lambda: relay.attempts >= 10, "the job is under way")
        self.database.kill_9()
        try:
            self.assertEqual(worker.wait().code, 3, worker.err)
            self.assertIn("the database has been away", worker.err)
        finally:
            self.database.start()
        self.assertEqual(self.worker("two", relay, "--concurrency", 8).wait().code, 0)
        self.one_each(job, self.collect(job))

    def without_a_database_for_the_last_result(self, give_up_after: str) -> tuple[Path, Relay, Run]:
        """The database dies while the last request is in flight. Returns when its result could not be stored."""
        relay = self.relay("--head-delay", "2")
        job = self.job(chats(1))
        self.enqueue(job)
        # The lease is so long that only the result must be stored.
        worker = self.worker("one", relay, "--lease", "60s", "--grace", "1ms", "--give-up-after", give_up_after)
        wait_until(lambda: relay.attempts == 1, "the request was sent")
        self.database.kill_9()
        self.addCleanup(lambda: self.database.process or self.database.start())
        wait_until(lambda: "nothing new is sent" in worker.err, "the worker notices that the database is away")
        return job, relay, worker

    def test_a_worker_that_cannot_store_its_last_result_does_not_end_well(self) -> None:
        _, _, worker = self.without_a_database_for_the_last_result("5s")
        self.assertEqual(worker.wait().code, 3, worker.err)
        self.assertIn("stopped: the database has been away for", worker.err)
        self.assertIn("1 result(s) could not be stored", worker.err)

    def test_the_last_result_waits_for_the_database_for_longer_than_the_grace(self) -> None:
        job, relay, worker = self.without_a_database_for_the_last_result("5m")
        self.database.start()
        self.assertEqual(worker.wait().code, 0, worker.err)
        self.one_each(job, self.collect(job))
        self.assertEqual(relay.attempts, 1)


class Networks(ClusterCase):
    def test_a_worker_that_is_cut_off_sends_nothing_and_is_relieved(self) -> None:
        cut = threading.Event()
        gate = self.listener(lambda client: forward(client, self.database.port, lambda data: None if cut.is_set() else data,
                                                    lambda data: None if cut.is_set() else data))
        relay = self.relay("--delay-min", "0.05", "--delay-max", "0.1")
        job = self.job(chats(150))
        self.enqueue(job)
        store, self.store = self.store, self.database.url(self.name, gate.port)
        first = self.worker("one", relay, "--concurrency", 4)
        self.store = store
        wait_until(lambda: self.done() >= 20, "results are stored")
        cut.set()
        wait_until(lambda: "nothing new is sent" in first.err, "it notices")
        sent = relay.attempts
        second = self.worker("two", relay, "--concurrency", 4)
        wait_until(lambda: relay.attempts > sent + 8, "the other one goes on")
        cut.clear()
        self.assertEqual(second.wait().code, 0, second.err)
        self.assertEqual(first.wait().code, 0, first.err)
        results = self.collect(job)
        self.one_each(job, results)
        self.check_attempts(relay, results, 4 + 4 + 2)

    def test_lost_answers_to_commit_change_nothing(self) -> None:
        draw = random.Random(7)
        lost: list[int] = []

        def attend(client: socket.socket) -> None:
            commit = threading.Event()

            def to_server(data: bytes) -> bytes:
                if data.startswith(b"Q") and b"COMMIT\0" in data and draw.random() < 0.15:
                    commit.set()
                return data

            def to_client(data: bytes) -> bytes | None:
                if not commit.is_set():
                    return data
                lost.append(1)
                return None

            forward(client, self.database.port, to_server, to_client)

        gate = self.listener(attend)
        relay = self.relay("--delay-min", "0.005", "--delay-max", "0.02")
        job = self.job(chats(200))
        self.enqueue(job, "--budget", "1", "--chunk", 20)
        store, self.store = self.store, self.database.url(self.name, gate.port)
        workers = [self.worker(f"host{n}", relay, "--concurrency", 4) for n in range(2)]
        self.store = store
        for worker in workers:
            self.assertEqual(worker.wait().code, 0, worker.err)
        self.assertGreater(len(lost), 10)
        results = self.collect(job)
        self.one_each(job, results)
        self.assertEqual(relay.attempts, 200)
        self.assertEqual((results.totals["attempts"], results.totals["maybe_billed_attempts"]), (200, 0))
        listed = self.jobs()[0]
        self.assertEqual((listed["spent_usd"], listed["reserved_usd"]), (listed["cost_usd"], "0"))

    def test_nothing_acknowledged_is_lost_when_a_standby_takes_over(self) -> None:
        with Postgres() as primary, Postgres(standby_of=primary) as standby:
            primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
            primary.sql("SELECT pg_reload_conf()")
            wait_until(lambda: primary.sql("SELECT sync_state FROM pg_stat_replication") == [["sync"]], "it is in step")
            self.store = (f"postgresql://postgres:{PASSWORD_IN_URL}@127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
                          "/postgres")
            relay = self.relay("--delay-min", "0.02", "--delay-max", "0.05")
            job = self.job(chats(300))
            self.enqueue(job)
            workers = [self.worker(f"host{n}", relay, "--concurrency", 4) for n in range(2)]
            wait_until(lambda: self.done() >= 60, "results are stored")
            early = {line["custom_id"]: line for line in self.collect(job, expect=3).output}
            primary.kill()
            standby.promote()
            for worker in workers:
                self.assertEqual(worker.wait().code, 0, worker.err)
            results = self.collect(job)
            self.one_each(job, results)
            found = {line["custom_id"]: line for line in results.output}
            self.assertEqual({name: found[name] for name in early}, early)
            self.check_attempts(relay, results, 2 * 4)


class Budgets(ClusterCase):
    def test_a_budget_holds_over_all_workers(self) -> None:
        relay = self.simulator("--tokens", "20", "--faults", "faulty", ttft="5ms")
        job = self.job([batch(f"c{n}", chat(f"say {n}", max_tokens=40)) for n in range(200)])
        self.enqueue(job, "--budget", "0.0012")
        for worker in [self.worker(f"host{n}", relay, "--concurrency", 4) for n in range(3)]:
            self.assertEqual(worker.wait().code, 3, worker.err)
            self.assertIn("the budget is used up: job", worker.err)
        self.assertLessEqual(float(relay.ledger["billed"]["cost_usd"]), 0.0012)
        listed = self.jobs()[0]
        self.assertEqual(listed["state"], "budget spent")
        self.assertLessEqual(float(listed["spent_usd"]) + float(listed["reserved_usd"]), 0.0012)
        # Nearly all of the budget is used: the rest does not pay for one more request.
        self.assertGreater(float(listed["spent_usd"]), 0.0012 - 2 * 0.00003)
        self.enqueue(job, "--budget", "1")
        self.assertIn(self.worker("last", relay, "--concurrency", 8).wait().code, (0, 1))
        self.one_each(job, self.collect(job, expect=1 if self.jobs()[0]["failed"] else 0))


    def test_cheaper_lines_go_although_one_is_too_dear(self) -> None:
        relay = self.simulator("--tokens", "5", ttft="5ms")
        dear = batch("dear", chat("say much", max_tokens=4000))
        job = self.job([dear, *(batch(f"c{n}", chat(f"say {n}", max_tokens=10)) for n in range(60))])
        self.enqueue(job, "--budget", "0.002", "--chunk", 8)
        for worker in [self.worker(f"host{n}", relay, "--concurrency", 4) for n in range(2)]:
            self.assertEqual(worker.wait().code, 3, worker.err)
        listed = self.jobs()[0]
        self.assertEqual((listed["state"], listed["succeeded"], listed["reserved_usd"]), ("budget spent", 60, "0"))
        self.enqueue(job, "--budget", "1")
        self.assertEqual(self.worker("last", relay).wait().code, 0)
        self.one_each(job, self.collect(job))


class Limits(ClusterCase):
    def test_the_cap_holds_over_workers_and_runs_as_the_relay_counts(self) -> None:
        relay = self.relay("--delay-min", "0", "--delay-max", "0.3")
        job = self.job(chats(80))
        self.enqueue(job, "--chunk", 5)
        shared = ("--store", self.store, "--base-url", relay.url, "--rpm", 60)
        workers = [self.start("work", *shared, "--lease", LEASE, env={"XDG_STATE_HOME": str(self.folder / f"host{n}")})
                   for n in range(3)]
        wait_until(lambda: relay.attempts >= 20, "the job is under way")
        alone = self.job(chats(20), "alone.jsonl")
        run = self.start("run", alone, *shared, env={"XDG_STATE_HOME": str(self.folder / "other")})
        wait_until(lambda: relay.attempts >= 30, "the job is under way")
        workers[0].signal(signal.SIGKILL)
        for one in [*workers[1:], run]:
            self.assertEqual(one.wait(240).code, 0, one.err)
        self.one_each(job, self.collect(job))
        self.one_each(alone, self.results(alone))
        self.assertLessEqual(relay.stats["max_in_60s"], 60)
        self.assertGreaterEqual(relay.stats["max_in_60s"], 50)
