"""Refused starts, stopped runs, and their messages."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import unittest
from pathlib import Path
from typing import Any

from support import KEY, Case, Run, batch, chat, chats, files_under, jsonl, text_of, wait_until

HERE = "http://127.0.0.1:1"  # nothing listens there; these tests must send nothing


def error(message: str, code: str | None, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def without_privileges() -> list[str]:
    """A command prefix that drops root's rights, so that file permissions apply."""
    if os.geteuid() != 0:
        return []
    wrap = ["setpriv", "--bounding-set=-all"]
    if not shutil.which("setpriv") or subprocess.run([*wrap, "true"], stderr=subprocess.DEVNULL).returncode != 0:
        raise unittest.SkipTest("needs setpriv, or a user who is not root")
    return wrap


class CannotStart(Case):
    """Exit status 2, one sentence, and no new files."""

    def refused(self, *words: Any, says: tuple[str, ...] = (), **more: Any) -> Run:
        before = sorted(self.folder.rglob("*"))
        run = self.sluice(*words, expect=2, **more)
        self.assert_one_sentence(run, *says)
        self.assertEqual(sorted(self.folder.rglob("*")), before, "nothing may be created")
        return run

    def test_the_job(self) -> None:
        empty = self.job(b"", "empty.jsonl")
        blank = self.job(b"\n\r\n", "blank.jsonl")
        folder = self.folder / "folder.jsonl"
        folder.mkdir()
        for job in (self.folder / "missing.jsonl", folder, empty, blank):
            with self.subTest(job.name):
                self.refused("run", job, "--base-url", HERE, "--output-dir", self.out, says=(job.name,))
        self.refused("run", "--base-url", HERE, says=("job",))

    def test_one_bad_job_stops_all_jobs(self) -> None:
        self.refused("run", self.job(chats(2)), self.folder / "missing.jsonl", "--base-url", HERE,
                     says=("missing.jsonl",))

    def test_one_job_under_two_names_is_one_job(self) -> None:
        relay = self.relay()
        job = self.job(chats(3))
        linked, hard = self.folder / "linked", self.folder / "hard.jsonl"
        linked.symlink_to(self.folder)
        hard.hardlink_to(job)
        for names in (("job.jsonl", job), ("job.jsonl", "./job.jsonl"), (job, linked / "job.jsonl"),
                      ("linked/job.jsonl", "job.jsonl"), ("job.jsonl", "hard.jsonl", "linked/job.jsonl")):
            with self.subTest(names=names):
                run = self.sluice("run", *names, "--base-url", relay.url, "--rpm", 0)
                self.assertEqual(run.err.count("under another name") + run.err.count("under other names"), 1, run.err)
                self.assertEqual(len(self.results(job).output), 3)
                self.assertEqual(relay.attempts, 3)
        self.assertFalse((self.folder / "hard.output.jsonl").exists())

    def test_files_of_earlier_jobs_are_removed_if_those_of_a_later_job_cannot_be_created(self) -> None:
        jobs = [self.job(chats(2), f"{name}.jsonl") for name in ("one", "two", "three")]
        for name in ("two.output.jsonl", "two.errors.jsonl", "three.output.jsonl"):
            in_the_way = self.folder / name
            in_the_way.symlink_to(self.folder / "gone" / "file")
            with self.subTest(name):
                self.refused("run", *jobs, "--base-url", HERE, says=(name,))
            in_the_way.unlink()

    def test_standard_input(self) -> None:
        for text in (b"", b"\n\r\n"):
            with self.subTest(text):
                self.refused("run", "-", "--base-url", HERE, "--output-dir", self.out, stdin=text,
                             says=("standard input", "empty"))

    def test_jobs_that_are_not_files(self) -> None:
        job = self.job(chats(1))
        pipe = self.folder / "pipe.jsonl"
        os.mkfifo(pipe)
        self.refused("report", pipe, says=("pipe.jsonl", "not a regular file"))
        (self.folder / "job.totals.json").unlink(missing_ok=True)
        os.mkfifo(self.folder / "job.totals.json")
        self.refused("report", job, says=("job.totals.json", "not a regular file"))
        (self.folder / "job.totals.json").unlink()
        loop = self.folder / "loop"
        loop.symlink_to(loop)
        long = "n" * 300
        for name, words, said in (
                ("a pipe", (pipe,), "pipe.jsonl"), ("no name", ("",), "''"), ("a loop", (loop / "job.jsonl",), "loop"),
                ("a long name", (f"{long}.jsonl",), long), ("prices in a folder", (job, "--prices", "."), "--prices"),
                ("a key in a folder", (job, "--api-key-file", "."), "--api-key-file"),
                ("a config in a folder", (job, "--config", "."), "--config"),
                ("results in a loop", (job, "--output-dir", loop), str(loop)),
                ("results below a loop", (job, "--output-dir", loop / "below"), str(loop)),
                ("results in a long name", (job, "--output-dir", long), long),
                ("results with a long name", (job, "-o", f"{long}.jsonl"), long),
                ("a log in a folder", (job, "--log-file", "."), "--log-file")):
            with self.subTest(name):
                self.refused("run", *words, "--base-url", HERE, says=(said,))
        self.refused("run", "/dev/fd/0", "--base-url", HERE, "--output-dir", self.out, stdin=jsonl(chats(1)),
                     says=("/dev/fd/0", "sluice run -"))
        longest = self.job(chats(1), "n" * 249 + ".jsonl")  # too long to add .output
        self.refused("run", longest, "--base-url", HERE, says=(longest.stem,))

    def test_a_folder_where_a_result_file_should_be(self) -> None:
        job = self.job(chats(1))
        results = self.results(job)
        for path in (*results.paths, results.state_path):
            path.mkdir()
            with self.subTest(path.name):
                self.refused("run", job, "--base-url", HERE, says=(path.name,))
            path.rmdir()

    def test_files_without_permission(self) -> None:
        wrap = without_privileges()
        job = self.job(chats(1))
        closed = self.folder / "closed"
        closed.mkdir(mode=0)
        self.addCleanup(closed.chmod, 0o700)
        secret = self.job(chats(1), "secret.jsonl")
        secret.chmod(0)
        for name, words, said in (("a job", (secret,), secret), ("a job in it", (closed / "job.jsonl",), closed),
                                  ("results in it", (job, "--output-dir", closed), closed),
                                  ("results below it", (job, "--output-dir", closed / "below"), closed),
                                  ("an output in it", (job, "-o", closed / "x.jsonl"), closed),
                                  ("prices in it", (job, "--prices", closed / "prices.json"), closed),
                                  ("a config in it", (job, "--config", closed / "sluice.toml"), closed)):
            with self.subTest(name):
                self.refused("run", *words, "--base-url", HERE, says=(str(said),), wrap=wrap)
        loop = self.folder / "loop"
        loop.symlink_to(loop)
        for home in (closed, loop):
            with self.subTest(home.name):
                self.sluice("run", job, "--simulate", "--fresh", env={"XDG_CONFIG_HOME": str(home)}, wrap=wrap)

    def test_the_output_folder(self) -> None:
        job = self.job(chats(1))
        file = self.folder / "file"
        file.write_text("in the way")
        for place, named in ((file, file), (file / "below", file), (Path("/proc/sluice"), "/proc")):
            with self.subTest(str(place)):
                self.refused("run", job, "--base-url", HERE, "--output-dir", place, says=(str(named),))

    def test_the_key(self) -> None:
        job = self.job(chats(1))
        far = "http://192.0.2.1/v1"
        self.refused("run", job, "--base-url", far, says=("OPENAI_API_KEY",), env={"OPENAI_API_KEY": None})
        self.refused("run", job, "--base-url", far, says=("OPENAI_API_KEY",), env={"OPENAI_API_KEY": ""})
        self.refused("run", job, "--base-url", HERE, "--api-key-file", "nowhere", says=("nowhere",))

    def test_the_base_url(self) -> None:
        job = self.job(chats(1))
        for url in ("ftp://relay.example", "http://", "relay.example:port", "http://host:99999", "not a url"):
            with self.subTest(url):
                self.refused("run", job, "--base-url", url, says=("base-url",))
        for url in (f"https://me:{KEY}@host/v1", f"https://host/v1?key={KEY}"):
            for words, env in ((("--base-url", url), {}), ((), {"OPENAI_BASE_URL": url})):
                with self.subTest(url, env=bool(env)):
                    self.assertNotIn(KEY, self.refused("run", job, *words, says=("base-url",), env=env).err)

    def test_flags(self) -> None:
        job = self.job(chats(1))
        for flag, value, said in (("--rpm", "-1", "--rpm"), ("--rpm", "many", "--rpm"), ("--rpm", "1.5", "--rpm"),
                                  ("--timeout", "10", "--timeout"), ("--timeout", "10 parsecs", "--timeout"),
                                  ("--pace", "slow", "even"), ("--simulate=wild", None, "faulty"),
                                  ("--endpoint", "images", "embeddings"), ("--header", "no-colon", "--header"),
                                  ("--header", "Content-Length: 3", "Content-Length"), ("-o", "-", "-o -"),
                                  ("--max-attempts", "0", "--max-attempts"), ("--prices", "gone.json", "gone.json"),
                                  ("--override-model", None, "--model")):
            with self.subTest(f"{flag} {value}"):
                self.refused("run", job, "--base-url", HERE, flag, *([value] if value else []), says=(said,))
        self.refused("run", job, "--base-url", HERE, "-o", self.folder / "x.jsonl", "--output-dir", self.out,
                     says=("-o", "--output-dir"))

    def test_unknown_words_with_a_suggestion(self) -> None:
        job = self.job(chats(1))
        self.refused("rum", job, says=("rum", "'run'"))
        self.refused("simulat", says=("'simulate'",))
        self.refused("run", job, "--concurency", "3", says=("--concurency", "'--concurrency'"))
        self.refused("run", job, "--rmp", "3", says=("--rmp", "'--rpm'"))
        self.refused("run", job, "--utterly-different", says=("--utterly-different",))
        self.refused("--rpm", "5", "run", job, says=("--rpm", "'sluice run'", "behind"))
        self.refused("--rpm=5", "run", job, says=("--rpm", "'sluice run'", "behind"))
        self.refused("--port", "8080", says=("--port", "'sluice simulate'", "behind"))

    def test_an_address_without_such_a_server(self) -> None:
        """It ends at once, and shows the URL. An outage of a server that has answered waits instead."""
        job = self.job(chats(3))
        simulator = self.simulator()
        for url, words in ((simulator.url.replace("http:", "https:"), ("does not speak TLS", "http://")),
                           ("https://no-such-host.invalid/v1", ("cannot resolve", "no host of this name"))):
            with self.subTest(url):
                run = self.sluice("run", job, "--base-url", url, expect=2)
                for said in ("the address is wrong", f"{url}/chat/completions", *words):
                    self.assertIn(said, run.err)
                self.assertEqual(self.results(job).totals["pending"], 3)

    def test_lines_without_a_model(self) -> None:
        job = self.job([{"prompt": "a"}, {"prompt": "b"}])
        self.refused("run", job, "--base-url", HERE, says=("line 1", "1 other", "--model"))
        run = self.sluice("run", "-", "-o", "out.jsonl", "--base-url", HERE, stdin=job.read_bytes(), expect=2)
        self.assertIn("standard input line 1: The line names no model; give one with --model.", run.err)

    def test_help_and_version(self) -> None:
        for words in ([], ["run"], ["simulate"]):
            with self.subTest(words):
                brief, whole = (self.sluice(*words, flag) for flag in ("-h", "--help"))
                for run in (brief, whole):
                    self.assertEqual(run.err, "")
                    self.assertIn("Examples", run.out)
                    self.assertLessEqual(max(map(len, run.out.splitlines())), 80)
                self.assertLess(len(brief.out), len(whole.out))
        self.assertRegex(self.sluice("--version").out, r"^sluice \d+\.\d+\.\d+\n$")

    def test_config(self) -> None:
        job = self.job(chats(1))
        config = self.folder / "sluice.toml"
        for text, said in (("concurency = 3\n", "concurency"), ("rpm = -1\n", "rpm"), ("rpm = \n", "sluice.toml"),
                           ('rpm = "many"\n', "rpm")):
            config.write_text(text)
            with self.subTest(text):
                self.refused("run", job, "--base-url", HERE, says=(said,))
        config.unlink()
        self.refused("run", job, "--base-url", HERE, "--config", "gone.toml", says=("gone.toml",))

    def test_precedence(self) -> None:
        relay = self.relay()
        job = self.job(chats(1))
        config = self.folder / "sluice.toml"
        config.write_text(f'base-url = "{HERE}"\nrpm = 0\n')
        self.sluice("run", job, env={"OPENAI_BASE_URL": relay.url}, expect=0)
        self.sluice("run", job, "--base-url", relay.url, "--fresh", env={"OPENAI_BASE_URL": HERE})
        config.write_text(f'base-url = "{relay.url}"\n')
        self.sluice("run", job, "--fresh")
        self.assertEqual(relay.attempts, 3)


