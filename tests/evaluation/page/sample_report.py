"""A report as an evaluation would write it: a small model on 500 ConvAI2 dialogues."""

from __future__ import annotations

from personable.dialogue import Persona, Speaker, Turn
from personable.evaluation.bootstrap import Difference
from personable.evaluation.comparison import ComparedMetric
from personable.evaluation.metric import Better, Metric, Score
from personable.evaluation.report import Baseline, Report, Sample

HIGHER, LOWER, NEITHER = Better.HIGHER, Better.LOWER, Better.NEITHER
BOOTSTRAP, JACKKNIFE = "bootstrap over dialogues", "jackknife over dialogues"
SPACED = "lower case, punctuation set off, cut at white space"


def metric(key: str, name: str, better: Better, unit: str = "", **rest) -> Metric:
    """A definition; percentages end at 100."""
    rest = {"definition": f"{name}, by its formula. And a second sentence.", "source": "Somebody et al. 2019"} | rest
    if unit == "%":
        rest.setdefault("highest", 100.0)
    return Metric(key=key, name=name, better=better, unit=unit, **rest)


METRICS = {
    each.key: each
    for each in (
        metric("perplexity", "Reply perplexity", LOWER, lowest=1.0, tokenisation="GPT-2 BPE, with the turn end"),
        metric("word_perplexity", "Word perplexity", LOWER, lowest=1.0, tokenisation="ConvAI2's words"),
        metric("bits_per_byte", "Bits per byte", LOWER, "bits/byte"),
        metric("hits_1", "Hits@1", HIGHER, "%"),
        metric("hits_1_sum", "Hits@1, by sum", HIGHER, "%"),
        metric("mrr", "MRR", HIGHER, highest=1.0),
        metric(
            *("f1", "ParlAI F1", HIGHER, "%"),
            definition="Mean over replies of 2 * shared words / (words of the reply + words of the human reply).",
            tokenisation="lower case, punctuation to spaces, without a, an, the",
            source="ParlAI, core/metrics.py",
        ),
        metric("bleu4", "BLEU-4", HIGHER, tokenisation="13a", highest=100.0),
        metric("distinct_1", "Distinct-1", HIGHER, "%", tokenisation=SPACED),
        metric("distinct_2", "Distinct-2", HIGHER, "%", tokenisation=SPACED),
        metric("mean_words", "words per reply", NEITHER, "words"),
        metric("question_rate", "replies with a question", NEITHER, "%"),
        metric("repetition_within", "repetition within a reply", LOWER, "%"),
        metric("persona_copy", "persona copied", LOWER, "%"),
        metric("empty_replies", "empty replies", LOWER, "%"),
        metric("fact_recall", "Fact recall", HIGHER, "%"),
        metric("fact_recall_without_persona", "Fact recall without the persona", NEITHER, "%"),
        metric("role_swaps", "Role swaps", LOWER, "%"),
        metric("contradiction_rate", "Contradicting replies", LOWER, "%"),
        metric("c_score", "C score", HIGHER, lowest=float("-inf")),
    )
}
SCORES = {
    "perplexity": Score(18.4231, (17.912, 18.957), BOOTSTRAP, 51_204, "tokens"),
    "word_perplexity": Score(31.207, (30.11, 32.4), BOOTSTRAP, 43_912, "words"),
    "bits_per_byte": Score(0.98214, (0.9699, 0.9951), BOOTSTRAP, 190_233, "bytes"),
    "hits_1": Score(41.27, (39.6, 42.9), BOOTSTRAP, 3907, "replies"),
    "hits_1_sum": Score(30.1, (28.6, 31.7), BOOTSTRAP, 3907, "replies"),
    "mrr": Score(0.5632, (0.551, 0.5761), BOOTSTRAP, 3907, "replies"),
    "f1": Score(16.132, (15.71, 16.44), BOOTSTRAP, 3907, "replies"),
    "bleu4": Score(1.187, (0.94, 1.43), BOOTSTRAP, 3907, "replies"),
    "distinct_1": Score(1.912, (1.81, 2.01), JACKKNIFE, 41_220, "words"),
    "distinct_2": Score(8.034, (7.62, 8.44), JACKKNIFE, 37_313, "word pairs"),
    "mean_words": Score(10.55, (10.41, 10.7), BOOTSTRAP, 3907, "replies"),
    "question_rate": Score(38.2, (36.5, 39.8), BOOTSTRAP, 3907, "replies"),
    "repetition_within": Score(0.62, (0.41, 0.88), BOOTSTRAP, 33_406, "3-grams"),
    "persona_copy": Score(5.81, (5.02, 6.63), BOOTSTRAP, 3907, "replies"),
    "empty_replies": Score(0.0, (0.0, 0.0), BOOTSTRAP, 3907, "replies"),
    "fact_recall": Score(61.5, (55.0, 68.0), BOOTSTRAP, 200, "questions"),
    "fact_recall_without_persona": Score(6.5, (3.0, 10.5), BOOTSTRAP, 200, "questions"),
    "role_swaps": Score(7.5, (4.0, 11.5), BOOTSTRAP, 200, "probes"),
    "c_score": Score(0.214, (0.19, 0.238), BOOTSTRAP, 3907, "replies"),
}
_TEXT = ("f1", "bleu4", "distinct_1", "distinct_2", "mean_words", "question_rate", "repetition_within", "persona_copy")
_TRIVIAL = {
    "human reply": ("The data's own reply.", (100.0, 100.0, 5.37, 36.4, 11.92, 28.8, 0.31, 1.5)),
    "constant string": (
        "The same words each time: 'i to do my is i that are like and you'.",
        (21.2, 0.11, 0.02, 0.03, 11.0, 0.0, 0.0, 0.0),
    ),
    "echo of the partner": ("The partner's last turn, said back.", (13.9, 0.64, 5.3, 35.8, 11.6, 29.2, 0.33, 0.9)),
    "copy of a persona fact": ("The first fact of the persona.", (12.6, 0.52, 3.1, 11.2, 7.3, 0.0, 0.1, 88.2)),
    "random reply of other dialogues": (
        "A human reply of another dialogue.",
        (11.4, 0.3, 5.4, 36.2, 11.9, 28.7, 0.3, 0.1),
    ),
}
PERSONA = Persona(
    (
        "i like to remodel homes .",
        "i like to go hunting .",
        "i like to shoot a bow .",
        "my favorite holiday is halloween .",
    )
)


