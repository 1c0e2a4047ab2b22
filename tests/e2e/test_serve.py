"""`sluice serve`: files and batches through real HTTP, with OpenAI's SDKs and without, through kills and restarts."""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import os
import random
import re
import signal
import subprocess
import tempfile
import time
import unittest
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema

from support import CHAT, HERE, KEY, ROOT, Relay, at_night, batch, chat, chats, jsonl, program, wait_until

CLIENTS = Path(os.environ.get("SLUICE_CLIENTS", ROOT / "build/clients"))
ENDED = ("completed", "failed", "expired", "cancelled")
OBJECTS = json.loads((HERE / "openai_objects.schema.json").read_text())


def check_object(kind: str, found: Any) -> None:
    """Checks that an object fits its schema in OpenAI's specification."""
    jsonschema.Draft202012Validator({"$ref": f"#/$defs/{kind}", "$defs": OBJECTS["$defs"]}).validate(found)


def kind_of_answer(method: str, path: str, status: int) -> str:
    """The name of the object that this route answers with. Empty: the answer is a file or another object."""
    route = path.partition("?")[0]
    if not route.startswith(("/v1/files", "/v1/batches")):
        return ""
    if status >= 400:
        return "error"
    if route.endswith("/content"):
        return ""
    if method == "GET" and route in ("/v1/files", "/v1/batches"):
        return "list_of_files" if route == "/v1/files" else "list_of_batches"
    if method == "DELETE":
        return "deleted_file"
    return "file" if route.startswith("/v1/files") else "batch"


class Answer:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Serve:
    """`sluice serve` in its own process. `environment`: additional variables, for the shims. `under`: a command that
    runs the server in its own process group."""

    def __init__(self, folder: Path, relay: str, *flags: str, environment: dict[str, str] | None = None,
                 ready: bool = True, under: list[str] | None = None) -> None:
        self.folder = folder
        env = {**os.environ, "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": relay, "XDG_STATE_HOME": str(folder / "state"),
               "HOME": str(folder), **(environment or {})}
        self.log = folder / "serve.log"
        with self.log.open("ab") as log:
            self.begin = log.tell()
            self.process = subprocess.Popen(
                [*(under or []), program(), "serve", "--listen", "127.0.0.1:0", "--data", str(folder / "data"),
                 "--rpm", "0", *flags], cwd=folder, env=env, stderr=log, start_new_session=bool(under))
        self.in_group = bool(under)
        self.port = 0
        if ready:
            self.port = int(wait_until(lambda: self.said_port() or self._ended(), "the server says its address"))

    def said_port(self) -> str | None:
        found = re.search(r"serving https?://[^ ]*:(\d+)/v1", self.log.read_bytes()[self.begin:].decode(errors="replace"))
        return found[1] if found else None

    def _ended(self) -> None:
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended with {self.process.returncode}: {self.log.read_text()}")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def call(self, method: str, path: str, body: bytes | None = None, key: str = "", **headers: str) -> Answer:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as to:
            fields = {name.replace("_", "-"): value for name, value in headers.items()}
            if key:
                fields["Authorization"] = f"Bearer {key}"
            to.request(method, path, body, fields)
            reply = to.getresponse()
            answer = Answer(reply.status, dict(reply.getheaders()), reply.read())
        if kind := kind_of_answer(method, path, answer.status):
            check_object(kind, answer.json)
        return answer

    def upload(self, content: bytes, purpose: str = "batch", name: str = "in.jsonl", key: str = "") -> Answer:
        boundary = uuid.uuid4().hex
        form = (f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n{purpose}\r\n'
                f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
                f"Content-Type: application/octet-stream\r\n\r\n").encode() + content + f"\r\n--{boundary}--\r\n".encode()
        return self.call("POST", "/v1/files", form, key, Content_Type=f"multipart/form-data; boundary={boundary}")

    def create(self, file: str, key: str = "", **more: Any) -> Answer:
        body = {"input_file_id": file, "endpoint": CHAT, "completion_window": "24h", **more}
        return self.call("POST", "/v1/batches", json.dumps(body).encode(), key)

    def start_batch(self, lines: list[dict[str, Any]], key: str = "", **more: Any) -> dict[str, Any]:
        answer = self.create(self.upload(jsonl(lines), key=key).json["id"], key, **more)
        if answer.status != 200:
            raise AssertionError(answer.body)
        return answer.json

    def batch(self, name: str, key: str = "") -> dict[str, Any]:
        return self.call("GET", f"/v1/batches/{name}", key=key).json

    def ended_batch(self, name: str, key: str = "") -> dict[str, Any]:
        return wait_until(lambda: (now := self.batch(name, key))["status"] in ENDED and now, f"{name} ends", pause=0.05)

    def lines(self, file: str | None, key: str = "") -> list[dict[str, Any]]:
        if file is None:
            return []
        lines = [json.loads(line) for line in self.call("GET", f"/v1/files/{file}/content", key=key).body.splitlines()]
        for line in lines:
            check_object("result_line", line)
        return lines

    def kill(self) -> None:
        if self.in_group:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


