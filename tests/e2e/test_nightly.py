"""Unattended runs: profiles, --until and --deadline, and the mail of cron."""

from __future__ import annotations

import base64
import configparser
import errno
import hashlib
import hmac
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import unittest
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from support import KEY, PATIENCE, ROOT, Case, Run, chats, program, signal_and_wait, wait_until
from test_schemas import faults


class Profiles(Case):
    def config(self, text: str) -> None:
        (self.folder / "sluice.toml").write_text(text)

    def test_a_profile_holds_relay_key_limit_prices_and_budget(self) -> None:
        relay = self.relay()
        (self.folder / "night.key").write_text("# of the night\nexport NIGHT_API_KEY='sk-night-0123456789abcdef'\n")
        (self.folder / "prices.json").write_text(json.dumps(
            {"gpt-4o-mini": {"input": "1000", "output": "2000"}}))
        self.config(f"""
            [profile.night]
            base-url = "{relay.url}"
            api-key-file = "night.key"
            rpm = 0
            prices = "prices.json"
            budget = 0.000001
            """)
        job = self.job(chats(3))
        run = self.sluice("run", job, "--profile", "night", expect=3)
        self.assertIn("the budget is used up", run.err)
        self.assertEqual(relay.attempts, 0, "the budget of the profile is smaller than the dearest request")
        self.sluice("run", job, "--profile", "night", "--budget", 100)
        self.assertEqual(relay.stats["authorizations_seen"], ["Bearer sk-night-0123456789abcdef"])
        self.assertGreater(float(self.results(job).totals["cost_usd"]), 0.01, "the prices of the profile")

    def test_an_unknown_profile_or_key_is_refused_by_name(self) -> None:
        job = self.job(chats(1))
        self.config("[profile.night]\nrpm = 3\n")
        self.assert_one_sentence(self.sluice("run", job, "--profile", "nihgt", expect=2), "--profile nihgt",
                                 "did you mean 'night'?")
        self.config("[profile.night]\nrmp = 3\n")
        self.assert_one_sentence(self.sluice("run", job, expect=2), "[profile.night]", "'rmp'", "did you mean 'rpm'?")

    def test_the_run_says_which_address_won(self) -> None:
        blue, other = self.relay(), self.relay()
        self.config(f'[[relay]]\nname = "blue"\nbase_url = "{blue.url}"\n'
                    f'[profile.night]\nbase-url = "{other.url}"\n')
        job = self.job(chats(2))
        run = self.sluice("run", job, "--rpm", 0, env={"OPENAI_BASE_URL": other.url})
        self.assertEqual((blue.attempts, other.attempts), (2, 0))
        self.assertIn("the [[relay]] tables of sluice.toml are used, not OPENAI_BASE_URL: ", run.err)
        run = self.sluice("run", job, "--fresh", "--rpm", 0, "--profile", "night", env={"OPENAI_BASE_URL": blue.url})
        self.assertEqual((blue.attempts, other.attempts), (2, 2))
        self.assertIn("base-url of the profile night is used, not OPENAI_BASE_URL: ", run.err)


class Keys(Case):
    def test_what_was_copied_with_the_key_is_left_out(self) -> None:
        relay = self.relay()
        job = self.job(chats(1))
        for text in (f'"{KEY}"', f"Bearer {KEY}", f"OPENAI_API_KEY='{KEY}'", f"Authorization: Bearer {KEY}\r"):
            self.run_job(job, relay, "--fresh", env={"OPENAI_API_KEY": text})
        self.assertEqual(relay.stats["authorizations_seen"], [f"Bearer {KEY}"])

    def test_what_cannot_be_a_key_is_refused_in_a_sentence_without_it(self) -> None:
        job = self.job(chats(1))
        for text in (f'"{KEY}', f"{KEY} extra"):
            run = self.sluice("run", job, "--base-url", "http://127.0.0.1:9", env={"OPENAI_API_KEY": text}, expect=2)
            self.assert_one_sentence(run, "the API key contains a space, a quote or another character")
            self.assertNotIn(KEY, run.err)