class KeysEnd(Case):
    """The run stops with status 3, and writes no failures."""

    def stops(self, entry: dict[str, Any], *says: str, count: int = 20) -> None:
        relay = self.relay(script=[{"times": None, **entry}])
        job = self.job(chats(count))
        run = self.run_job(job, relay, "--concurrency", 4, expect=3)
        for part in says:
            self.assertIn(part, run.err)
        results = self.results(job)
        self.assertEqual((results.output, results.errors), ([], []))
        totals = results.totals
        self.assertEqual((totals["status"], totals["pending"], totals["failed"]), ("stopped", count, 0))
        self.assertLess(relay.attempts, count)
        mended = self.relay()
        self.run_job(job, mended)
        self.assertEqual(len(results.output), count)

    def test_401(self) -> None:
        self.stops({"status": 401, "body": error("Incorrect API key provided: sk-ab***yz", "invalid_api_key")},
                   "Incorrect API key provided", "key")

    def test_402(self) -> None:
        self.stops({"status": 402, "body": error("Payment required", None)}, "Payment required")

    def test_429_insufficient_quota(self) -> None:
        self.stops({"status": 429, "body": error("You exceeded your current quota", "insufficient_quota",
                                                 "insufficient_quota")}, "You exceeded your current quota")

    def test_403_insufficient_user_quota(self) -> None:
        self.stops({"status": 403, "body": error("用户额度不足, 剩余额度: $0.01", "insufficient_user_quota",
                                                 "new_api_error")}, "用户额度不足")

    def test_a_403_for_a_model_does_not_stop_the_run(self) -> None:
        relay = self.relay(script=[{"match": "forbidden", "times": None, "status": 403,
                                    "body": error("该令牌无权访问模型 gpt-4", None, "new_api_error")}])
        job = self.job([batch("f", chat("forbidden")), *chats(6)])
        self.run_job(job, relay, expect=1)
        self.assertEqual([line["custom_id"] for line in self.results(job).errors], ["f"])