def turns(*texts: str) -> tuple[Turn, ...]:
    """Turns that take turns; the partner has the last word."""
    speakers = (Speaker.PARTNER, Speaker.PERSONA) if len(texts) % 2 else (Speaker.PERSONA, Speaker.PARTNER)
    return tuple(Turn(speakers[place % 2], text) for place, text in enumerate(texts))


_TALK = turns(
    "hi , how are you doing ? i am getting ready to do some cheetah chasing to stay in shape .",
    "you must be very fast . hunting is one of my favorite hobbies .",
    "i am ! for my hobby i like to do canning or some whittling .",
    "i also remodel homes when i am not out bow hunting .",
    "that is neat . when i was in high school i placed 6th in 100m dash !",
    "that is awesome . do you have a favorite season or time of year ?",
    "i do not . but i do have a favorite meat since that is all i eat exclusively .",
)
SAMPLES = (
    Sample(
        "drawn at random",
        PERSONA,
        _TALK,
        "i like to hunt deer . what is your favorite ?",
        "what is your favorite meat to eat ?",
        "F1 57.1",
    ),
    Sample(
        "drawn at random",
        PERSONA,
        _TALK[:3],
        "i like to remodel homes .",
        "i also remodel homes when i am not out bow hunting .",
        "F1 50.0",
    ),
    Sample("drawn at random", PERSONA, (), "hi , how are you today ?", "hello what are doing today ?", "F1 36.4"),
    Sample(
        "worst by ParlAI F1",
        PERSONA,
        _TALK[:5],
        "i am a nurse and i have three cats and a cat .",
        "that is awesome . do you have a favorite season or time of year ?",
        "F1 0.0",
    ),
    Sample("worst by ParlAI F1", PERSONA, _TALK[:1], "me too ! me too ! me too !", "you must be very fast .", "F1 0.0"),
    Sample("says nothing", PERSONA, _TALK[:3], "", "i also remodel homes when i am not out bow hunting .", "empty"),
)
DETAILS: dict[str, object] = {
    "perplexity": {"scored_replies": 3907, "dialogues_with_cut_persona": 0, "unigram_perplexity": 263.8172},
    "ranking": {
        "exchanges": 3907,
        "baselines": {
            "chance": {"hits_1": 5.0, "hits_5": 25.0, "mrr": 0.18, "hits_1_sum": 5.0, "hits_5_sum": 25.0},
            "persona word overlap": {"hits_1": 20.4, "hits_5": 40.2, "mrr": 0.33, "hits_1_sum": 20.4},
            "partner word overlap": {"hits_1": 9.1, "hits_5": 30.2, "mrr": 0.24, "hits_1_sum": 9.1},
        },
    },
    "order": {"dialogues": 50, "most_orders_of_one": 6},
    "facts": {
        "by_kind": {
            "hobby": {"asked": 80, "right": 58, "share": 72.5},
            "family": {"asked": 60, "right": 31, "share": 51.6667},
            "favourite": {"asked": 60, "right": 34, "share": 56.6667},
        },
        "examples": [
            {
                "fact": "i like to shoot a bow .",
                "question": "what do you like to shoot ?",
                "reply": "a bow !",
                "right": True,
            },
            {
                "fact": "my favorite holiday is halloween .",
                "question": "what is your favorite holiday ? tell me a bit about why you like it .",
                "reply": "i love christmas , my whole family comes together then .",
                "right": False,
            },
        ],
    },
    "roles": {
        "probes": 200,
        "examples": [
            {
                "persona": list(PERSONA.facts),
                "turns": [
                    {"speaker": "partner", "text": "i work as a teacher . what do you do ?"},
                    {"speaker": "persona", "text": "i am a teacher too , you are a hunter ."},
                ],
                "why": "claims the partner's occupation",
            },
        ],
    },
}


