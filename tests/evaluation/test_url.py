import json
import logging
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from personable.dialogue import Dialogue, Persona, Speaker
from personable.errors import RecipeError, ServerError
from personable.evaluation.seeds import seed_of
from personable.evaluation.url import UrlEngine, messages_of
from personable.reply import Sampling

KEY = "sk-very-secret-123"
RITA = Persona(("i sail boats.", "i have a cat."))
HISTORY = Dialogue(RITA).then(Speaker.PARTNER, "hi").then(Speaker.PERSONA, "hello").then(Speaker.PARTNER, "any pets?")
SAMPLING = Sampling(temperature=0.5, top_p=0.8, max_reply_tokens=12, seed=3)


@dataclass
class ChatServer:
    """A real server on this machine that answers each request with the next of `answers`, the last one for good."""

    answers: list[Any]
    """(status, body), a body alone, or a function of the request that gives either."""
    requests: list[Any] = field(default_factory=list)
    most_at_once: int = 0

    def __enter__(self):
        chat, lock, busy = self, threading.Lock(), []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    busy.append(1)
                    chat.most_at_once = max(chat.most_at_once, len(busy))
                    chat.requests.append((self.path, dict(self.headers), body))
                    answer = chat.answers.pop(0) if len(chat.answers) > 1 else chat.answers[0]
                if callable(answer):
                    answer = answer(body)
                with lock:
                    busy.pop()
                if answer is None:  # breaks off
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                status, said, headers = (*answer, {})[:3] if isinstance(answer, tuple) else (200, answer, {})
                data = (said if isinstance(said, str) else json.dumps(said)).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, *_):  # a client that has stopped waiting
                pass

        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def said(text):
    return {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}


def engine(url, **settings):
    return UrlEngine(url, "rita", **{"api_key": "", "backoff_seconds": 0.01, **settings})


@pytest.fixture(autouse=True)
def without_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def test_asks_for_a_reply_in_the_chat_protocol():
    with ChatServer([said(" a cat named tom \n")]) as server:
        assert engine(server.url, api_key=KEY).replies([HISTORY], SAMPLING) == ["a cat named tom"]
    ((path, headers, body),) = server.requests
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert body == {
        "model": "rita",
        "messages": [
            {"role": "system", "content": "i sail boats.\ni have a cat."},
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "hello"},
            {"role": "user", "content": "any pets?"},
        ],
        "temperature": 0.5,
        "top_p": 0.8,
        "max_tokens": 12,
        "seed": seed_of(HISTORY, 3),
    }


def test_the_key_is_the_environments_unless_given(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with ChatServer([said("hi")]) as server:
        UrlEngine(server.url, "rita").replies([HISTORY], SAMPLING)
        UrlEngine(server.url, "rita", api_key="").replies([HISTORY], SAMPLING.but(seed=None))
    (_, with_key, _), (_, without, _) = server.requests
    assert with_key["Authorization"] == f"Bearer {KEY}"
    assert "Authorization" not in without


def test_without_a_seed_none_is_sent():
    with ChatServer([said("hi")]) as server:
        engine(server.url).replies([HISTORY], Sampling())
    assert "seed" not in server.requests[0][2]


def test_a_chat_without_turns_begins_with_a_silent_partner():
    assert messages_of(Dialogue(RITA))[-1] == {"role": "user", "content": "..."}
    assert messages_of(Dialogue().then(Speaker.PARTNER, "hi")) == [{"role": "user", "content": "hi"}]


def test_many_are_asked_at_a_time_and_come_back_in_order():
    histories = [Dialogue(RITA).then(Speaker.PARTNER, f"number {place}") for place in range(9)]

    def echo(body):
        time.sleep(0.02 if body["messages"][-1]["content"].endswith(("0", "4")) else 0.005)
        return said(f"you said {body['messages'][-1]['content']}")

    seen = []
    with ChatServer([echo]) as server:
        replies = engine(server.url, concurrency=3).replies(histories, SAMPLING, lambda *done: seen.append(done))
    assert replies == [f"you said number {place}" for place in range(9)]
    assert seen == [(done, 9) for done in range(1, 10)]
    assert 1 < server.most_at_once <= 3
    assert len({body["seed"] for _, _, body in server.requests}) == 9


def test_a_null_content_is_an_empty_reply():
    with ChatServer([said(None)]) as server:
        assert engine(server.url).replies([HISTORY], SAMPLING) == [""]


def test_a_busy_server_is_asked_again():
    answers = [(429, "slow down", {"Retry-After": "0"}), (503, ""), None, said("at last")]
    with ChatServer(answers) as server:
        assert engine(server.url).replies([HISTORY], SAMPLING) == ["at last"]
    assert len(server.requests) == 4


def test_a_server_that_stays_busy_is_given_up():
    with ChatServer([(500, {"error": {"message": "out of memory"}})]) as server:
        with pytest.raises(ServerError, match=r"answered 500 each of 4 times: out of memory"):
            engine(server.url).replies([HISTORY], SAMPLING)
        assert len(server.requests) == 4


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            (401, {"error": {"message": f"bad key {KEY}"}}),
            r"refused the key .*bad key \*\*\*.*Next: set OPENAI_API_KEY",
        ),
        ((404, {"error": {"message": "The model `rita` does not exist"}}), r"no model 'rita'.*does not exist.*Next"),
        ((400, {"error": {"message": "too long"}}), r"answered 400: too long Next"),
        ((422, {"detail": [{"msg": "no seed, please"}]}), r"answered 422: .*no seed, please"),
        ((400, "<html>no</html>"), r"answered 400: <html>no</html>"),
        ((307, "", {"Location": "http://elsewhere/v1"}), r"redirects to http://elsewhere/v1, which is not followed"),
        ({"choices": []}, r"expected choices with a message, found '\{\"choices\": \[\]\}'"),
        ("<html>a web page</html>", r"expected choices.*a web page"),
        ([1], r"expected choices"),
    ],
)
def test_a_refusal_is_told_once_and_without_the_key(answer, expected):
    with ChatServer([answer]) as server:
        with pytest.raises(ServerError, match=expected) as raised:
            engine(server.url, api_key=KEY, concurrency=1).replies([HISTORY] * 20, SAMPLING)
        assert KEY not in str(raised.value)
        assert raised.value.__cause__ is None
        assert len(server.requests) == 1


