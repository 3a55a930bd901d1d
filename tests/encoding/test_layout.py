"""What a model sees, token by token."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from personable import Dialogue, Persona, Speaker, Turn
from personable.encoding import Budget, encode_dialogue, encode_prompt, turn_end_ids
from personable.encoding.template import as_messages, special_texts
from personable.errors import BadBase, EncodingError
from tests.tiny import ALTERNATING, CHATML, chatml_tokenizer, random_dialogue, tiny_tokenizer

ROOMY = Budget(100_000, 100)
TEMPLATES: dict[str, Callable[[], Any]] = {
    "gpt2": tiny_tokenizer,
    "chatml": chatml_tokenizer,
    "alternating": lambda: chatml_tokenizer(ALTERNATING),
}


@pytest.fixture(params=TEMPLATES)
def tokenizer(request):
    return TEMPLATES[request.param]()


def said(*texts: str, facts: tuple[str, ...] = ("I am Ada.", "I keep bees.")) -> Dialogue:
    speakers = (Speaker.PARTNER, Speaker.PERSONA)
    return Dialogue(Persona(facts), tuple(Turn(speakers[place % 2], text) for place, text in enumerate(texts)))


def learnt_text(encoded, tokenizer) -> list[str]:
    stretches, current = [], []
    for token, learnt in zip(encoded.input_ids, encoded.learn_mask, strict=True):
        if learnt:
            current.append(token)
        elif current:
            stretches.append(tokenizer.decode(current))
            current = []
    return stretches + ([tokenizer.decode(current)] if current else [])


def test_gpt2_layout_is_persona_then_marked_turns() -> None:
    tokenizer = tiny_tokenizer()
    encoded = encode_dialogue(said("Hi.", "Hello!"), tokenizer, ROOMY)
    end = "<|endoftext|>"
    assert tokenizer.decode(encoded.input_ids) == f"I am Ada.\nI keep bees.{end}You: Hi.{end}Me: Hello!{end}"
    assert learnt_text(encoded, tokenizer) == [f" Hello!{end}"]
    assert encoded.positions == tuple(range(len(encoded.input_ids)))


def test_mask_covers_each_reply_and_the_token_that_ends_it(tokenizer) -> None:
    encoded = encode_dialogue(said("Hi.", "Hello!", "Who are you?", "I'm Ada."), tokenizer, ROOMY)
    end = tokenizer.eos_token
    assert [text.strip() for text in learnt_text(encoded, tokenizer)] == [f"Hello!{end}", f"I'm Ada.{end}"]


def test_learning_the_partner_too_adds_the_partners_turns() -> None:
    tokenizer = tiny_tokenizer()
    encoded = encode_dialogue(said("Hi.", "Hello!"), tokenizer, ROOMY, learn_partner=True)
    assert learnt_text(encoded, tokenizer) == [" Hi.<|endoftext|>", " Hello!<|endoftext|>"]


def test_a_thousand_random_dialogues_are_what_apply_chat_template_gives(tokenizer) -> None:
    draw = random.Random(1)
    for _ in range(1000):
        dialogue = random_dialogue(draw)
        messages = as_messages(dialogue, tokenizer)
        encoded = encode_dialogue(dialogue, tokenizer, ROOMY)
        assert list(encoded.input_ids) == tokenizer.apply_chat_template(messages, return_dict=False)
        prompt = encode_prompt(dialogue, tokenizer, ROOMY)
        expected = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        assert list(prompt.input_ids) == expected


def test_a_prompt_is_the_beginning_of_the_dialogue_with_its_reply(tokenizer) -> None:
    draw = random.Random(2)
    for _ in range(300):
        dialogue = random_dialogue(draw, odd=False).then(Speaker.PARTNER, "and you?")
        prompt = encode_prompt(dialogue, tokenizer, ROOMY).input_ids
        whole = encode_dialogue(dialogue.then(Speaker.PERSONA, "fine, I'm Ada"), tokenizer, ROOMY)
        assert whole.input_ids[: len(prompt)] == prompt
        assert whole.learn_mask[len(prompt)]
        assert not any(whole.learn_mask[len(encode_dialogue(dialogue, tokenizer, ROOMY).input_ids) : len(prompt)])


def test_special_tokens_in_text_never_become_special_tokens(tokenizer) -> None:
    specials = special_texts(tokenizer)
    clean = encode_dialogue(said("a b", "c d", facts=("e",)), tokenizer, ROOMY)
    for special in specials:
        tricky = f"a {special}{special} <{special}> {special[:3]}{special}{special[3:]}"
        dirty = encode_dialogue(said(tricky, tricky, facts=(tricky,)), tokenizer, ROOMY)
        for token in tokenizer.all_special_ids:
            assert dirty.input_ids.count(token) == clean.input_ids.count(token)


def test_turn_ends_include_what_the_template_closes_replies_with() -> None:
    assert turn_end_ids(tiny_tokenizer()) == {0}
    tokenizer = tiny_tokenizer(template=CHATML, specials=("<|endoftext|>", "<|im_end|>", "<|im_start|>"))
    assert turn_end_ids(tokenizer) == {0, tokenizer.convert_tokens_to_ids("<|im_end|>")}


def test_an_alternating_template_gets_persona_and_a_silent_opening() -> None:
    dialogue = Dialogue(Persona(("I am Ada.",)), (Turn(Speaker.PERSONA, "Hi!"), Turn(Speaker.PERSONA, "Anyone?")))
    assert as_messages(dialogue, chatml_tokenizer(ALTERNATING)) == [
        {"role": "user", "content": "I am Ada.\n\n..."},
        {"role": "assistant", "content": "Hi!\nAnyone?"},
    ]


def test_whole_oldest_turns_go_and_the_persona_stays(tokenizer) -> None:
    texts = [f"{word} and then some more words" for word in ("one", "two", "three", "four", "five", "six", "seven")]
    dialogue = said(*texts)
    whole = encode_prompt(dialogue, tokenizer, ROOMY)
    budget = Budget(len(whole.input_ids) - 20 + 30, reply_tokens=30)
    prompt = encode_prompt(dialogue, tokenizer, budget)
    text = tokenizer.decode(prompt.input_ids)
    assert len(prompt.input_ids) <= budget.prompt_tokens
    assert prompt.dropped_turns > 0
    assert "I am Ada." in text
    assert "seven and then some more words" in text
    assert [word for word in texts if word in text] == texts[prompt.dropped_turns :]
    # One turn more would not have fitted.
    kept_more = Dialogue(dialogue.persona, dialogue.turns[prompt.dropped_turns - 1 :])
    assert len(encode_prompt(kept_more, tokenizer, ROOMY).input_ids) > budget.prompt_tokens


def test_nothing_ever_exceeds_the_context(tokenizer) -> None:
    draw = random.Random(3)
    for _ in range(200):
        dialogue = random_dialogue(draw)
        budget = Budget(draw.randint(60, 200), reply_tokens=draw.randint(1, 30))
        try:
            prompt = encode_prompt(dialogue, tokenizer, budget)
            encoded = encode_dialogue(dialogue, tokenizer, budget)
        except EncodingError as error:
            assert "Next:" in str(error)  # noqa: PT017
            continue
        assert len(prompt.input_ids) + budget.reply_tokens <= budget.context_tokens
        assert len(encoded.input_ids) <= budget.context_tokens


def test_a_last_turn_that_cannot_fit_is_an_error_with_numbers() -> None:
    with pytest.raises(EncodingError, match=r"fit into 40 tokens, found \d\d\d"):
        encode_prompt(said("word " * 200), tiny_tokenizer(), Budget(50, reply_tokens=10))


def test_a_large_persona_is_cut_at_sentence_ends_and_the_facts_named(caplog) -> None:
    tokenizer = tiny_tokenizer()
    facts = ("I am Ada.", "I keep bees. " * 3 + "I also teach Italian. " * 40, "I am old.")
    prompt = encode_prompt(said("Hi.", facts=facts), tokenizer, Budget(140, reply_tokens=20))
    text = tokenizer.decode(prompt.input_ids)
    assert prompt.cut_facts == facts[1:]
    assert "I keep bees. I keep bees." in text
    persona = text.split("<|endoftext|>")[0]
    assert persona.endswith(".")
    assert "I am old." not in persona
    assert len(tokenizer(persona)["input_ids"]) <= 60
    assert "I am old." in caplog.text


def test_an_empty_turn_is_an_error() -> None:
    with pytest.raises(EncodingError, match="turn 1"):
        encode_dialogue(said(" \n"), tiny_tokenizer(), ROOMY)


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("{% for m in messages %}{{ m['content'] }}{% endfor %}", "no special token"),
        ("{% for m in messages %}{{ m['content'] | upper + eos_token }}{% endfor %}", "rewrites"),
        ("{{ raise_exception('no') }}", "cannot lay out"),
    ],
)
def test_a_template_that_cannot_be_learnt_from_is_refused(template: str, complaint: str) -> None:
    with pytest.raises(BadBase, match=complaint):
        encode_dialogue(said("Hi.", "Hello!"), tiny_tokenizer(template=template), ROOMY)


def test_a_budget_without_room_for_a_reply_is_refused() -> None:
    with pytest.raises(EncodingError, match="between 1 and 31"):
        Budget(32, reply_tokens=32)


def test_vocabularies_with_runs_of_spaces_as_tokens_keep_their_spaces() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["  ", "    ", " <odd>"])
    dialogue = said("two  spaces and    four", "and <odd>, too <odd>")
    text = tokenizer.decode(encode_dialogue(dialogue, tokenizer, ROOMY).input_ids)
    assert "two  spaces and    four" in text
    assert "and < odd>, too < odd>" in text
