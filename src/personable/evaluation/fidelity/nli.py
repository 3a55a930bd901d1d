"""Do replies follow from the persona, or contradict it? Asked of a natural language inference (NLI) classifier.

The classifier reads (premise, hypothesis) = (reply, fact), as PAML's does (Madotto et al. 2019, HLTCHKUST/PAML). Scores
of different classifiers cannot be compared; evaluation.json names the one used.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import torch

from personable.base import HUB_ID, quiet_transformers
from personable.errors import BadBase, BaseNotFound, PersonableError
from personable.evaluation.engine import OnProgress, no_progress
from personable.evaluation.exchanges import Exchange
from personable.evaluation.metric import Better, Group, Measured, Metric, NotMeasured, Tally, ratio

Pair = tuple[str, str]
"""Premise and hypothesis."""

MAX_TOKENS = 256
"""Longer pairs are cut; a reply with a fact has about 30."""


class Label(StrEnum):
    """What a premise says about a hypothesis."""

    ENTAILMENT = "entailment"
    NEUTRAL = "neutral"
    CONTRADICTION = "contradiction"


_NAMES = {
    "entailment": Label.ENTAILMENT,
    "entail": Label.ENTAILMENT,
    "entails": Label.ENTAILMENT,
    "positive": Label.ENTAILMENT,
    "neutral": Label.NEUTRAL,
    "contradiction": Label.CONTRADICTION,
    "contradict": Label.CONTRADICTION,
    "contradicts": Label.CONTRADICTION,
    "negative": Label.CONTRADICTION,
}


def label_called(name: str) -> Label | None:
    """The label of that name in any case; `positive` and `negative` are Dialogue NLI's words. None for others."""
    return _NAMES.get(name.strip().casefold())


class NliClassifier:
    """A sequence classifier with the labels entailment, neutral and contradiction, in evaluation mode."""

    def __init__(self, spec: str | Path, *, batch_size: int = 32, device: str | None = None) -> None:
        """Loads the local folder or Hub id `spec`; no code that comes with it is run. On a GPU where there is one.

        Raises BaseNotFound (nothing there, or the Hub cannot be reached) and BadBase (no classifier, an untrained one,
        or other labels).
        """
        self.name = _shown_name(spec)
        self._batch_size = batch_size
        with quiet_transformers():
            self._model, self._tokenizer = _load(str(spec))
        self.labels = _labels_of(self._model.config.id2label, str(spec))
        """The label at each output, in order."""
        self._model.to(device or ("cuda" if torch.cuda.is_available() else "cpu")).eval()
        positions = getattr(self._model.config, "max_position_embeddings", MAX_TOKENS)
        self._max_tokens = min(MAX_TOKENS, positions, self._tokenizer.model_max_length)

    def label(self, pairs: Sequence[Pair], on_progress: OnProgress = no_progress) -> list[Label]:
        """The likeliest label of each (premise, hypothesis); each distinct pair is read once."""
        # Of like length together, so that little of a batch is padding.
        distinct = sorted(set(pairs), key=lambda pair: len(pair[0]) + len(pair[1]))
        known: dict[Pair, Label] = {}
        for start in range(0, len(distinct), self._batch_size):
            batch = distinct[start : start + self._batch_size]
            known |= zip(batch, self._labelled(batch), strict=True)
            on_progress(len(known), len(distinct))
        return [known[pair] for pair in pairs]

    @torch.inference_mode()
    def _labelled(self, pairs: Sequence[Pair]) -> list[Label]:
        inputs = self._tokenizer(
            [premise for premise, _ in pairs],
            [hypothesis for _, hypothesis in pairs],
            padding=True,
            truncation=True,
            max_length=self._max_tokens,
            return_tensors="pt",
        ).to(self._model.device)
        return [self.labels[place] for place in self._model(**inputs).logits.argmax(-1).tolist()]


def consistency(
    classifier: NliClassifier | None,
    exchanges: Sequence[Exchange],
    replies: Sequence[str],
    on_progress: OnProgress = no_progress,
) -> Group:
    """C score, share of consistent replies, and rates of contradiction and entailment of replies (one per exchange).

    Only exchanges whose persona has facts count. An empty reply says nothing, so it is neutral to every fact.
    Rows are dialogues. Details: the classifier, what it found, and pairs to judge it by.
    """
    if classifier is None:
        reason = "no NLI classifier was given. Next: --nli PATH_OR_ID"
        return Group(not_measured=tuple(NotMeasured(metric, reason) for metric in METRICS))
    asked = [
        (exchange.dialogue, exchange.history.persona.facts, reply.strip())
        for exchange, reply in zip(exchanges, replies, strict=True)
        if exchange.history.persona.facts
    ]
    if not asked:
        reason = "no dialogue has a persona with facts"
        return Group(not_measured=tuple(NotMeasured(metric, reason) for metric in METRICS))
    pairs = sorted({(reply, fact) for _, facts, reply in asked for fact in facts if reply})
    verdicts = dict(zip(pairs, classifier.label(pairs, on_progress), strict=True))
    rows = max(exchange.dialogue for exchange in exchanges) + 1
    counts = np.zeros((rows, len(METRICS) + 1))
    found: Counter[Label] = Counter()
    for dialogue, facts, reply in asked:
        labels = [verdicts.get((reply, fact), Label.NEUTRAL) for fact in facts]
        found.update(labels)
        counts[dialogue] += [*_scores(labels), 1]
    return Group(
        measured=tuple(
            Measured(
                metric, Tally(counts[:, [place, -1]], ratio(100 if metric.unit == "%" else 1)), len(asked), "replies"
            )
            for place, metric in enumerate(METRICS)
        ),
        details={
            "classifier": classifier.name,
            "labels": [label.value for label in classifier.labels],
            "premise": "reply",
            "hypothesis": "fact",
            "distinct_pairs": len(pairs),
            "found": {label.value: found[label] for label in Label},
            "examples": _examples(verdicts),
        },
    )


