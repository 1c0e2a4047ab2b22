"""What operators of `sluice serve` use: health, metrics, the access log, signals, the service manager, webhooks."""

from __future__ import annotations

import base64
import contextlib
import http.client
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import jsonschema
from support import CHAT, HERE, KEY, ROOT, batch, chat, chats, jsonl, program, wait_until
from test_serve import CLIENTS, Case, Serve

SECRET = "whsec_" + base64.b64encode(b"a secret of 24 bytes....").decode()


def client(script: str, given: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(CLIENTS / "python/bin/python"), str(HERE / "clients" / script)], input=given, text=True,
                          capture_output=True, check=False, timeout=60)


class Receiver:
    """A webhook receiver. It answers with the next status of `statuses`, and repeats the last one."""

    def __init__(self, *statuses: int) -> None:
        self.statuses, self.got = list(statuses), []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                receiver.got.append({"path": self.path, "headers": dict(self.headers), "body": body})
                statuses = receiver.statuses
                self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?who=me"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Operations(Case):
    def keys(self) -> Path:
        path = self.folder / "keys.toml"
        path.write_text('[[key]]\nname = "alice"\nkey = "sk-alice-0123456789"\n')
        return path

    def metrics(self, server: Serve) -> dict[str, Any]:
        answer = server.call("GET", "/metrics")
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
        read = client("read_metrics.py", answer.body.decode())
        self.assertEqual((read.returncode, read.stderr), (0, ""))
        return json.loads(read.stdout)

    def in_flight(self, server: Serve) -> bool:
        return b"\nsluice_relay_in_flight 1\n" in server.call("GET", "/metrics").body

    def sample(self, metrics: dict[str, Any], name: str, **labels: str) -> float | None:
        for family in metrics.values():
            for of, its, value in family["samples"]:
                if of == name and its == labels:
                    return float(value)
        return None


class Health(Operations):
    def test_health_readiness_and_metrics_need_no_key(self) -> None:
        server = self.serve(self.relay().url, "--keys", str(self.keys()))
        self.assertEqual(server.call("GET", "/v1/files").status, 401)
        self.assertEqual(server.call("GET", "/healthz").json, {"status": "ok"})
        self.assertEqual(server.call("GET", "/readyz").json, {"status": "ready"})
        self.assertEqual(server.call("GET", "/metrics").status, 200)
        head = server.call("HEAD", "/readyz")
        self.assertEqual((head.status, head.body), (200, b""))
        self.assertEqual(server.call("POST", "/healthz", b"").status, 401, "it is no route of clients")

    def test_a_server_that_stops_is_alive_and_not_ready(self) -> None:
        relay = self.relay("--delay-min", "5", "--delay-max", "5")
        server = self.serve(relay.url)
        created = server.start_batch(chats(1))
        wait_until(lambda: self.in_flight(server), "a request is in flight")
        server.process.send_signal(signal.SIGTERM)
        answer = wait_until(lambda: (now := server.call("GET", "/readyz")).status == 503 and now, "it is not ready")
        self.assertEqual(answer.json, {"status": "not_ready", "reason": "the server is stopping"})
        self.assertEqual(server.call("GET", "/healthz").status, 200)
        self.assertEqual(server.batch(created["id"])["status"], "in_progress", "clients are answered until the end")
        self.assertEqual(server.process.wait(60), 0)


