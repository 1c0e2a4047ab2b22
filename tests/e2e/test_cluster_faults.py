"""One job on several workers over PostgreSQL: the disk of PostgreSQL gets full, a clock is set, and connections go
through TLS or a pooler."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import struct
import tempfile
import time
import unittest
from pathlib import Path

from ports import free_port
from postgres import PASSWORD, PASSWORD_IN_URL, Postgres
from support import batch, chat, chats, wait_until
from test_cluster import ClusterCase

WORKERS = 2
CONCURRENCY = 4


def fill(place: str) -> Path:
    """Uses all free space of a disk, like another program on the same machine."""
    ballast = Path(place) / "ballast"
    with open(ballast, "wb", buffering=0) as out:
        for block in (b"\0" * 65536, b"\0" * 4096):
            try:
                while True:
                    out.write(block)
            except OSError as fault:
                if fault.errno != errno.ENOSPC:
                    raise
    return ballast


class Disks(ClusterCase):
    """PostgreSQL on two small disks, one for the tables and one for the write-ahead log (WAL)."""

    @classmethod
    def setUpClass(cls) -> None:
        try:
            # PostgreSQL neither reuses nor removes old WAL files here, so new WAL files need free space.
            cls.database = Postgres("wal_recycle=off", "wal_keep_size=1GB", disks=("160m", "96m"))
        except PermissionError as why:
            raise unittest.SkipTest(f"this user may not mount a file system: {why}") from why
        cls.addClassCleanup(cls.database.close)

    def through_a_full_disk(self, place: str, told: int) -> None:
        relay = self.relay("--delay-min", "0.01", "--delay-max", "0.03")
        job = self.job(batch(f"c{n}", chat(f"say {n} " + "x" * 500, max_tokens=40)) for n in range(600))
        self.enqueue(job, "--budget", "1")
        workers = [self.worker(f"host{n}", relay, "--concurrency", CONCURRENCY) for n in range(WORKERS)]
        wait_until(lambda: self.done() >= 60, "results are stored")
        ballast = fill(place)
        self.addCleanup(self.database.start)
        self.addCleanup(ballast.unlink, missing_ok=True)
        for worker in workers:
            wait_until(lambda: "nothing new is sent" in worker.err, "it notices")
        # Only the workers that wrote last see this message; the others may only see that PostgreSQL ended. `told` is
        # the number of workers that certainly see it.
        said = [line for worker in workers for line in worker.err.splitlines() if "disk is full" in line]
        self.assertGreaterEqual(len(said), told, workers[0].err + workers[1].err)
        for line in said:
            self.assertRegex(line, r"PostgreSQL at 127.0.0.1:\d+, database \w+: .*its disk is full; make room on it "
                                   r"\(.*No space left on device\); nothing new is sent until it answers again$")
        sent = relay.attempts
        self.assertLess(sent, 600)
        ballast.unlink()
        self.database.start()  # PostgreSQL may have ended, because it ends if it cannot recover
        for worker in workers:
            self.assertEqual(worker.wait().code, 0, worker.err)
            self.assertIn("the database answers again", worker.err)
        results = self.collect(job)
        self.one_each(job, results)
        self.check_attempts(relay, results, WORKERS * CONCURRENCY)
        listed = self.jobs()[0]
        self.assertEqual((listed["state"], listed["reserved_usd"]), ("finished", "0"))

    def test_the_tables_have_no_room(self) -> None:
        self.through_a_full_disk(self.database.data, told=1)

    def test_the_log_of_changes_has_no_room(self) -> None:
        # If another process of PostgreSQL needs the room first, it ends all of PostgreSQL without a word to a worker.
        self.through_a_full_disk(self.database.wal, told=0)


class Clock:
    """The wall clock of processes that were started with `environment`."""

    def __init__(self, folder: Path) -> None:
        shim = os.environ.get("SLUICE_MACHINE_SHIM", "")
        if not shim:
            raise unittest.SkipTest("SLUICE_MACHINE_SHIM is not set to the library")
        self.file = folder / "clock"
        self.set(0)
        self.file.chmod(0o644)
        self.environment = {"LD_PRELOAD": shim, "SHIM_CLOCK": str(self.file)}

    def set(self, seconds: int) -> None:
        """From now on this clock is `seconds` ahead of the real time."""
        with open(self.file, "r+b" if self.file.exists() else "wb", buffering=0) as out:
            out.write(struct.pack("=q", seconds))


class ClockCase(ClusterCase):
    """The clock of the database, or of a worker, jumps by an hour."""

    clock: Clock

    @classmethod
    def setUpClass(cls) -> None:
        folder = Path(tempfile.mkdtemp(prefix="sluice-clock-"))
        folder.chmod(0o755)
        cls.addClassCleanup(shutil.rmtree, folder)
        cls.clock = Clock(folder)
        cls.database = Postgres(environment=cls.clock.environment)
        cls.addClassCleanup(cls.database.close)

    def setUp(self) -> None:
        super().setUp()
        self.clock.set(0)

    def hour(self) -> int:
        """How many hours the database's clock is ahead."""
        there = self.database.sql("SELECT extract(epoch FROM clock_timestamp())")[0][0]
        return round((float(there) - time.time()) / 3600)