def _scores(labels: Sequence[Label]) -> tuple[float, float, float, float]:
    """What one reply adds to each of METRICS."""
    entails, contradicts = labels.count(Label.ENTAILMENT), labels.count(Label.CONTRADICTION)
    return entails - contradicts, float(entails > 0 == contradicts), float(contradicts > 0), float(entails > 0)


_EXAMPLES = 5


def _examples(verdicts: Mapping[Pair, Label]) -> dict[str, list[dict[str, str]]]:
    """A few pairs that the classifier took for a contradiction and for an entailment, for a reader to judge it by."""
    shown: dict[str, list[dict[str, str]]] = {}
    for wanted in (Label.CONTRADICTION, Label.ENTAILMENT):
        pairs = [pair for pair, label in verdicts.items() if label is wanted]
        step = max(1, len(pairs) // _EXAMPLES)
        shown[wanted.value] = [{"reply": reply, "fact": fact} for reply, fact in pairs[::step][:_EXAMPLES]]
    return shown


def _load(spec: str) -> tuple[Any, Any]:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = Path(spec).expanduser()
    local = folder.is_dir()
    if local and not (folder / "config.json").is_file():
        raise BaseNotFound(f"expected an NLI classifier in {spec}, found a folder without config.json.")
    if not local and (folder.exists() or not HUB_ID.fullmatch(spec)):
        raise BaseNotFound(f"expected the folder or Hub id of an NLI classifier, found {spec!r}. Next: check --nli")
    name = str(folder) if local else spec
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        model, loaded = AutoModelForSequenceClassification.from_pretrained(
            name, trust_remote_code=False, dtype=torch.float32, output_loading_info=True
        )
    except Exception as error:  # transformers raises anything, down to TypeError, for a damaged folder
        raise _explained(error, spec, local=local) from error
    if loaded["missing_keys"] or loaded["mismatched_keys"]:
        missing = sorted(str(key) for key in (*loaded["missing_keys"], *loaded["mismatched_keys"]))[:3]
        raise BadBase(
            f"expected a trained NLI classifier in {spec!r}, found a model without weights for {', '.join(missing)}. "
            "Next: name one that was trained on NLI data."
        )
    if tokenizer.pad_token is None:
        raise BadBase(f"expected the tokenizer of {spec!r} to have a pad token, found none.")
    return model, tokenizer


def _explained(error: Exception, spec: str, *, local: bool) -> PersonableError:
    first_line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if local or not isinstance(error, OSError):
        return BadBase(f"expected a sequence classifier and its tokenizer in {spec!r}, found: {first_line}")
    return BaseNotFound(
        f"{spec!r} is no folder here, so it was looked up on the Hugging Face Hub and in its local cache, without "
        f"success: {first_line} Next: name a local folder, or try again with the Hub in reach."
    )


def _labels_of(id2label: Mapping[int, str], spec: str) -> tuple[Label, ...]:
    names = [str(id2label[place]) for place in sorted(id2label)]
    labels = [label_called(name) for name in names]
    if None in labels or set(labels) != set(Label) or len(labels) != len(Label):
        raise BadBase(
            f"expected the classifier {spec!r} to have the three labels entailment, neutral and contradiction, found "
            f"{', '.join(names)}. Next: name an NLI classifier, or set id2label in its config.json."
        )
    return tuple(label for label in labels if label is not None)


def _shown_name(spec: str | Path) -> str:
    """A Hub id as it is; of a folder only its own name, since a report never tells where things lie on a machine."""
    path = Path(spec).expanduser()
    return path.resolve().name if path.is_dir() else str(spec)


_SOURCE = "Madotto et al. 2019, Personalizing Dialogue Agents via Meta-Learning; code HLTCHKUST/PAML"
_RATES = "Rates over the same labels as the C score; Dialogue NLI, Welleck et al. 2019"

C_SCORE = Metric(
    "c_score",
    "C score",
    "Mean over replies of the sum over the persona's facts of NLI(reply, fact): 1 entailment, 0 neutral, "
    "-1 contradiction. Depends on the classifier and on the number of facts; read it beside the copy rate, since "
    "pasting facts raises it.",
    Better.HIGHER,
    _SOURCE,
    lowest=-math.inf,
)
C_SCORE_PERCENT = Metric(
    "c_score_percent",
    "Consistent replies",
    "Share of replies that entail at least one fact of the persona and contradict none.",
    Better.HIGHER,
    "Personable. Papers that give consistency in percent (BoB, SBS and others) publish neither a common formula nor "
    "their classifier, so do not compare",
    highest=100.0,
    unit="%",
)
CONTRADICTION_RATE = Metric(
    "contradiction_rate",
    "Contradicting replies",
    "Share of replies that contradict at least one fact of the persona, by the NLI classifier. Read it beside that of "
    "the human replies: classifiers err, and small ones find contradictions in a good part of those too.",
    Better.LOWER,
    _RATES,
    highest=100.0,
    unit="%",
)
ENTAILMENT_RATE = Metric(
    "entailment_rate",
    "Replies that state a fact",
    "Share of replies that entail at least one fact of the persona, by the NLI classifier.",
    Better.NEITHER,
    _RATES,
    highest=100.0,
    unit="%",
)
METRICS = (C_SCORE, C_SCORE_PERCENT, CONTRADICTION_RATE, ENTAILMENT_RATE)