class Metrics(Operations):
    def test_they_are_well_formed_and_true(self) -> None:
        relay = self.relay(script=[{"match": "number 2 ", "times": 1, "status": 400,
                                    "body": {"error": {"message": "no", "type": "invalid_request_error"}}}])
        server = self.serve(relay.url, "--rpm", "100000")
        strange = [batch(f"s{i}", {**chat("x"), "model": f"made-up-{i}\"\n"}) for i in range(3)]
        ended = server.ended_batch(server.start_batch(chats(5))["id"])
        server.ended_batch(server.start_batch(strange)["id"])
        server.call("GET", "/v1/files/file-unknown")
        wait_until(lambda: b'sluice_batches_ended_total{status="completed"} 2\n' in server.call("GET", "/metrics").body,
                   "the end of the second batch is counted, after it was stored")
        metrics = self.metrics(server)
        for name, family in metrics.items():
            self.assertTrue(family["help"], name)
            self.assertIn(family["type"], ("counter", "gauge", "histogram"), name)
        get = lambda name, **labels: self.sample(metrics, name, **labels)
        self.assertEqual(get("sluice_batch_lines_total", result="succeeded"), 4 + 3)
        self.assertEqual(get("sluice_batch_lines_total", result="failed"), 1)
        self.assertEqual(get("sluice_batch_errors_total", code="400"), 1)
        self.assertEqual(get("sluice_batches_ended_total", status="completed"), 2)
        self.assertEqual(get("sluice_batches", status="in_progress"), 0)
        self.assertEqual(get("sluice_relay_requests_total"), 8)
        self.assertEqual(get("sluice_relay_starts_limit"), 100000)
        self.assertLessEqual(get("sluice_relay_starts_last_minute"), 8)
        self.assertEqual(get("sluice_relay_up", relay="relay"), 1)
        self.assertEqual(get("sluice_unpriced_total"), 3)
        model = chat("x")["model"]
        self.assertEqual(get("sluice_tokens_total", model=model, kind="input"), ended["usage"]["input_tokens"])
        self.assertEqual(get("sluice_tokens_total", model=model, kind="output"), ended["usage"]["output_tokens"])
        text = server.call("GET", "/metrics").body.decode()
        self.assertIn(f'sluice_cost_usd_total{{model="{model}"}} {ended["sluice"]["cost_usd"]}\n', text, "to the last digit")
        self.assertNotIn("made-up", text, "clients invent names without end")
        self.assertGreater(get("sluice_tokens_total", model="other", kind="input"), 0)
        route = "/v1/files/{id}"
        self.assertEqual(get("sluice_http_requests_total", route=route, status="404"), 1)
        self.assertEqual(get("sluice_http_request_duration_seconds_count", route=route), 1)
        self.assertEqual(get("sluice_http_request_duration_seconds_bucket", route=route, le="+Inf"), 1)
        self.assertGreater(get("process_resident_memory_bytes"), 1 << 20)
        self.assertGreater(get("process_open_fds"), 3)
        self.assertLess(abs(get("process_start_time_seconds") - time.time()), 120)


