"""Kills and disk errors at every single file operation: nothing may be lost, written twice or paid twice.

crash_shim.c numbers the file operations of the program. The run of a small job is repeated for each number: it is
killed before, in the middle of or after that operation, or the operation fails. Then the job is run to its end without
faults, and the files are compared with each other and with the relay's ledger.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import time
import unittest
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import invariants
from hostile_relay import Answer, HostileRelay
from hostile_traps import ask, completion, document, error, streamed
from support import Case, Results, Run

GOOD, BAD, AGAIN = "good", "bad", "again"
NOT_JSON = b"not JSON\n"
SENT = (f"{GOOD}/1", f"{BAD}/1", f"{AGAIN}/1", f"{GOOD}/2", f"{GOOD}/3")
LINES = (*SENT, "line-3")
BUSY = Answer(document(error("busy"), 503, "retry-after-ms: 1"))
ANSWERS = {GOOD: [Answer(document(completion(GOOD)), billed=True)], BAD: [Answer(document(error("no such thing"), 400))],
           AGAIN: [BUSY, streamed(AGAIN)]}
CONCURRENCY = 2
FLAGS = ("--rpm", 0, "--concurrency", CONCURRENCY, "--durability", "each", "--grace", "1ms")
SOME_FAILED, CANNOT_START, RESULTS_LOST = 1, 2, 4
# Operations that may fail: a run works without file locks, the next run removes files that could not be removed, and a
# disk reserve is not essential.
HARMLESS = {"lock", "unlink", "fallocate", "ftruncate"}


def shim() -> str:
    path = os.environ.get("SLUICE_CRASH_SHIM", "")
    if not path:
        raise unittest.SkipTest("SLUICE_CRASH_SHIM is not set to the library")
    return path


@dataclass
class Place:
    """A job with its own folder and relay."""

    folder: Path
    relay: HostileRelay
    earlier_attempts: int = 0  # attempts that an earlier run sent to another relay

    @property
    def job(self) -> Path:
        return self.folder / "job.jsonl"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def results(self) -> Results:
        return Results(self.job, self.out)


@dataclass
class Ended:
    """The result of a finished run. Its files are closed, since there are many runs."""

    code: int
    out: str
    err: str


@dataclass
class Operation:
    number: int
    name: str
    path: Path


def traced(trace: Path) -> list[Operation]:
    """The file operations of a run. Removes the trace."""
    lines = [line.split(" ", 2) for line in trace.read_text().splitlines()] if trace.exists() else []
    trace.unlink(missing_ok=True)
    return [Operation(int(number), name, Path(path)) for number, name, path in lines]


class CrashCase(Case):
    template: Place | None = None
    more_flags: tuple[object, ...] = ()  # for every run
    require_kept = staticmethod(invariants.require_kept)

    def setUp(self) -> None:
        super().setUp()
        shim()
        self.places = itertools.count(1)

    def hostile(self, answers: dict[str, list[Answer]] = ANSWERS) -> HostileRelay:
        started = HostileRelay(answers)
        self.addCleanup(started.stop)
        return started

    def place(self) -> Place:
        """A new place for the job: an empty one, or a copy of self.template with the files of an earlier run."""
        folder = self.folder / f"place-{next(self.places)}"
        if self.template:
            shutil.copytree(self.template.folder, folder)
            return Place(folder, self.hostile(), self.template.results.totals["attempts"])
        folder.mkdir()
        made = Place(folder, self.hostile())
        lines = [b'{"custom_id":"%b","method":"POST","url":"/v1/chat/completions","body":%b}\n'
                 % (name.encode(), ask(name, stream=name.startswith(AGAIN))) for name in SENT]
        made.job.write_bytes(b"".join([*lines[:2], NOT_JSON, *lines[2:]]))
        return made

    def run_before(self) -> None:
        """Lets every place start with the files of an unfinished run: a failure to retry, a request that was not sent,
        and a bad line that is already in the errors file."""
        first = self.place()
        first.relay = self.hostile({**ANSWERS, AGAIN: [BUSY]})
        self.go(first, "--max-attempts", 1, "--limit", 5, expect=SOME_FAILED)
        self.assertEqual(sorted(line["custom_id"] for line in first.results.errors), [f"{AGAIN}/1", f"{BAD}/1", "line-3"])
        self.template = first

    def begin(self, place: Place, *flags: object, **shim_settings: object) -> Run:
        env: dict[str, str | None] = {}
        if shim_settings:
            env = {"LD_PRELOAD": shim(), "SHIM_UNDER": str(place.folder), "ASAN_OPTIONS": "verify_asan_link_order=0",
                   **{f"SHIM_{name.upper()}": str(value) for name, value in shim_settings.items()}}
        return self.start("run", place.job, "--output-dir", place.out, "--base-url", place.relay.url, *FLAGS, *self.more_flags,
                          *flags, env=env)

    def go(self, place: Place, *flags: object, expect: int | None = None, **shim_settings: object) -> Ended:
        run = self.begin(place, *flags, **shim_settings).wait()
        ended = Ended(run.code, run.out, run.err)
        run.close()
        if expect is not None:
            self.assertEqual(ended.code, expect, ended.err)
        return ended

    def operations(self, **settings: object) -> list[Operation]:
        """The file operations of a run without faults. Another run may have a few more or less: results that arrive
        together are written together."""
        trace = self.folder / "trace"
        self.go(self.place(), expect=SOME_FAILED, trace=trace, **settings)
        return traced(trace)

    def finish(self, place: Place, ended: int = 1) -> None:
        """Runs the job to its end and checks it. `ended` is the number of earlier runs that ended too early. Attempts
        are recorded before they are sent, so all attempts that arrived are counted, plus at most those that were
        recorded when a run ended."""
        results, ledger = place.results, place.relay.ledger
        output = invariants.whole_lines(results.output_path)
        done = invariants.settled(results)
        sent = {name: len(ledger.of(name)) for name in SENT}
        invariants.require_readable(results)
        self.go(place, expect=SOME_FAILED)
        place.relay.settle()
        invariants.require_complete(results, LINES)
        self.require_kept(output, results.output_path)
        invariants.require_no_strays(place.out, results)
        self.assertEqual(sorted(line["custom_id"] for line in results.errors), [f"{BAD}/1", "line-3"])
        for name in done & set(SENT):
            self.assertEqual(len(ledger.of(name)), sent[name], f"{name} was sent again although it has a line")
        seen = ledger.count + place.earlier_attempts
        self.assertGreaterEqual(results.totals["attempts"], seen)
        self.assertLessEqual(results.totals["attempts"], seen + ended * CONCURRENCY)
        place.relay.stop()

    def disturb(self, place: Place, disturbed: Callable[[], Ended]) -> Ended:
        """Checks a run that ends too early."""
        output = invariants.whole_lines(place.results.output_path)
        ended = disturbed()
        place.relay.settle()
        invariants.require_readable(place.results)
        self.require_kept(output, place.results.output_path)
        return ended


class Kill:
    """Kills one kind of run at each of its operations."""

    def moments(self) -> Iterator[tuple[Operation, str]]:
        for operation in self.operations():  # type: ignore[attr-defined]
            for when in ("before", "middle", "after") if operation.name == "write" else ("before", "after"):
                yield operation, when

    def test_at_every_operation(self) -> None:
        for operation, when in self.moments():
            with self.subTest(operation=operation, when=when):  # type: ignore[attr-defined]
                self.check([(operation.number, when)])

    def test_twice_in_two_runs(self) -> None:
        rng = random.Random(11)
        moments = list(self.moments())
        for (first, when), (second, again) in zip(rng.sample(moments, 12), rng.sample(moments, 12)):
            with self.subTest(first=first, when=when, second=second, again=again):  # type: ignore[attr-defined]
                self.check([(first.number, when), (second.number, again)])

    def check(self, kills: list[tuple[int, str]]) -> None:
        case = self
        assert isinstance(case, CrashCase)
        place = case.place()
        for number, when in kills:
            ended = case.disturb(place, lambda: case.go(place, kill=number, when=when))
            case.assertIn(ended.code, (-signal.SIGKILL, SOME_FAILED), ended.err)
        case.finish(place, len(kills))


class KilledAtFirst(Kill, CrashCase):
    """The first run of a job."""


class KilledGoingOn(Kill, CrashCase):
    """A run that resumes another one."""

    def setUp(self) -> None:
        super().setUp()
        self.run_before()


def sorts(operations: list[Operation]) -> list[Operation]:
    """The operations that replace an output file by the sorted one."""
    return [one for one in operations if one.name == "rename" and one.path.name == "job.output.jsonl"]


class Ordered(CrashCase):
    """A run sorts its results at the end. A run that ends early leaves them unsorted, and the next run sorts them."""

    more_flags = ("--ordered",)
    require_kept = staticmethod(invariants.require_kept_in_any_order)

    def setUp(self) -> None:
        super().setUp()
        self.assertTrue(sorts(self.operations()), "the first results of the job are in its order, and nothing is sorted")

    def finish(self, place: Place, ended: int = 1) -> None:
        super().finish(place, ended)
        for path in (place.results.output_path, place.results.errors_path):
            lines = [json.loads(line)["sluice"]["line"] for line in invariants.whole_lines(path)]
            self.assertEqual(lines, sorted(lines), path.name)


class KilledOrdered(Ordered, KilledAtFirst):
    """A run that sorts at its end."""


class KilledWithCopies(CrashCase):
    """A run with --dedup and equal requests: one is sent, and the others get copies of its line at the end."""

    more_flags = ("--dedup", "--ordered")

    def place(self) -> Place:
        made = super().place()
        made.job.write_bytes(b"".join(b'{"custom_id":"%b","method":"POST","url":"/v1/chat/completions","body":%b}\n'
                                      % (name.encode(), ask(f"{GOOD}/1", stream=False)) for name in "abc"))
        return made

    def test_at_every_operation(self) -> None:
        trace = self.folder / "trace"
        self.go(self.place(), expect=0, trace=trace)
        for operation in traced(trace):
            for when in ("before", "middle", "after") if operation.name == "write" else ("before", "after"):
                with self.subTest(operation=operation, when=when):
                    place = self.place()
                    ended = self.disturb(place, lambda: self.go(place, kill=operation.number, when=when))
                    self.assertIn(ended.code, (-signal.SIGKILL, 0), ended.err)
                    done = invariants.settled(place.results)
                    sent = place.relay.ledger.count
                    self.go(place, expect=0)
                    place.relay.settle()
                    invariants.require_complete(place.results, "abc")
                    invariants.require_no_strays(place.out, place.results)
                    self.assertEqual([line["custom_id"] for line in place.results.output], ["a", "b", "c"])
                    self.assertEqual(place.relay.ledger.count, sent if done else sent + 1)
                    place.relay.stop()


class KilledAtRandom(CrashCase):
    def kill_after(self, seconds: float, place: Place) -> Ended:
        run = self.begin(place)
        time.sleep(seconds)
        run.signal(signal.SIGKILL)
        run.wait()
        run.close()
        return Ended(run.code, "", "")

    def test_at_random_times(self) -> None:
        rng = random.Random(5)
        for _ in range(8):
            place = self.place()
            kills = rng.randint(1, 4)
            for _ in range(kills):
                self.disturb(place, lambda: self.kill_after(rng.uniform(0, 0.06), place))
            self.finish(place, kills)


class Refused(CrashCase):
    """The disk fails at each operation, once or permanently."""

    def check(self, number: int, once: bool, error: int, only: str) -> None:
        place, trace = self.place(), self.folder / "trace"
        settings = {"fail": number, "errno": error, "only": only, "trace": trace, **({"once": 1} if once else {})}
        ended = self.disturb(place, lambda: self.go(place, **settings))
        failed = traced(trace)[number - 1:]
        names = {operation.name for operation in (failed[:1] if once else failed)}
        if ended.code == SOME_FAILED:  # the run recovered: it repeats an operation that failed once, except a sync
            self.assertTrue(names <= HARMLESS or (once and "sync" not in names), names)
            invariants.require_complete(place.results, LINES)
        if ended.code in (CANNOT_START, RESULTS_LOST):
            last = ended.err.rstrip("\n").split("\n")[-1]
            self.assertRegex(last, r"^sluice: .*(job\.|/out).*; \w+")
            self.assertIn(os.strerror(error), last)
        else:
            self.assertEqual(ended.code, SOME_FAILED, ended.err)
        if ended.code == CANNOT_START:
            self.assertEqual(place.relay.ledger.count, 0, "a run that cannot start sends nothing")
        self.finish(place)

    def each(self, error: int, only: set[str], once: bool) -> None:
        names = ",".join(sorted(only))
        for operation in self.operations(only=names):
            with self.subTest(operation=operation, error=errno.errorcode[error], once=once):
                self.check(operation.number, once, error, names)


ANY = {"open", "write", "ftruncate", "fallocate", "sync", "rename", "link", "unlink", "mkdir", "lock"}
NEED_ROOM = {"open", "write", "fallocate", "sync", "rename", "link", "mkdir"}


class RefusedAtFirst(Refused):
    def test_a_disk_that_stays_full(self) -> None:
        self.each(errno.ENOSPC, NEED_ROOM, once=False)

    def test_a_write_over_the_quota_once(self) -> None:
        self.each(errno.EDQUOT, {"write"}, once=True)

    def test_an_error_of_the_device_once(self) -> None:
        self.each(errno.EIO, ANY, once=True)

    def test_a_disk_that_becomes_read_only(self) -> None:
        self.each(errno.EROFS, ANY - {"lock"}, once=False)

    def test_a_disk_that_becomes_read_only_and_reports_it_at_a_sync(self) -> None:
        self.each(errno.EROFS, {"sync"}, once=False)

    def test_writes_that_are_cut_short(self) -> None:
        place = self.place()
        self.go(place, fail=1, errno=0, expect=SOME_FAILED)
        invariants.require_complete(place.results, LINES)
        self.finish(place)

    def test_too_many_open_files(self) -> None:
        self.each(errno.EMFILE, {"open"}, once=False)


class RefusedGoingOn(RefusedAtFirst):
    def setUp(self) -> None:
        super().setUp()
        self.run_before()


class RefusedOrdered(Ordered, Refused):
    def test_a_disk_that_stays_full(self) -> None:
        self.each(errno.ENOSPC, NEED_ROOM, once=False)

    def test_an_error_of_the_device_once(self) -> None:
        self.each(errno.EIO, ANY, once=True)


class SortedLater(CrashCase):
    """A finished job whose results are in the order of completion."""

    def setUp(self) -> None:
        super().setUp()
        first = self.place()
        self.go(first, expect=SOME_FAILED)
        self.template = first
        self.unsorted = first.results.output_path.read_bytes()

    def test_by_a_run_that_sends_nothing(self) -> None:
        place = self.place()
        self.go(place, "--ordered", expect=SOME_FAILED)
        self.assertEqual(place.relay.ledger.count, 0)
        self.assertNotEqual(place.results.output_path.read_bytes(), self.unsorted)
        self.assertEqual([line["custom_id"] for line in place.results.output], [f"{GOOD}/1", f"{AGAIN}/1", f"{GOOD}/2",
                                                                              f"{GOOD}/3"])
        self.assertEqual([line["custom_id"] for line in place.results.errors], [f"{BAD}/1", "line-3"])
        before = place.results.bytes()
        trace = self.folder / "trace"
        self.go(place, "--ordered", expect=SOME_FAILED, trace=trace)
        self.assertEqual(sorts(traced(trace)), [], "sorted again")
        self.assertEqual(place.results.output_path.read_bytes(), before["job.output.jsonl"])

    def test_without_room_it_says_what_it_needs(self) -> None:
        trace = self.folder / "trace"
        self.go(self.place(), "--ordered", expect=SOME_FAILED, trace=trace)
        operations = traced(trace)
        moved = operations.index(sorts(operations)[0])
        of_sort = [one for one in operations[:moved] if one.path.name == "job.output.jsonl.sluice-new"]
        of_sort.append(operations[moved])
        self.assertEqual([one.name for one in of_sort if one.name in ("open", "write", "sync", "rename")],
                         ["open", "write", "sync", "rename"])
        for operation in of_sort:
            if operation.name not in NEED_ROOM:
                continue
            with self.subTest(operation=operation):
                place = self.place()
                ended = self.go(place, "--ordered", fail=operation.number, errno=errno.ENOSPC, once=1, expect=RESULTS_LOST)
                self.assertRegex(ended.err, r"sluice: .*job\.output\.jsonl: cannot be brought into job order \(No space left "
                                            r"on device\); .*: make room for another 1 MB, and run the same command again "
                                            r"to sort it; every finished result is in a file\n$")
                self.assertEqual(place.results.output_path.read_bytes(), self.unsorted)
                self.go(place, "--ordered", expect=SOME_FAILED)
                self.assertEqual(place.relay.ledger.count, 0)
                lines = [line["sluice"]["line"] for line in place.results.output]
                self.assertEqual(lines, sorted(lines))
                invariants.require_no_strays(place.out, place.results)


class Full(CrashCase):
    """Disks that are really full."""

    def lines(self, count: int) -> bytes:
        return b"".join(b'{"custom_id":"%b","method":"POST","url":"/v1/chat/completions","body":%b}\n'
                        % (f"{GOOD}/{i}".encode(), ask(f"{GOOD}/{i}", stream=False)) for i in range(count))

    def test_a_small_file_system(self) -> None:
        """A memory disk of 1 MiB in its own mount namespace. Its files are copied out before and after space is freed.
        Without the right to mount, a limit on the file size is used instead."""
        count = 400
        place = self.place()
        place.job.write_bytes(self.lines(count))
        names = [f"{GOOD}/{i}" for i in range(count)]
        disk, first, second = (self.folder / name for name in ("disk", "first", "second"))
        for folder in (disk, first, second):
            folder.mkdir()
        environment = self.environment()
        command = f'"$SLUICE" run "{place.job}" --base-url {place.relay.url} --rpm 0 --output-dir "{disk}"'
        script = (f'mount -t tmpfs -o size=1m none "{disk}" || exit 99\n'
                  f'head -c 900000 /dev/zero > "{disk}/filler"\n'
                  f'{command} 2> "{first}/err"; echo $? > "{first}/status"; cp "{disk}"/job.* "{first}"\n'
                  f'rm "{disk}/filler"\n'
                  f'{command} 2> "{second}/err"; echo $? > "{second}/status"; cp "{disk}"/job.* "{second}"\n')
        done = subprocess.run(["unshare", "-m", "sh", "-c", script], env=environment, cwd=self.folder, timeout=60,
                              capture_output=True, text=True)
        if done.returncode == 99 or not (first / "status").exists():
            return self.limited_file_size(place, names)
        self.assertEqual((first / "status").read_text(), "4\n", (first / "err").read_text())
        message = (first / "err").read_text().rstrip("\n").split("\n")[-1]
        self.assertRegex(message, r"^sluice: .*job\..*No space left on device.*; make room")
        early = Results(place.job, first)
        kept = invariants.whole_lines(early.output_path)
        self.assertEqual(early.output_path.read_bytes(), b"".join(kept), "a full disk has no incomplete line")
        self.assertGreater(len(kept), 0)
        self.assertLess(len(kept), count)
        self.assertEqual((second / "status").read_text(), "0\n", (second / "err").read_text())
        late = Results(place.job, second)
        invariants.require_complete(late, names)
        invariants.require_kept(kept, late.output_path)
        for line in kept:
            self.assertEqual(len(place.relay.ledger.of(json.loads(line)["custom_id"])), 1)
        return None

    def limited_file_size(self, place: Place, names: list[str]) -> None:
        command = ("run", place.job, "--output-dir", place.out, "--base-url", place.relay.url, "--rpm", 0)
        ended = self.sluice(*command, wrap=["prlimit", "--fsize=40000"], expect=RESULTS_LOST)
        self.assertRegex(ended.err.rstrip("\n").split("\n")[-1], r"^sluice: .*job\.output.*File too large.*; ")
        kept = invariants.whole_lines(place.results.output_path)
        self.sluice(*command)
        invariants.require_complete(place.results, names)
        invariants.require_kept(kept, place.results.output_path)

    def test_a_limited_file_size(self) -> None:
        count = 200
        place = self.place()
        place.job.write_bytes(self.lines(count))
        self.limited_file_size(place, [f"{GOOD}/{i}" for i in range(count)])


class FewFiles(CrashCase):
    def test_a_low_limit_on_open_files(self) -> None:
        """All limits from too few for any file or connection up to enough."""
        seen = set()
        for granted in (*range(4, 24), 80):
            with self.subTest(granted=granted):
                place = self.place()
                command = ("run", place.job, "--output-dir", place.out, "--base-url", place.relay.url, *FLAGS)
                ended = self.sluice(*command, "--give-up-after", "200ms", expect=None,
                                    wrap=["prlimit", f"--nofile={granted}:{granted}"])
                seen.add(ended.code)
                if ended.code == 127:  # too few to load the program
                    continue
                self.assertIn(ended.code, (SOME_FAILED, CANNOT_START), ended.err)
                if ended.code == CANNOT_START:
                    self.assert_one_sentence(ended, "; ")
                    self.assertEqual(place.relay.ledger.count, 0)
                self.finish(place)
        self.assertLessEqual({SOME_FAILED, CANNOT_START}, seen)


if __name__ == "__main__":
    unittest.main()