class TheKey(Case):
    def test_never_appears(self) -> None:
        """Not even if the relay repeats it in a message."""
        relay = self.relay(script=[
            {"match": "number 3", "times": None, "status": 400, "body": error(f"bad: Bearer {KEY}", None)},
            {"match": "number 4", "status": 500, "body": error(f"oops {KEY}", None)}])
        job = self.job(chats(8))
        log = self.folder / "run.log"
        runs = [self.run_job(job, relay, "-v", "--log-file", log, "--max-attempts", 2, expect=1),
                self.run_job(job, relay, "-v", "--retry-failed", expect=1)]
        broke = self.relay(script=[{"times": None, "status": 401, "body": error(f"Incorrect key: {KEY}", None)}])
        runs.append(self.run_job(job, broke, "--fresh", "-v", "--log-file", log, expect=3))
        for run in runs:
            self.assertNotIn(KEY, run.out + run.err)
        for path in files_under(self.folder):
            if not path.name.startswith("script"):
                self.assertNotIn(KEY.encode(), path.read_bytes(), path.name)
                self.assertNotIn(KEY, str(path))

    def test_is_redacted_in_a_reply(self) -> None:
        said = {"choices": [{"index": 0, "message": {"role": "assistant", "content": f"Your key is {KEY}, keep it."},
                             "finish_reason": "stop"}]}
        relay = self.relay(script=[{"status": 200, "body": said}])
        job = self.job(chats(1))
        self.run_job(job, relay)
        self.assertEqual(text_of(self.results(job).output[0]), "Your key is [key], keep it.")

    def test_a_word_that_is_not_a_secret_stays_in_a_reply(self) -> None:
        relay = self.relay()
        job = self.job([batch("a", chat("any index from 0 to 9"))])
        for key in ("any", "0", "index"):
            for flags in ((), ("--no-stream",)):
                with self.subTest(key, flags=flags):
                    self.run_job(job, relay, "--fresh", *flags, env={"OPENAI_API_KEY": key})
                    [line] = self.results(job).output
                    self.assertEqual(text_of(line), "echo: any index from 0 to 9")
                    self.assertEqual(line["response"]["body"]["choices"][0]["index"], 0)

    def test_from_a_file(self) -> None:
        file = self.folder / "key"
        file.write_text("sk-from-the-file\n")
        relay = self.relay()
        self.run_job(self.job(chats(1)), relay, "--api-key-file", file, env={"OPENAI_API_KEY": None})
        self.assertFalse(relay.stats["authorization_missing"])


