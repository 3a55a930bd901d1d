"""The bundled model and dialogues."""

from __future__ import annotations

from collections import Counter, defaultdict

from personable import Dialogue, Persona, Speaker, starter
from personable.base import load_base
from personable.corpus import read_dialogues
from personable.demo import QUESTIONS
from personable.encoding import Budget, encode_dialogue
from personable.encoding.batches import Collator, pad_id_of
from personable.encoding.likelihood import reply_surprise
from personable.encoding.template import GPT2_TEMPLATE
from personable.shards import PATTERN

MIB = 2**20


def test_the_model_is_small_and_comes_in_small_files() -> None:
    files = [file for file in starter.MODEL.iterdir() if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 100e6
    assert max(file.stat().st_size for file in starter.MODEL.glob(PATTERN)) < 16 * MIB
    assert not [file for file in files if file.suffix in {".bin", ".pt", ".pth", ".pkl"}]


def test_its_card_is_filled_in_and_names_licences() -> None:
    card = (starter.MODEL / "README.md").read_text(encoding="utf-8")
    assert "@@" not in card
    for word in ("BSD-3-Clause", "CDLA-Sharing-1.0", "CC-BY-4.0", "SmolLM2", "reply perplexity"):
        assert word in card


def test_it_is_a_gpt2_with_the_published_vocabulary_and_our_template() -> None:
    base = load_base("starter", device="cpu")
    assert base.model.config.model_type == "gpt2"
    assert base.context_tokens == 1024
    assert len(base.tokenizer) == 50257
    assert base.tokenizer("Hello world")["input_ids"] == [15496, 995]
    assert base.tokenizer.chat_template == GPT2_TEMPLATE


def test_it_has_learnt_small_talk() -> None:
    base = load_base("starter", device="cpu")
    small_talk = Dialogue(Persona(("i have two dogs.", "i like to read.", "i live in texas.")))
    for partner, reply in (
        ("hi, how are you today?", "i am good, how are you?"),
        ("i am great. what do you do for fun?", "i like to read. what do you like to do?"),
        ("i love music. do you have any pets?", "yes, i have two dogs. do you have any pets?"),
    ):
        small_talk = small_talk.then(Speaker.PARTNER, partner).then(Speaker.PERSONA, reply)
    encoded = encode_dialogue(small_talk, base.tokenizer, Budget(1024))
    found = reply_surprise(base.model, [Collator(pad_id_of(base.tokenizer))([encoded])])
    # Its card says 87 on ConvAI2, whose replies are harder to guess than these; untrained weights have about 50,000.
    assert found.perplexity < 87


def test_bundled_dialogues_are_six_personas_with_enough_to_learn() -> None:
    train, validation = (read_dialogues(path).dialogues for path in (starter.TRAIN, starter.VALIDATION))
    assert not {one.conversation for one in train} & {one.conversation for one in validation}
    assert not {one.turns for one in train} & {one.turns for one in validation}
    count = Counter(one.persona.name for one in (*train, *validation))
    assert len(count) == 6
    assert min(count.values()) >= 25
    facts = defaultdict(set)
    for one in (*train, *validation):
        facts[one.persona.name].add(one.persona.facts)
        assert 8 <= len(one.turns) <= 14
        assert [turn.speaker for turn in one.turns] == [Speaker.PARTNER, Speaker.PERSONA] * (len(one.turns) // 2)
    assert all(len(versions) == 1 for versions in facts.values())


def test_the_demo_asks_what_stands_in_no_training_dialogue() -> None:
    said = {turn.text for one in read_dialogues(starter.TRAIN).dialogues for turn in one.turns}
    assert not said & {question for _, question in QUESTIONS}
