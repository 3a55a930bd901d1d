import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from transformers import AutoModelForCausalLM, GenerationConfig, MistralConfig

from personable.base import Base
from personable.dialogue import Dialogue, Persona, Speaker
from personable.encoding import Budget, encode_prompt
from personable.errors import BadBase, BaseNotFound, EncodingError
from personable.reply import Bot, FinishReason, Sampling, load
from personable.reply.cache import ReadIds
from personable.reply.text import reply_text
from tests.reply.memorised_run import CONTEXT_TOKENS, KNOWN, OLEG, RITA, said

GREEDY = Sampling(temperature=0, repetition_penalty=1, max_reply_tokens=24)
WILD = Sampling(temperature=2, top_p=1, repetition_penalty=1, max_reply_tokens=24, seed=7)


@pytest.fixture
def bot(loaded):
    """A bot that has read nothing yet."""
    return Bot(loaded.base)


@pytest.fixture
def fed(loaded):
    """The number of tokens in each call of the model, as they come."""
    counts: list[int] = []

    def count(_module, _inputs, named):
        counts.append(named["input_ids"].shape[1])

    hook = loaded.base.model.register_forward_pre_hook(count, with_kwargs=True)
    yield counts
    hook.remove()


def prompt_ids(bot: Bot, dialogue: Dialogue, sampling: Sampling = GREEDY) -> tuple[int, ...]:
    budget = Budget(bot.base.context_tokens, sampling.max_reply_tokens)
    return encode_prompt(dialogue, bot.base.tokenizer, budget).input_ids


@pytest.mark.parametrize(("persona", "turns"), KNOWN)
def test_says_what_it_has_learnt(bot, persona, turns):
    for place in range(1, len(turns), 2):
        assert bot.reply(said(persona, *turns[:place]), GREEDY) == turns[place]


def test_pieces_are_the_reply_and_the_last_one_tells_why_it_ended(bot):
    dialogue = said(RITA, "hi", "hello there", "what do you do", "i sail boats", "any pets")
    *pieces, last = bot.stream_reply(dialogue, GREEDY)
    assert "".join(piece.text for piece in pieces) == "a cat named tom 😀"
    assert all(piece.finish_reason is None and piece.text for piece in pieces)
    assert (last.text, last.finish_reason) == ("", FinishReason.STOP)
    assert last.prompt_tokens == len(prompt_ids(bot, dialogue))
    reply_ids = bot.base.tokenizer(" a cat named tom 😀", add_special_tokens=False)["input_ids"]
    assert last.reply_tokens == len(reply_ids)


def test_a_reply_is_cut_at_its_limit_and_says_so(bot):
    *pieces, last = bot.stream_reply(said(RITA, "hi"), GREEDY.but(max_reply_tokens=2))
    assert (last.finish_reason, last.reply_tokens) == (FinishReason.LENGTH, 2)
    assert "hello there".startswith("".join(piece.text for piece in pieces))


def test_greedy_is_what_generate_gives(bot):
    for penalty in (1.0, 1.4):
        dialogue = said(RITA, "hi", "hello there", "any pets")
        ids = prompt_ids(bot, dialogue)
        end = bot.base.tokenizer.eos_token_id
        config = GenerationConfig(
            do_sample=False,
            max_new_tokens=24,
            repetition_penalty=penalty,
            eos_token_id=end,
            pad_token_id=end,
        )
        inputs = torch.tensor([ids])
        out = bot.base.model.generate(inputs, attention_mask=torch.ones_like(inputs), generation_config=config)
        expected = reply_text(out[0, len(ids) :].tolist(), bot.base.tokenizer)
        assert bot.reply(dialogue, GREEDY.but(repetition_penalty=penalty)) == expected


def test_equal_seeds_give_equal_replies_whatever_was_said_before(bot, loaded):
    dialogue = said(OLEG, "hi")
    first = bot.reply(dialogue, WILD)
    bot.reply(said(RITA, "what do you do"), WILD.but(seed=1))
    assert bot.reply(dialogue, WILD) == first
    assert Bot(loaded.base).reply(dialogue, WILD) == first


def test_different_seeds_and_no_seed_give_different_replies(bot):
    dialogue = said(OLEG, "hi")
    assert len({bot.reply(dialogue, WILD.but(seed=seed)) for seed in range(5)}) > 1
    unseeded = Sampling(temperature=2, top_p=1, repetition_penalty=1, max_reply_tokens=24)
    assert len({bot.reply(dialogue, unseeded) for _ in range(5)}) > 1


def test_the_next_turn_feeds_only_what_is_new(bot, fed):
    opening = said(RITA, "hi")
    reply = bot.reply(opening, GREEDY)
    first = len(prompt_ids(bot, opening))
    assert fed[0] == first
    assert set(fed[1:]) == {1}
    read = sum(fed)
    fed.clear()
    following = opening.then(Speaker.PERSONA, reply).then(Speaker.PARTNER, "what do you do")
    bot.reply(following, GREEDY)
    assert fed[0] == len(prompt_ids(bot, following)) - read
    assert fed[0] < first


def test_a_retry_feeds_one_token(bot, fed):
    bot.reply(said(RITA, "hi"), GREEDY)
    fed.clear()
    bot.reply(said(RITA, "hi"), WILD)
    assert fed[0] == 1


def test_the_kept_cache_changes_no_logits(bot):
    model = bot.base.model
    first, second = (prompt_ids(bot, said(RITA, *KNOWN[0][1][:turns])) for turns in (3, 5))
    other = prompt_ids(bot, said(OLEG, "hi"))
    kept = ReadIds(model)
    for ids in (first, second, first, other, second, second):
        with torch.inference_mode():
            expected = model(input_ids=torch.tensor([ids])).logits[0, -1]
        torch.testing.assert_close(kept.read_anew(ids), expected, rtol=1e-4, atol=1e-4)
        assert kept.ids == ids