class WrongAddress(Case):
    def stops(self, entry: dict[str, Any], count: int) -> None:
        relay = self.relay(script=[{"times": None, **entry}])
        job = self.job(chats(count))
        run = self.run_job(job, relay, "--concurrency", 2, expect=2)
        self.assertIn("--base-url", run.err)
        self.assertIn("/v1", run.err)
        results = self.results(job)
        self.assertEqual((results.output, results.errors), ([], []))
        self.assertLessEqual(relay.attempts, 8)

    def test_a_404_page_everywhere(self) -> None:
        page = {"status": 404, "headers": {"Content-Type": "text/html"}, "body": "<html>404 not found</html>"}
        for count in (30, 3, 1):
            with self.subTest(count=count):
                self.stops(page, count)

    def test_a_redirect_is_not_followed(self) -> None:
        elsewhere = self.relay()
        self.stops({"status": 301, "headers": {"Location": elsewhere.url + "/chat/completions"}, "body": ""}, 30)
        self.assertEqual(elsewhere.attempts, 0)

    def test_a_web_page_that_answers_200(self) -> None:
        self.stops({"status": 200, "headers": {"Content-Type": "text/html"}, "body": "<html>Welcome</html>"}, 30)

    def test_an_unknown_model_is_not_a_wrong_address(self) -> None:
        relay = self.relay(script=[{"times": None, "status": 404,
                                    "body": error("The model `gpt-9` does not exist", "model_not_found")}])
        job = self.job(chats(8))
        self.run_job(job, relay, expect=1)
        self.assertEqual(len(self.results(job).errors), 8)


