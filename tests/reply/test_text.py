import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import ByteLevelBPETokenizer
from transformers import GPT2Tokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from personable.reply.text import PieceWriter, reply_text

END = "<|endoftext|>"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(["café crème, ok? naïve 😀"] * 3, vocab_size=290, special_tokens=[END], show_progress=False)
    bpe.save(str(folder / "tokenizer.json"))
    return GPT2Tokenizer(tokenizer_file=str(folder / "tokenizer.json"), eos_token=END, bos_token=END, unk_token=END)


def pieces_of(ids: list[int], tokenizer: GPT2Tokenizer) -> list[str]:
    writer = PieceWriter(tokenizer)
    return [writer.add(token_id) for token_id in ids]


def ids_of_bytes(data: bytes, tokenizer: GPT2Tokenizer) -> list[int]:
    """One id per byte, as a model may well say them."""
    alphabet = bytes_to_unicode()
    return [tokenizer.convert_tokens_to_ids(alphabet[byte]) for byte in data]


def test_a_character_of_several_tokens_comes_in_one_piece(tokenizer):
    ids = ids_of_bytes("a😀é".encode(), tokenizer)
    assert len(ids) == 1 + 4 + 2
    assert pieces_of(ids, tokenizer) == ["a", "", "", "", "😀", "", "é"]


def test_half_a_character_at_the_end_is_never_shown(tokenizer):
    ids = ids_of_bytes("ok 😀".encode()[:-1], tokenizer)
    assert "".join(pieces_of(ids, tokenizer)) == reply_text(ids, tokenizer) == "ok"


def test_bytes_that_are_no_character_are_shown_as_such_once_that_is_certain(tokenizer):
    ids = ids_of_bytes(b"a\xf0\x9fb", tokenizer)
    assert pieces_of(ids, tokenizer) == ["a", "", "", "\ufffdb"]


def test_white_space_is_kept_inside_and_dropped_around(tokenizer):
    ids = ids_of_bytes(b"  a  b \n", tokenizer)
    assert pieces_of(ids, tokenizer) == ["", "", "a", "", "", "  b", "", ""]


def test_special_tokens_are_not_text(tokenizer):
    ids = [*ids_of_bytes(b"a", tokenizer), tokenizer.eos_token_id, *ids_of_bytes(b"b", tokenizer)]
    assert "".join(pieces_of(ids, tokenizer)) == "ab"


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_pieces_add_up_to_the_text_decoded_at_once(tokenizer, data):
    ids = data.draw(st.lists(st.integers(0, len(tokenizer) - 1), max_size=40))
    decoded = tokenizer.decode(ids, skip_special_tokens=True)
    assert "".join(pieces_of(ids, tokenizer)) == reply_text(ids, tokenizer) == decoded.rstrip("\ufffd").strip()
