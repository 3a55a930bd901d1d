"""Whether `i am a ...` names an occupation: `a swim coach at my local pool` does, `a party animal` does not."""

from __future__ import annotations

import re

_OCCUPATIONS_WORDS = """
    nurse cook chef coach guide clerk cop judge pilot agent model student major graduate artist vet spy assistant
    accountant analyst mechanic surgeon maid nanny housewife host hostess waitress actress secretary attorney aide
    tutor therapist soldier consultant architect athlete captain representative rep entrepreneur ceo boss executive
    technician scientist paralegal pastor priest monk king queen detective sergeant intern apprentice professional
    specialist dj president mayor thief pirate knight wizard witch double policeman fireman fisherman businessman
    businesswoman salesman saleswoman handyman mailman barmaid blacksmith locksmith shepherd innkeeper merchant
    peddler sheriff
"""
_OCCUPATIONS = frozenset(_OCCUPATIONS_WORDS.split())
# They end like occupations.
_OTHERS = re.compile(
    r"(?:grand|step)?(?:mother|father|brother|sister|daughter)|.*(?:lover|smoker|drinker|eater|believer|hater|sleeper|riser)"
    r"|loner|member|teenager|toddler|person|minor|owner|hoarder|follower|newcomer|survivor|senior|junior|caucasian|italian"
    r"|canadian|asian|christian|vegetarian|lesbian|libertarian|humanitarian|veteran|beginner|swimmer|gamer|winner|liar|loser"
    r"|sinner|travell?er|dreamer|listener|talker|reader|german|russian|russian|virgin|outsider|foster|feminist|atheist"
    r"|buddhist|optimist|pessimist|perfectionist|nudist|minimalist|prodigy|giver|thinker|hugger|homeowner|homebody|christian"
    r"|indian|egyptian|australian|brazilian|hipster|monster|spider|tiger|number|center|river|winter|summer|diver|extrovert"
)
_AFTER_THE_HEAD = re.compile(r" (?:at|for|in|on|of|with|from|as|by|and|to|who|that|specializing) ")


def is_occupation(value: str) -> bool:
    """Whether the head noun of a value, in lower case, is an occupation: by a list, or by endings such as -er, -ist."""
    if re.match(r"(?:stay at home|full time) (?:mom|dad|mother|father|parent)", value):
        return True
    head = _AFTER_THE_HEAD.split(f"{value} ")[0].split()
    if not head or head[0] == "not":
        return False
    for last in {head[-1], head[-1].removesuffix("s")}:
        if _OTHERS.fullmatch(last):
            return False
        if last in _OCCUPATIONS or (len(last) > 4 and last.endswith(("er", "or", "ist", "ian"))):
            return True
    return False
