import io

import pytest

from personable.chat.screen import PlainScreen
from personable.chat.session import Session
from personable.reply import Bot, Sampling, load
from tests.reply.memorised_run import OLEG, RITA, write_memorised_run

GREEDY = Sampling(temperature=0, repetition_penalty=1, max_reply_tokens=24)
WILD = Sampling(temperature=2, top_p=1, repetition_penalty=1, max_reply_tokens=8, seed=7)


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    return write_memorised_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def loaded(run):
    return load(run)


@pytest.fixture
def bot(loaded):
    return Bot(loaded.base)


@pytest.fixture
def pipe(bot):
    """Feeds lines to a session with Rita; gives the session, what it wrote and its hints."""

    def feed(*lines, persona=RITA, sampling=GREEDY):
        out, hints = io.StringIO(), io.StringIO()
        screen = PlainScreen(io.StringIO("".join(f"{line}\n" for line in lines)), out, hints)
        session = Session(bot, screen, persona, sampling, (RITA, OLEG))
        session.run()
        return session, out.getvalue().splitlines(), hints.getvalue()

    return feed