def sample_report(*, without: frozenset[str] = frozenset()) -> Report:
    """The report, or one without some of its scores and without those of the trivial systems beside them."""
    baselines = {
        name: Baseline(
            description,
            {
                key: Score(value, (value * 0.97, value * 1.03), BOOTSTRAP, 3907, "replies")
                for key, value in zip(_TEXT, values, strict=True)
                if key not in without
            },
        )
        for name, (description, values) in _TRIVIAL.items()
    }
    return Report(
        created="2026-11-22T12:00:00+00:00",
        engine={
            "kind": "local",
            "name": "runs/rita",
            "parameters": 17_867_008,
            "context_tokens": 512,
            "vocabulary": 50_257,
        },
        data={
            "name": "valid_self_original.txt.xz",
            "format": "convai2",
            "split": "validation",
            "fingerprint": "9d1d4f8a55aa70c3",
            "detokenised": False,
            "limit": 500,
            "dialogues": 500,
            "dialogues_in_file": 1000,
            "replies": 3907,
        },
        decoding={
            "method": "greedy",
            "temperature": 0.0,
            "top_p": 1.0,
            "top_k": 0,
            "seed": None,
            "max_reply_tokens": 80,
        },
        seed=0,
        resamples=1000,
        confidence=0.95,
        metrics={key: each for key, each in METRICS.items() if key not in without},
        scores={key: each for key, each in SCORES.items() if key not in without},
        baselines=baselines,
        not_measured={"contradiction_rate": "no NLI classifier was given (--nli)"},
        details=DETAILS,
        samples=SAMPLES,
        seconds={"perplexity": 12.31, "replies": 241.9, "generation": 3.2, "total": 257.41},
        peak_memory_bytes=1_423_000_000,
        versions={"python": "3.11.2", "personable": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0"},
        hardware={"platform": "Linux-6.1-x86_64", "processor": "Some CPU @ 2.50GHz", "cores": 2, "torch_threads": 1},
    )


def sample_comparison() -> list[ComparedMetric]:
    """Each finding once: B better (twice), A better, no real difference, a metric without a direction, no interval."""
    return [
        _compared("perplexity", 1.1, (1.0, 1.21)),
        _compared("hits_1", -3.4, (-5.0, -1.8)),
        _compared("f1", 0.21, (-0.12, 0.55)),
        _compared("distinct_2", 2.42, (2.1, 2.8)),
        _compared("question_rate", -8.3, (-10.1, -6.6)),
        _compared("bits_per_byte", -0.0412, None),
        _compared("role_swaps", -3.0, (-5.5, -0.5)),
    ]


def _compared(key: str, change: float, bounds: tuple[float, float] | None) -> ComparedMetric:
    first = SCORES[key]
    second = Score(first.value + change, None, "", first.count, first.counted)
    return ComparedMetric(METRICS[key], first, second, Difference(change, bounds))
