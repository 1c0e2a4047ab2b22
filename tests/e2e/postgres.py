"""A temporary PostgreSQL for tests. It listens on a free TCP port and on a socket in its own folder. fsync is on unless
a setting turns it off. PostgreSQL refuses to run as root, so root starts it as the user `postgres` or `nobody`."""

import ctypes
import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time

from ports import free_port

PASSWORD = "p'w/ 1"
PASSWORD_IN_URL = "p%27w%2F%201"
PR_SET_PDEATHSIG = 1


def program(name):
    found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
    return found[-1] if found else name


class Postgres:
    """Starts in the constructor. A `with` statement, or close(), stops the server and removes its data."""

    def __init__(self, *settings, listen="127.0.0.1", standby_of=None, disks=None, environment=None):
        """`standby_of`: another Postgres; this one becomes its standby and receives its changes as they are made.
        `disks`: two sizes in the format of tmpfs. The server gets two disks of its own, for the tables and for the
        write-ahead log (WAL); without the right to mount, PermissionError is raised. `environment`: additional
        variables for the server."""
        self.settings = list(settings)
        self.listen = listen
        self.environment = environment or {}
        self.mounted = []
        self.dir = tempfile.mkdtemp(prefix="sluice-pg-")
        self.process = None
        self.user = None
        if os.geteuid() == 0:
            for name in ("postgres", "nobody"):
                try:
                    self.user = pwd.getpwnam(name)
                    break
                except KeyError:
                    pass
            os.chown(self.dir, self.user.pw_uid, self.user.pw_gid)
        self.data = os.path.join(self.dir, "data")
        self.log = os.path.join(self.dir, "log")
        self.wal = os.path.join(self.dir, "wal")
        try:
            for place, size in zip((self.data, self.wal), disks or ()):
                self._mount(place, size)
            self._create(standby_of)
            self.port = free_port()
            self.start()
        except BaseException:
            self.close()
            raise

    def _mount(self, place, size):
        os.mkdir(place)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", place],
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise PermissionError(f"mount: {done.stderr.strip()}")
        self.mounted.append(place)
        if self.user:
            os.chown(place, self.user.pw_uid, self.user.pw_gid)

    def _create(self, standby_of):
        if standby_of:
            self.run("pg_basebackup", "--no-sync", "--checkpoint=fast", "--write-recovery-conf", "--pgdata=" + self.data,
                     "--dbname=host={0.dir} port={0.port} user=postgres".format(standby_of))
        else:
            self._make_cluster()

    def _make_cluster(self):
        secret = os.path.join(self.dir, "password")
        with open(secret, "w") as out:
            out.write(PASSWORD + "\n")
        os.chmod(secret, 0o644)
        own_disk = ["--waldir=" + self.wal, "--wal-segsize=1"] if self.mounted else []
        self.run("initdb", *own_disk, "--no-sync", "--username=postgres", "--encoding=UTF8", "--locale=C",
                 "--auth-local=trust", "--auth-host=scram-sha-256", "--pwfile=" + secret, "--pgdata=" + self.data)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.process:
            self.kill()
        for place in self.mounted:
            subprocess.run(["umount", "-l", place], check=True)
        shutil.rmtree(self.dir, ignore_errors=True)

    def _as_user(self):
        if self.user:
            os.setgroups([])
            os.setgid(self.user.pw_gid)
            os.setuid(self.user.pw_uid)
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)

    def run(self, name, *arguments):
        """Runs one of PostgreSQL's own programs as the user of the server."""
        done = subprocess.run([program(name), *arguments], cwd=self.dir, capture_output=True, text=True,
                              preexec_fn=self._as_user)
        if done.returncode != 0:
            raise RuntimeError(f"{name}: {done.stdout}{done.stderr}")
        return done.stdout

    def own(self, path):
        """Copies a file so that only the user of the server may read the copy. Returns the path of the copy."""
        copy = os.path.join(self.dir, os.path.basename(path))
        if os.path.abspath(path) != copy:
            shutil.copyfile(path, copy)
        os.chmod(copy, 0o600)
        if self.user:
            os.chown(copy, self.user.pw_uid, self.user.pw_gid)
        return copy

    def spawn(self, *command, log):
        """Starts another program as the user of the server."""
        with open(log, "ab") as out:
            return subprocess.Popen(command, cwd=self.dir, stdout=out, stderr=out, preexec_fn=self._as_user)

    def only_tls(self):
        """From now on the server accepts TCP connections only with TLS."""
        with open(os.path.join(self.data, "pg_hba.conf"), "w") as rules:
            rules.write("local all all trust\nhostssl all all 127.0.0.0/8 scram-sha-256\n")
        self.sql("SELECT pg_reload_conf()")

    def url(self, database="postgres", port=None):
        return f"postgresql://postgres:{PASSWORD_IN_URL}@127.0.0.1:{port or self.port}/{database}"

    def socket_url(self, database="postgres"):
        return f"postgresql:///{database}?user=postgres&host={self.dir}&port={self.port}"

    def start(self):
        command = [program("postgres"), "-D", self.data, "-p", str(self.port), "-c", "listen_addresses=" + self.listen,
                   "-c", "unix_socket_directories=" + self.dir]
        for setting in self.settings:
            command += ["-c", setting]
        until = time.monotonic() + 60
        while time.monotonic() < until:
            if self.process is None or self.process.poll() is not None:
                # After kill_9() PostgreSQL refuses to start until all processes of the old server have ended.
                with open(self.log, "ab") as log:
                    self.process = subprocess.Popen(command, cwd=self.dir, stdout=log, stderr=log,
                                                    env=os.environ | self.environment, preexec_fn=self._as_user)
            if self._ready():
                return
            time.sleep(0.02)
        with open(self.log, errors="replace") as log:
            raise RuntimeError("PostgreSQL did not start: " + log.read()[-2000:])

    def _ready(self):
        try:
            with open(os.path.join(self.data, "postmaster.pid")) as state:
                lines = state.read().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.process.pid) and lines[7].startswith("ready")

    def _end(self, how):
        self.process.send_signal(how)
        self.process.wait()
        self.process = None

    def kill(self):
        """Stops the server without a checkpoint, like a power cut."""
        self._end(signal.SIGQUIT)

    def kill_9(self):
        """Kills only the postmaster. Its child processes notice that by themselves and end."""
        self._end(signal.SIGKILL)

    def stop(self):
        """Stops the server like an administrator: it rolls back open transactions."""
        self._end(signal.SIGINT)

    def promote(self):
        """Promotes a standby, so that it accepts writes."""
        self.run("pg_ctl", "promote", "--wait", "--pgdata=" + self.data)

    def sql(self, text, database="postgres"):
        """Runs SQL. Returns the rows of the last statement, as lists of text."""
        out = self.run("psql", "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1",
                       "-d", self.socket_url(database), "-c", text)
        return [line.split("\t") for line in out.splitlines()]