def test_the_kept_cache_changes_no_reply(loaded):
    kept = Bot(loaded.base)
    dialogue = Dialogue(RITA)
    for turn, line in enumerate(["hi", "what do you do", "any pets", "hi", "any pets"]):
        dialogue = dialogue.then(Speaker.PARTNER, line)
        sampling = WILD.but(seed=turn)
        reply = kept.reply(dialogue, sampling)
        assert reply == Bot(loaded.base).reply(dialogue, sampling)
        dialogue = dialogue.then(Speaker.PERSONA, reply or "hm")


def test_a_reply_broken_off_leaves_the_bot_usable(bot, fed):
    dialogue = said(RITA, "hi", "hello there", "any pets")
    stream = bot.stream_reply(dialogue, GREEDY)
    assert next(stream).text
    stream.close()
    fed.clear()
    assert bot.reply(dialogue, GREEDY) == Bot(bot.base).reply(dialogue, GREEDY)
    assert fed[0] == 1  # the cache was kept


def test_an_interrupt_inside_the_model_leaves_the_bot_usable(bot):
    dialogue = said(RITA, "hi")
    expected = bot.reply(dialogue, GREEDY)
    calls = 0

    def interrupt(*_):
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt

    # In the last layer: the one before it has by then taken in the new token.
    hook = bot.base.model.transformer.h[1].register_forward_pre_hook(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            bot.reply(said(RITA, "hi", "hello there", "any pets"), GREEDY)
    finally:
        hook.remove()
    assert calls == 3
    assert bot.reply(dialogue, GREEDY) == expected


def test_streams_may_be_interleaved(bot):
    one, other = said(RITA, "hi"), said(OLEG, "hi")
    streams = [bot.stream_reply(one, GREEDY), bot.stream_reply(other, GREEDY)]
    replies = ["", ""]
    for pieces in zip(*streams, strict=False):
        replies = [reply + piece.text for reply, piece in zip(replies, pieces, strict=True)]
    replies = [reply + "".join(piece.text for piece in stream) for reply, stream in zip(replies, streams, strict=True)]
    assert replies == ["hello there", "good day"]


def test_threads_do_not_disturb_each_other(bot):
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda turn: bot.reply(said(*turn), GREEDY), [(RITA, "hi"), (OLEG, "hi")] * 8))
    assert replies == ["hello there", "good day"] * 8


def test_a_long_dialogue_loses_its_oldest_turns_and_never_the_context(bot):
    dialogue = Dialogue(RITA)
    for _ in range(40):
        dialogue = dialogue.then(Speaker.PARTNER, "what do you do").then(Speaker.PERSONA, "i sail boats")
    longest = WILD.but(max_reply_tokens=60)
    last = list(bot.stream_reply(dialogue.then(Speaker.PARTNER, "any pets"), longest))[-1]
    assert last.dropped_turns > 60
    assert last.prompt_tokens + 60 <= CONTEXT_TOKENS


def test_facts_that_do_not_fit_are_named(bot):
    facts = tuple(f"i have a cat named tom {number}" for number in range(40))
    last = list(bot.stream_reply(said(Persona(facts), "hi"), GREEDY))[-1]
    assert last.cut_facts
    assert set(last.cut_facts) < set(facts)


@pytest.mark.parametrize("room", [CONTEXT_TOKENS, CONTEXT_TOKENS - 2])
def test_a_reply_that_leaves_no_room_is_refused_at_once(bot, room):
    with pytest.raises(EncodingError):
        bot.stream_reply(said(RITA, "hi"), GREEDY.but(max_reply_tokens=room))


def test_a_dialogue_without_turns_or_persona_still_gets_a_reply(bot):
    assert isinstance(bot.reply(Dialogue(), GREEDY), str)


def test_settings_of_the_run_are_the_default(loaded):
    assert loaded.sampling == Sampling(temperature=0.9, top_p=0.95, max_reply_tokens=24)


def test_a_senseless_generation_config_is_named(run, tmp_path):
    broken = shutil.copytree(run, tmp_path / "broken")
    settings = json.loads((broken / "generation_config.json").read_text())
    (broken / "generation_config.json").write_text(json.dumps(settings | {"top_p": 0.0}))
    with pytest.raises(BadBase, match=r"broken: generation_config.json: .*top_p.*0.0"):
        load(broken)


def test_damaged_weights_are_named(run):
    bot = load(run)
    with torch.no_grad():
        bot.base.model.transformer.ln_f.weight.fill_(torch.nan)
    with pytest.raises(BadBase, match="found nan"):
        bot.reply(said(RITA, "hi"), GREEDY)


def test_a_run_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(BaseNotFound):
        load(tmp_path / "nowhere")


def test_a_sliding_window_starts_over_where_it_cannot_go_back(loaded):
    """Mistral with a window shorter than the prompts: its cache lets go of old ids, so it cannot be cropped."""
    config = MistralConfig(
        vocab_size=len(loaded.base.tokenizer),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        sliding_window=8,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config).eval()
    bot = Bot(Base(model, loaded.base.tokenizer, CONTEXT_TOKENS, "a sliding window"))
    dialogue = said(RITA, "hi")
    fresh = bot.reply(dialogue, WILD)
    assert bot.reply(said(RITA, "hi", fresh or "hm", "any pets"), WILD)
    assert bot.reply(dialogue, WILD) == fresh