def test_without_a_key_401_says_that_one_is_wanted():
    with ChatServer([(401, "who are you?")]) as server, pytest.raises(ServerError, match=r"wants a key: who are you\?"):
        engine(server.url).replies([HISTORY], SAMPLING)


def test_nothing_listens():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ServerError, match=rf"127.0.0.1:{port}/v1: nothing listens there. Next: start the server"):
        engine(f"http://127.0.0.1:{port}/v1").replies([HISTORY], SAMPLING)


def test_a_server_that_never_answers():
    late = pytest.raises(ServerError, match=r"expected a reply within 0.05 s")
    with ChatServer([lambda body: time.sleep(0.3)]) as server, late:
        engine(server.url, timeout_seconds=0.05).replies([HISTORY], SAMPLING)


def test_about_tells_no_secrets():
    found = UrlEngine("https://me:pass@example.com:8443/openai?api-version=1&key=x", "gpt", api_key=KEY)
    assert found.about == {"kind": "url", "name": "gpt", "url": "https://example.com:8443/openai"}


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://{host}", "/v1/chat/completions"),
        ("http://{host}/", "/v1/chat/completions"),
        ("http://{host}/api/v2/", "/api/v2/chat/completions"),
        ("http://{host}/v1/chat/completions", "/v1/chat/completions"),
        ("http://me:p%40ss@{host}/v1?x=1", "/v1/chat/completions?x=1"),
    ],
)
def test_where_the_request_goes(url, path):
    with ChatServer([said("hi")]) as server:
        engine(url.format(host=server.url.split("/")[2])).replies([HISTORY], SAMPLING)
    assert server.requests[0][0] == path
    if "@" in url:
        assert server.requests[0][1]["Authorization"] == "Basic bWU6cEBzcw=="


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://x/v1", "http://", "http://host:port/v1", "http://u:secret@:x"]
)
def test_what_is_no_url_is_refused(url):
    with pytest.raises(RecipeError, match="expected a URL") as raised:
        engine(url)
    assert "secret" not in str(raised.value)


def test_a_key_that_cannot_be_sent_is_refused_without_showing_it():
    with pytest.raises(RecipeError) as raised:
        engine("http://localhost/v1", api_key="sk-1\nX-Evil: 1")
    assert "sk-1" not in str(raised.value)


def test_settings_that_cannot_be_sent_are_said(caplog):
    with ChatServer([said("hi")]) as server, caplog.at_level(logging.WARNING):
        engine(server.url).replies([HISTORY], SAMPLING.but(top_k=5))
    assert "top_k" in caplog.text