class Closing(Case):
    """After --until or --deadline no request starts, requests in flight finish, and the next run continues the job."""

    def test_a_deadline_lets_what_is_in_flight_finish(self) -> None:
        relay = self.relay("--head-delay", "12")  # no request ends before the deadline
        job = self.job(chats(12))
        run = self.run_job(job, relay, "--concurrency", 4, "--deadline", "10s", expect=3)
        self.assertIn("stopped: the 10 s of --deadline are over; run again to go on", run.err)
        totals = self.results(job).totals
        self.assertEqual((totals["status"], totals["succeeded"], totals["pending"]), ("stopped", 4, 8))
        self.assertEqual(relay.attempts, 4)

    def test_grace_bounds_what_is_in_flight(self) -> None:
        relay = self.relay("--head-delay", "60")
        run = self.run_job(self.job(chats(2)), relay, "--deadline", "500ms", "--grace", "500ms", expect=3)
        self.assertIn("stopped: the 1 s of --deadline are over", run.err)

    def test_until_a_time_of_the_day(self) -> None:
        relay = self.relay(script=[{"match": "number 2 ", "delay": 600, "status": 200, "body": {}}])
        job = self.job(chats(3))
        # In this time zone it is always twenty seconds before a full minute when the test runs.
        now = datetime.utcnow()
        ahead = (40 - now.second) % 60
        zone = f"XXX-0:00:{ahead:02}"
        shown = (now + timedelta(seconds=ahead + 21)).strftime("%H:%M")
        run = self.run_job(job, relay, "--until", shown, "--grace", "1s", env={"TZ": zone}, expect=3)
        self.assertIn(f"stopped: it is {shown}, and --until lets nothing start after it; run again to go on", run.err)
        self.assertEqual(self.results(job).totals["pending"], 1)

    def test_a_time_that_is_over_before_the_first_request_sends_nothing(self) -> None:
        relay = self.relay()
        job = self.job(chats(3))
        run = self.run_job(job, relay, "--deadline", "1ms", expect=3)
        self.assertIn("--deadline are over", run.err)
        self.assertEqual(relay.attempts, 0)
        self.assertEqual(self.results(job).totals["pending"], 3)
        self.run_job(job, relay)
        self.assertEqual(self.results(job).totals["succeeded"], 3)

    def test_a_signal_wins_over_the_deadline(self) -> None:
        relay = self.relay("--head-delay", "60")
        run = self.start("run", self.job(chats(2)), "--base-url", relay.url, "--rpm", 0, "--deadline", "10s")
        begin = time.monotonic()
        wait_until(lambda: relay.attempts == 2, "requests in flight")
        wait_until(lambda: time.monotonic() > begin + 11, "the deadline is over")
        self.assertEqual(signal_and_wait(run).code, 130)

    def test_a_benchmark_reports_what_it_measured(self) -> None:
        relay = self.relay("--head-delay", "0.2")
        run = self.sluice("bench", "--base-url", relay.url, "--rpm", 0, "--model", "gpt-4o-mini", "--concurrency", 2,
                          "--duration", "60s", "--deadline", "10s", "--json", expect=3)
        self.assertIn("the 10 s of --deadline are over", run.err)
        load = json.loads(run.out)["loads"][0]
        self.assertGreater(load["succeeded"], 0)
        self.assertIn("--deadline", json.dumps(json.loads(run.out)["stopped"] if "stopped" in json.loads(run.out)
                                               else load["stopped"]))


class Again(Case):
    """A run of a job that is already complete."""

    def test_it_opens_no_connection(self) -> None:
        relay = self.relay()
        job = self.job(chats(20))
        self.run_job(job, relay)
        results = self.results(job)
        before = (results.output_path.read_bytes(), results.errors_path.read_bytes())
        closed = self.listener(lambda connection: None)
        self.sluice("run", job, "--base-url", f"http://127.0.0.1:{closed.port}")
        self.assertEqual(closed.accepted, 0)
        self.assertEqual((results.output_path.read_bytes(), results.errors_path.read_bytes()), before)


