"""A model behind a URL: any server that speaks OpenAI's chat protocol.

Asked through the standard library: huggingface_hub's InferenceClient would send the Hub token of whoever is logged in
to the server, whichever that is, and refuses to work offline even for a server on this machine.
"""

from __future__ import annotations

import base64
import http.client
import json
import logging
import os
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from personable.dialogue import Dialogue
from personable.encoding.template import ROLES
from personable.errors import RecipeError, ServerError
from personable.evaluation.engine import OnProgress, no_progress
from personable.evaluation.seeds import seed_of
from personable.reply import Sampling

log = logging.getLogger(__name__)

_ATTEMPTS = 4
_LONGEST_WAIT_SECONDS = 30.0
_MOST_BYTES = 2**24
_BUSY = frozenset({408, 409, 429, 500, 502, 503, 504})
"""Answers that may be others a moment later."""


SENT = ("temperature", "top_p", "max_reply_tokens", "seed")
"""Of the sampling settings, those that a server is told; the others are its own."""


class UrlEngine:
    """A model behind a URL. Gives replies, no log-probabilities."""

    def __init__(
        self,
        url: str,
        model: str,
        *,
        api_key: str | None = None,
        timeout_seconds: float = 120.0,
        concurrency: int = 4,
        backoff_seconds: float = 1.0,
    ) -> None:
        """url: up to where `/chat/completions` follows, such as http://localhost:8000/v1.

        api_key: the environment's OPENAI_API_KEY if None; none is sent where there is none.
        timeout_seconds: for one reply.   concurrency: replies asked for at a time.
        backoff_seconds: before asking a busy server again; twice as long each time.
        Raises RecipeError for a URL or key that cannot be one.
        """
        parts = _checked(url)
        self.model, self.timeout_seconds, self.backoff_seconds = model, timeout_seconds, backoff_seconds
        if concurrency < 1:
            raise RecipeError(f"expected a concurrency of at least 1, found {concurrency}")
        self.concurrency = concurrency
        self._endpoint = _endpoint(parts)
        self._shown = urlunsplit((parts.scheme, _host(parts), parts.path, "", ""))
        self._authorization = _authorization(parts, os.environ.get("OPENAI_API_KEY") if api_key is None else api_key)
        self._opener = urllib.request.build_opener(_NoRedirects)

    @property
    def about(self) -> dict[str, object]:
        """What it is, ready for JSON; no key, no password, no query."""
        return {"kind": "url", "name": self.model, "url": self._shown}

    def replies(
        self, histories: Sequence[Dialogue], sampling: Sampling, on_progress: OnProgress = no_progress
    ) -> list[str]:
        """The next reply to each history. Sent are temperature, top_p, max_tokens, and with a seed `seed_of(history)`.

        Raises ServerError when the server cannot be reached, refuses, or stays busy.
        """
        if (sampling.top_k, sampling.min_p, sampling.repetition_penalty) != (0, 0.0, 1.0):
            log.warning("top_k, min_p and repetition_penalty are not sent: the chat protocol has no such settings")
        replies = [""] * len(histories)
        over = threading.Event()

        def reply(history: Dialogue) -> str:
            try:
                return "" if over.is_set() else self._reply(history, sampling, over)
            except ServerError:
                over.set()
                raise

        pool = ThreadPoolExecutor(self.concurrency, thread_name_prefix="personable-url")
        try:
            asked = {pool.submit(reply, history): place for place, history in enumerate(histories)}
            for done, answered in enumerate(as_completed(asked), start=1):
                replies[asked[answered]] = answered.result()
                on_progress(done, len(histories))
        finally:
            over.set()
            pool.shutdown(wait=False, cancel_futures=True)
        return replies

    def _reply(self, history: Dialogue, sampling: Sampling, over: threading.Event) -> str:
        question: dict[str, object] = {
            "model": self.model,
            "messages": messages_of(history),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_reply_tokens,
        }
        if sampling.seed is not None:
            question["seed"] = seed_of(history, sampling.seed)
        answer = self._answer(question, over)
        try:
            content = json.loads(answer)["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError):
            raise ServerError(
                f"{self._shown}: expected choices with a message, found {self._safe(answer)!r}. "
                "Next: check that the URL is that of an OpenAI-compatible server, such as http://localhost:8000/v1."
            ) from None
        if not isinstance(content, str):
            return ""  # null where a model says nothing
        return content.encode("utf-8", "replace").decode("utf-8").strip()  # JSON may hold half a character

    def _answer(self, question: dict[str, object], over: threading.Event) -> str:
        wait = self.backoff_seconds
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._asked_once(question)
            except urllib.error.HTTPError as error:
                with error:
                    refusal = self._refusal(error)
                if error.code not in _BUSY or attempt == _ATTEMPTS:
                    raise refusal from None
                wait = max(wait, _asked_to_wait(error))
            except (http.client.HTTPException, ConnectionError, TimeoutError, OSError) as error:
                # URLError wraps what went wrong while connecting.
                cause = error.reason if isinstance(error, urllib.error.URLError) else error
                if not isinstance(cause, _BROKEN_OFF) or attempt == _ATTEMPTS:
                    raise self._unreachable(cause) from None
            log.info("%s is busy; asking again in %.0f s", self._shown, wait)
            if over.wait(min(wait, _LONGEST_WAIT_SECONDS)):
                return ""  # nobody waits for it any more
            wait *= 2
        raise AssertionError("the last attempt returns or raises")

    def _asked_once(self, question: dict[str, object]) -> str:
        headers = {"Content-Type": "application/json", "User-Agent": "personable"} | self._authorization
        body = json.dumps(question).encode()
        request = urllib.request.Request(self._endpoint, body, headers, method="POST")
        with self._opener.open(request, timeout=self.timeout_seconds) as response:
            answer: bytes = response.read(_MOST_BYTES)
        return answer.decode("utf-8", "replace")

    def _refusal(self, error: urllib.error.HTTPError) -> ServerError:
        said = self._safe(_message(error.read(_MOST_BYTES)))
        place = f"{self._shown} answered {error.code}"
        if error.code in (401, 403):
            key = "refused the key in OPENAI_API_KEY" if self._authorization else "wants a key"
            return ServerError(f"{place}: it {key}: {said} Next: set OPENAI_API_KEY to a key that is valid there.")
        if error.code == 404:
            return ServerError(
                f"{place}: no model {self.model!r}, or no chat protocol there: {said} Next: check the model's name, "
                "and that the URL ends where /chat/completions follows, such as http://localhost:8000/v1."
            )
        if 300 <= error.code < 400:
            return ServerError(
                f"{place}: it redirects to {self._safe(error.headers.get('Location', ''))}, which is not followed, so "
                "that no key goes astray. Next: name that URL."
            )
        if error.code in _BUSY:
            return ServerError(f"{place} each of {_ATTEMPTS} times: {said} Next: try later, or with less at a time.")
        return ServerError(f"{place}: {said} Next: mend what it complains of.")

    def _unreachable(self, cause: object) -> ServerError:
        if isinstance(cause, TimeoutError):
            return ServerError(
                f"{self._shown}: expected a reply within {self.timeout_seconds:g} s, found none. "
                "Next: a longer timeout, or less at a time."
            )
        if isinstance(cause, ConnectionRefusedError):
            return ServerError(f"{self._shown}: nothing listens there. Next: start the server, or check host and port.")
        if isinstance(cause, socket.gaierror):
            return ServerError(f"{self._shown}: no such host. Next: check the URL and the network.")
        return ServerError(f"{self._shown}: cannot be reached: {self._safe(str(cause))} Next: check URL and network.")

    def _safe(self, text: str) -> str:
        """What somebody else wrote, short, and without the key even if they repeat it."""
        for value in self._authorization.values():
            text = text.replace(value.partition(" ")[2], "***")
        text = " ".join(text.split())
        return text if len(text) <= 300 else text[:299] + "…"


_BROKEN_OFF = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError, http.client.RemoteDisconnected)


