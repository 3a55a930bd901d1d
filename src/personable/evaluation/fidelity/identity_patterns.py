"""Facts about who somebody is: names, numbers, favourites, places, work and study."""

from __future__ import annotations

from personable.evaluation.fidelity.fact_patterns import (
    ARTICLE,
    I_AM,
    I_DO,
    I_HAVE,
    NUMBER,
    REST,
    Pattern,
    pattern,
)
from personable.evaluation.fidelity.occupations import is_occupation

_JOB_QUESTIONS = ("What do you do for a living?", "What is your job?", "What kind of work do you do?")
_EMPLOYER_QUESTIONS = ("Where do you work?", "Who do you work for?", "Which place do you work at?")
_FAVOURITE_QUESTIONS = (
    *("What {is_are} your favorite {topic}?", "Which {topic} do you like best?", "Tell me your favorite {topic}."),
)
_NAME_QUESTIONS = (*("What is your name?", "What should I call you?", "Who am I talking to?", "May I ask your name?"),)

_NAMES_AND_NUMBERS = (
    pattern(
        "name",
        r"(?:my (?:full |first )?name is|i am called|i am named|(?:people|friends|my friends|everyone|they) call me|"
        r"(?:you can )?call me) (?P<value>[^,;]+?)(?: and .*)?",
        *_NAME_QUESTIONS,
        any_word=True,
    ),
    pattern(
        "named",
        rf"{I_HAVE} (?:a|an|one|my) (?:pet )?(?P<topic>[a-z\- ]+?),? (?:(?:that|which|who) is )?"
        r"(?:named|called|whose name is|and (?:his|her|its) name is) (?P<value>[^,;]+)",
        *("What is your {topic}'s name?", "What is your {topic} called?", "Do you have {a}{topic}? What is the name?"),
        any_word=True,
    ),
    pattern(
        "named",
        rf"{I_HAVE} (?:{NUMBER} )?(?:pet )?(?P<topic>[a-z ]+?s|children) (?:named|called|whose names are)"
        rf" (?P<value>.+)",
        *("What are your {topic} called?", "What are the names of your {topic}?"),
        "Do you have {topic}? What are the names?",
        any_word=True,
    ),
    pattern(
        "named",
        r"my (?P<topic>(?!favou?rite)[a-z ]+?)(?: i)?s? (?:name is|is named|is called) (?P<value>[^,;]+)",
        *("What is your {topic}'s name?", "What is your {topic} called?", "How did you name your {topic}?"),
        any_word=True,
    ),
    pattern(
        "age",
        rf"(?:{I_AM}(?:a |an )?|i (?:just )?turn(?:ed)? )(?P<value>{NUMBER})"
        r"(?:[ -]?years?(?:[ -]olds?)?(?: [a-z0-9 ]+)?| (?:today|yesterday|now))?(?:,? and .*)?",
        *("How old are you?", "What is your age?", "Can I ask how old you are?"),
        wants_number=True,
    ),
    pattern(
        "how many",
        rf"(?:{I_HAVE}|we have|there are) (?P<value>{NUMBER}) (?P<topic>(?!of |or |and |year)[a-z]+(?: (?!who|that"
        rf"|and|in|on"
        r"|at|with|from|i|which|named|whom|to|of|for|left|already|because)[a-z]+){0,2})" + REST,
        *("How many {topic} do you have?", "Do you have any {topic}? How many?", "What is the number of your {topic}?"),
        accepts=lambda value: value not in ("zero", "0"),
        wants_number=True,
        plural_topic=True,
    ),
    pattern(
        "how many",
        rf"{I_AM}(?:an? )?(?:married|(?:single |proud |working )?(?:mother|father|mom|dad|parent)) (?:of|to|with) "
        rf"(?P<value>{NUMBER})(?: .*)?",
        *("How many children do you have?", "Do you have kids? How many?", "How many kids are there in your family?"),
        wants_number=True,
    ),
    pattern(
        "favourite",
        r"(?:one of )?my (?:all time |absolute )?(?:favou?rite|dream) (?P<topic>(?:(?!is |are |was |in life)[a-z']+"
        r" ){1,6})"
        r"(?:is|are|was) (?P<value>.+)",
        *_FAVOURITE_QUESTIONS,
    ),
    pattern(
        "favourite",
        r"(?P<value>.+?) (?:is|are) (?:one of )?my (?:all time |absolute |most )?(?:favou?rite|preferred)"
        r" (?P<topic>[a-z' ]+)",
        *_FAVOURITE_QUESTIONS,
    ),
)