class Cron(Case):
    """The environment of cron: no HOME, no TERM, and a PATH of three folders. Cron sends all output as a mail."""

    BARE = {name: None for name in ("HOME", "TERM", "USER", "LOGNAME", "LANG", "SHELL", "XDG_STATE_HOME",
                                    "XDG_CONFIG_HOME", "OPENAI_API_KEY")}

    def go(self, *words: Any, expect: int) -> Run:
        run = self.start(*words, env={**self.BARE, "PATH": "/usr/bin:/bin:/usr/sbin"}, wrap=["/usr/bin/env"]).wait()
        self.assertEqual(run.code, expect, run.err)
        return run

    def setUp(self) -> None:
        super().setUp()
        (self.folder / "key").write_text(KEY + "\n")

    def flags(self, relay: Any) -> list[Any]:
        return ["--base-url", relay.url, "--rpm", 0, "--api-key-file", "key", "-q"]

    def test_success_is_silent(self) -> None:
        run = self.go("run", self.job(chats(3)), *self.flags(self.relay()), expect=0)
        self.assertEqual((run.out, run.err), ("", ""))

    def test_failures_are_one_line(self) -> None:
        relay = self.relay(script=[{"match": "number 2 ", "times": None, "status": 400,
                                    "body": {"error": {"message": "no such parameter"}}}])
        run = self.go("run", self.job(chats(3)), *self.flags(relay), expect=1)
        self.assert_one_sentence(run, "2 of 3 succeeded, 1 failed (1 x 400: gpt-4o-mini: no such parameter), 0 pending; cost $",
                                 "job.errors.jsonl")

    def test_a_stop_is_one_line(self) -> None:
        relay = self.relay("--head-delay", "12")
        run = self.go("run", self.job(chats(3)), *self.flags(relay), "--concurrency", 1, "--deadline", "10s", expect=3)
        self.assert_one_sentence(run, "stopped: the 10 s of --deadline are over; run again to go on; ",
                                 "1 of 3 succeeded, 0 failed, 2 pending; cost $")

    def test_a_wrong_setting_is_one_line(self) -> None:
        run = self.go("run", "none.jsonl", *self.flags(self.relay()), expect=2)
        self.assert_one_sentence(run, "none.jsonl")

    def test_a_full_disk_is_one_line(self) -> None:
        job = self.job(chats(40))
        relay = self.relay()
        words = " ".join(map(str, [program(), "run", job, *self.flags(relay), "--concurrency", 1]))
        run = self.start(env={**self.BARE, "PATH": "/usr/bin:/bin:/usr/sbin"},
                         wrap=["sh", "-c", f"ulimit -f 8; exec {words}"]).wait()
        self.assertEqual(run.code, 4, run.err)
        self.assert_one_sentence(run, "job.output.jsonl", "finished result")
        self.go("run", job, *self.flags(relay), expect=0)

    def test_a_kill_is_survived(self) -> None:
        relay = self.relay("--head-delay", "0.5")
        job = self.job(chats(8))
        run = self.start("run", job, *self.flags(relay), "--concurrency", 2, env={**self.BARE, "PATH": "/bin"})
        wait_until(lambda: self.results(job).written() >= 2, "two results")
        signal_and_wait(run, signal.SIGKILL)
        self.go("run", job, *self.flags(relay), expect=0)
        self.assertEqual(len(self.results(job).by_id()), 8)


