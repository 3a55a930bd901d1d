"""Calls to the Hub that outlast what passes, and say plainly what does not.

The Hub's client repeats most of an upload by itself (upload modes, large files), but neither the creation of a
repository nor the commit nor the tag. `Caller` repeats every call, within bounds, and shows nobody the token.
"""

from __future__ import annotations

import logging
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import _http, disable_progress_bars

from personable.errors import PublishError

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

PASSING = frozenset({408, 429, 500, 502, 503, 504})
"""Status codes that often differ a moment later."""
OVERTAKEN = frozenset({409, 412})
"""Status codes of a commit that somebody else's commit came before."""
_TOKEN_PAGE = "https://huggingface.co/settings/tokens"
_AGAIN = "give the same command again; what has arrived is not sent twice"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to bear with a Hub that does not answer as it should."""

    tries: int = 5
    """Of each call, the first included."""
    first_wait_seconds: float = 1.0
    """Before the second try; twice as long before each further one."""
    longest_wait_seconds: float = 300.0
    """What a Retry-After may ask for: the Hub counts requests over five minutes."""
    connect_seconds: float = 10.0
    stall_seconds: float = 300.0
    """Without a byte either way, after which a connection counts as cut."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Makes calls to one repository of one Hub."""

    token: str
    endpoint: str
    repo_id: str
    patience: Patience = Patience()

    def call(
        self,
        step: str,
        action: Callable[[], Answer],
        *,
        repeat_on: frozenset[int] = PASSING,
        repeat_when_cut: bool = True,
    ) -> Answer:
        """What `action` returns, tried again after what passes. Raises PublishError, which names the step.

        step: what was to be done, as in "expected to <step>".
        repeat_on: status codes to try again after.   repeat_when_cut: whether to do so when no answer came.
        """
        for number in range(1, self.patience.tries + 1):
            try:
                return action()
            except Exception as error:  # the Hub's client raises OSError, ValueError, RuntimeError and httpx's own
                status, cut = _status(error), _was_cut(error)
                wait = _asked_wait(error)
                if wait is None:
                    wait = self.patience.first_wait_seconds * 2 ** (number - 1)
                passes = status in repeat_on or (cut and repeat_when_cut)
                if not passes or number == self.patience.tries or wait > self.patience.longest_wait_seconds:
                    raise self._explained(step, error) from (error if self._may_be_shown(error) else None)
                said = f"answered {status}" if status else "cut the connection or could not be reached"
                log.warning("the Hub %s when asked to %s; trying again in %.3g s", said, step, wait)
                time.sleep(wait)
        raise AssertionError("tries is at least 1")

    def _may_be_shown(self, error: Exception) -> bool:
        """Whether a traceback with the error in it, and all that it was raised from, would keep the secrets."""
        shown = "".join(traceback.format_exception(error))
        return redacted(shown, self.token) == shown

    def _explained(self, step: str, error: Exception) -> PublishError:
        status = _status(error)
        if isinstance(error, OfflineModeIsEnabled):
            return offline()
        if _was_cut(error):
            found, next_step = f"no connection to {self.endpoint} that lasts ({_said(error)})", _AGAIN
        elif status is None:
            by_xet = any("xet" in f"{type(each).__module__} {each}".lower() for each in _causes(error))
            found = _said(error)
            next_step = f"set HF_HUB_DISABLE_XET=1, then {_AGAIN}" if by_xet else "mend that"
        else:
            found, next_step = f"the answer {status}: {_said(error)}", self._next_step(status, error)
        text = f"expected to {step} on {self.endpoint}, found {found.rstrip('.')}. Next: {next_step}."
        return PublishError(redacted(text, self.token))

    def _next_step(self, status: int, error: Exception) -> str:
        owner = self.repo_id.partition("/")[0]
        if status == 401:
            return f"make a token with write access ({_TOKEN_PAGE}) and give it as HF_TOKEN, or with `hf auth login`"
        if status == 402:
            return "the Hub asks for a subscription for this; see https://huggingface.co/pricing"
        if status == 403:
            return (
                f"take a token that may write to {owner} ({_TOKEN_PAGE}: role write, or fine-grained with write access "
                f"to {owner}), publish under a name of your own, or propose the files with --create-pr"
            )
        if status == 404:
            return f"check the name {self.repo_id}, and that the token may see it"
        if status in OVERTAKEN:
            return f"somebody else is changing {self.repo_id}; wait until they are done, then {_AGAIN}"
        if status == 429:
            wait = _asked_wait(error)
            return f"wait {f'{wait:.0f} seconds' if wait else 'five minutes'}, then {_AGAIN}"
        if status in PASSING:
            return f"see https://status.huggingface.co, then {_AGAIN}"
        return "mend what it says"


