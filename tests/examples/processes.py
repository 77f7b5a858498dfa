"""Programs of the examples, started as whoever runs them starts them, and asked over loopback."""

import socket
import subprocess
import time
from contextlib import contextmanager

import httpx


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def started(command, log, **options):
    """A process while the block lasts; what it writes goes to a file."""
    with log.open("w") as told, subprocess.Popen(command, stdout=told, stderr=told, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def status_when_it_listens(address, process, log):
    """The status of the first answer."""
    while process.poll() is None:
        try:
            return httpx.get(address, trust_env=False, timeout=60).status_code
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(log.read_text())