def messages_of(history: Dialogue) -> list[dict[str, str]]:
    """The chat messages of a history: the persona as system message, then turns. A reply that opens the dialogue
    follows "...", as most servers refuse a chat that no user has begun."""
    persona = history.persona.text.strip()
    messages = [{"role": "system", "content": persona}] if persona else []
    if not history.turns:
        return [*messages, {"role": "user", "content": "..."}]
    return messages + [{"role": ROLES[turn.speaker], "content": turn.text.strip()} for turn in history.turns]


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is an error: following it would send the key along, and change POST to GET."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        usable = False
    if not usable:
        shown = "one with a password" if "@" in url else repr(url[:200])
        raise RecipeError(f"expected a URL such as http://localhost:8000/v1, found {shown}.")
    return parts


def _host(parts: SplitResult) -> str:
    """Host and port, without user and password."""
    return parts.netloc.rpartition("@")[2]


def _endpoint(parts: SplitResult) -> str:
    path = parts.path.rstrip("/") or "/v1"
    if not path.endswith("/chat/completions"):
        path += "/chat/completions"
    return urlunsplit((parts.scheme, _host(parts), path, parts.query, ""))


def _authorization(parts: SplitResult, key: str | None) -> dict[str, str]:
    key = (key or "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise RecipeError("expected OPENAI_API_KEY to be letters, digits and punctuation only, found other characters.")
    if key:
        return {"Authorization": f"Bearer {key}"}
    if parts.password is not None:
        given = f"{unquote(parts.username or '')}:{unquote(parts.password)}"
        return {"Authorization": "Basic " + base64.b64encode(given.encode()).decode()}
    return {}


def _message(body: bytes) -> str:
    """What a server says is wrong: OpenAI's error object, FastAPI's detail, or the text as it stands."""
    text = body.decode("utf-8", "replace")
    try:
        found = json.loads(text)
        for name in ("error", "message", "detail"):
            while isinstance(found, dict) and name in found:
                found = found[name]
    except ValueError:
        found = text
    return found if isinstance(found, str) else json.dumps(found)


def _asked_to_wait(error: urllib.error.HTTPError) -> float:
    seconds = error.headers.get("Retry-After", "")
    return float(seconds) if seconds.isdecimal() else 0.0  # else absent, or a date
