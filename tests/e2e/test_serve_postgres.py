"""`sluice serve --store postgresql://…`: several servers over one database. Servers and the database are killed, frozen
and restarted. Each server has its own data folder, as if it ran on its own host."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from postgres import Postgres
from support import HERE, Listener, Relay, batch, chat, chats, jsonl, wait_until
from test_serve import CLIENTS, Case, Serve

LEASE = "3s"


def close_both(*ends: socket.socket) -> None:
    for end in ends:
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def pump(source: socket.socket, target: socket.socket, change: Callable[[bytes], bytes | None]) -> None:
    """Copies bytes until the end. `change` may replace each block. If it returns None, both connections end."""
    try:
        while data := source.recv(65536):
            if (changed := change(data)) is None:
                break
            target.sendall(changed)
    except OSError:
        pass
    close_both(source, target)


def forward(client: socket.socket, port: int, to_server: Callable[[bytes], bytes | None] = lambda data: data,
            to_client: Callable[[bytes], bytes | None] = lambda data: data) -> None:
    with socket.create_connection(("127.0.0.1", port)) as server:
        back = threading.Thread(target=pump, args=(server, client, to_client), daemon=True)
        back.start()
        pump(client, server, to_server)
        back.join()


class PostgresCase(Case):
    database: Postgres
    number = 0

    @classmethod
    def setUpClass(cls) -> None:
        cls.database = Postgres()
        cls.addClassCleanup(cls.database.close)

    def setUp(self) -> None:
        super().setUp()
        PostgresCase.number += 1
        self.name = f"sluice{PostgresCase.number}"
        self.database.sql(f"CREATE DATABASE {self.name}")

    def url(self, port: int | None = None) -> str:
        return self.database.url(self.name, port)

    def host(self, name: str, relay: Relay, *flags: str, store: str = "", ready: bool = True) -> Serve:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        server = Serve(folder, relay.url, "--store", store or self.url(), "--lease", LEASE, *flags, ready=ready)
        self.addCleanup(lambda: server.process.poll() is None and server.kill())
        return server

    def sql(self, text: str) -> list[list[str]]:
        return self.database.sql(text, self.name)

    def sent_by(self, relay: Relay) -> Counter[str]:
        """How often each request of a batch arrived at the relay."""
        return Counter(json.loads(body)["messages"][0]["content"] for body in relay.bodies)

    def check_done(self, server: Serve, name: str, sent: list[dict[str, Any]]) -> dict[str, Any]:
        ended = server.ended_batch(name)
        self.assertEqual((ended["status"], ended["request_counts"]),
                         ("completed", {"total": len(sent), "completed": len(sent), "failed": 0}))
        self.one_each(server, ended, sent)
        return ended

    def finished_lines(self, name: str) -> int:
        """The size of the results of a running batch that are in the database."""
        found = self.sql(f"SELECT coalesce(sum(size), 0) FROM sluice.batch_pieces p JOIN sluice.batch_files f "
                         f"USING (batch, file) WHERE batch = '{name}' AND name = 'output.jsonl'")
        return int(found[0][0])


class TwoServers(PostgresCase):
    def test_either_server_has_the_files_and_batches_of_the_other(self) -> None:
        relay = self.relay()
        one, two = self.host("one", relay), self.host("two", relay)
        content = jsonl(chats(30)) + b'{"x": "' + os.urandom(3 << 20).hex().encode() + b'"}\n'
        file = one.upload(content, purpose="user_data").json["id"]
        self.assertEqual(two.call("GET", f"/v1/files/{file}/content").body, content)
        sent = chats(30)
        name = one.create(two.upload(jsonl(sent)).json["id"]).json["id"]
        ended = self.check_done(two, name, sent)
        self.assertEqual(one.lines(ended["output_file_id"]), two.lines(ended["output_file_id"]))
        self.assertEqual(one.batch(name), two.batch(name))
        # A file that one server deletes is also deleted at the other one, with its bytes.
        self.assertEqual(two.call("DELETE", f"/v1/files/{file}").status, 200)
        self.assertEqual(one.call("GET", f"/v1/files/{file}/content").status, 404)
        self.assertEqual(self.sql(f"SELECT count(*) FROM sluice.pieces WHERE id = '{file}'"), [["0"]])
        self.assertEqual(self.sql("SELECT count(*) FROM sluice.batch_pieces"), [["0"]])

    def test_the_bytes_of_a_deleted_input_are_removed_when_its_batch_ends(self) -> None:
        relay = self.relay("--delay-min", "0.2", "--delay-max", "0.3")
        keys = self.folder / "keys.toml"
        keys.write_text('[[key]]\nname = "alice"\nkey = "sk-alice-0123456789"\nbudget = "1"\n')
        keys.chmod(0o600)
        key = "sk-alice-0123456789"
        server = self.host("one", relay, "--keys", str(keys), "--concurrency", "2")
        sent = [batch(f"c{n}", chat(f"say {n}", max_tokens=40)) for n in range(80)]
        inputs = [server.upload(content, key=key).json["id"] for content in (jsonl(sent), jsonl(sent) + b"no json\n")]
        names = [server.create(file, key).json["id"] for file in inputs]
        wait_until(lambda: relay.attempts >= 2, "the first batch is under way")
        for file in inputs:
            self.assertEqual(server.call("DELETE", f"/v1/files/{file}", key=key).status, 200)
        pieces = f"SELECT count(*) FROM sluice.pieces WHERE id IN ('{inputs[0]}', '{inputs[1]}')"
        # The second batch waits for the first one, because their key has a budget.
        self.assertEqual(self.sql(pieces), [["2"]])
        self.assertEqual([server.ended_batch(name, key)["status"] for name in names], ["completed", "failed"])
        wait_until(lambda: self.sql(pieces) == [["0"]], "the bytes are removed")

    def test_either_server_shows_the_failed_lines_of_the_other(self) -> None:
        relay = self.relay("--delay-min", "0.2", "--delay-max", "0.3")
        one = self.host("one", relay, "--concurrency", "2")
        two = self.host("two", relay)
        sent = [batch("bad", chat("hi", max_tokens="x")), *chats(60)]
        file = one.upload(jsonl(sent)).json["id"]
        # The other server starts the batch only if this one does not.
        name = one.create(file).json["id"]

        def failed(server: Serve) -> list[str]:
            answer = server.call("GET", f"/sluice/batches/{name}/errors")
            self.assertEqual(answer.status, 200, answer.body)
            return [line["custom_id"] for line in answer.json["data"]]

        for server in (one, two):
            wait_until(lambda: failed(server) == ["bad"], "the failed line is shown")  # noqa: B023
        self.assertNotIn(one.batch(name)["status"], ("completed", "failed"))
        ended = one.ended_batch(name)
        self.assertEqual(ended["request_counts"], {"total": 61, "completed": 60, "failed": 1})
        self.assertEqual([failed(server) for server in (one, two)], [["bad"], ["bad"]])
        # Lost bytes are an error, not a batch without failures.
        three = self.host("three", relay)
        self.sql(f"DELETE FROM sluice.contents WHERE id = '{ended['error_file_id']}'")
        self.assertEqual(three.call("GET", f"/sluice/batches/{name}/errors").status, 500)

    def test_a_script_does_not_see_that_its_server_dies(self) -> None:
        # The first server needs many seconds for its batch, so it dies in the middle also if the second one starts slowly.
        relay = self.relay("--delay-min", "0.15", "--delay-max", "0.25")
        servers = [self.host("one", relay, "--concurrency", "2")]

        def attend(client: socket.socket) -> None:
            forward(client, next(server.port for server in servers if server.process.poll() is None))

        gate = Listener(attend)
        self.addCleanup(gate.stop)
        sent = chats(120)
        job = self.folder / "job.jsonl"
        job.write_bytes(jsonl(sent))
        script = subprocess.Popen([str(CLIENTS / "python/bin/python"), str(HERE / "clients/batch_sdk_poll.py"), str(job)],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                  env={**os.environ, "OPENAI_BASE_URL": f"http://127.0.0.1:{gate.port}/v1",
                                       "OPENAI_API_KEY": "any"})
        self.addCleanup(script.kill)
        wait_until(lambda: relay.attempts >= 30 or script.poll() is not None, "the batch is under way")
        servers.append(self.host("two", relay, "--concurrency", "4"))
        servers[0].kill()
        out, err = script.communicate(timeout=120)
        self.assertEqual((script.returncode, err), (0, ""))
        seen = json.loads(out)
        self.assertEqual(seen["status"], "completed")
        self.assertEqual(seen["counts"], {"total": 120, "completed": 120, "failed": 0})
        lines = [json.loads(line) for line in seen["output"].splitlines()]
        self.assertEqual(sorted(line["custom_id"] for line in lines), sorted(line["custom_id"] for line in sent))
        self.assertEqual(seen["input"].encode(), job.read_bytes())
        again = {text: count for text, count in self.sent_by(relay).items() if count > 1}
        # Requests that were in flight, and requests with new results that were not stored yet.
        self.assertLessEqual(len(again), 4 + 2)
        self.assertEqual(set(again.values()) - {2}, set())
        # A request that was in flight counts as maybe billed: its line counts both attempts.
        twice = {line["custom_id"] for line in lines if line["sluice"]["attempts"] == 2}
        self.assertGreaterEqual(len(twice), 1)
        self.assertTrue({f"question number {name[1:]} of the batch" for name in twice} >= set(again))

    def test_a_server_that_starts_again_goes_on_at_once(self) -> None:
        relay = self.relay("--delay-min", "0.02", "--delay-max", "0.05")
        flags = ("--concurrency", "4", "--lease", "10m")
        server = self.host("one", relay, *flags)
        sent = chats(100)
        name = server.start_batch(sent)["id"]
        wait_until(lambda: relay.attempts >= 30, "the batch is under way")
        server.kill()
        self.check_done(self.host("one", relay, *flags), name, sent)
        self.assertLessEqual(relay.attempts, 100 + 6)

    def test_a_frozen_server_sends_and_stores_nothing_when_it_wakes(self) -> None:
        relay = self.relay("--delay-min", "0.02", "--delay-max", "0.05")
        one = self.host("one", relay, "--concurrency", "4")
        sent = chats(150)
        name = one.start_batch(sent)["id"]
        wait_until(lambda: self.finished_lines(name) > 0, "results are stored")
        one.process.send_signal(signal.SIGSTOP)
        two = self.host("two", relay, "--concurrency", "4")
        wait_until(lambda: self.sql(f"SELECT epoch FROM sluice.batches WHERE id = '{name}'") == [["2"]],
                   "the other server takes the batch over", pause=0.1)
        one.process.send_signal(signal.SIGCONT)
        self.check_done(two, name, sent)
        again = [text for text, count in self.sent_by(relay).items() if count > 1]
        self.assertLessEqual(len(again), 4 + 4 + 2)
        # The frozen server works again, and serves the results of the other one.
        self.check_done(one, name, sent)
        other = one.start_batch(chats(5))
        self.check_done(two, other["id"], chats(5))

    def test_a_cancel_at_one_server_ends_the_batch_of_the_other(self) -> None:
        relay = self.relay("--delay-min", "0.2", "--delay-max", "0.3")
        one = self.host("one", relay, "--concurrency", "1")
        two = self.host("two", relay)
        name = one.start_batch(chats(500))["id"]
        wait_until(lambda: relay.attempts >= 3, "the batch is under way")
        self.assertEqual(two.call("POST", f"/v1/batches/{name}/cancel").json["status"], "cancelling")
        ended = two.ended_batch(name)
        self.assertEqual(ended["status"], "cancelled")
        self.one_each(two, ended, chats(500))

    def test_a_data_folder_belongs_to_one_server(self) -> None:
        relay = self.relay()
        self.host("one", relay)
        second = self.host("one", relay, ready=False)
        self.assertEqual(second.process.wait(30), 2)
        self.assertRegex(second.log.read_text(), r"server-name.*uses it")

    def test_a_budget_holds_over_all_servers(self) -> None:
        relay = self.relay("--delay-min", "0.01", "--delay-max", "0.02")
        keys = self.folder / "keys.toml"
        keys.write_text('[[key]]\nname = "alice"\nkey = "sk-alice-0123456789"\nbudget = "0.0002"\n')
        keys.chmod(0o600)
        servers = [self.host(name, relay, "--keys", str(keys)) for name in ("one", "two")]
        key = "sk-alice-0123456789"
        for server in servers:
            for _ in range(2):
                server.start_batch([batch(f"c{n}", chat(f"say {n}", max_tokens=40)) for n in range(60)], key)
        spent = "SELECT coalesce(sum(spent::numeric), 0), count(*) FILTER (WHERE sole) FROM sluice.batches"
        last = -1.0
        quiet = 0
        while quiet < 12:
            total, sole = self.sql(spent)[0]
            self.assertLessEqual(float(total), 0.0002)
            self.assertLessEqual(int(sole), 1)
            quiet = quiet + 1 if float(total) == last else 0
            last = float(total)
            time.sleep(0.5)
        self.assertGreater(last, 0.0001)


    def test_calls_at_all_servers_spend_one_budget(self) -> None:
        relay = self.relay("--delay-min", "0.01", "--delay-max", "0.05")
        keys = self.folder / "keys.toml"
        keys.write_text('[[key]]\nname = "alice"\nkey = "sk-alice-0123456789"\nbudget = "0.0004"\n')
        keys.chmod(0o600)
        key = "sk-alice-0123456789"
        servers = [self.host(name, relay, "--keys", str(keys)) for name in ("one", "two")]
        body = json.dumps(chat("say it", max_tokens=40)).encode()
        running = servers[0].start_batch([batch(f"c{n}", chat(f"say {n}", max_tokens=40)) for n in range(4)], key)
        self.assertEqual(servers[1].ended_batch(running["id"], key)["status"], "completed")
        served = [0, 0]

        def spend(which: int) -> None:
            # A call that does not fit is refused for now: calls at the other server may give money back. When twenty in
            # a row do not fit, no call is in flight any more.
            refused = 0
            while refused < 20:
                answer = servers[which].call("POST", "/v1/chat/completions", body, key)
                refused = 0 if answer.status == 200 else refused + 1
                served[which] += answer.status == 200
                if answer.status != 200:
                    self.assertEqual(answer.json["error"]["code"], "rate_limit_exceeded")
                    time.sleep(0.05)

        spenders = [threading.Thread(target=spend, args=(which,)) for which in (0, 0, 1, 1)]
        for each in spenders:
            each.start()
        for each in spenders:
            each.join()
        spent = ("SELECT (SELECT sum(spent::numeric) FROM sluice.call_spend) + "
                 "(SELECT sum(spent::numeric) FROM sluice.batches)")
        total = float(self.sql(spent)[0][0])
        self.assertLessEqual(total, 0.0004)
        self.assertGreater(total, 0.0003)
        self.assertGreater(min(served), 0)

    def test_a_cancel_at_one_server_ends_the_wait_at_the_other(self) -> None:
        relay = self.relay("--faults", "401=1")
        one = self.host("one", relay)
        name = one.start_batch(chats(5))["id"]
        wait_until(lambda: one.batch(name)["sluice"].get("waits"), "the batch waits")
        two = self.host("two", relay)
        self.assertEqual(two.call("POST", f"/v1/batches/{name}/cancel").json["status"], "cancelling")
        asked = time.monotonic()
        self.assertEqual(two.ended_batch(name)["status"], "cancelled")
        self.assertLess(time.monotonic() - asked, 15)  # the wait takes 30 s


class Limits(PostgresCase):
    def test_the_cap_holds_over_all_servers_as_the_relay_counts(self) -> None:
        relay = self.relay("--delay-min", "0", "--delay-max", "0.2")
        servers = [self.host(name, relay, "--rpm", "20") for name in ("one", "two")]
        batches = [(server, server.start_batch(chats(14))["id"]) for server in servers]
        for server, name in batches:
            ended = wait_until(lambda: (now := server.batch(name))["status"] == "completed" and now, "it ends",
                               patience=200, pause=0.5)
            self.one_each(server, ended, chats(14))
        self.assertLessEqual(relay.stats["max_in_60s"], 20)
        self.assertGreaterEqual(relay.stats["max_in_60s"], 18)


class Databases(PostgresCase):
    def test_restarts_under_load_lose_nothing(self) -> None:
        relay = self.relay("--delay-min", "0.02", "--delay-max", "0.05")
        servers = [self.host(name, relay, "--concurrency", "4") for name in ("one", "two")]
        made = [(server, server.start_batch(chats(100))["id"]) for server in servers for _ in range(2)]
        for end in (self.database.stop, self.database.kill, self.database.kill_9):
            before = relay.attempts
            wait_until(lambda: relay.attempts >= before + 40, "requests are sent")
            end()
            self.database.start()
        for server, name in made:
            self.check_done(server, name, chats(100))
        self.assertLessEqual(relay.attempts, 400 + 3 * 2 * 6)

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

        gate = Listener(attend)
        self.addCleanup(gate.stop)
        relay = self.relay("--delay-min", "0.005", "--delay-max", "0.02")
        server = self.host("one", relay, "--concurrency", "4", store=self.url(gate.port))
        sent = chats(60)
        names = [server.start_batch(sent)["id"] for _ in range(3)]
        for name in names:
            self.check_done(server, name, sent)
        self.assertGreater(len(lost), 10)
        self.assertEqual(len(server.call("GET", "/v1/batches").json["data"]), 3)
        self.assertEqual(relay.attempts, 180)

    def test_what_is_wrong_with_the_database_is_one_sentence(self) -> None:
        relay = self.relay()
        for store, words in (
                (self.database.url("nothing"), 'database "nothing" does not exist'),
                ("postgresql://postgres:SECRET@127.0.0.1:1/x", "cannot connect: .*refused"),
                (f"postgresql://postgres:SECRET@127.0.0.1:{self.database.port}/postgres", "authentication failed"),
                ("postgresql://postgres:SECR@ET@127.0.0.1/x", "--store: the URL has a second '@'"),
                ("mysql://u:SECRET@x/y", "--store: give sqlite, or postgresql://HOST/DATABASE")):
            with self.subTest(store):
                server = self.host("one", relay, store=store, ready=False)
                self.assertEqual(server.process.wait(30), 2)
                said = server.log.read_text()[server.begin:]
                self.assertRegex(said, words)
                self.assertNotIn("SECRET", said)
                self.assertEqual(len(said.strip().splitlines()), 1, said)

    def test_tables_of_a_newer_version_are_refused(self) -> None:
        relay = self.relay()
        self.host("one", relay).stop()
        self.sql("UPDATE sluice.versions SET version = 999")
        server = self.host("one", relay, ready=False)
        self.assertEqual(server.process.wait(30), 2)
        self.assertIn("a newer version of sluice made its tables", server.log.read_text())

    def test_the_least_rights_suffice(self) -> None:
        relay = self.relay()
        self.host("one", relay).stop()
        guide = (Path(HERE).parent.parent / "docs/serve.md").read_text()
        rights = guide.split("```sql\n")[1].split("```")[0]
        self.sql(rights.replace("SECRET", "x"))
        server = self.host("two", relay, store=f"postgresql://sluice_server:x@127.0.0.1:{self.database.port}/{self.name}")
        self.check_done(server, server.start_batch(chats(5))["id"], chats(5))
