"""A real RabbitMQ for tests: a node of its own with its own port mapper, so that nothing outlives it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.servers import free_ports

from zlotick.config import Secret

PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # the wrapper in the path wants to be root
_CONFIGURATION = """
listeners.tcp.local = 127.0.0.1:{port}
disk_free_limit.absolute = 50MB
vm_memory_high_watermark.absolute = 1GB
loopback_users = none
"""


class RabbitMQServer:
    """Killable; ``url`` is what a connector needs."""

    def __init__(self, home: Path) -> None:
        self.port, self._dist, self._epmd = free_ports(3)
        self.url = Secret(f"amqp://guest:guest@127.0.0.1:{self.port}/")
        self._home = home
        self._pid_file = home / "pid"
        (home / "plugins").write_text("[].")
        (home / "rabbitmq.conf").write_text(_CONFIGURATION.format(port=self.port))
        self._env = os.environ | {
            "HOME": str(home),
            "RABBITMQ_NODENAME": f"t{self.port}@localhost",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._dist),
            "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_PID_FILE": str(self._pid_file),
            "ERL_EPMD_PORT": str(self._epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, within: float = 90) -> None:
        with (self._home / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [PROGRAM], env=self._env, stdout=output, stderr=output, start_new_session=True
            )
        deadline = time.monotonic() + within
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                pytest.fail(f"RabbitMQ did not start: {(self._home / 'output').read_text()[-2000:]}")
            time.sleep(0.2)

    def _answers(self) -> bool:
        """Whether it speaks AMQP; the port is open a little earlier."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=2) as talk:
            talk.settimeout(2)
            talk.sendall(b"AMQP\x00\x00\x09\x01")
            return talk.recv(1) == b"\x01"
        return False

    def kill(self) -> None:
        """SIGKILL to the whole group: the shell around it would report the end otherwise."""
        if self._process and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)

    def end(self) -> None:
        self.kill()
        # The port mapper is a daemon and outlives its node.
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                env = (process / "environ").read_bytes()
                if (
                    f"ERL_EPMD_PORT={self._epmd}".encode() in env
                    and b"epmd" in (process / "comm").read_bytes()
                ):
                    os.kill(int(process.name), signal.SIGKILL)


@contextmanager
def rabbitmq(home: Path) -> Iterator[RabbitMQServer]:
    if not PROGRAM.exists() or not shutil.which("erl"):
        pytest.skip("RabbitMQ is not installed (apt install rabbitmq-server)")
    server = RabbitMQServer(home)
    try:
        server.start()
        yield server
    finally:
        server.end()