class Clocks(ClockCase):
    def test_workers_keep_their_chunks_when_the_clock_of_the_database_is_set(self) -> None:
        relay = self.relay("--delay-min", "0.1", "--delay-max", "0.2")
        job = self.job(chats(400))
        self.enqueue(job, "--chunk", 50)
        workers = [self.worker(f"host{n}", relay, "--concurrency", 4) for n in range(3)]
        # A worker that starts after the clock was set cannot know that it was set.
        wait_until(lambda: self.holders() == 3, "each worker holds a chunk")
        for sent, hour in ((60, 1), (130, 0), (200, -1), (270, 0)):
            wait_until(lambda: relay.attempts >= sent, "the job is under way")
            self.clock.set(hour * 3600)
        for worker in workers:
            self.assertEqual(worker.wait().code, 0, worker.err)
        results = self.collect(job)
        self.one_each(job, results)
        self.assertEqual((relay.attempts, results.totals["maybe_billed_attempts"]), (400, 0))

    def test_a_dead_worker_is_relieved_when_the_clock_of_the_database_is_set_back(self) -> None:
        relay = self.relay("--delay-min", "0.05", "--delay-max", "0.1")
        job = self.job(chats(150))
        self.enqueue(job)
        first = self.worker("one", relay, "--concurrency", 4)
        wait_until(lambda: relay.attempts >= 30, "the job is under way")
        second = self.worker("two", relay, "--concurrency", 4)
        first.signal(signal.SIGKILL)
        first.wait()
        self.clock.set(-3600)
        self.assertEqual(second.wait().code, 0, second.err)
        results = self.collect(job)
        self.one_each(job, results)
        self.check_attempts(relay, results, 4 + 2)


class ClocksAndLimits(ClockCase):
    def test_the_cap_holds_when_the_clock_of_the_database_is_set(self) -> None:
        cap = 60
        relay = self.relay("--delay-min", "0", "--delay-max", "0.3")
        job = self.job(chats(110))
        self.enqueue(job, "--chunk", 5)
        began = time.monotonic()
        workers = [self.worker(f"host{n}", relay, "--concurrency", 8, rpm=cap) for n in range(WORKERS)]
        wait_until(lambda: self.holders() == WORKERS, "each worker holds a chunk")
        for sent, hour in ((20, 1), (50, 0), (70, -1), (90, 0)):
            wait_until(lambda: relay.attempts >= sent, "the job is under way", patience=150)
            self.clock.set(hour * 3600)
            self.assertEqual(self.hour(), hour)
        for worker in workers:
            self.assertEqual(worker.wait(240).code, 0, worker.err)
        took = time.monotonic() - began
        results = self.collect(job)
        self.one_each(job, results)
        self.assertLessEqual(relay.stats["max_in_60s"], cap)
        # The requests take one minute at this cap. The slots that a worker holds when the clock jumps may be lost for
        # another minute.
        self.assertLess(took, 150)
        # No worker was considered dead.
        self.assertEqual((relay.attempts, results.totals["maybe_billed_attempts"]), (110, 0))


class ClocksOfWorkers(ClusterCase):
    def test_the_clock_of_a_worker_changes_nothing(self) -> None:
        cap = 60
        relay = self.relay("--delay-min", "0", "--delay-max", "0.3")
        job = self.job(chats(75))
        self.enqueue(job, "--chunk", 5)
        clock = Clock(self.folder)
        workers = [self.worker("set", relay, rpm=cap, env=clock.environment)]
        # libpq limits the time of a connect by the machine's clock, so the clock is set later.
        wait_until(lambda: self.holders() == 1, "the worker holds a chunk")
        workers.append(self.worker("right", relay, rpm=cap))
        for sent, hour in ((20, 1), (40, -1), (65, 1)):
            wait_until(lambda: relay.attempts >= sent, "the job is under way", patience=150)
            clock.set(hour * 3600)
        for worker in workers:
            self.assertEqual(worker.wait(240).code, 0, worker.err)
        results = self.collect(job)
        self.one_each(job, results)
        self.assertLessEqual(relay.stats["max_in_60s"], cap)
        self.assertEqual((relay.attempts, results.totals["maybe_billed_attempts"]), (75, 0))


