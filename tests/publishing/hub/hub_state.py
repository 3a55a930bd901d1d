"""What a Hub on loopback knows and when it fails; `hub_server` answers from it."""

from __future__ import annotations

import hashlib
import re
import threading
from dataclasses import dataclass, field

TOKEN = "hf_" + "loopbackSecret" * 3
USER = "ada"
LARGE_BYTES = 20_000
"""From here on a file goes by LFS, as does every .safetensors."""


@dataclass
class Repository:
    """One repository and its history."""

    private: bool
    commits: list[dict[str, bytes]] = field(default_factory=lambda: [{".gitattributes": b"*.safetensors filter=lfs\n"}])
    messages: list[str] = field(default_factory=lambda: ["initial commit"])
    tags: dict[str, str] = field(default_factory=dict)
    proposals: list[dict[str, bytes]] = field(default_factory=list)

    @property
    def head(self) -> dict[str, bytes]:
        """Files of the last commit."""
        return self.commits[-1]

    @property
    def sha(self) -> str:
        """Hash of the last commit."""
        return commit_hash(len(self.commits) - 1)


def commit_hash(number: int) -> str:
    """What commit `number` is called."""
    return hashlib.sha1(str(number).encode()).hexdigest()


@dataclass
class Fault:
    """What goes wrong, once or more, when a request fits: "METHOD /path" is searched for `pattern`."""

    pattern: str
    status: int | None = None
    """Answered instead; None cuts the connection."""
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "a fault"
    times: int = 1
    after_bytes: int = 0
    """Of the body, read before the fault."""
    done_first: bool = False
    """Do what was asked, and only then fail: the answer is lost, not the request."""
    wait: threading.Event | None = None
    """Held up until this is set."""


class Hub:
    """What the server knows; its tests look in here."""

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.large: dict[str, bytes] = {}
        self.received: list[str] = []
        """SHA-256 of each large file that arrived whole, in order."""
        self.requests: list[str] = []
        self.faults: list[Fault] = []
        self.writable = {USER, "friends"}
        self.lock = threading.Lock()
        self.endpoint = ""

    def model(self, repo_id: str) -> Repository:
        """A model repository that must be there."""
        return self.repositories["model", repo_id]

    def count(self, pattern: str) -> int:
        """How many requests fit."""
        return sum(bool(re.search(pattern, request)) for request in self.requests)

    def fault_for(self, request: str) -> Fault | None:
        """A fault that applies, used up by one."""
        with self.lock:
            for fault in self.faults:
                if fault.times > 0 and re.search(fault.pattern, request):
                    fault.times -= 1
                    return fault
        return None