class AccessLog(Operations):
    def test_each_request_is_one_line_and_the_file_is_opened_again(self) -> None:
        log = self.folder / "access.log"
        server = self.serve(self.relay().url, "--keys", str(self.keys()), "--access-log", str(log))
        key = "sk-alice-0123456789"
        body = jsonl(chats(2))
        uploaded = server.upload(body, key=key)
        answer = server.call("GET", f"/v1/files/{uploaded.json['id']}/content", key=key, X_Request_Id="trace-7")
        self.assertEqual(answer.headers["X-Request-Id"], "trace-7")
        self.assertEqual(server.call("GET", "/v1/files", key="sk-wrong-0123456789").status, 401)
        made = server.call("GET", "/nothing/here?secret=1", key=key, X_Request_Id="not plain").headers["X-Request-Id"]
        self.assertRegex(made, "^req_")
        lines = wait_until(lambda: len(found := log.read_text().splitlines()) == 4 and found, "four lines")
        first, second, third, fourth = (json.loads(line) for line in lines)
        schema = jsonschema.Draft202012Validator(json.loads((ROOT / "docs/access-line.schema.json").read_text()))
        for line in (first, second, third, fourth):
            schema.validate(line)
        self.assertEqual({**second, "time": 0, "duration_ms": 0}, {
            "time": 0, "key": "alice", "peer": "127.0.0.1", "method": "GET", "route": "/v1/files/{id}/content",
            "status": 200, "bytes_in": 0, "bytes_out": len(body), "duration_ms": 0, "request_id": "trace-7"})
        self.assertRegex(second["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertGreater(first["bytes_in"], len(body))
        self.assertEqual((third["key"], third["status"]), (None, 401))
        self.assertEqual((fourth["route"], fourth["status"], fourth["request_id"]), (None, 404, made))
        for secret in (key, "sk-wrong", "secret=1", "nothing/here", uploaded.json["id"], "number 1"):
            self.assertNotIn(secret, "\n".join(lines))
        self.assertEqual(log.stat().st_mode & 0o777, 0o600)

        log.rename(self.folder / "access.log.1")
        server.process.send_signal(signal.SIGHUP)
        wait_until(log.exists, "the file is opened again")
        server.call("GET", "/healthz")
        line = wait_until(log.read_text, "the next line is in the new file")
        self.assertEqual(json.loads(line)["route"], "/healthz")
        self.assertEqual(len((self.folder / "access.log.1").read_text().splitlines()), 4)
        self.assertEqual(server.stop(), 0)

    def test_a_request_without_a_head_has_a_line_and_an_id_too(self) -> None:
        log = self.folder / "access.log"
        server = self.serve(self.relay().url, "--access-log", str(log))
        with socket.create_connection(("127.0.0.1", server.port)) as to:
            to.sendall(b"GET / HTTP/1.1\r\nbad line\r\n\r\n")
            answer = to.makefile("rb").read().decode()
        self.assertIn(" 400 ", answer)
        name = re.search(r"(?i)x-request-id: (req_\w+)", answer)
        line = json.loads(wait_until(log.read_text, "a line"))
        self.assertEqual((line["status"], line["method"], line["request_id"]), (400, None, name and name[1]))

    def test_a_file_with_something_else_is_left_alone(self) -> None:
        other = self.folder / "notes.txt"
        other.write_text("my notes\n")
        server = self.serve(self.relay().url, "--access-log", str(other), ready=False)
        self.assertEqual(server.process.wait(60), 2)
        self.assertIn("holds something other than an access log", server.log.read_text())
        self.assertEqual(other.read_text(), "my notes\n")


class ServiceManager(Operations):
    def test_it_hears_of_the_start_the_reload_the_life_and_the_end(self) -> None:
        path = self.folder / "notify"
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
            manager.bind(str(path))
            manager.settimeout(60)
            server = self.serve(self.relay().url, "--keys", str(self.keys()), environment={
                "NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "100000"})
            heard: list[str] = []

            def hear(what: str) -> str:
                while True:
                    said = manager.recv(4096).decode()
                    heard.append(said)
                    if said.startswith(what):
                        return said

            hear("READY=1")
            for _ in range(3):
                hear("WATCHDOG=1")
            server.process.send_signal(signal.SIGHUP)
            reload = hear("RELOADING=1")
            self.assertRegex(reload, r"^RELOADING=1\nMONOTONIC_USEC=\d+$")
            self.assertLess(abs(int(reload.split("=")[-1]) / 1e6 - time.monotonic()), 60)
            hear("READY=1")
            server.process.send_signal(signal.SIGTERM)
            hear("STOPPING=1")
            self.assertEqual(server.process.wait(60), 0)

    def test_the_unit_file_is_one(self) -> None:
        unit = (ROOT / "cmake/package/sluice.service").read_text()
        command = re.search(r"^ExecStart=/usr/bin/sluice (.*)$", unit, re.MULTILINE)
        self.assertTrue(command)
        config = self.folder / "serve.toml"
        config.write_text('base-url = "http://127.0.0.1:9"\nlisten = "127.0.0.1:0"\n')
        words = command[1].replace("/etc/sluice/serve.toml", str(config)).replace("/var/lib/sluice", str(self.folder)).split()
        ran = subprocess.run([program(), *words, "--check-config"], capture_output=True, text=True, check=False, timeout=60,
                             env={**os.environ, "OPENAI_API_KEY": KEY, "HOME": str(self.folder)})
        self.assertEqual((ran.returncode, ran.stderr), (0, ""), "the command of the unit is a good one")
        for line in ("Type=notify", "WatchdogSec=60", "DynamicUser=yes", "ProtectSystem=strict", "StateDirectory=sluice"):
            self.assertIn(line + "\n", unit)


class CheckConfig(Operations):
    def check(self, *flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([program(), "serve", "--check-config", *flags], capture_output=True, text=True, check=False,
                              timeout=60, cwd=self.folder, env={
                                  **os.environ, "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "http://127.0.0.1:9",
                                  "HOME": str(self.folder), **environment})

    def test_good_settings_are_told_and_nothing_is_started(self) -> None:
        secret = self.folder / "secret"
        secret.write_text(SECRET + "\n")
        ran = self.check("--keys", str(self.keys()), "--data", "d", "--rpm", "200", "--access-log", "access.log",
                         "--webhook", "https://hooks.example/x?key=hidden", "--webhook-secret-file", str(secret))
        self.assertEqual((ran.returncode, ran.stderr), (0, ""), ran.stderr)
        for words in ("http://127.0.0.1:8080/v1", "1 key(s)", "http://127.0.0.1:9", "200 requests in any 60 s",
                      "will be created", "access.log", "https://hooks.example, signed", "nothing was started"):
            self.assertIn(words, ran.stdout)
        for hidden in (KEY, SECRET, "hidden", "sk-alice"):
            self.assertNotIn(hidden, ran.stdout)
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["keys.toml", "secret"])

    def test_each_fault_is_named(self) -> None:
        broken = self.folder / "broken.toml"
        broken.write_text("[[key]]\nname = 1\n")
        file = self.folder / "file"
        file.write_text("x")
        cases = [
            (["--keys", "none.toml"], "none.toml"),
            (["--keys", str(broken)], "broken.toml"),
            (["--data", str(file)], "is not a folder"),
            (["--data", str(file / "below")], "cannot be created"),
            (["--tls-cert", str(file), "--tls-key", str(file)], "no certificate in PEM"),
            (["--webhook", "https://hooks.example"], "needs a secret"),
            (["--listen", "0.0.0.0:1"], "--keys"),
            (["--prices", "none.json"], "none.json"),
        ]
        for flags, words in cases:
            with self.subTest(flags=flags):
                ran = self.check(*flags)
                self.assertEqual((ran.returncode, ran.stdout), (2, ""))
                self.assertIn(words, ran.stderr)

    def test_a_secret_must_be_one_of_standard_webhooks(self) -> None:
        for secret in ("hunter2", "whsec_not base64"):
            ran = self.check("--webhook", "https://hooks.example", SLUICE_WEBHOOK_SECRET=secret)
            self.assertEqual(ran.returncode, 2)
            self.assertNotIn(secret, ran.stderr)


class Addresses(Operations):
    def test_other_machines_need_keys_and_tls_or_the_flag_by_name(self) -> None:
        relay = self.relay()
        keys = ["--keys", str(self.keys())]
        for flags, words in ((["--listen", "0.0.0.0:0"], "--keys"), (["--listen", "0.0.0.0:0", "--insecure-http"], "--keys"),
                             (["--listen", "0.0.0.0:0", *keys], "--insecure-http"), (["--listen", "[::]:0", *keys], "--insecure-http")):
            with self.subTest(flags=flags):
                server = self.serve(relay.url, *flags, ready=False)
                self.assertEqual(server.process.wait(60), 2)
                self.assertIn(words, server.log.read_bytes()[server.begin:].decode())
        server = self.serve(relay.url, "--listen", "0.0.0.0:0", *keys, "--insecure-http")
        self.assertEqual(server.call("GET", "/v1/files", key="sk-alice-0123456789").status, 200)
        self.assertEqual(server.call("GET", "/v1/files").status, 401)


class ForeignPages(Operations):
    """Requests that a foreign web page can make a browser send to a server without keys."""

    def status(self, server: Serve, path: str = CHAT, **headers: str) -> tuple[int, str | None]:
        body = json.dumps(chat("hi")).encode() if path == CHAT else None
        answer = server.call("POST" if body else "GET", path, body, **headers)
        return answer.status, answer.json["error"]["code"] if answer.status == 403 else None

    def test_a_server_without_keys_answers_no_foreign_page(self) -> None:
        relay = self.relay()
        server = self.serve(relay.url)
        own = f"127.0.0.1:{server.port}"
        self.assertEqual(self.status(server), (200, None))
        self.assertEqual(self.status(server, Host=f"localhost:{server.port}"), (200, None))
        self.assertEqual(self.status(server, Origin=f"http://{own}", Sec_Fetch_Site="same-origin"), (200, None))
        for path in (CHAT, "/v1/files", "/sluice/status", "/metrics", "/"):
            self.assertEqual(self.status(server, path, Host=f"evil.example:{server.port}"), (403, "host_not_allowed"))
        for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"}):
            self.assertEqual(self.status(server, **headers), (403, "origin_not_allowed"))
        self.assertEqual(self.status(server, "/healthz", Host="probe.example"), (200, None))
        self.assertEqual(self.status(server, "/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate"), (200, None))
        self.assertEqual(relay.attempts, 3, "what was refused was not sent")
        words = server.call("GET", "/v1/files", Host="team.example").json["error"]["message"]
        self.assertIn("--allow-host team.example", words)

    def test_a_name_behind_a_proxy_is_allowed_by_the_setting(self) -> None:
        server = self.serve(self.relay().url, "--allow-host", "Team.example", "--allow-host", "other.example:443")
        for name in ("team.example", "TEAM.example:8443", "other.example"):
            self.assertEqual(self.status(server, "/v1/files", Host=name), (200, None))
        self.assertEqual(self.status(server, "/v1/files", Host="evil.example")[0], 403)

    def test_a_key_protects_by_itself(self) -> None:
        server = self.serve(self.relay().url, "--keys", str(self.keys()))
        answer = server.call("GET", "/v1/files", key="sk-alice-0123456789", Host="any.example", Origin="https://app.example")
        self.assertEqual(answer.status, 200)
        self.assertEqual(self.status(server, "/v1/files", Host="any.example")[0], 401)
        self.assertEqual(self.status(server, "/metrics", Host="evil.example"), (403, "host_not_allowed"))
        server.kill()
        open_one = self.serve(self.relay().url, "--keys", str(self.keys()), "--listen", "0.0.0.0:0", "--insecure-http")
        self.assertEqual(self.status(open_one, "/metrics", Host="monitored.example"), (200, None))


class Signals(Operations):
    def test_one_signal_of_timeout_is_one(self) -> None:
        relay = self.relay("--delay-min", "2", "--delay-max", "2")
        server = self.serve(relay.url, "--grace", "60s", under=["timeout", "-s", "INT", "-k", "90", "600"])
        created = server.start_batch(chats(1))
        wait_until(lambda: self.in_flight(server), "a request is in flight")
        # `timeout` forwards this signal to its child and to its process group, and then sends SIGCONT.
        server.process.send_signal(signal.SIGINT)
        wait_until(lambda: server.call("GET", "/readyz").status == 503, "it is stopping")
        self.assertEqual(server.process.wait(60), 0)
        again = self.serve(relay.url)
        self.assertEqual(again.ended_batch(created["id"])["request_counts"]["completed"], 1)
        self.assertEqual(relay.attempts, 1, "what was in flight has finished")

    def test_hangups_never_stop_it_and_a_second_term_does_at_once(self) -> None:
        relay = self.relay("--delay-min", "60", "--delay-max", "60")
        server = self.serve(relay.url, "--grace", "60s")
        for _ in range(3):
            server.process.send_signal(signal.SIGHUP)
            self.assertEqual(server.call("GET", "/readyz").status, 200)
        server.start_batch(chats(1))
        wait_until(lambda: self.in_flight(server), "a request is in flight")
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: server.call("GET", "/readyz").status == 503, "it is stopping")
        server.process.send_signal(signal.SIGTERM)
        self.assertEqual(server.process.wait(20), 0)

    def test_two_signals_within_a_moment_end_it_too(self) -> None:
        relay = self.relay()
        for gap_us in range(0, 4000, 200):
            server = self.serve(relay.url)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(gap_us / 1e6)
            server.process.send_signal(signal.SIGTERM)
            # The second signal may arrive after the server has removed its signal handler.
            self.assertIn(server.process.wait(20), (0, -signal.SIGTERM))


class Webhooks(Operations):
    def start(self, receiver: Receiver, relay: str, **more: Any) -> Serve:
        self.addCleanup(receiver.stop)
        return self.serve(relay, "--webhook", receiver.url, environment={"SLUICE_WEBHOOK_SECRET": SECRET}, **more)

    def unwrap(self, got: dict[str, Any], secret: str = SECRET) -> dict[str, Any]:
        read = client("webhook_sdk.py", json.dumps({**got, "secret": secret}))
        self.assertEqual(read.returncode, 0, read.stderr)
        return json.loads(read.stdout)

    def test_openai_s_sdk_takes_the_event_and_its_signature(self) -> None:
        receiver = Receiver(200)
        server = self.start(receiver, self.relay().url)
        done = server.ended_batch(server.start_batch(chats(2))["id"])
        failed = server.ended_batch(server.create(server.upload(b"no json\n").json["id"]).json["id"])
        wait_until(lambda: len(receiver.got) == 2, "two events")
        events = {event["batch"]: event for event in map(self.unwrap, receiver.got)}
        self.assertEqual(events[done["id"]]["kind"], "BatchCompletedWebhookEvent")
        self.assertEqual(events[done["id"]]["created_at"], done["completed_at"])
        self.assertEqual(events[failed["id"]]["kind"], "BatchFailedWebhookEvent")
        self.assertEqual(receiver.got[0]["path"], "/hook?who=me")
        forged = {**receiver.got[0], "body": receiver.got[0]["body"].replace("completed", "cancelled")}
        read = client("webhook_sdk.py", json.dumps({**forged, "secret": SECRET}))
        self.assertIn("InvalidWebhookSignatureError", read.stderr)
        log = server.log.read_text()
        self.assertNotIn(SECRET, log)
        self.assertNotIn("who=me", log, "addresses hold secrets")

    def test_what_was_refused_comes_again_after_a_kill(self) -> None:
        receiver = Receiver(500)
        relay = self.relay()
        server = self.start(receiver, relay.url)
        done = server.ended_batch(server.start_batch(chats(1))["id"])
        wait_until(lambda: receiver.got, "a try")
        wait_until(lambda: "next try in 5 s" in server.log.read_text(), "it says when it tries again")
        server.kill()
        receiver.statuses[:] = [200]
        before = len(receiver.got)
        server = self.serve(relay.url, "--webhook", receiver.url, environment={"SLUICE_WEBHOOK_SECRET": SECRET})
        wait_until(lambda: len(receiver.got) > before, "the next try")
        first, last = self.unwrap(receiver.got[0]), self.unwrap(receiver.got[-1])
        self.assertEqual((first["id"], last["batch"]), (last["id"], done["id"]))
        wait_until(lambda: "was posted to" in server.log.read_bytes()[server.begin:].decode(), "it is delivered")
        self.assertEqual(server.stop(), 0)