def bouncer() -> str:
    return shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"


class Between(ClusterCase):
    """Workers connect to the database through TLS with a checked certificate, or through pgbouncer, which may give each
    transaction another connection. Both use a password with SCRAM."""

    def through(self, store: str) -> None:
        """Runs enqueue, two workers, collect and jobs, with a budget and a limit."""
        relay = self.relay("--delay-min", "0.005", "--delay-max", "0.02")
        job = self.job(chats(150))
        self.store = store
        runs = [self.enqueue(job, "--budget", "1", "--chunk", 10)]
        runs += [self.worker(f"host{n}", relay, "--concurrency", 8, rpm=100_000) for n in range(WORKERS)]
        for worker in runs[1:]:
            self.assertEqual(worker.wait().code, 0, worker.err)
        results = self.collect(job)
        self.one_each(job, results)
        self.assertEqual((relay.attempts, results.totals["maybe_billed_attempts"]), (150, 0))
        self.assertEqual([(one["state"], one["reserved_usd"]) for one in self.jobs()], [("finished", "0")])
        other = self.job(chats(20), "other.jsonl")
        self.enqueue(other)
        alone = self.sluice("run", self.job(chats(20), "alone.jsonl"), "--store", store, "--base-url", relay.url,
                            "--rpm", 60)
        self.sluice("jobs", "--store", store, "--remove", "job")
        for run in (*runs, alone):
            self.assertNotIn(PASSWORD, run.out + run.err)
            self.assertNotIn(PASSWORD_IN_URL, run.out + run.err)

    def refused(self, store: str, *words: str) -> None:
        run = self.sluice("jobs", "--store", store, expect=2)
        self.assertRegex(run.err, "(?i)" + ".*".join(words))
        self.assertEqual(len(run.err.splitlines()), 1)
        self.assertNotIn(PASSWORD, run.err)
        self.assertNotIn(PASSWORD_IN_URL, run.err)

    def test_tls_with_a_certificate_that_is_checked(self) -> None:
        authority, certificate, key = self.certificate("database", "DNS:localhost")
        other, _, _ = self.certificate("other", "DNS:localhost")
        mine = self.database.own(certificate), self.database.own(key)
        self.database.sql("ALTER SYSTEM SET ssl_cert_file = '{}'".format(mine[0]))
        self.database.sql("ALTER SYSTEM SET ssl_key_file = '{}'".format(mine[1]))
        self.database.sql("ALTER SYSTEM SET ssl = on")
        self.database.sql("SELECT pg_reload_conf()")
        wait_until(lambda: self.database.sql("SHOW ssl") == [["on"]], "it has TLS")
        self.database.only_tls()
        by_address = f"{self.store}?sslmode=verify-full&sslrootcert={authority}"
        checked = by_address.replace("127.0.0.1", "localhost")
        self.refused(f"{self.store}?sslmode=disable", "no encryption")
        self.refused(checked.replace(str(authority), str(other)), "certificate verify failed")
        self.refused(by_address, "certificate", "does not match")
        self.through(checked)

    @unittest.skipUnless(os.access(bouncer(), os.X_OK), "pgbouncer is not installed")
    def test_pgbouncer_in_transaction_mode(self) -> None:
        port = self.bounce()
        self.through(self.database.url(self.name, port))
        # pgbouncer served all these clients with two connections.
        pids = self.database.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name <> 'psql' AND "
                                 f"datname = '{self.name}'")
        self.assertLessEqual(int(pids[0][0]), 2)

    def bounce(self) -> int:
        """Starts a pgbouncer with two connections for each database. Returns its port."""
        port = free_port()
        secret = self.database.sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'postgres'")[0][0]
        self.assertTrue(secret.startswith("SCRAM-SHA-256$"))
        folder = Path(self.database.dir)
        users, settings, log = (folder / f"bouncer.{end}" for end in ("users", "ini", "log"))
        users.write_text(f'"postgres" "{PASSWORD}"\n')
        settings.write_text(
            f"[databases]\n* = host=127.0.0.1 port={self.database.port}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = scram-sha-256\nauth_file = {users}\npool_mode = transaction\n"
            "default_pool_size = 2\nserver_reset_query_always = 1\n"
            "server_reset_query = DISCARD ALL\nserver_round_robin = 1\n")
        for file in (users, settings):
            self.database.own(file)
        process = self.database.spawn(bouncer(), str(settings), log=log)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)

        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_until(lambda: listens() or process.poll() is not None, "pgbouncer listens")
        self.assertIsNone(process.poll(), log.read_text())
        return port