class Unreachable(Case):
    def test_warns_early_and_stops(self) -> None:
        with contextlib.closing(socket.socket()) as taken:
            taken.bind(("127.0.0.1", 0))  # bound but not listening: no other program gets the port
            port = taken.getsockname()[1]
            job = self.job(chats(5))
            run = self.start("run", job, "--base-url", f"http://127.0.0.1:{port}", "--give-up-after", "3s")
            wait_until(lambda: "efused" in run.err or not run.running, "the reason on stderr")
            self.assertTrue(run.running, "the reason comes while it is still trying")
            run.wait()
        self.assertEqual(run.code, 3, run.err)
        results = self.results(job)
        self.assertEqual((results.output, results.errors), ([], []))
        self.assertEqual((results.totals["attempts"], results.totals["pending"]), (0, 5))

    def test_a_name_that_does_not_exist(self) -> None:
        job = self.job(chats(2))
        run = self.sluice("run", job, "--base-url", "http://relay.invalid", "--give-up-after", "1s", expect=2)
        self.assertIn("http://relay.invalid/v1/chat/completions", run.err)

    def test_a_relay_that_comes_back(self) -> None:
        with contextlib.closing(socket.socket()) as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            job = self.job(chats(5))
            run = self.start("run", job, "--base-url", f"http://127.0.0.1:{port}", "--rpm", 0, "--max-attempts", 1)
            wait_until(lambda: "efused" in run.err or not run.running, "the first failure")
        relay = self.relay("--port", str(port))
        run.wait()
        self.assertEqual(run.code, 0, run.err)
        self.assertEqual(relay.attempts, 5)


