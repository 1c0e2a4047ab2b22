"""Real servers between a client and a relay: nginx, haproxy, SOCKS and HTTP proxies.

Each is the program of its Debian package. It runs without privileges and in the foreground, on a free port of
127.0.0.1, with its config and logs in the test's folder.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

from ports import HOST, free_port
from support import PATIENCE, Server, wait_until

class Peer(Server):
    """A server. It listens when its constructor returns, and writes its output to `log`."""

    package: str

    def __init__(self, folder: Path, command: list[str], port: int) -> None:
        program = shutil.which(command[0], path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
        if not program:
            raise AssertionError(f"{command[0]} is missing: apt-get install {self.package}")
        self.port = port
        self.log = folder / f"{command[0]}-{port}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([program, *command[1:]], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=subprocess.STDOUT, text=True, cwd=folder)
        try:
            wait_until(self._listens, f"{command[0]} on port {port}")
        except BaseException:
            self.stop()
            raise

    def _listens(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"{self.package} ended with status {self.process.returncode}:\n{self.output}")
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), PATIENCE):
            return True
        return False

    @property
    def output(self) -> str:
        return self.log.read_text("utf-8", "replace")


class FrontEnd(Peer):
    """A server that speaks HTTP to the client, and writes a line of JSON for each answered request."""

    requests_log: Path

    @property
    def requests(self) -> list[dict[str, Any]]:
        lines = self.requests_log.read_text("utf-8", "replace").split("\n")[:-1]
        return [json.loads(line) for line in lines if line.startswith("{")]

    def requests_after(self, count: int) -> list[dict[str, Any]]:
        """Waits until there are `count` requests, and returns them. A line is written only after the reply."""
        return wait_until(lambda: len(self.requests) >= count and self.requests, f"{count} requests in the log")


class Nginx(FrontEnd):
    """nginx in front of the server at `upstream`. Parameters are config lines for the block of the same name."""

    package = "nginx"
    FIELDS = {"upstream": "$upstream_status", "connection": "$connection", "nth": "$connection_requests",
              "http": "$server_protocol", "tls": "$ssl_protocol", "alpn": "$ssl_alpn_protocol",
              "name": "$ssl_server_name", "reused": "$ssl_session_reused", "gzip": "$gzip_ratio"}
    LIKE_MANY = "proxy_http_version 1.1; proxy_set_header Connection '';"

    def __init__(self, folder: Path, upstream: int, *, http: str = "", server: str = "", location: str = LIKE_MANY,
                 path: str = "/", target: str = "", listen: str = "",
                 tls: tuple[Path, Path, Path] | None = None) -> None:
        port = free_port()
        home = folder / f"nginx-{port}"
        home.mkdir()
        self.requests_log = home / "requests.log"
        self.secure = tls is not None
        fields = ",".join(f'"{name}":"{value}"' for name, value in self.FIELDS.items())
        kept = "\n  ".join(f"{what}_temp_path {home}/{what};"
                           for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        certificate = f"ssl_certificate {tls[1]}; ssl_certificate_key {tls[2]};" if tls else ""
        config = home / "nginx.conf"
        config.write_text(f"""\
daemon off;
master_process off;
pid {home}/pid;
events {{ worker_connections 1000; }}
http {{
  {kept}
  log_format fields escape=json '{{"status":$status,"at":$msec,{fields}}}';
  access_log {self.requests_log} fields;
  {http}
  server {{
    listen {HOST}:{port}{" ssl" if tls else ""} {listen};
    {certificate}
    {server}
    location {path} {{
      proxy_pass http://{HOST}:{upstream}{target};
      {location}
    }}
  }}
}}
""")
        super().__init__(folder, ["nginx", "-e", "stderr", "-p", str(home), "-c", str(config)], port)

    @property
    def url(self) -> str:
        return f"{'https' if self.secure else 'http'}://{HOST}:{self.port}/v1"


class Haproxy(FrontEnd):
    """haproxy that terminates TLS in front of the server at `upstream`. `bind` and `frontend` are config lines."""

    package = "haproxy"
    FIELDS = {"http": "%HV", "tls": "%[ssl_fc_protocol]", "alpn": "%[ssl_fc_alpn]",
              "name": "%[ssl_fc_sni]", "reused": "%[ssl_fc_is_resumed]"}

    def __init__(self, folder: Path, upstream: int, tls: tuple[Path, Path, Path], *, bind: str = "",
                 frontend: str = "") -> None:
        port = free_port()
        both = folder / f"haproxy-{port}.pem"
        both.write_bytes(tls[1].read_bytes() + tls[2].read_bytes())
        fields = ",".join(f'"{name}":"{value}"' for name, value in self.FIELDS.items())
        config = folder / f"haproxy-{port}.cfg"
        config.write_text(f"""\
global
  log stdout format raw local0
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend tls
  bind {HOST}:{port} ssl crt {both} alpn h2,http/1.1 {bind}
  log global
  log-format '{{"status":%ST,{fields}}}'
  default_backend relay
  {frontend}
backend relay
  server relay {HOST}:{upstream}
""")
        super().__init__(folder, ["haproxy", "-db", "-f", str(config)], port)
        self.requests_log = self.log

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.port}/v1"


class Microsocks(Peer):
    """A SOCKS5 proxy. Its log has each target in the requested form: a name or an address."""

    package = "microsocks"

    def __init__(self, folder: Path, *, user: str = "", password: str = "") -> None:
        port = free_port()
        login = ["-u", user, "-P", password] if user else []
        super().__init__(folder, ["microsocks", "-i", HOST, "-p", str(port), *login], port)

    def served(self, host: str, port: int) -> int:
        """The number of connections to this target."""
        return self.output.count(f"connected to {host}:{port}\n")


class Tinyproxy(Peer):
    """An HTTP proxy. `request_lines` has the request lines that it received."""

    package = "tinyproxy-bin"

    def __init__(self, folder: Path, *, user: str = "", password: str = "") -> None:
        port = free_port()
        config = folder / f"tinyproxy-{port}.conf"
        login = f"BasicAuth {user} {password}\n" if user else ""
        config.write_text(f"Port {port}\nListen {HOST}\nAllow {HOST}\nTimeout 60\nMaxClients 200\n{login}")
        super().__init__(folder, ["tinyproxy", "-d", "-c", str(config)], port)

    @property
    def request_lines(self) -> list[str]:
        return [line.partition("): ")[2] for line in self.output.split("\n") if "Request (file descriptor" in line]


class Dead:
    """A port that refuses all connections while this object exists."""

    def __init__(self) -> None:
        self._bound = socket.socket()
        self._bound.bind((HOST, 0))  # bound but not listening: no other program gets the port
        self.port = int(self._bound.getsockname()[1])

    def stop(self) -> None:
        self._bound.close()
