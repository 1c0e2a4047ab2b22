"""Files of other users, files that are moved or removed during a run, and disks that are full or slow. Other users'
files must not change, and no paid result may be lost without a message."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import signal
import subprocess
import tempfile
import unittest
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from support import Case, Relay, Results, Run, batch, chat, chats, jsonl, read_jsonl, wait_until

CANNOT_START, STOPPED, RESULTS_LOST = 2, 3, 4
FOREIGN = {
    "a database of one line": b'{"users":[{"name":"a","mail":"b"}]}',
    "the same with a newline": b'{"users":[{"name":"a","mail":"b"}]}\n',
    "a key file": b"-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\n",
    "a package.json": b'{\n  "name": "mine",\n  "version": "1.0.0"\n}\n',
    "one letter": b"{",
    "one newline": b"\n",
    "another JSONL": b'{"id":"batch_req_67162fce22bc81909f5a0a6d6cd53dc2","custom_id":"c1","response":null}\n',
    "the same, and its last line torn": b'{"id": "batch_req_67162fce22bc81909f5a0a6d6cd53dc2", "custom_id": "c1", "resp',
    "NUL bytes": bytes(4096),
    "text without a newline": b"remember the milk",
}


class AttackCase(Case):
    def untouched(self, *paths: Path) -> Callable[[], None]:
        """Returns a function that checks that the files have not changed."""
        before = {path: (path.read_bytes(), path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}

        def look() -> None:
            for path, (content, inode, changed) in before.items():
                self.assertTrue(path.is_file(), f"{path} is gone")
                self.assertEqual(path.read_bytes(), content, f"{path} was changed")
                self.assertEqual((path.stat().st_ino, path.stat().st_mtime_ns), (inode, changed), f"{path} was touched")

        return look

    def refused(self, relay: Relay, *words: object, says: str, expect: int = CANNOT_START) -> Run:
        before = relay.attempts
        run = self.sluice("run", *words, "--base-url", relay.url, "--rpm", 0, expect=expect)
        self.assertIn(says, run.err)
        self.assertEqual(relay.attempts, before, "nothing was sent")
        return run


class Foreign(AttackCase):
    def test_a_foreign_file_named_as_output_is_not_changed(self) -> None:
        relay = self.relay()
        job = self.job(chats(3))
        for flags in ((), ("--fresh",), ("--budget", "1", "--assume-max-tokens", "9")):
            for what, content in FOREIGN.items():
                with self.subTest(what, flags=flags):
                    output = self.folder / "theirs.json"
                    output.write_bytes(content)
                    look = self.untouched(output)
                    self.refused(relay, job, "-o", output, *flags, says="theirs.json")
                    look()
                    self.assertEqual([path.name for path in self.folder.glob("theirs*")], ["theirs.json"])
                    output.unlink()

    def test_a_foreign_file_in_place_of_the_other_files_is_not_changed(self) -> None:
        relay = self.relay()
        job = self.job(chats(3))
        for name in ("job.errors.jsonl", "job.totals.json", "job.state"):
            for what, content in FOREIGN.items():
                with self.subTest(what, name=name):
                    path = self.folder / name
                    path.write_bytes(content)
                    look = self.untouched(path)
                    self.refused(relay, job, says=name)
                    look()
                    path.unlink()
                    self.assertFalse((self.folder / "job.output.jsonl").exists())

    def test_foreign_files_with_names_of_temporary_files_are_not_changed(self) -> None:
        relay = self.relay()
        job = self.job(chats(3))
        theirs = [self.folder / name for name in (
            "job.totals.json.new", "job.state.new", "job.errors.jsonl.new", "job.totals.json.sluice-new",
            "job.state.sluice-new", "job.errors.jsonl.sluice-new")]
        for path in theirs:
            path.write_text("mine\n")
        look = self.untouched(*theirs)
        self.run_job(job, relay)
        look()
        self.assertEqual(len(self.results(job).output), 3)

    def test_nothing_is_truncated_before_all_jobs_are_valid(self) -> None:
        relay = self.relay()
        job, other = self.job(chats(3)), self.job(b"", "other.jsonl")
        self.run_job(job, relay)
        torn = self.results(job).output_path
        torn.write_bytes(torn.read_bytes()[:-20])
        look = self.untouched(torn)
        self.refused(relay, job, other, says="other.jsonl")
        look()

    def test_the_job_itself_through_a_hard_link(self) -> None:
        relay = self.relay()
        job = self.job(chats(3))
        for link in (os.link, os.symlink):
            other = self.folder / "elsewhere.jsonl"
            link(job, other)
            look = self.untouched(job)
            self.refused(relay, job, "-o", other, says="overwrite the job")
            look()
            other.unlink()

    def test_two_outputs_that_would_share_their_other_files(self) -> None:
        relay = self.relay()
        job = self.job(chats(3))
        for first, second in (("y.jsonl", "y.output.jsonl"), ("y.output.jsonl", "y.jsonl")):
            self.run_job(job, relay, "-o", self.folder / first)
            look = self.untouched(*self.folder.glob("y.*"))
            self.refused(relay, job, "-o", self.folder / second, says="would share")
            look()
            for path in self.folder.glob("y.*"):
                path.unlink()

    def test_links_planted_in_a_folder_that_others_may_write_to(self) -> None:
        relay = self.relay()
        job = self.job(chats(3))
        shared = self.folder / "shared"
        shared.mkdir()
        shared.chmod(0o777)
        victim, missing = self.folder / "victim", self.folder / "missing"
        victim.write_bytes(b"")  # an empty file proves nothing, so it must not be written through a link
        for name in ("job.output.jsonl", "job.errors.jsonl", "job.totals.json", "job.state",
                     "job.state.sluice-new", "job.totals.json.sluice-new"):
            for target in (victim, missing):
                with self.subTest(name, target=target.name):
                    (shared / name).symlink_to(target)
                    look = self.untouched(victim)
                    run = self.run_job(job, relay, "--output-dir", shared, expect=None)
                    self.assertEqual(run.code, 0 if name.endswith("-new") else CANNOT_START, run.err)
                    look()
                    self.assertFalse(missing.exists())
                    for path in shared.iterdir():
                        path.unlink()

    def test_own_links_are_followed(self) -> None:
        relay = self.relay()
        job = self.job(chats(3))
        kept = self.folder / "kept"
        kept.mkdir()
        (self.folder / "job.output.jsonl").symlink_to(kept / "results.jsonl")
        self.run_job(job, relay)
        self.assertEqual(len(read_jsonl(kept / "results.jsonl")), 3)
        self.assertTrue((self.folder / "job.output.jsonl").is_symlink())

    def test_files_left_by_a_power_failure_are_recognized(self) -> None:
        relay = self.relay()
        job = self.job(chats(6))
        self.run_job(job, relay)
        results = self.results(job)
        lines = results.output_path.read_bytes().splitlines(keepends=True)
        for left in (b"".join(lines[:3]) + bytes(700), b"".join(lines[:3]) + bytes(90) + lines[3][90:],
                     lines[0][:30], lines[0][:3], b"", bytes(512)):
            with self.subTest(left=left[-40:]):
                results.output_path.write_bytes(left)
                self.run_job(job, relay)
                self.assertEqual(len(results.by_id()), 6)


class TakenAway(AttackCase):
    """The output file is replaced during the run."""

    count = 30

    def begin(self) -> tuple[Relay, Path, Run]:
        # Ten requests are answered at once; the others wait until the file was changed.
        relay = self.relay(script=[{"after": 10, "times": self.count, "delay": 1.5, "status": 429,
                                    "headers": {"retry-after-ms": "10"}, "body": {"error": {"message": "slow down"}}}])
        job = self.job(chats(self.count))
        run = self.start("run", job, "--base-url", relay.url, "--rpm", 0, "--concurrency", 4)
        wait_until(lambda: self.results(job).written() >= 10 or not run.running, "ten lines")
        return relay, job, run

    def all_ids(self, folder: Path) -> set[str]:
        """The ids of all results in any file of the folder."""
        found = set()
        for path in folder.rglob("*"):
            if path.is_file() and path.suffix != ".toml" and path.name not in ("job.jsonl",):
                for line in path.read_bytes().splitlines():
                    if line.startswith(b'{"id":"batch_req_'):
                        found.add(json.loads(line)["custom_id"])
        return found

    def check(self, harm: Callable[[Path], None], says: str) -> tuple[Path, Run]:
        relay, job, run = self.begin()
        harm(self.results(job).output_path)
        run.wait(120)
        self.assertEqual(run.code, RESULTS_LOST, run.err)
        self.assertIn(says, run.err)
        all_ids = self.all_ids(self.folder)
        self.assertGreaterEqual(len(all_ids), 10)
        paid = relay.stats["delivered"]["requests"]
        self.assertEqual(len(all_ids), paid, "every result that was paid is in a file")
        return job, run

    def test_replaced_by_an_editor_or_sed(self) -> None:
        def edit(path: Path) -> None:
            copy = path.with_suffix(".tmp")
            copy.write_bytes(path.read_bytes().replace(b"echo", b"ECHO"))
            copy.rename(path)

        job, run = self.check(edit, "rescued-1")
        theirs = self.results(job).output_path.read_bytes()
        self.assertEqual(theirs.count(b"\n"), 10, "the foreign file got no more lines")

    def test_moved_away(self) -> None:
        self.check(lambda path: path.rename(path.with_name("mine.jsonl")), "mine.jsonl")

    def test_removed(self) -> None:
        job, _ = self.check(lambda path: path.unlink(), "rescued-1")
        rescued = job.with_name("job.output.jsonl.rescued-1")
        relay = self.relay()
        rescued.rename(self.results(job).output_path)
        done = self.results(job).written()
        self.run_job(job, relay)
        self.assertEqual(relay.attempts, self.count - done, "rescued results are not paid again")

    def test_emptied(self) -> None:
        self.check(lambda path: os.truncate(path, 0), "rescued-1")

    def test_removed_with_its_folder(self) -> None:
        relay = self.relay(script=[{"after": 10, "times": self.count, "delay": 1.5, "status": 429,
                                    "headers": {"retry-after-ms": "10"}, "body": {"error": {"message": "slow down"}}}])
        job = self.job(chats(self.count))
        run = self.start("run", job, "--base-url", relay.url, "--rpm", 0, "--concurrency", 4, "--output-dir", self.out)
        results = self.results(job, self.out)
        wait_until(lambda: results.written() >= 10 or not run.running, "ten lines")
        shutil.rmtree(self.out)
        self.assertEqual(run.wait(120).code, RESULTS_LOST, run.err)
        self.assertIn("job.output.jsonl.rescued-1", run.err)
        self.assertEqual(len(self.all_ids(self.folder)), relay.stats["delivered"]["requests"])

    def test_results_lost_by_an_editor_are_counted(self) -> None:
        relay, job, run = self.begin()
        wait_until(lambda: self.results(job).totals.get("succeeded", 0) >= 10 or not run.running, "ten results")
        output = self.results(job).output_path
        os.truncate(output, len(output.read_bytes().splitlines(keepends=True)[0]))
        self.assertEqual(run.wait(120).code, RESULTS_LOST, run.err)
        self.assertRegex(run.err, r"\d+ finished result\(s\) could not be written and are lost")

    def test_removed_after_the_last_check(self) -> None:
        relay = self.relay(script=[{"after": 29, "delay": 2, "times": 1, "status": 503, "body": "busy"}])
        job = self.job(chats(self.count))
        run = self.start("run", job, "--base-url", relay.url, "--rpm", 0, "--concurrency", 1)
        wait_until(lambda: self.results(job).written() >= 29 or not run.running, "29 lines")
        self.results(job).output_path.unlink()
        self.assertEqual(run.wait().code, RESULTS_LOST, run.err)
        self.assertNotIn("30 of 30 succeeded", run.err)
        self.assertEqual(len(self.all_ids(self.folder)), self.count)

    def test_foreign_totals_created_meanwhile_are_not_changed(self) -> None:
        _, job, run = self.begin()
        totals = self.results(job).totals_path
        theirs = totals.with_suffix(".tmp")
        theirs.write_text('{"mine": true}\n')
        theirs.rename(totals)
        self.assertEqual(run.wait(120).code, RESULTS_LOST, run.err)
        self.assertEqual(totals.read_text(), '{"mine": true}\n')
        self.assertIn("job.totals.json", run.err)

    def test_a_touched_job_is_unchanged_but_another_byte_is_a_change(self) -> None:
        relay = self.relay("--head-delay", "0.05")
        job = self.job(chats(600))
        run = self.start("run", job, "--base-url", relay.url, "--rpm", 0, "--concurrency", 4)
        wait_until(lambda: self.results(job).written() >= 5 or not run.running, "some lines")
        os.utime(job)
        shutil.copy(job, job.with_suffix(".tmp"))
        job.with_suffix(".tmp").rename(job)
        self.assertEqual(run.wait(120).code, 0, run.err)
        other = self.job(chats(600), "other.jsonl")
        run = self.start("run", other, "--base-url", relay.url, "--rpm", 0, "--concurrency", 4)
        wait_until(lambda: self.results(other).written() >= 5 or not run.running, "some lines")
        other.write_bytes(other.read_bytes().replace(b"question number 600", b"question number 601"))
        self.assertEqual(run.wait(120).code, CANNOT_START, run.err)
        self.assertIn("was changed while it was run", run.err)


class Names(AttackCase):
    # A byte that is not UTF-8, as in names from a system with another encoding.
    name = os.fsdecode(b"caf\xe9.jsonl")

    def test_a_name_that_is_not_utf8_is_a_name_like_another(self) -> None:
        relay = self.relay(script=[{"after": 10, "times": 20, "delay": 60}])
        job = self.job(chats(30), self.name)
        run = self.start("run", job, "--base-url", relay.url, "--rpm", 0, "--concurrency", 4)
        wait_until(lambda: self.results(job).written() >= 10 or not run.running, "ten lines")
        run.signal(signal.SIGKILL)
        run.wait()
        relay = self.relay()
        self.run_job(job, relay, "--progress", "json", "-v")
        self.assertEqual(len(self.results(job).by_id()), 30)
        self.sluice("report", job)
        self.sluice("check", job)
        self.run_job(job, relay, "-o", self.folder / os.fsdecode(b"\xff.jsonl"))

    def test_a_benchmark_of_such_a_job_is_compared(self) -> None:
        job = self.job(chats(3), self.name)
        bench = ("bench", job, "--simulate=clean", "--requests", 3, "--concurrency", 1, "--json")
        before = self.folder / "before.json"
        before.write_text(self.sluice(*bench).out)
        compared = json.loads(self.sluice(*bench, "--compare", before).out)
        self.assertEqual([note for note in compared["comparison"]["notes"] if "input" in note], [])


class Kept(AttackCase):
    """The spent part of a budget is recorded in more than one file."""

    def cut_streams(self) -> tuple[Relay, Path, Results]:
        """A complete job whose first attempts were cut."""
        relay = self.relay(script=[{"times": 3, "match": "question", "status": 200, "close": "cut",
                                    "headers": {"content-type": "text/event-stream"},
                                    "chunks": ['data: {"choices":[{"index":0,"delta":{"content":"half"}}]}\n\n']}])
        job = self.job([batch(f"c{i}", chat(f"question {i}", model="gpt-4", max_tokens=100)) for i in range(3)])
        self.run_job(job, relay, "--budget", "1")
        results = self.results(job)
        self.assertGreater(Decimal(results.totals["kept_usd"]), 0)
        self.assertFalse(results.state_path.exists())
        return relay, job, results

    def more(self, job: Path) -> None:
        with job.open("ab") as file:
            file.write(jsonl([batch("more", chat("one more", model="gpt-4", max_tokens=100))]))

    def test_totals_without_the_spent_part_do_not_reset_it(self) -> None:
        relay, job, results = self.cut_streams()
        totals = results.totals
        kept = Decimal(totals.pop("kept_usd"))
        results.totals_path.write_text(json.dumps(totals, indent=2))
        self.more(job)
        spent = kept + Decimal(totals["cost_usd"])
        self.refused(relay, job, "--budget", spent + Decimal("0.0001"), says="budget", expect=STOPPED)
        self.assertEqual(Decimal(results.totals["kept_usd"]), kept)

    def test_missing_totals_are_reported(self) -> None:
        relay, job, results = self.cut_streams()
        results.totals_path.unlink()
        self.more(job)
        self.refused(relay, job, "--budget", "1", says="job.totals.json: is missing")
        self.run_job(job, relay, "--budget", "1", "--budget-mode", "run")

    def test_a_missing_state_is_reported(self) -> None:
        relay = self.relay("--head-delay", "1")
        job = self.job([batch(f"c{i}", chat(f"question {i}", model="gpt-4", max_tokens=100)) for i in range(8)])
        run = self.start("run", job, "--base-url", relay.url, "--rpm", 0, "--concurrency", 2, "--budget", "1")
        wait_until(lambda: self.results(job).written() >= 2 or not run.running, "two lines")
        run.signal(signal.SIGKILL)
        run.wait()
        self.results(job).state_path.unlink()
        self.refused(relay, job, "--budget", "1", says="job.state: is missing")

    def test_restored_older_totals_do_not_reduce_it(self) -> None:
        relay, job, results = self.cut_streams()
        before = Decimal(results.totals["cost_usd"]) + Decimal(results.totals["kept_usd"])
        self.run_job(job, relay, "--fresh", "--budget", "1")
        old = results.totals_path.with_name("job.totals.json.old-1")
        results.totals_path.write_bytes(old.read_bytes())
        self.more(job)
        spent = before + Decimal(json.loads(old.read_text())["cost_usd"])
        self.refused(relay, job, "--budget", spent + Decimal("0.0001"), says="budget", expect=STOPPED)

    def test_removed_results_count_and_count_only_once_when_restored(self) -> None:
        kept, costs = {}, {}
        for back in (False, True):
            with self.subTest(back=back):
                relay = self.relay(script=[{"after": 4, "times": 9, "delay": 12, "status": 503, "body": "busy"}])
                job = self.job([batch(f"c{i}", chat(f"question {i}", model="gpt-4", max_tokens=100)) for i in range(6)],
                               f"job-{back}.jsonl")
                results = self.results(job)
                run = self.start("run", job, "--base-url", relay.url, "--rpm", 0, "--concurrency", 1, "--budget", "1",
                                 "--grace", "1s")
                wait_until(lambda: results.written() >= 4 or not run.running, "four lines")
                costs[back] = sum(Decimal(line["sluice"]["cost_usd"]) for line in results.output)
                elsewhere = results.output_path.with_name("elsewhere.jsonl")
                results.output_path.rename(elsewhere)
                self.assertEqual(run.wait(60).code, RESULTS_LOST, run.err)
                if back:
                    elsewhere.rename(results.output_path)
                mended = self.relay()
                self.run_job(job, mended, "--budget", "1")
                self.assertEqual(mended.attempts, 2 if back else 6)
                paid = sum(Decimal(line["sluice"]["cost_usd"]) for line in results.output)
                kept[back] = Decimal(results.totals.get("kept_usd", "0"))
                self.assertEqual(Decimal(results.totals["cost_usd"]), paid)
        # Both include the interrupted attempts.
        self.assertEqual(kept[False] - kept[True], costs[False])

    def test_a_fresh_start_continues_the_count(self) -> None:
        relay, job, results = self.cut_streams()
        before = Decimal(results.totals["cost_usd"]) + Decimal(results.totals["kept_usd"])
        self.refused(relay, job, "--fresh", "--budget", before + Decimal("0.0001"), says="budget", expect=STOPPED)
        self.assertEqual(Decimal(results.totals["kept_usd"]), before)
        # A second time: it must not count twice.
        self.refused(relay, job, "--fresh", "--budget", before + Decimal("0.0001"), says="budget", expect=STOPPED)
        self.assertEqual(Decimal(results.totals["kept_usd"]), before)


class Disks(AttackCase):
    """Disks that are full or slow, and file systems without some features."""

    def small_disk(self, size: str) -> Path:
        place = Path(tempfile.mkdtemp(prefix="sluice-small-"))
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], capture_output=True).returncode:
            place.rmdir()
            self.skipTest("this user may not mount a file system")
        self.addCleanup(place.rmdir)
        self.addCleanup(subprocess.run, ["umount", "-l", place], check=True)
        return place

    def fill(self, place: Path) -> None:
        """Another program uses all free space."""
        ballast = os.open(place / "ballast", os.O_WRONLY | os.O_CREAT)
        try:
            while os.write(ballast, bytes(4096)):
                pass
        except OSError as full:
            self.assertEqual(full.errno, errno.ENOSPC)
        finally:
            os.close(ballast)

    def test_a_full_disk_loses_no_paid_result(self) -> None:
        out = self.small_disk("8m")
        relay = self.relay("--head-delay", "0.3")
        job = self.job(chats(400, max_tokens=9))
        run = self.start("run", job, "--base-url", relay.url, "--rpm", 0, "--concurrency", 16, "--output-dir", out)
        results = self.results(job, out)
        wait_until(lambda: results.written() >= 16 or not run.running, "some lines")
        self.fill(out)
        run.wait(180)
        self.assertEqual(run.code, RESULTS_LOST, run.err)
        self.assertIn("every finished result is in a file", run.err)
        self.assertEqual(results.written(), relay.attempts)
        (out / "ballast").unlink()
        self.run_job(job, relay, "--output-dir", out)
        self.assertEqual(relay.attempts, 400, "nothing was paid twice")

    def test_space_that_is_freed_is_used(self) -> None:
        out = self.small_disk("1m")
        relay = self.relay("--head-delay", "0.5")
        job = self.job(chats(40))
        run = self.start("run", job, "--base-url", relay.url, "--rpm", 0, "--concurrency", 8, "--output-dir", out)
        results = self.results(job, out)
        wait_until(lambda: results.written() >= 8 or not run.running, "some lines")
        os.truncate(results.output_path, results.output_path.stat().st_size)  # frees the reserve
        self.fill(out)
        wait_until(lambda: "wait for room" in run.err or not run.running, "results in memory")
        (out / "ballast").unlink()
        run.wait(60)
        self.assertEqual(run.code, RESULTS_LOST, run.err)
        self.assertEqual(results.written(), relay.attempts)

    def test_a_file_system_without_locks_or_syncs_is_named_once(self) -> None:
        shim = os.environ.get("SLUICE_CRASH_SHIM") or self.skipTest("SLUICE_CRASH_SHIM is not set to the library")
        relay = self.relay()
        for number, (only, error, word) in enumerate((("lock", errno.ENOLCK, "no file locks"),
                                                      ("lock", errno.ENOSYS, "no file locks"),
                                                      ("fsync,fdatasync,sync", errno.ENOTSUP, "cannot sync"),
                                                      ("fsync,fdatasync,sync", errno.ENOSYS, "cannot sync"))):
            with self.subTest(only, error=errno.errorcode[error]):
                job = self.job(chats(5), f"job-{number}.jsonl")
                run = self.run_job(job, relay, env={
                    "LD_PRELOAD": shim, "SHIM_UNDER": str(self.folder), "SHIM_FAIL": "1", "SHIM_ONLY": only,
                    "SHIM_ERRNO": str(error), "ASAN_OPTIONS": "verify_asan_link_order=0"})
                self.assertEqual(run.err.count(word), 1, run.err)
                self.assertEqual(len(self.results(job).output), 5)

    def test_many_jobs_at_few_open_files_are_refused_before_anything_is_sent(self) -> None:
        relay = self.relay()
        jobs = [self.job(chats(2), f"job-{number}.jsonl") for number in range(250)]
        run = self.sluice("run", *jobs, "--base-url", relay.url, "--rpm", 0, expect=CANNOT_START,
                          wrap=["prlimit", "--nofile=1024:1024"])
        self.assertIn("the jobs' files need 1128 open files", run.err)
        self.assertIn("ulimit -n", run.err)
        self.assertEqual(relay.attempts, 0)

    def test_more_kinds_of_failure_than_a_byte_can_number(self) -> None:
        relay = self.relay()
        job = self.job(chats(400))
        self.run_job(job, relay)
        results = self.results(job)
        lines = results.output
        results.output_path.write_bytes(b"")
        for number, line in enumerate(lines):
            line["response"], line["error"] = None, {"code": f"kind_{number}", "message": "odd"}
            line["sluice"]["retryable"] = True
        results.errors_path.write_bytes("".join(
            json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode())
        self.run_job(job, relay)
        self.assertEqual(results.totals["errors"], {})
        self.assertEqual((results.totals["succeeded"], results.totals["failed"]), (400, 0))


if __name__ == "__main__":
    unittest.main()
