"""What the engines are asked, and what Personable answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice

from personable import starter
from personable.corpus import read_dialogues
from personable.dialogue import Dialogue, Speaker
from personable.encoding import Budget, encode_prompt
from personable.encoding.template import Message, as_messages
from personable.reply import Bot, Sampling

GREEDY = Sampling(temperature=0, repetition_penalty=1, max_reply_tokens=40)


@dataclass(frozen=True, slots=True)
class Answer:
    """One dialogue and the greedy reply to it."""

    messages: list[Message]
    """As any engine gets them."""
    prompt_ids: list[int]
    reply: str
    """Without white space around it."""


def asked(count: int) -> list[Dialogue]:
    """Beginnings of bundled dialogues, of one to seven turns, each up to something the partner says."""
    found = read_dialogues(starter.VALIDATION).dialogues
    beginnings = (
        replace(dialogue, turns=dialogue.turns[: place + 1])
        for shift, dialogue in enumerate(found)
        for place, turn in enumerate(dialogue.turns)
        if turn.speaker is Speaker.PARTNER and place // 2 == shift % 4
    )
    return list(islice(beginnings, count))


def answers(bot: Bot, count: int) -> list[Answer]:
    """Greedy replies of a loaded run, each with its prompt."""
    tokenizer = bot.base.tokenizer
    budget = Budget(bot.base.context_tokens, reply_tokens=GREEDY.max_reply_tokens)
    return [
        Answer(
            as_messages(dialogue, tokenizer),
            list(encode_prompt(dialogue, tokenizer, budget).input_ids),
            bot.reply(dialogue, GREEDY),
        )
        for dialogue in asked(count)
    ]
