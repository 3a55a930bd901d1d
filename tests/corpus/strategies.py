"""Random dialogues that are worth writing: every text says something, candidates hold the reply."""

from hypothesis import strategies as st

from personable.dialogue import Dialogue, Persona, Speaker, Turn

texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=30).filter(str.strip)
personas = st.builds(Persona, st.lists(texts, max_size=4).map(tuple), st.just("") | texts)


@st.composite
def _turns(draw: st.DrawFn) -> Turn:
    text = draw(texts)
    others = draw(st.lists(texts, max_size=3))
    candidates = (*others, text) if others else ()
    return Turn(draw(st.sampled_from(Speaker)), text, candidates)


dialogues = st.builds(
    Dialogue, personas, st.lists(_turns(), min_size=1, max_size=6).map(tuple), personas, st.just("") | texts
)