def offline() -> PublishError:
    """The error for a machine that is told not to use the network."""
    return PublishError(
        "expected to be allowed to reach the Hub, found HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE set. "
        "Next: unset it, or look at what would be sent with --dry-run."
    )


def redacted(text: str, token: str) -> str:
    """The text without the token and without what signs a web address."""
    text = text.replace(token, "(token)") if token else text
    return re.sub(r"(https?://[^\s?'\"]+)\?[^\s'\"]+", r"\1", text)


@contextmanager
def discreet_client(token: str, patience: Patience) -> Iterator[None]:
    """Within it, the Hub's client gives up on stalled connections, logs no token and draws bars on terminals only."""
    before = _http._GLOBAL_CLIENT_FACTORY  # there is no public way to ask

    def factory() -> Any:
        client = before()
        stall = patience.stall_seconds
        client.timeout = (patience.connect_seconds, stall, stall, stall)
        return client

    handlers, redacting = logging.getLogger("huggingface_hub").handlers, _Redacting(token)
    with ExitStack() as stack:
        if not sys.stderr.isatty() and constants.HF_HUB_DISABLE_PROGRESS_BARS is None:
            stack.enter_context(disable_progress_bars())
        for handler in handlers:
            handler.addFilter(redacting)
            stack.callback(handler.removeFilter, redacting)
        _http.set_client_factory(factory)
        stack.callback(_http.set_client_factory, before)
        yield


class _Redacting(logging.Filter):
    def __init__(self, token: str) -> None:
        super().__init__()
        self.token = token

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redacted(record.getMessage(), self.token), ()
        return True


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from: the client wraps what happens to a large file."""
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__


def _status(error: Exception) -> int | None:
    return next((int(each.response.status_code) for each in _causes(error) if isinstance(each, HfHubHTTPError)), None)


def _was_cut(error: Exception) -> bool:
    return any(isinstance(each, _http._DEFAULT_RETRY_ON_EXCEPTIONS) or _cut_xet(each) for each in _causes(error))


def _cut_xet(error: BaseException) -> bool:
    """Uploads by Xet say everything with Python's own ConnectionError, answers of a server as well."""
    return type(error) is ConnectionError and "status client error" not in str(error)


def _asked_wait(error: Exception) -> float | None:
    """Seconds that the Hub asks to wait; None where it asks for nothing."""
    for each in _causes(error):
        if isinstance(each, HfHubHTTPError):
            headers = each.response.headers
            limit = _http.parse_ratelimit_headers(headers)
            if each.response.status_code == 429 and limit is not None and limit.remaining == 0:
                return float(limit.reset_in_seconds)
            return _seconds(headers.get("Retry-After"))
    return None


def _seconds(retry_after: str | None) -> float | None:
    if retry_after is None:
        return None
    if retry_after.strip().isdigit():
        return float(retry_after)
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):  # neither a number nor a date
        return None


def _said(error: Exception) -> str:
    """What the Hub says in its own words where it does, else the first line of the innermost error."""
    causes = list(_causes(error))
    for each in causes:
        if isinstance(each, HfHubHTTPError) and each.server_message:
            return " ".join(str(each.server_message).split())[:300]
    lines = [line.strip() for line in str(causes[-1]).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(causes[-1]).__name__
