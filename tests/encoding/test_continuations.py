import random
from dataclasses import replace

import pytest

from personable.dialogue import Dialogue, Persona, Speaker
from personable.encoding import Budget, CandidateEncoder, encode_dialogue
from personable.encoding.template import GPT2_TEMPLATE
from personable.errors import EncodingError
from tests.tiny import ALTERNATING, CHATML, chatml_tokenizer, random_dialogue, tiny_tokenizer

# Nothing special between what the partner says and the reply, as in Llama 2's frame.
BRACKETS = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}{{ message['content'] + eos_token }}"
    "{% else %}{{ '[' + message['role'] + '] ' + message['content'] + ' [/]' }}{% endif %}{% endfor %}"
)
# A finished reply has more before it than a prompt, as in Qwen 3's frame.
THOUGHTFUL = CHATML.replace(
    "message['content'] +", "('<t></t>' if message['role'] == 'assistant' else '') + message['content'] +"
)
TOKENIZERS = {
    "gpt2": tiny_tokenizer(template=GPT2_TEMPLATE),
    "chatml": chatml_tokenizer(),
    "alternating": chatml_tokenizer(ALTERNATING),
    "brackets": tiny_tokenizer(template=BRACKETS),
    "thoughtful": chatml_tokenizer(THOUGHTFUL),
}
RITA = Dialogue(Persona(("i sail.",))).then(Speaker.PARTNER, "hello there, how are you?")


@pytest.mark.parametrize("name", TOKENIZERS)
def test_prompt_and_reply_are_what_encode_dialogue_learns(name):
    tokenizer = TOKENIZERS[name]
    encoder = CandidateEncoder(tokenizer, 2000)
    draw = random.Random(5)
    for _ in range(60):
        history = random_dialogue(draw)
        candidates = [random_dialogue(draw).turns[0].text for _ in range(4)]
        encoded = encoder.encode(history, candidates)
        for candidate, reply in zip(candidates, encoded.replies, strict=True):
            whole = encode_dialogue(history.then(Speaker.PERSONA, candidate), tokenizer, Budget(2000))
            end = len(encoded.prompt) + len(reply)
            assert whole.input_ids[:end] == encoded.prompt + reply
            assert all(whole.learn_mask[len(encoded.prompt) : end])
            assert not any(whole.learn_mask[end:])
            assert not encoded.prompt or not whole.learn_mask[len(encoded.prompt) - 1]


@pytest.mark.parametrize("name", ["gpt2", "chatml", "brackets"])
def test_old_turns_go_until_the_longest_candidate_fits(name):
    tokenizer = TOKENIZERS[name]
    history = Dialogue(Persona(("i sail.",)))
    for place in range(12):
        history = history.then((Speaker.PARTNER, Speaker.PERSONA)[place % 2], f"turn number {place}")
    history = history.then(Speaker.PARTNER, "what now?")
    candidates = ["no", "a much longer answer " * 4]
    encoded = CandidateEncoder(tokenizer, 150).encode(history, candidates)
    assert 0 < encoded.dropped_turns < 13
    assert len(encoded.prompt) + max(map(len, encoded.replies)) <= 150
    kept = replace(history, turns=history.turns[encoded.dropped_turns :])
    roomy = CandidateEncoder(tokenizer, 2000).encode(kept, candidates)
    assert (encoded.prompt, encoded.replies) == (roomy.prompt, roomy.replies)
    # One turn more would not have fitted.
    more = replace(history, turns=history.turns[encoded.dropped_turns - 1 :])
    more_encoded = CandidateEncoder(tokenizer, 2000).encode(more, candidates)
    assert len(more_encoded.prompt) + max(map(len, more_encoded.replies)) > 150


def test_a_candidate_larger_than_the_context_is_refused():
    for tokenizer in TOKENIZERS.values():
        with pytest.raises(EncodingError):
            CandidateEncoder(tokenizer, 60).encode(RITA, ["fine", "a b c d e f g h " * 20])


def test_an_empty_candidate_is_refused():
    with pytest.raises(EncodingError, match="empty one"):
        CandidateEncoder(TOKENIZERS["gpt2"], 200).encode(RITA, ["fine", "  "])


def test_replies_of_a_frame_with_special_tokens_are_tokenised_once(monkeypatch):
    laid_out = []

    def noted(dialogue, *rest):
        laid_out.append(dialogue)
        return encode_dialogue(dialogue, *rest)

    monkeypatch.setattr("personable.encoding.continuations.encode_dialogue", noted)
    encoder = CandidateEncoder(TOKENIZERS["gpt2"], 200)
    for text in ("hello", "what do you do?", "good night"):
        encoder.encode(RITA.then(Speaker.PERSONA, "hm").then(Speaker.PARTNER, text), ["a dog", "two cats", "a dog"])
    assert len(laid_out) == 2