class JsonLog(Case):
    def entries(self, text: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in text.splitlines()]

    def test_every_line_is_an_object(self) -> None:
        relay = self.relay(script=[{"match": "number 2 ", "status": 503, "body": {"error": {"message": "no channel"}}},
                                   {"match": "number 3 ", "times": None, "status": 400,
                                    "body": {"error": {"message": f"bad \"quote\" of {KEY}"}}}])
        log = self.folder / "night.log"
        for _ in range(2):
            run = self.run_job(self.job(chats(4)), relay, "-v", "--fresh", "--json-log", "--log-file", log, expect=1)
            entries = self.entries(run.err)
            for entry in entries:
                self.assertEqual(faults("log-line", entry), "")
                datetime.fromisoformat(entry["time"])
            self.assertEqual(len({entry["run"] for entry in entries}), 1)
            texts = [entry["text"] for entry in entries]
            self.assertTrue(any("3 of 4 succeeded" in text for text in texts), texts)
            self.assertFalse([text for text in texts if text.startswith("sluice: ")])
        in_file = self.entries(log.read_text())
        self.assertEqual(len({entry["run"] for entry in in_file}), 2, "two runs in one log")
        self.assertIn("no channel", log.read_text())
        for text in (run.err, log.read_text()):
            self.assertNotIn(KEY, text)
            self.assertIn('[key]', text)

    def test_a_refusal_after_the_log_began_is_an_object_too(self) -> None:
        run = self.sluice("run", "none.jsonl", "--base-url", "http://127.0.0.1:9", "--json-log", expect=2)
        entries = self.entries(run.err)
        self.assertEqual(entries[-1]["level"], "error")
        self.assertIn("none.jsonl", entries[-1]["text"])

    def test_a_log_of_either_kind_goes_on_in_the_other(self) -> None:
        relay, log = self.relay(), self.folder / "night.log"
        for flags in ((), ("--json-log",), ()):
            self.run_job(self.job(chats(1)), relay, "--fresh", "--log-file", log, *flags)
        json_log = self.folder / "json.log"
        for flags in (("--json-log",), ()):
            self.run_job(self.job(chats(1)), relay, "--fresh", "--log-file", json_log, *flags)