_PLACES_AND_WORK = (
    pattern(
        "lives with",
        r"i (?:still |currently )*live (?:at home )?with (?P<value>(?:(?! in ).)+)(?: in .*)?",
        *("Who do you live with?", "Do you live alone or with somebody?", "Who shares your home?"),
    ),
    pattern(
        "home",
        rf"(?:now )?{I_DO}(?:live|reside|am living) (?:(?:in|on|at|near|by|above|over|is|outside|next to) )+"
        r"(?P<value>.+)",
        *("Where do you live?", "Where is your home?", "Which place do you call home?"),
    ),
    pattern(
        "origin",
        rf"(?:{I_AM}(?:originally )?|i (?:originally )?(?:come|came) )from (?P<value>.+)",
        *("Where are you from?", "Where do you come from?", "Which place are you from originally?"),
    ),
    pattern(
        "birth year",
        r"i was born (?:in|during) (?P<value>(?:the )?(?:early |late )?\d.*)",
        *("When were you born?", "What is the year of your birth?", "In which year were you born?"),
    ),
    pattern(
        "birth place",
        r"i was born (?:and raised )?(?:in|on|at|near) (?P<value>.+)",
        *("Where were you born?", "What is your place of birth?", "Do you know where you were born?"),
    ),
    pattern(
        "childhood",
        r"i (?:grew up|was raised|was brought up|spent my childhood) (?:in|on|at|near|by) (?P<value>.+)",
        *("Where did you grow up?", "Where did you spend your childhood?", "In which place were you raised?"),
    ),
    pattern(
        "job",
        rf"(?:{I_DO}(?:work|worked|am working|am employed|have been working|make (?:a|my) living|(?:got|have) a"
        rf" (?:new )?job)"
        rf"(?: \w+)? as|my (?:job|occupation|profession) is|i earn (?:my|a) living as) {ARTICLE}(?P<value>.+)",
        *_JOB_QUESTIONS,
    ),
    pattern("job", r"i (?P<value>(?!work)[a-z ]+) for a living", *_JOB_QUESTIONS),
    pattern("job", rf"{I_AM}(?:a|an|the) (?P<value>.+)", *_JOB_QUESTIONS, accepts=is_occupation),
    pattern(
        "job",
        rf"(?:{I_AM}|i have been )(?:in (?:the )?)?(?P<value>army|navy|marines|military|air force|retired"
        rf"|unemployed){REST}",
        *_JOB_QUESTIONS,
    ),
    pattern(
        "employer",
        rf"{I_DO}(?:work|am working|am employed|(?:got|have|found) a (?:\w+ )?job(?: working)?)"
        rf"(?: full ?time| part ?time)?(?: took i have a part time job)? (?:at|for|in|by|from|with)"
        rf" {ARTICLE}(?P<value>.+)",
        *_EMPLOYER_QUESTIONS,
    ),
    pattern(
        "volunteering",
        rf"{I_DO}volunteer(?: (?:some of )?my time)? (?:at|with|for|in|as) {ARTICLE}(?P<value>.+)",
        *("Where do you volunteer?", "Do you volunteer anywhere?", "Tell me about your volunteer work."),
    ),
    pattern(
        "study",
        rf"(?:{I_AM}(?:studying|majoring in|learning|going to school for|in school for|taking classes in)|i (?:study"
        rf"|studied"
        rf"|major(?:ed)? in|went to school (?:for|to be|to become)|go to school for)) (?:to be(?:come)? |how to"
        rf" )?{ARTICLE}"
        r"(?P<value>.+)",
        *("What do you study?", "What did you choose to study?", "Which subject do you learn or study?"),
    ),
    pattern(
        "school",
        rf"(?:{I_AM}in|{I_DO}(?:go to|attend|went to|graduated from)) (?P<value>(?:the |my )?(?:\w+ )*"
        r"(?:grade|school|college|university))(?: .*)?",
        *("Where do you get your education?", "How far did you get in your education?", "Where do you take lessons?"),
    ),
    pattern(
        "team",
        rf"(?:{I_AM}on|{I_DO}play (?:on|for)) (?:the |a |my )(?P<value>.+?) team{REST}",
        *("Are you on a team?", "What kind of team are you on?", "Which sport do you play?"),
    ),
)

IDENTITY: tuple[Pattern, ...] = (*_NAMES_AND_NUMBERS, *_PLACES_AND_WORK)
