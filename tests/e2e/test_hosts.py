"""One job on four hosts. Each host is a network namespace on one bridge. One worker is killed, one is frozen for longer
than its lease, one loses its network, and the database dies."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import unittest

from support import Run, chats, wait_until
from test_cluster import ClusterCase, steady
from test_serve_postgres import forward

CAP = 150


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Network:
    """A bridge with hosts. A host can only reach this machine, at `address`."""

    def __init__(self, hosts: int) -> None:
        # A new random name each time: the kernel removes a deleted network only some time later.
        self.name = f"sl{random.randrange(16**6):06x}"
        net = f"10.{random.randrange(64, 250)}.{random.randrange(250)}"
        self.address = f"{net}.1"
        self.hosts: list[str] = []
        ip("link", "add", self.name, "type", "bridge")
        try:
            ip("addr", "add", f"{self.address}/24", "dev", self.name)
            ip("link", "set", self.name, "up")
            for number in range(hosts):
                host = f"{self.name}-{number}"
                ip("netns", "add", host)
                self.hosts.append(host)
                ip("link", "add", host, "type", "veth", "peer", "name", "eth0", "netns", host)
                ip("link", "set", host, "master", self.name, "up")
                ip("-n", host, "addr", "add", f"{net}.{number + 10}/24", "dev", "eth0")
                ip("-n", host, "link", "set", "eth0", "up")
        except BaseException:
            self.close()
            raise

    def cut_off(self, number: int) -> None:
        """Disconnects a host: its packets are lost, and no connection is refused or reset."""
        ip("link", "set", self.hosts[number], "down")

    def connect(self, number: int) -> None:
        ip("link", "set", self.hosts[number], "up")

    def close(self) -> None:
        for host in self.hosts:
            subprocess.run(["ip", "netns", "del", host], capture_output=True)
        subprocess.run(["ip", "link", "del", self.name], capture_output=True)


def has_namespaces() -> bool:
    if os.geteuid() != 0 or not shutil.which("ip"):
        return False
    try:
        Network(1).close()
    except subprocess.CalledProcessError:
        return False
    return True


@unittest.skipUnless(has_namespaces(), "making network namespaces needs root")
class Hosts(ClusterCase):
    def setUp(self) -> None:
        super().setUp()
        self.network = Network(4)
        self.addCleanup(self.network.close)

    def here(self, port: int) -> int:
        """Makes a port of this machine reachable for the hosts. Returns the port that they must use."""
        return self.listener(lambda client: forward(client, port), self.network.address).port

    def on_host(self, number: int, relay_port: int, store: str) -> Run:
        return self.start("work", "--store", store, "--base-url", f"http://{self.network.address}:{relay_port}/v1",
                          "--rpm", CAP, "--concurrency", 8, "--lease", "5s", "--give-up-after", "5m",
                          wrap=["ip", "netns", "exec", self.network.hosts[number]],
                          env={"XDG_STATE_HOME": str(self.folder / f"host{number}")})

    def leased(self, worker: Run, what: str = "count(DISTINCT c.number)") -> int:
        """The number of chunks that a worker has leased, or the SQL expression `what` over these chunks."""
        query = (f"SELECT {what} FROM sluice.job_chunks c LEFT JOIN sluice.job_attempts a ON a.job = c.job AND a.open "
                 "AND a.line BETWEEN c.first_line AND c.last_line "
                 f"WHERE c.state = 1 AND c.worker LIKE '%-{worker.process.pid}-%'")
        return int(self.database.sql(query, self.name)[0][0])

    def in_flight(self, worker: Run) -> int:
        return self.leased(worker, "count(a.line)")

    def test_a_job_ends_like_on_one_host_whatever_happens_to_the_four(self) -> None:
        relay = self.relay("--delay-min", "0.4", "--delay-max", "0.8")
        job = self.job(chats(CAP + 60))
        fast = self.relay()
        self.run_job(job, fast, "--ordered")
        alone = self.results(job)
        expected, cost = [steady(line) for line in alone.output], alone.totals["cost_usd"]
        for path in alone.paths:
            path.unlink()
        self.enqueue(job, "--budget", "1")
        relay_port, database_port = self.here(relay.port), self.here(self.database.port)
        store = self.store.replace(f"127.0.0.1:{self.database.port}", f"{self.network.address}:{database_port}")
        self.assertNotEqual(store, self.store)
        killed, frozen, cut, well = (self.on_host(number, relay_port, store) for number in range(4))
        wait_until(lambda: relay.attempts >= 20, "the job is under way")
        wait_until(lambda: self.in_flight(killed) > 0, "the first has requests in flight", patience=150)
        killed.signal(signal.SIGKILL)
        # The slots that a dead host holds in the window become free after a minute.
        wait_until(lambda: self.in_flight(frozen) > 0, "the second has requests in flight", patience=150)
        frozen.signal(signal.SIGSTOP)
        wait_until(lambda: self.in_flight(cut) > 0, "the third has requests in flight", patience=150)
        self.network.cut_off(2)
        self.assertGreater(self.leased(killed) + self.leased(frozen) + self.leased(cut), 0)
        wait_until(lambda: not any(map(self.leased, (killed, frozen, cut))), "the last one takes over", patience=150)
        self.assertIn("took over a chunk", well.err)
        frozen.signal(signal.SIGCONT)
        self.network.connect(2)
        wait_until(lambda: relay.attempts >= 90, "all go on", patience=150)
        self.database.kill_9()
        self.database.start()
        for worker in (frozen, cut, well):
            self.assertEqual(worker.wait(300).code, 0, worker.err)
        results = self.collect(job)
        self.one_each(job, results)
        self.assertEqual([steady(line) for line in results.output], expected)
        self.assertLessEqual(relay.stats["max_in_60s"], CAP)
        totals, listed = results.totals, self.jobs()[0]
        self.assertEqual(totals["cost_usd"], cost)
        # Three workers lost up to eight requests in flight each. The outage of the database costs no more.
        self.check_attempts(relay, results, 3 * 2 * 8)
        self.assertLessEqual(float(listed["spent_usd"]) + float(listed["reserved_usd"]), 1)
        self.assertGreaterEqual(float(listed["spent_usd"]), float(cost))


if __name__ == "__main__":
    unittest.main()