class Case(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="sluice-e2e-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def relay(self, *flags: str, **more: Any) -> Relay:
        relay = Relay(self.folder, *flags, **more)
        self.addCleanup(relay.stop)
        return relay

    def serve(self, relay: str, *flags: str, **more: Any) -> Serve:
        server = Serve(self.folder, relay, *flags, **more)
        self.addCleanup(lambda: server.process.poll() is None and server.kill())
        return server

    def one_each(self, server: Serve, ended: dict[str, Any], sent: list[dict[str, Any]], key: str = "") -> None:
        """Every request of the batch has exactly one line in its result files."""
        lines = server.lines(ended["output_file_id"], key) + server.lines(ended["error_file_id"], key)
        self.assertEqual(sorted(line["custom_id"] for line in lines), sorted(line["custom_id"] for line in sent))


class Sdks(Case):
    def check(self, seen: dict[str, Any], input_bytes: bytes) -> None:
        uploaded, ended = seen["uploaded"], seen["batch"]
        self.assertEqual((uploaded["object"], uploaded["bytes"], uploaded["purpose"], uploaded["status"]),
                         ("file", len(input_bytes), "batch", "processed"))
        self.assertEqual(seen["seen"][0], "validating")
        self.assertEqual((ended["status"], ended["request_counts"]),
                         ("completed", {"total": 20, "completed": 20, "failed": 0}))
        self.assertEqual(ended["metadata"], {"description": "nightly eval"})
        self.assertGreater(ended["usage"]["total_tokens"], 0)
        self.assertIsNone(ended["errors"])
        times = [ended[name] for name in ("created_at", "in_progress_at", "finalizing_at", "completed_at")]
        self.assertEqual(times, sorted(times))
        lines = [json.loads(line) for line in seen["output"].splitlines()]
        self.assertEqual({line["custom_id"] for line in lines}, {f"c{i}" for i in range(1, 21)})
        for line in lines:
            self.assertEqual(line["response"]["status_code"], 200)
            self.assertEqual(line["response"]["body"]["object"], "chat.completion")
            self.assertIsNone(line["error"])
        self.assertEqual(seen["errors"], "")
        self.assertEqual(seen["batches"], [ended["id"]])
        # The newest first: the second file, the output, the input.
        self.assertEqual(seen["listed"], [seen["second"]["id"], ended["output_file_id"], uploaded["id"]])
        self.assertEqual(seen["deleted"], {"id": seen["second"]["id"], "object": "file", "deleted": True})
        self.assertEqual(seen["refusals"]["unknown_file"]["status"], 404)
        self.assertEqual(seen["refusals"]["unknown_batch"]["status"], 404)
        self.assertEqual(seen["refusals"]["cancel_ended"]["status"], 400)

    def run_client(self, *command: str, **environment: str) -> tuple[dict[str, Any], bytes]:
        relay = self.relay()
        server = self.serve(relay.url)
        content = jsonl(chats(20))
        path = self.folder / "input.jsonl"
        path.write_bytes(content)
        ran = subprocess.run([*command, str(path)], capture_output=True, text=True, check=False, timeout=120,
                             env={**os.environ, "OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "any", **environment})
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        return json.loads(ran.stdout), content

    def test_a_script_for_python_runs_unchanged(self) -> None:
        seen, content = self.run_client(str(CLIENTS / "python/bin/python"), str(HERE / "clients/batch_sdk.py"))
        self.check(seen, content)
        self.assertEqual(seen["refusals"]["no_input"]["param"], "input_file_id")
        self.assertEqual(seen["refusals"]["no_jsonl"]["status"], 400)
        self.assertEqual(seen["second"]["expires_at"], seen["second"]["created_at"] + 3600)

    def test_a_script_for_node_runs_unchanged(self) -> None:
        seen, content = self.run_client("node", str(HERE / "clients/batch_sdk.mjs"), NODE_CLIENT=str(CLIENTS / "node"))
        self.check(seen, content)
        self.assertEqual(seen["refusals"]["cancel_ended"]["name"], "BadRequestError")


class Batches(Case):
    def test_lines_that_are_not_good_fail_the_batch_by_line(self) -> None:
        server = self.serve(self.relay().url)
        good = batch("a", chat("hi"))
        lines = [json.dumps(good), "not json", json.dumps(good), json.dumps({**good, "custom_id": "b", "method": "GET"}),
                 json.dumps({**good, "custom_id": "c", "url": "/v1/embeddings"}), json.dumps({"custom_id": "d"}),
                 json.dumps({**good, "custom_id": None}), json.dumps({**good, "custom_id": "e", "body": {}})]
        file = server.upload(("\n".join(lines) + "\n").encode()).json["id"]
        ended = server.ended_batch(server.create(file).json["id"])
        self.assertEqual(ended["status"], "failed")
        self.assertEqual([(one["line"], one["code"]) for one in ended["errors"]["data"]], [
            (2, "invalid_json_line"), (3, "duplicate_custom_id"), (4, "invalid_method"), (5, "url_mismatch"),
            (6, "missing_required_parameter"), (7, "missing_required_parameter"), (8, "missing_required_parameter")])
        self.assertEqual(ended["request_counts"], {"total": 0, "completed": 0, "failed": 0})
        self.assertIsNotNone(ended["failed_at"])
        self.assertIsNone(ended["output_file_id"])

    def test_an_empty_file_and_one_with_too_many_lines_fail(self) -> None:
        server = self.serve(self.relay().url, "--max-batch-lines", "3")
        empty = server.upload(b"\n").json["id"]
        self.assertEqual(server.ended_batch(server.create(empty).json["id"])["errors"]["data"][0]["code"], "empty_file")
        many = server.start_batch(chats(4))
        self.assertEqual(server.ended_batch(many["id"])["errors"]["data"][0]["code"], "too_many_tasks")

    def test_failed_requests_stand_in_the_error_file_and_can_be_sent_again(self) -> None:
        relay = self.relay(script=[{"match": "number 2 ", "times": 1, "status": 400,
                                    "body": {"error": {"message": "no", "type": "invalid_request_error"}}}])
        server = self.serve(relay.url)
        sent = chats(4)
        ended = server.ended_batch(server.start_batch(sent)["id"])
        self.assertEqual((ended["status"], ended["request_counts"]),
                         ("completed", {"total": 4, "completed": 3, "failed": 1}))
        self.one_each(server, ended, sent)
        failed = server.lines(ended["error_file_id"])[0]
        self.assertEqual((failed["custom_id"], failed["response"]["status_code"], failed["error"]), ("c2", 400, None))
        again = server.call("POST", f"/v1/batches/{ended['id']}/retry")
        self.assertEqual(again.status, 200)
        self.assertEqual(again.json["sluice"]["retry_of"], ended["id"])
        done = server.ended_batch(again.json["id"])
        self.assertEqual((done["status"], done["request_counts"]),
                         ("completed", {"total": 1, "completed": 1, "failed": 0}))
        self.assertEqual([line["custom_id"] for line in server.lines(done["output_file_id"])], ["c2"])
        nothing_left = server.call("POST", f"/v1/batches/{done['id']}/retry")
        self.assertEqual(nothing_left.status, 400)

    def test_a_cancelled_batch_keeps_its_results_and_tells_of_the_rest(self) -> None:
        relay = self.relay("--delay-max", "0.05")
        server = self.serve(relay.url, "--concurrency", "2")
        sent = chats(200)
        made = server.start_batch(sent)
        wait_until(lambda: server.batch(made["id"])["request_counts"]["completed"] > 3, "some are done")
        cancelling = server.call("POST", f"/v1/batches/{made['id']}/cancel")
        self.assertEqual((cancelling.status, cancelling.json["status"]), (200, "cancelling"))
        ended = server.ended_batch(made["id"])
        self.assertEqual(ended["status"], "cancelled")
        self.assertLess(ended["request_counts"]["completed"], 200)
        self.one_each(server, ended, sent)
        codes = {line["error"]["code"] for line in server.lines(ended["error_file_id"])}
        self.assertEqual(codes, {"batch_cancelled"})
        self.assertEqual(relay.attempts, ended["request_counts"]["completed"])

    def test_the_answer_to_a_creation_has_an_estimate(self) -> None:
        server = self.serve(self.relay().url)
        estimate = server.start_batch(chats(10, max_tokens=100))["sluice"]["estimate"]
        self.assertEqual(estimate["requests"], 10)
        self.assertGreater(float(estimate["cost_usd"]["at_most"]), float(estimate["cost_usd"]["prompt"]))

    def test_the_cost_is_the_sum_of_the_lines(self) -> None:
        server = self.serve(self.relay().url)
        ended = server.ended_batch(server.start_batch(chats(30))["id"])
        lines = server.lines(ended["output_file_id"])
        units = sum(int(round(float(line["sluice"]["cost_usd"]) * 10**12)) for line in lines)
        self.assertEqual(int(round(float(ended["sluice"]["cost_usd"]) * 10**12)), units)
        self.assertGreater(units, 0)
        self.assertEqual(ended["usage"]["total_tokens"],
                         sum(line["response"]["body"]["usage"]["total_tokens"] for line in lines))

    def test_a_deleted_input_file_does_not_disturb_its_batch(self) -> None:
        relay = self.relay("--delay-max", "0.05")
        server = self.serve(relay.url, "--concurrency", "2")
        sent = chats(40)
        made = server.start_batch(sent)
        deleted = server.call("DELETE", f"/v1/files/{made['input_file_id']}")
        self.assertTrue(deleted.json["deleted"])
        server.kill()
        server = self.serve(relay.url)
        ended = server.ended_batch(made["id"])
        self.assertEqual(ended["request_counts"]["completed"], 40)
        self.one_each(server, ended, sent)


class Kills(Case):
    def test_a_killed_server_goes_on_where_it_was(self) -> None:
        relay = self.relay("--delay-max", "0.02")
        sent = chats(300)
        server = self.serve(relay.url, "--concurrency", "8")
        made = server.start_batch(sent)
        for target in (40, 120, 220):
            wait_until(lambda: server.batch(made["id"])["request_counts"]["completed"] >= target, f"{target} are done")
            server.kill()
            server = self.serve(relay.url, "--concurrency", "8")
            self.assertIn(server.batch(made["id"])["status"], ("in_progress", "finalizing", "completed"))
        ended = server.ended_batch(made["id"])
        self.assertEqual((ended["status"], ended["request_counts"]),
                         ("completed", {"total": 300, "completed": 300, "failed": 0}))
        self.one_each(server, ended, sent)
        # Only requests that were in flight at a kill are sent again.
        self.assertLessEqual(relay.attempts, 300 + 3 * 8)

    def test_the_last_minute_includes_the_starts_of_a_killed_server(self) -> None:
        relay = self.relay("--delay-max", "0.02")
        server = self.serve(relay.url, "--rpm", "1000", "--concurrency", "4")
        made = server.start_batch(chats(60))
        wait_until(lambda: server.batch(made["id"])["request_counts"]["completed"] >= 20, "20 are done")
        server.kill()
        server = self.serve(relay.url, "--rpm", "1000", "--concurrency", "4")
        self.assertEqual(server.ended_batch(made["id"])["request_counts"]["completed"], 60)
        limit = server.call("GET", "/sluice/status").json["limit"]
        metrics = dict(line.rsplit(" ", 1) for line in server.call("GET", "/metrics").body.decode().splitlines()
                       if line.startswith("sluice_relay_"))
        self.assertGreaterEqual(limit["started_by_others"], 20)
        self.assertEqual(limit["started_last_minute"] + limit["started_by_others"], relay.attempts)
        self.assertEqual(metrics["sluice_relay_starts_last_minute"], str(relay.attempts))
        self.assertEqual(metrics["sluice_relay_starts_of_others"], str(limit["started_by_others"]))

    def test_a_batch_that_was_cancelled_before_a_kill_ends_with_the_sums_of_its_lines(self) -> None:
        relay = self.relay("--delay-min", "0.2", "--delay-max", "0.4")
        sent = chats(60)
        keys = self.folder / "keys.toml"
        keys.write_text('[[key]]\nname = "alice"\nkey = "sk-alice-0123456789"\nbudget = "5"\n')
        keys.chmod(0o600)
        key = "sk-alice-0123456789"
        server = self.serve(relay.url, "--concurrency", "8", "--keys", str(keys))
        name = server.start_batch(sent, key)["id"]
        wait_until(lambda: server.batch(name, key)["request_counts"]["completed"] >= 8, "some are done")
        server.call("POST", f"/v1/batches/{name}/cancel", key=key)
        server.kill()
        server = self.serve(relay.url, "--concurrency", "8", "--keys", str(keys))
        ended = server.ended_batch(name, key)
        self.assertEqual(ended["status"], "cancelled")
        self.one_each(server, ended, sent, key)
        lines = server.lines(ended["output_file_id"], key)
        self.assertGreaterEqual(len(lines), 8)
        self.assertEqual(ended["request_counts"], {"total": 60, "completed": len(lines), "failed": 0})
        self.assertEqual(ended["usage"]["total_tokens"],
                         sum(line["response"]["body"]["usage"]["total_tokens"] for line in lines))
        units = sum(int(round(float(line["sluice"]["cost_usd"]) * 10**12)) for line in lines)
        self.assertEqual(int(round(float(ended["sluice"]["cost_usd"]) * 10**12)), units)

    def test_a_stopped_server_finishes_what_is_in_flight(self) -> None:
        relay = self.relay("--delay-max", "0.05")
        server = self.serve(relay.url, "--concurrency", "4")
        sent = chats(100)
        made = server.start_batch(sent)
        wait_until(lambda: server.batch(made["id"])["request_counts"]["completed"] >= 10, "some are done")
        self.assertEqual(server.stop(), 0)
        server = self.serve(relay.url, "--concurrency", "4")
        ended = server.ended_batch(made["id"])
        self.one_each(server, ended, sent)
        self.assertEqual((ended["request_counts"]["completed"], relay.attempts), (100, 100))

    def test_a_second_server_on_the_same_folder_refuses_to_start(self) -> None:
        relay = self.relay()
        self.serve(relay.url)
        second = self.serve(relay.url, ready=False)
        self.assertEqual(second.process.wait(60), 2)


class KilledAtRandom(Case):
    def kill(self, times: int, lines: int) -> None:
        seed = int(os.environ.get("SLUICE_SOAK_SEED", "7"))
        dice = random.Random(seed)
        relay = self.relay("--delay-max", "0.05")
        flags = ("--concurrency", "4")
        server = self.serve(relay.url, *flags)
        made: list[tuple[str, list[dict[str, Any]]]] = []
        kills = 0
        while kills < times:
            if len(made) < 1 + kills // 10:
                sent = [batch(f"b{len(made)}-{i}", chat(f"batch {len(made)}, request {i}")) for i in range(lines)]
                made.append((server.start_batch(sent)["id"], sent))
            time.sleep(dice.uniform(0.0, 0.3))  # a random moment for the kill
            server.kill()
            kills += 1
            server = self.serve(relay.url, *flags)
        for name, sent in made:
            with self.subTest(f"seed {seed}: {name}"):
                ended = server.ended_batch(name)
                self.assertEqual((ended["status"], ended["request_counts"]),
                                 ("completed", {"total": lines, "completed": lines, "failed": 0}))
                self.one_each(server, ended, sent)
        # Each kill can cost the attempts in flight, at most four, and no more.
        self.assertLessEqual(relay.attempts, len(made) * lines + 4 * kills)

    def test_ten_kills(self) -> None:
        self.kill(10, 60)

    @at_night
    def test_a_hundred_kills(self) -> None:
        self.kill(100, 150)


class KilledAtEachOperation(Case):
    """Kills the server before, in the middle of and after a file operation, and starts it again."""

    COUNT = 6

    def shim(self, **plan: str) -> dict[str, str]:
        return {"LD_PRELOAD": os.environ["SLUICE_CRASH_SHIM"], "SHIM_UNDER": str(self.folder / "data"),
                **{f"SHIM_{name}": value for name, value in plan.items()}}

    def drive(self, server: Serve, sent: list[dict[str, Any]]) -> tuple[str | None, str | None, bool]:
        """Uploads a file and runs a batch of it. Returns the acknowledged ids, and whether the server still runs."""
        file = made = None
        try:
            wait_until(lambda: server.said_port() or server.process.poll() is not None, "the server starts or dies")
            server.port = int(server.said_port() or 0)
            file = server.upload(jsonl(sent)).json["id"]
            made = server.create(file).json["id"]
            server.ended_batch(made)
            server.stop()
        except (OSError, http.client.HTTPException, KeyError, ValueError):
            pass
        return file, made, server.process.wait(60) == 0

    def check_after(self, relay: Relay, sent: list[dict[str, Any]], file: str | None, made: str | None) -> None:
        server = self.serve(relay.url)
        if file:
            self.assertEqual(server.call("GET", f"/v1/files/{file}/content").body, jsonl(sent))
        batches = server.call("GET", "/v1/batches").json["data"]
        self.assertLessEqual(len(batches), 1)
        if made:
            self.assertEqual([one["id"] for one in batches], [made])
        for one in batches:
            ended = server.ended_batch(one["id"])
            self.assertEqual((ended["status"], ended["request_counts"]),
                             ("completed", {"total": self.COUNT, "completed": self.COUNT, "failed": 0}))
            self.one_each(server, ended, sent)
        known = {one["id"] for one in server.call("GET", "/v1/files").json["data"]}
        self.assertEqual({path.name for path in (self.folder / "data/files").iterdir()}, known)
        self.assertEqual(list((self.folder / "data/uploads").iterdir()), [])
        wait_until(lambda: not list((self.folder / "data/batches").iterdir()), "the folder of the batch is removed")
        server.stop()

    def operations(self) -> int:
        trace = self.folder / "trace"
        server = self.serve(self.relay().url, environment=self.shim(TRACE=str(trace)))
        server.ended_batch(server.start_batch(chats(self.COUNT))["id"])
        server.stop()
        return len(trace.read_text().splitlines())

    def kill_at(self, step: int) -> None:
        count = self.operations()
        self.assertGreater(count, 80)
        for number in range(1, count + 1, step):
            when = ("before", "middle", "after")[number % 3]
            with self.subTest(f"operation {number} of {count}, {when}"):
                self.setUp()
                relay = self.relay()
                sent = chats(self.COUNT)
                server = self.serve(relay.url, "--concurrency", "2", ready=False,
                                    environment=self.shim(KILL=str(number), WHEN=when))
                file, made, lives = self.drive(server, sent)
                self.check_after(relay, sent, file, made)
                # Only requests that were in flight at the kill may be sent again.
                self.assertLessEqual(relay.attempts, self.COUNT + (0 if lives else 2))

    def test_no_batch_is_lost_or_paid_twice(self) -> None:
        self.kill_at(9)

    @at_night
    def test_at_every_operation(self) -> None:
        self.kill_at(1)

    SPACE = "open,write,sync,rename,link,mkdir,fallocate"  # the operations that fail on a full disk

    def stored(self, server: Serve) -> tuple[set[str], set[str]]:
        """The ids of all files and of all batches that the server lists."""
        return tuple({one["id"] for one in server.call("GET", path).json["data"]}  # type: ignore[return-value]
                     for path in ("/v1/files?limit=10000", "/v1/batches?limit=100"))

    def on_disk(self) -> dict[str, int]:
        """The size of each file."""
        return {path.name: path.stat().st_size for path in (self.folder / "data/files").iterdir()}

    def fill_the_disk_at_each_operation(self, relay: Relay, call: Callable[[Serve], Answer]) -> set[int]:
        """Repeats a call on a disk that is full from one operation on, until the call succeeds. After each call the disk
        holds what it held before. Returns the statuses of the answers."""
        trace = self.folder / "trace"
        server = self.serve(relay.url, environment=self.shim(TRACE=str(trace), ONLY=self.SPACE))
        before = len(trace.read_text().splitlines())
        files, batches = self.stored(server)
        server.stop()
        sizes = self.on_disk()
        self.assertEqual(set(sizes), files)
        seen: set[int] = set()
        for number in range(1, 100):
            with self.subTest(f"operation {number}"), contextlib.ExitStack() as at_end:
                server = self.serve(relay.url, environment=self.shim(FAIL=str(before + number), ERRNO=str(errno.ENOSPC),
                                                                     ONLY=self.SPACE))
                at_end.callback(server.kill)
                answer = call(server)
                seen.add(answer.status)
                if answer.status == 200:
                    return seen
                self.assertEqual((answer.status, answer.json["error"]["code"]), (507, "insufficient_storage"))
                # Before a restart. An empty file without a record may stay, as a mark.
                now, made = self.stored(server)
                self.assertEqual({name: size for name, size in self.on_disk().items() if size}, sizes)
                self.assertEqual(made, batches)
                self.assertEqual(list((self.folder / "data/batches").iterdir()), [])
                self.assertEqual(list((self.folder / "data/uploads").iterdir()), [])
                # If the store cannot even remove the record of a retry's input, the record stays.
                self.assertLessEqual(len(now - files), 1 if call.__name__ == "retry" else 0)
                server.kill()
                server = self.serve(relay.url)
                at_end.callback(server.kill)
                # If only the last sync of a change failed, the whole change may still exist after a crash.
                now, made = self.stored(server)
                for name in made - batches:
                    self.assertIn(server.ended_batch(name)["status"], ("completed", "failed"))
                if made != batches:
                    files, batches = self.stored(server)
                else:
                    self.assertEqual(now, files)
                    self.assertEqual(self.on_disk(), sizes)
                server.stop()
                sizes = self.on_disk()
                self.assertEqual(set(sizes), files)
        self.fail("the call never succeeds")

    def test_an_upload_to_a_full_disk_is_a_507_and_leaves_nothing(self) -> None:
        relay = self.relay()
        server = self.serve(relay.url)
        server.upload(jsonl(chats(2)))
        server.stop()
        self.assertIn(507, self.fill_the_disk_at_each_operation(relay, lambda server: server.upload(jsonl(chats(50)))))

    def test_a_new_batch_on_a_full_disk_is_a_507_and_leaves_nothing(self) -> None:
        relay = self.relay()
        server = self.serve(relay.url)
        file = server.upload(jsonl(chats(2))).json["id"]
        server.stop()
        self.assertIn(507, self.fill_the_disk_at_each_operation(relay, lambda server: server.create(file)))

    def test_a_retry_on_a_full_disk_is_a_507_and_leaves_nothing(self) -> None:
        relay = self.relay()
        server = self.serve(relay.url)
        bad = [batch("bad", chat("hi", max_tokens="x"))]
        name = server.ended_batch(server.start_batch(chats(2) + bad)["id"])["id"]
        server.stop()

        def retry(server: Serve) -> Answer:
            return server.call("POST", f"/v1/batches/{name}/retry")

        self.assertIn(507, self.fill_the_disk_at_each_operation(relay, retry))


class Keys(Case):
    ALICE = "sk-alice-0123456789abcdef"
    BOB = "sk-bob-0123456789abcdefgh"

    def two(self, more: str = "") -> Serve:
        keys = self.folder / "keys.toml"
        keys.write_text(f'[[key]]\nname = "alice"\nkey = "{self.ALICE}"\n{more}\n'
                        f'[[key]]\nname = "bob"\nkey = "{self.BOB}"\n')
        return self.serve(self.relay().url, "--keys", str(keys))

    def test_one_key_never_sees_anothers_files_and_batches(self) -> None:
        server = self.two()
        made = server.start_batch(chats(2) + [batch("bad", chat("hi", max_tokens="x"))], self.ALICE)
        ended = server.ended_batch(made["id"], self.ALICE)
        files = [file for file in (ended["input_file_id"], ended["output_file_id"], ended["error_file_id"]) if file]
        routes = [("GET", f"/v1/batches/{made['id']}"), ("POST", f"/v1/batches/{made['id']}/cancel"),
                  ("POST", f"/v1/batches/{made['id']}/retry")]
        for file in files:
            routes += [("GET", f"/v1/files/{file}"), ("GET", f"/v1/files/{file}/content"), ("DELETE", f"/v1/files/{file}")]
        for method, path in routes:
            with self.subTest(f"{method} {path}"):
                answer = server.call(method, path, key=self.BOB)
                self.assertEqual(answer.status, 404, answer.body)
                self.assertNotIn(b"alice", answer.body)
        self.assertEqual(server.create(ended["input_file_id"], self.BOB).status, 404)
        self.assertEqual(server.call("GET", "/v1/files", key=self.BOB).json["data"], [])
        self.assertEqual(server.call("GET", "/v1/batches", key=self.BOB).json["data"], [])
        self.assertEqual(server.call("GET", f"/v1/files?after={files[0]}", key=self.BOB).json["data"], [])
        self.assertEqual(server.call("GET", f"/v1/batches?after={made['id']}", key=self.BOB).json["data"], [])
        # The owner of the files can still read all of them.
        for file in files:
            self.assertEqual(server.call("GET", f"/v1/files/{file}", key=self.ALICE).status, 200)

    def test_without_a_right_key_nothing_is_told(self) -> None:
        server = self.two()
        for key in ("", "sk-wrong-0123456789abcdef"):
            for method, path in (("GET", "/v1/files"), ("POST", "/v1/files"), ("GET", "/v1/batches"),
                                 ("POST", "/v1/batches"), ("GET", "/v1/files/file-x/content")):
                answer = server.call(method, path, key=key)
                self.assertEqual((answer.status, answer.json["error"]["type"]), (401, "invalid_request_error"))

    def test_a_key_may_use_only_its_models(self) -> None:
        server = self.two('models = ["gpt-4o"]')
        ended = server.ended_batch(server.start_batch(chats(2), self.ALICE)["id"], self.ALICE)
        self.assertEqual([one["code"] for one in ended["errors"]["data"]], ["model_not_found"] * 2)
        self.assertEqual(server.ended_batch(server.start_batch(chats(2), self.BOB)["id"], self.BOB)["status"], "completed")

    def test_a_budget_covers_all_batches_of_its_key(self) -> None:
        server = self.two('budget = "0.0001"')
        made = server.start_batch(chats(50, max_tokens=20), self.ALICE)
        waits = wait_until(lambda: server.batch(made["id"], self.ALICE)["sluice"].get("waits"), "the budget stops it")
        self.assertIn("budget", waits)
        self.assertLessEqual(float(server.batch(made["id"], self.ALICE)["sluice"]["cost_usd"]), 0.0001)
        # The batch of another key does not wait for this one.
        self.assertEqual(server.ended_batch(server.start_batch(chats(3), self.BOB)["id"], self.BOB)["status"], "completed")
        server.call("POST", f"/v1/batches/{made['id']}/cancel", key=self.ALICE)
        first = server.ended_batch(made["id"], self.ALICE)
        second = server.start_batch(chats(50, max_tokens=20), self.ALICE)
        wait_until(lambda: server.batch(second["id"], self.ALICE)["sluice"].get("waits"), "the budget stops it")
        spent = sum(float(server.batch(one["id"], self.ALICE)["sluice"]["cost_usd"]) for one in (first, second))
        self.assertLessEqual(spent, 0.0001)

    def test_sighup_reads_the_keys_again_and_a_broken_file_changes_nothing(self) -> None:
        server = self.two()
        keys = self.folder / "keys.toml"
        keys.write_text("broken [")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "the keys stay as they are" in server.log.read_text(), "the log says so")
        self.assertEqual(server.call("GET", "/v1/files", key=self.ALICE).status, 200)
        keys.write_text(f'[[key]]\nname = "bob"\nkey = "{self.BOB}"\n')
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: server.call("GET", "/v1/files", key=self.ALICE).status == 401, "alice's key is gone")
        self.assertEqual(server.call("GET", "/v1/files", key=self.BOB).status, 200)


if __name__ == "__main__":
    unittest.main()
