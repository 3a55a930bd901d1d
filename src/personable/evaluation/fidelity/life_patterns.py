"""Facts about how somebody lives: family, possessions, convictions, feelings, wishes and habits."""

from __future__ import annotations

from personable.evaluation.fidelity.fact_patterns import (
    ACTIVITY,
    ACTIVITY_ING,
    ANIMAL,
    ARTICLE,
    HABIT,
    I_AM,
    I_DO,
    I_HAVE,
    LIKE,
    NUMBER,
    PLEASURES,
    RELATIVE,
    REST,
    Pattern,
    any_of,
    pattern,
)
from personable.evaluation.fidelity.occupations import is_occupation

_LIKE_QUESTIONS = ("What do you like?", "What do you enjoy?", "Tell me something that you love.")
_HOBBY_QUESTIONS = ("What do you like to do?", "What do you enjoy doing?", "What do you love doing?")
_PASTIME_QUESTIONS = (
    *("How do you spend your free time?", "What do you do in your spare time?", "What are your hobbies?"),
)
_RELATIVE_JOB_QUESTIONS = (
    *("What {does_do} your {topic} do for a living?", "Tell me the job of your {topic}."),
    "What kind of work {does_do} your {topic} do?",
)
_LOOKS_QUESTIONS = (
    *("What {does_do} your {topic} look like?", "Can you describe your {topic}?", "Tell me about your {topic}."),
)
_STATUS_QUESTIONS = (
    *("What is your relationship status?", "Do you have a partner?", "Is there someone in your life?"),
)
_PET_QUESTIONS = ("Do you have any pets?", "Which animals do you keep?", "What kind of pet do you have?")
_WISH_QUESTIONS = (
    *("What do you want to do one day?", "What are your plans for the future?", "What do you hope or dream to do?"),
)

_FAMILY_AND_SELF = (
    pattern(
        "relative's job",
        rf"my (?P<topic>{RELATIVE}) (?:(?:is|was|are|were)(?: also| both)?|works? as|worked as|used to be)"
        rf" {ARTICLE}(?P<value>.+)",
        *_RELATIVE_JOB_QUESTIONS,
        accepts=is_occupation,
    ),
    pattern(
        "relative's job",
        rf"my (?P<topic>{RELATIVE}) (?:is|was) in the (?P<value>army|navy|marines|military|air force){REST}",
        *_RELATIVE_JOB_QUESTIONS,
    ),
    pattern(
        "relative's employer",
        rf"my (?P<topic>{RELATIVE}) (?:works?|worked|used to work) (?:at|for|in) {ARTICLE}(?P<value>.+)",
        *("Where {does_do} your {topic} work?", "Who {does_do} your {topic} work for?"),
        "At which place {does_do} your {topic} work?",
    ),
    pattern(
        "relative",
        rf"my (?P<topic>{RELATIVE}) (?P<value>(?!and |name|s ).+)",
        *("Tell me about your {topic}.", "What can you tell me about your {topic}?"),
        "I would like to hear about your {topic}.",
    ),
    pattern(
        "married to",
        rf"(?:{I_AM}(?:happily |newly )?(?:married|engaged) to|i married) {ARTICLE}(?P<value>.+)",
        *("Who are you married to?", "Tell me about the person you are engaged or married to.", "Who is your spouse?"),
    ),
    pattern(
        "status",
        rf"{I_AM}(?:happily |recently |newly |an? )*(?P<value>married|single|divorced|engaged|widow(?:ed|er)?"
        rf"|bachelor){REST}",
        *_STATUS_QUESTIONS,
    ),
    pattern(
        "status",
        rf"{I_HAVE} (?:a|an|my) (?P<value>boyfriend|girlfriend|husband|wife|fiancee?){REST}",
        *_STATUS_QUESTIONS,
    ),
    pattern(
        "pet",
        rf"{I_HAVE} (?:a |an |some |my |pet |{NUMBER} )*(?P<value>(?:(?!allergy|weakness|fear)[a-z]+ ){{0,3}}{ANIMAL}"
        r"(?: and .*)?)(?: (?:who|that|which|named|called|at|in|for|with|from|i|dog|cat)\b.*)?",
        *_PET_QUESTIONS,
    ),
    pattern("pet", rf"{I_HAVE} (?:a )?pets? (?P<value>.+)", *_PET_QUESTIONS),
    pattern(
        "siblings",
        r"i have (?:a |an |my |some |one |only )*(?P<value>(?:twin |older |younger |little |big |half )?(?:brothers?"
        r"|sisters?))" + REST,
        *("Do you have any siblings?", "Are you an only child?", "Did you grow up with other children?"),
    ),
    pattern(
        "children",
        rf"i have (?:{any_of('a, an, older, amazing, beautiful, grown, my, young, baby, great, step')} )*"
        r"(?P<value>sons?|daughters?|children|kids|baby|babies|grandchildren|child)" + REST,
        *("Are you a parent?", "Who belongs to your family?", "Did you start a family?"),
    ),
    pattern("looks", rf"i have (?P<value>.+?) (?P<topic>hair|eyes|skin|beard){REST}", *_LOOKS_QUESTIONS),
    pattern("looks", r"my (?P<topic>hair|eyes|skin|beard) (?:is|are) (?P<value>.+)", *_LOOKS_QUESTIONS),
    pattern(
        "weakness",
        rf"{I_HAVE} a (?:weakness|thing|passion|soft spot|love|sweet tooth) for (?P<value>.+)",
        *("What do you have a weakness for?", "What can you not resist?", "What is your guilty pleasure?"),
        also=PLEASURES,
    ),
    pattern(
        "collection",
        rf"{I_HAVE} (?:a|an) (?P<value>.+?) collection{REST}",
        "What do you collect?",
        "Do you collect anything?",
        "Is there a collection that you own?",
    ),
    pattern(
        "allergy",
        rf"(?:{I_AM}(?:severely |highly |deathly )?allergic to|i have an? (?:\w+ )?allergy to) (?P<value>.+)",
        *("What are you allergic to?", "Do you have any allergies?", "Is there anything you are allergic to?"),
    ),
    pattern(
        "diet",
        rf"(?:{I_AM}(?:a |an )?|i only eat |i eat )(?:strictly |strict )?"
        rf"(?P<value>{any_of('vegan, vegetarian, pescatarian, carnivore, omnivore, kosher, halal')}){REST}",
        *("Do you follow a special diet?", "What sort of things do you eat?", "Is there food that you stay away from?"),
    ),
    pattern(
        "religion",
        rf"{I_AM}(?:an? )?(?:devout |practicing |roman )?(?P<value>"
        r"christian|catholic|muslim|buddhist|jewish|jew|hindu|mormon|atheist|agnostic|pagan|baptist)" + REST,
        *("What is your religion?", "Are you religious?", "What do you believe in?"),
    ),
    pattern(
        "gender",
        rf"{I_AM}an? (?:[a-z]+ ){{0,3}}(?P<value>woman|man|girl|boy|male|female|guy|lady){REST}",
        *("What is your gender?", "What is your sex?", "May I ask your gender?"),
    ),
)