class ComeBackLater(Case):
    def test_retry_after_is_honoured(self) -> None:
        for header, value in (("Retry-After", "2"), ("retry-after-ms", "2000")):
            with self.subTest(header):
                relay = self.relay(script=[{"status": 429, "headers": {header: value},
                                            "body": error("slow down", "rate_limit_exceeded")}])
                job = self.job(chats(3))
                self.run_job(job, relay, "--concurrency", 1, "--output-dir", self.folder / header)
                first, second, *_ = relay.get("/arrivals")
                self.assertGreaterEqual(second - first, 1.95)
                self.assertEqual(relay.attempts, 4)

    def test_it_pauses_all_requests_of_the_key(self) -> None:
        relay = self.relay(script=[{"match": "number 1 ", "status": 429, "headers": {"Retry-After": "2"},
                                    "body": error("slow down", "rate_limit_exceeded")},
                                   {"match": "number 2 ", "delay": 0.5, "status": 500, "body": error("oops", None)}])
        job = self.job(chats(12))
        self.run_job(job, relay, "--concurrency", 2)
        arrivals = relay.get("/arrivals")
        # At most two requests were in flight when the refusal came; then nothing is sent.
        gaps = [b - a for a, b in zip(arrivals, arrivals[1:])]
        self.assertGreaterEqual(max(gaps[:4]), 1.4, gaps)

    def test_a_hint_beyond_max_wait_stops_the_run(self) -> None:
        relay = self.relay(script=[{"times": None, "status": 429, "headers": {"Retry-After": "7200"},
                                    "body": error("come back tomorrow", "rate_limit_exceeded")}])
        job = self.job(chats(6))
        run = self.run_job(job, relay, "--concurrency", 2, expect=3)
        self.assertIn("come back tomorrow", run.err)
        results = self.results(job)
        self.assertEqual((results.output, results.errors), ([], []))

    def test_a_short_max_wait(self) -> None:
        relay = self.relay(script=[{"times": None, "status": 503, "headers": {"Retry-After": "30"},
                                    "body": error("maintenance", None)}])
        self.run_job(self.job(chats(3)), relay, "--max-wait", "5s", expect=3)


class FullDisk(Case):
    def setUp(self) -> None:
        super().setUp()
        self.disk = self.folder / "disk"
        self.disk.mkdir()
        mounted = shutil.which("mount") and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(self.disk)], stderr=subprocess.DEVNULL)
        if not mounted or mounted.returncode != 0:
            self.skipTest("may not mount a small file system")
        self.addCleanup(subprocess.run, ["umount", str(self.disk)], check=True)

    def test_results_that_cannot_be_written(self) -> None:
        relay = self.relay()
        job = self.job([batch(f"c{i}", chat("x" * 2000 + str(i))) for i in range(200)])
        run = self.run_job(job, relay, "--output-dir", self.disk, expect=4)
        self.assertIn("job.output.jsonl", run.err)
        # With free space the run continues, and no line appears twice.
        subprocess.run(["mount", "-o", "remount,size=8m", str(self.disk)], check=True)
        results = self.results(job, self.disk)
        kept = results.output_path.read_bytes()
        whole = kept[:kept.rfind(b"\n") + 1]
        self.run_job(job, relay, "--output-dir", self.disk)
        self.assertTrue(results.output_path.read_bytes().startswith(whole))
        self.assertEqual(len(results.by_id()), 200)


@unittest.skipUnless(shutil.which("openssl"), "needs the openssl program")
class Tls(Case):
    def test_an_own_certificate_authority(self) -> None:
        paths = self.certificate("good", "IP:127.0.0.1")
        relay = self.relay(tls=paths)
        job = self.job(chats(20))
        self.run_job(job, relay, env={"SSL_CERT_FILE": str(paths[0])})
        self.assertEqual(len(self.results(job).output), 20)

    def test_an_unknown_authority_is_refused(self) -> None:
        relay = self.relay(tls=self.certificate("good", "IP:127.0.0.1"))
        job = self.job(chats(5))
        run = self.run_job(job, relay, expect=2)
        self.assertIn("certificate", run.err)
        self.assertIn("SSL_CERT_FILE", run.err)
        results = self.results(job)
        self.assertEqual((results.output, results.errors, relay.attempts), ([], [], 0))

    def test_another_hosts_certificate_is_refused(self) -> None:
        paths = self.certificate("other", "DNS:other.example")
        relay = self.relay(tls=paths)
        run = self.run_job(self.job(chats(5)), relay, env={"SSL_CERT_FILE": str(paths[0])}, expect=2)
        self.assertIn("certificate", run.err)
        self.assertEqual(relay.attempts, 0)

    def test_insecure_accepts_any_certificate_with_a_warning(self) -> None:
        relay = self.relay(tls=self.certificate("other", "DNS:other.example"))
        job = self.job(chats(5))
        run = self.run_job(job, relay, "--insecure")
        self.assertEqual(len(self.results(job).output), 5)
        self.assertEqual(run.err.count("is not checked"), 1, run.err)
        plain = self.relay()
        run = self.run_job(self.job(chats(2), name="plain.jsonl"), plain, "--insecure")
        self.assertNotIn("is not checked", run.err, "there is none")


if __name__ == "__main__":
    unittest.main()
