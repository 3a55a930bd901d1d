import pytest
from hypothesis import given
from hypothesis import strategies as st

from personable.corpus import detokenise


@pytest.mark.parametrize(
    ("tokenised", "text"),
    [
        ("hello , how are you ?", "hello, how are you?"),
        ("i ' m here", "i'm here"),
        ("i 'm good , thanks .", "i'm good, thanks."),
        ("they ' re late ; you ' ll see", "they're late; you'll see"),
        ("don ' t", "don't"),
        ("do n't go", "don't go"),
        ("do n ' t", "don't"),
        ("in the 80 ' s", "in the 80's"),
        ("rock ' n ' roll", "rock 'n' roll"),
        ("wow ! ! !", "wow!!!"),
        ("wait . . . what ? !", "wait... what?!"),
        ("( really ) ?", "(really)?"),
        ('he said " hi there " .', 'he said "hi there".'),
        ("it costs $ 5 , 50 % off", "it costs $5, 50% off"),
        ("3 , 000 miles at 5 : 30", "3,000 miles at 5:30"),
        ("a t - shirt and an x - ray", "a t-shirt and an x-ray"),
        ("my mother - in - law works 9 - 5", "my mother-in-law works 9-5"),
        ("fun : )", "fun :)"),
    ],
)
def test_spaces_of_a_tokeniser_are_taken_out(tokenised: str, text: str) -> None:
    assert detokenise(tokenised) == text


@pytest.mark.parametrize(
    "text",
    [
        'Normal text, with (brackets), "quotes" and $5... at 5:30; it\'s 50%!',
        "yes - i do",
        "a .5 mm pen and .net",
        "the dogs ' bowl",
        "the letter ' s '",
        "the '90s :) :)",
        "two  spaces",
        "café, señor!",
        "",
    ],
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert detokenise(text) == text


@given(st.text() | st.lists(st.sampled_from(list(" '\".,!?:;()$%-5insta")), max_size=30).map("".join))
def test_only_spaces_go_and_a_second_time_changes_nothing(text: str) -> None:
    joined = detokenise(text)
    assert joined.replace(" ", "") == text.replace(" ", "")
    assert detokenise(joined) == joined