_FEELINGS_AND_HABITS = (
    pattern(
        "fear",
        rf"(?:{I_AM}(?:very |so |deathly |extremely )?(?:afraid|scared|terrified|frightened) (?:of|by)|{I_DO}fear"
        r"|i have a (?:\w+ )?fear of) (?P<value>.+)",
        *("What are you afraid of?", "What scares you?", "Do you have any fears?"),
    ),
    pattern(
        "dislike",
        rf"{I_DO}(?:hate|dislike|detest|despise|loathe|do not (?:really )?(?:like|enjoy)|can not (?:stand|bear)|am"
        rf" not a fan of)"
        r"(?: to| having to| the (?:sound|taste|smell) of| the color)? (?P<value>.+)",
        *("What do you dislike?", "Is there anything that you hate?", "What can you not stand?"),
        may_deny=True,
    ),
    pattern(
        "abstains",
        r"i (?:do not|never) (?P<topic>eat|drink|watch|wear|believe in|care about|smoke|trust|read) (?P<value>.+)",
        *("What do you never {topic}?", "Is there anything you do not {topic}?", "Tell me what you would not {topic}."),
        may_deny=True,
    ),
    pattern(
        "like to",
        rf"{I_DO}{LIKE} to (?P<topic>{ACTIVITY}) (?P<value>(?!out|with|in |at |on |but ).+)",
        *("What do you like to {topic}?", "What do you {topic}?", "Do you {topic} anything?"),
    ),
    pattern(
        "like to",
        rf"{I_DO}{LIKE} (?P<topic>{ACTIVITY_ING}) (?P<value>(?!out|with|in |at |on |but ).+)",
        *("What do you like {topic}?", "What do you enjoy {topic}?", "Tell me what you love {topic}."),
    ),
    pattern("hobby", rf"{I_DO}{LIKE} (?:to (?P<value>.+))", *_HOBBY_QUESTIONS, also=PLEASURES),
    pattern("hobby", rf"{I_DO}{LIKE} (?P<value>\w+ing(?: .+)?)", *_HOBBY_QUESTIONS, also=PLEASURES),
    pattern(
        "like",
        rf"(?:{I_DO}{LIKE}|{I_AM}(?:into|fond of|interested in|obsessed with|crazy about|passionate about)"
        rf"|{I_AM}an? (?:huge |big )?fan of) (?P<value>.+)",
        *_LIKE_QUESTIONS,
        also=PLEASURES,
    ),
    pattern(
        "like",
        rf"{I_AM}an? (?:huge |big |real |avid )?(?P<value>[a-z ]+) (?:lover|fan|enthusiast|addict|buff|fanatic)",
        *_LIKE_QUESTIONS,
        also=PLEASURES,
    ),
    pattern(
        "pastime",
        r"(?:i spend (?:most of |all of |all |much of |a lot of )?my (?:free |spare )?(?:time|days?|weekends?)(?: off)?"
        r"|(?:in|during|on|for) (?:my )?(?:free time|spare time|time off|days off|off time|weekends|vacation|fun),? i"
        rf"(?: {LIKE} to| {LIKE}| often| do| go)?"
        r"|my (?:hobbies|hobby|interests|pastimes?) (?:is|are|include)) (?P<value>.+)",
        *_PASTIME_QUESTIONS,
        also=PLEASURES,
    ),
    pattern(
        "pastime",
        r"i (?:go )?(?P<value>.+?) (?:(?:in|during) my (?:free|spare) time|as a hobby)",
        *_PASTIME_QUESTIONS,
        also=PLEASURES,
    ),
    pattern(
        "wish to be",
        rf"(?:when i grow up )?(?:{I_DO}(?:want|hope|wish|plan|aspire|dream)|i would like|{I_AM}training) (?:of )?"
        rf"(?:to be(?:come)?|being|becoming) {ARTICLE}(?P<value>.+)",
        *("What do you want to be?", "What do you hope to become?", "Which job do you dream of?"),
    ),
    pattern(
        "wish",
        rf"(?:{I_DO}(?:want|hope|wish|plan|intend|dream|fantasize)|i would (?:like|love)|{I_AM}(?:planning|hoping"
        rf"|saving|going"
        r"|trying|looking)|my (?:\w+ )?(?:dream|goal|plan|wish)s?(?: in life)? (?:is|are))"
        r" (?:to|of|about|on|for|up to|up for|forward to) (?P<value>.+)",
        *_WISH_QUESTIONS,
        also=frozenset({"wish to be"}),
    ),
    pattern(
        "busy with",
        rf"{I_AM}(?P<topic>working on|building|writing|expecting|planning|restoring) {ARTICLE}(?P<value>.+)",
        *("What are you {topic}?", "Are you {topic} anything?", "Tell me what you are {topic}."),
    ),
    pattern(
        "languages",
        rf"(?:{I_DO}(?:can )?speak|{I_AM}(?:fluent in|bilingual in)) (?:fluent )?(?P<value>.+)",
        *("Which languages do you speak?", "What languages do you know?", "Are you fluent in any languages?"),
    ),
    pattern(
        "skill",
        rf"(?:i can|i know how to|{I_AM}(?:very |really |pretty |quite )?(?:good|skilled|great|talented) (?:at|in"
        rf"|with))"
        r" (?P<value>(?!not |never |be ).+)",
        *("What can you do well?", "Do you have any special skills?", "What are you good at?"),
        also=PLEASURES,
    ),
    pattern(
        "travels",
        r"i (?:have )?(?:visited|been to|traveled to|travelled to) (?P<value>.+)",
        *("Where have you been?", "Which places did you see?", "Did you go anywhere far away?"),
    ),
    pattern(
        "past",
        rf"i used to (?:be |work (?:as|at|in|for) )?{ARTICLE}(?P<value>.+)",
        *("What did you use to do?", "How was your life before?", "Tell me about your past."),
    ),
    pattern(
        "vehicle",
        rf"{I_DO}drive {ARTICLE}(?P<value>.+)",
        *("What do you drive?", "What kind of car do you have?", "How do you get around?"),
    ),
    pattern(
        "vehicle",
        rf"(?:{I_DO}ride|{I_DO}take (?=.*(?:bus|train|subway|metro|tram))|my main transportation is)"
        rf" {ARTICLE}(?P<value>.+)",
        *("What do you ride?", "How do you get around?", "How do you get from place to place?"),
    ),
    pattern(
        "habit",
        rf"{I_DO}(?P<topic>{HABIT}) (?P<value>(?!and |or |not ).+)",
        *("What do you {topic}?", "Is there anything you {topic}?", "Tell me what you {topic}."),
    ),
    pattern(
        "self",
        rf"{I_AM}(?:(?:a|an|the|very|rather|so|quite|pretty) )*(?P<value>(?!not |in |on |at |here |[a-z]+ing"
        rf" )(?:[a-z]+ ?){{1,5}})",
        *("How would you describe yourself?", "What kind of person are you?", "Tell me something about yourself."),
        also=frozenset({"any"}),
    ),
)

LIFE: tuple[Pattern, ...] = (*_FAMILY_AND_SELF, *_FEELINGS_AND_HABITS)