class Hook:
    """A server that takes webhooks, and answers each with the next of its statuses (then 200)."""

    def __init__(self, *statuses: int, body: bytes = b"") -> None:
        hook = self
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        left = list(statuses)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["content-length"]))
                hook.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}, content))
                self.send_response(left.pop(0) if left else 200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/robot/tok-5e1f?key=tok-77aa"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Notify(Case):
    def hook(self, *statuses: int, **more: Any) -> Hook:
        started = Hook(*statuses, **more)
        self.addCleanup(started.stop)
        return started

    def only(self, hook: Hook) -> dict[str, Any]:
        self.assertEqual(len(hook.requests), 1)
        path, _, body = hook.requests[0]
        self.assertEqual(path, "/robot/tok-5e1f?key=tok-77aa", "the address as it was written")
        return json.loads(body)

    def test_every_end_is_posted_with_the_totals(self) -> None:
        secret = base64.b64encode(b"0123456789abcdef01234567").decode()
        fails = [{"match": "number 2 ", "times": None, "status": 400, "body": {"error": {"message": "bad image"}}}]
        for status, code, flags, script in (("completed", 0, [], None), ("completed", 1, [], fails),
                                            ("stopped", 3, ["--deadline", "1ms"], None)):
            hook, job = self.hook(), self.job(chats(3))
            relay = self.relay(script=script)
            run = self.run_job(job, relay, "--fresh", "--notify", hook.url, *flags, expect=code,
                               env={"SLUICE_NOTIFY_SECRET": "whsec_" + secret})
            body = self.only(hook)
            self.assertEqual(faults("webhook", body), "")
            self.assertEqual(body["type"], "run." + status)
            self.assertEqual((body["data"]["status"], body["data"]["exit_status"]), (status, code))
            self.assertEqual(body["data"]["jobs"], [self.results(job).totals])
            self.assertIn(f"{body['data']['jobs'][0]['succeeded']} of 3 succeeded", body["data"]["text"])
            _, headers, content = hook.requests[0]
            self.assertTrue(abs(int(headers["webhook-timestamp"]) - time.time()) < 60)
            signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + content
            digest = hmac.new(base64.b64decode(secret), signed, hashlib.sha256).digest()
            self.assertEqual(headers["webhook-signature"], "v1," + base64.b64encode(digest).decode())
            self.assertEqual(headers["content-type"], "application/json")
            self.assertNotIn("authorization", headers, "the key of the relay goes nowhere else")
            self.assertNotIn(KEY.encode(), content)
            for hidden in ("tok-5e1f", "tok-77aa", secret):
                self.assertNotIn(hidden, run.err)

    def test_an_interrupted_run_is_posted(self) -> None:
        hook, relay = self.hook(), self.relay("--head-delay", "60")
        run = self.start("run", self.job(chats(2)), "--base-url", relay.url, "--rpm", 0, "--notify", hook.url,
                         "--grace", "100ms")
        wait_until(lambda: relay.attempts == 2, "requests in flight")
        self.assertEqual(signal_and_wait(run, signal.SIGTERM).code, 130)
        body = self.only(hook)
        self.assertEqual((body["data"]["status"], body["data"]["exit_status"]), ("interrupted", 130))

    def test_lost_results_are_posted(self) -> None:
        hook, relay = self.hook(), self.relay()
        words = " ".join(map(str, [program(), "run", self.job(chats(40)), "--base-url", relay.url, "--rpm", 0,
                                   "--concurrency", 1, "--notify", f"'{hook.url}'"]))
        run = self.start(wrap=["sh", "-c", f"ulimit -f 8; exec {words}"]).wait()
        self.assertEqual(run.code, 4, run.err)
        body = self.only(hook)
        self.assertEqual((body["type"], body["data"]["exit_status"]), ("run.failed", 4))

    def test_a_passing_failure_is_tried_again_with_the_same_id(self) -> None:
        hook = self.hook(503, 429)
        self.run_job(self.job(chats(1)), self.relay(), "--notify", hook.url)
        self.assertEqual(len(hook.requests), 3)
        self.assertEqual(len({headers["webhook-id"] for _, headers, _ in hook.requests}), 1)
        self.assertEqual(len({body for _, _, body in hook.requests}), 1)

    def test_a_message_that_is_refused_changes_nothing_but_a_warning(self) -> None:
        hook = self.hook(404, body=b"no such hook")
        run = self.run_job(self.job(chats(1)), self.relay(), "--notify", hook.url)
        self.assertEqual(len(hook.requests), 1)
        self.assertRegex(run.err, r"could not be posted to http://127\.0\.0\.1:\d+: HTTP 404: no such hook")
        self.assertNotIn("tok-", run.err)

    def test_a_signal_gives_up_the_tries(self) -> None:
        hook = self.hook(*[503] * 9)
        run = self.start("run", self.job(chats(1)), "--base-url", self.relay().url, "--rpm", 0, "--notify", hook.url)
        wait_until(lambda: len(hook.requests) >= 2, "a second try")
        self.assertEqual(signal_and_wait(run).code, 0, "the run itself had ended well")
        self.assertLess(len(hook.requests), 4, "without the last try")

    def test_the_robots_of_chats_get_a_line_of_text(self) -> None:
        for form, place in (("feishu", ("content", "text")), ("dingtalk", ("text", "content")),
                            ("wecom", ("text", "content")), ("slack", ("text",))):
            hook = self.hook(body=b'{"errcode":0,"code":0}')
            run = self.run_job(self.job(chats(2)), self.relay(), "--fresh", "--notify", hook.url, "--notify-form", form)
            text: Any = self.only(hook)
            for name in place:
                text = text[name]
            self.assertRegex(text, r"^sluice: .*job\.jsonl: 2 of 2 succeeded, 0 failed, 0 pending; cost \$.*\(exit status 0\)$")
            self.assertNotIn("could not be posted", run.err)

    def test_a_robot_that_refuses_with_status_200_is_heard(self) -> None:
        hook = self.hook(body=b'{"errcode":310000,"errmsg":"keywords not in content"}')
        run = self.run_job(self.job(chats(1)), self.relay(), "--notify", hook.url, "--notify-form", "dingtalk")
        self.assertIn("code 310000", run.err)

    def test_what_cannot_be_used_is_refused_at_the_start(self) -> None:
        job = self.job(chats(1))
        base = ("run", job, "--base-url", "http://127.0.0.1:9")
        self.assert_one_sentence(self.sluice(*base, "--notify", "hooks/tok-5e1f", expect=2), "--notify: ", "https://")
        self.assert_one_sentence(self.sluice(*base, "--notify", "https://h/", expect=2,
                                             env={"SLUICE_NOTIFY_SECRET": "words"}), "openssl rand")
        (self.folder / "secret").write_text("whsec_Zm9v\n")
        hook = self.hook()
        self.run_job(job, self.relay(), "--notify", hook.url, "--notify-secret-file", "secret")
        self.assertIn("webhook-signature", hook.requests[0][1])


class Systemd(Case):
    def test_readiness_status_watchdog_and_stop(self) -> None:
        path = self.folder / "notify"
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(manager.close)
        manager.bind(str(path))
        manager.settimeout(30)
        relay = self.relay("--head-delay", "60")
        run = self.start("run", self.job(chats(2)), "--base-url", relay.url, "--rpm", 0, "--grace", "100ms",
                         env={"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "400000"})
        self.assertEqual(manager.recv(512), b"READY=1")
        for _ in range(3):
            self.assertEqual(manager.recv(512), b"WATCHDOG=1")
        self.assertEqual(signal_and_wait(run, signal.SIGTERM).code, 130)
        manager.settimeout(0)
        rest = []
        try:
            while True:
                rest.append(manager.recv(512))
        except BlockingIOError:
            pass
        self.assertIn(b"STOPPING=1", rest)

    def test_a_run_that_cannot_start_is_never_ready(self) -> None:
        path = self.folder / "notify"
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.addCleanup(manager.close)
        manager.bind(str(path))
        self.sluice("run", "none.jsonl", "--base-url", "http://127.0.0.1:9", env={"NOTIFY_SOCKET": str(path)}, expect=2)
        self.assertRaises(BlockingIOError, manager.recv, 512)


class Page(Case):
    """The examples of docs/nightly.md work as printed, except for the paths."""

    def setUp(self) -> None:
        super().setUp()
        self.page = (ROOT / "docs" / "nightly.md").read_text("utf-8")
        self.server = self.relay()
        (self.folder / "jobs").mkdir()
        for name in ("a", "reviews"):
            (self.folder / "jobs" / f"{name}.jsonl").write_bytes(self.job(chats(2)).read_bytes())
        (self.folder / "night.key").write_text(KEY + "\n")
        (self.folder / "prices.json").write_text('{"gpt-4o-mini": {"input": "1", "output": "2"}}')
        (self.folder / "sluice.toml").write_text(self.here(self.blocks("toml")[0]))

    def blocks(self, language: str) -> list[str]:
        return re.findall(rf"^```{language}\n(.*?)^```", self.page, re.M | re.S)

    def here(self, text: str) -> str:
        return (text.replace("/srv/batch", str(self.folder)).replace("/usr/local/bin/sluice", program())
                .replace("https://relay.example/v1", self.server.url))

    def cron(self, **environment: str) -> subprocess.Popen[str]:
        """Runs the line of the crontab as cron does. Its output is what cron would send as a mail."""
        line = self.here(self.blocks("crontab")[0].splitlines()[-1])
        schedule = re.match(r"(\S+ ){4}\S+ +", line)
        assert schedule
        self.assertNotIn("%", line, "a % ends the command of a crontab")
        bare = {"PATH": "/usr/bin:/bin:/usr/sbin", "SHELL": "/bin/sh"}
        return subprocess.Popen(["/bin/sh", "-c", line[schedule.end():]], env={**bare, **environment},
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/",
                                start_new_session=True)

    def mail(self, process: subprocess.Popen[str]) -> tuple[int, str]:
        text, _ = process.communicate(timeout=PATIENCE)
        return process.returncode, text

    def test_the_cron_line(self) -> None:
        self.assertEqual(self.mail(self.cron()), (0, ""))
        self.assertEqual(self.server.attempts, 4)
        for name in ("a", "reviews"):
            self.assertEqual(self.results(self.folder / "jobs" / f"{name}.jsonl").totals["succeeded"], 2)
        self.assertIn("info", (self.folder / "night.log").read_text())

    def test_the_cron_line_survives_a_kill(self) -> None:
        self.server = self.relay("--head-delay", "0.5")
        (self.folder / "sluice.toml").write_text(self.here(self.blocks("toml")[0]) + "concurrency = 1\n")
        night = self.cron()
        results = self.results(self.folder / "jobs" / "a.jsonl")
        wait_until(lambda: results.written() == 1, "a result")
        os.killpg(night.pid, signal.SIGKILL)
        self.mail(night)
        self.assertEqual(self.mail(self.cron()), (0, ""), "the next night completes the jobs")
        self.assertLessEqual(self.server.attempts, 5, "what was in flight is sent again, and nothing else")
        for name in ("a", "reviews"):
            self.assertEqual(len(self.results(self.folder / "jobs" / f"{name}.jsonl").by_id()), 2)

    def test_the_mail_of_a_full_disk_is_one_line(self) -> None:
        shim = os.environ.get("SLUICE_CRASH_SHIM") or self.skipTest("SLUICE_CRASH_SHIM is not set to the library")
        full = {"LD_PRELOAD": shim, "SHIM_UNDER": str(self.folder), "SHIM_ERRNO": str(errno.ENOSPC),
                "ASAN_OPTIONS": "verify_asan_link_order=0"}
        for first in (1, 4, 12, 20):  # from this operation on the disk is full, also for the log
            with self.subTest(first=first):
                code, text = self.mail(self.cron(**full, SHIM_FAIL=str(first)))
                self.assertIn(code, (2, 4), text)
                self.assertEqual(len(text.splitlines()), 1, text)
                self.assertIn("No space left on device", text)
        self.assertEqual(self.mail(self.cron()), (0, ""), "with room it goes on")
        for name in ("a", "reviews"):
            self.assertEqual(len(self.results(self.folder / "jobs" / f"{name}.jsonl").by_id()), 2)

    def test_the_unit_and_the_timer(self) -> None:
        service, timer = map(self.here, self.blocks("ini"))
        for text, name in ((service, "sluice-night.service"), (timer, "sluice-night.timer")):
            (self.folder / name).write_text(text)
        if shutil.which("systemd-analyze"):
            ended = subprocess.run(["systemd-analyze", "verify", *(str(self.folder / name) for name in
                                                                  ("sluice-night.service", "sluice-night.timer"))],
                                   capture_output=True, text=True, timeout=60)
            about = [line for line in ended.stderr.splitlines() if "sluice-night" in line]
            self.assertEqual(about, [])
        unit = configparser.ConfigParser(strict=True)
        unit.optionxform = str  # type: ignore[assignment,method-assign]
        unit.read_string(service)
        self.assertEqual(unit["Service"]["Type"], "notify")
        words = unit["Service"]["ExecStart"].split()
        ended = subprocess.run(words, env={"PATH": "/usr/bin:/bin"}, cwd=unit["Service"]["WorkingDirectory"],
                               capture_output=True, text=True, timeout=60)
        self.assertEqual(ended.returncode, 0, ended.stderr)
        for line in ended.stderr.splitlines():
            json.loads(line)
        self.assertEqual(self.server.attempts, 2)


if __name__ == "__main__":
    unittest.main()
