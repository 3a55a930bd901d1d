"""A server of another engine as a process of our own, on loopback, for as long as it is asked."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def served(command: list[str], *, log: Path, environment: dict[str, str], wait_seconds: float) -> Iterator[str]:
    """Starts a server and gives its address once /health answers; ends it and all it started.

    command: `{port}` in it becomes a free port.   log: what it prints.
    Raises RuntimeError with the end of the log when it ends early or is not healthy in time.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with log.open("wb") as stream:
        server = subprocess.Popen(
            [part.replace("{port}", str(port)) for part in command],
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    try:
        _wait_until_healthy(server, address, log, wait_seconds)
        yield address
    finally:
        for end in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(server.pid, end)
                server.wait(timeout=20)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue
        server.wait()


def _wait_until_healthy(server: subprocess.Popen[bytes], address: str, log: Path, wait_seconds: float) -> None:
    until = time.monotonic() + wait_seconds
    while time.monotonic() < until:
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(1)
    tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
    raise RuntimeError(f"expected a server at {address} within {wait_seconds:.0f} s, found none. It said:\n{tail}")


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    """The JSON answer to a JSON request. Raises RuntimeError with what the server says against it."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            found: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"{url}: {error.code} {error.read().decode(errors='replace')[:500]}") from error
    return found
