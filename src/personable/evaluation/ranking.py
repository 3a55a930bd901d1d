"""Whether a model finds the data's reply likelier than other replies: hits@k and mean reciprocal rank."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from personable.encoding import CandidateEncoder, EncodedCandidates
from personable.encoding.batches import Collator, pad_id_of
from personable.encoding.layout import cuts_not_logged
from personable.errors import EncodingError
from personable.evaluation.candidate_nats import after_prefix, one_by_one
from personable.evaluation.candidates import Lineup, lineups, overlap
from personable.evaluation.engine import OnProgress, no_progress
from personable.evaluation.exchanges import Exchange
from personable.evaluation.local import LocalEngine
from personable.evaluation.metric import Better, Group, Measured, Metric, NotMeasured, Tally, ratio
from personable.evaluation.prefixes import chains
from personable.reply.bot import check_scores

Numbers = NDArray[np.float64]

_HOW = {"": "mean log-probability of its tokens", "_sum": "sum of the log-probabilities of its tokens"}


def _metrics(ending: str) -> Iterator[Metric]:
    by = f"Candidates are ranked by the {_HOW[ending]}, the end of the reply included; a tie counts as a miss. "
    by += "A trivial system ranks by the words shared with its own reply, its ties broken at random."
    beside = ", by sum" if ending else ""
    for k, few in ((1, "none"), (5, "fewer than 5")):
        yield Metric(
            key=f"hits_{k}{ending}",
            name=f"Hits@{k}{beside}",
            definition=f"Share of exchanges in which {few} of the other candidates (19 in ConvAI2) are ranked with or "
            f"above the data's reply. {by}",
            better=Better.HIGHER,
            source="ConvAI2, Dinan et al. 2019",
            highest=100.0,
            unit="%",
        )
    yield Metric(
        key=f"mrr{ending}",
        name=f"MRR{beside}",
        definition=f"Mean reciprocal rank: the mean over exchanges of 1 / rank of the data's reply. {by}",
        better=Better.HIGHER,
        source="Voorhees 1999, TREC-8",
        highest=1.0,
    )


METRICS = tuple(metric for ending in _HOW for metric in _metrics(ending))
_BY_KEY = {metric.key: metric for metric in METRICS}


def ranking(
    engine: LocalEngine, exchanges: Sequence[Exchange], *, seed: int = 0, on_progress: OnProgress = no_progress
) -> Group:
    """Hits@1, hits@5 and mean reciprocal rank, by mean and by sum of log-probabilities.

    Candidates are those of the data; where it gives none, the reply and 19 drawn from other dialogues. Details say how
    many of each there are, and `baselines` what chance and rankers that count words reach on the same candidates.
    Raises BadBase where the model's scores are not numbers.
    """
    lined_up = lineups(exchanges, seed=seed)
    ranked = list(_ranked(engine, lined_up, on_progress))
    details: dict[str, object] = {
        "exchanges": len(ranked),
        "left_out_exchanges": len(exchanges) - len(ranked),
        "with_given_candidates": sum(one.lineup.given for one in ranked),
        "with_drawn_candidates": sum(not one.lineup.given for one in ranked),
        "copies_of_the_reply_left_out": sum(one.lineup.copies for one in ranked),
    }
    if not ranked:
        reason = "no exchange has candidates to rank that fit into the context"
        return Group(not_measured=tuple(NotMeasured(metric, reason) for metric in METRICS), details=details)
    sizes = [len(one.lineup.texts) for one in ranked]
    details |= {
        "candidates": {"fewest": min(sizes), "most": max(sizes), "mean": sum(sizes) / len(sizes)},
        "baselines": _baselines([one.lineup for one in ranked]),
    }
    dialogues = max(exchange.dialogue for exchange in exchanges) + 1
    return Group(
        measured=tuple(
            _measured(_BY_KEY[f"{name}{ending}"], worth, ranked, scores, dialogues)
            for ending, scores in (("", _Ranked.by_mean), ("_sum", _Ranked.by_sum))
            for name, worth in _WORTH.items()
        ),
        details=details,
    )


def ranking_by_overlap(exchanges: Sequence[Exchange], replies: Sequence[str], *, seed: int = 0) -> list[Measured]:
    """Hits@1, hits@5 and mean reciprocal rank of a system that only replies: it takes the candidates that share most
    words with its own reply. Ties, which are many, count as their mean over random orders. One reply per exchange.
    """
    said = {id(exchange): reply for exchange, reply in zip(exchanges, replies, strict=True)}
    lined_up = lineups(exchanges, seed=seed)
    rows = {key: np.zeros((max((each.dialogue for each in exchanges), default=-1) + 1, 2)) for key in _WORTH}
    for lineup in lined_up:
        better, tied = _better_and_tied(lineup, partial(overlap, said[id(lineup.exchange)]))
        for key, worth in _WORTH.items():
            rows[key][lineup.exchange.dialogue] += (worth(better, tied), 1)
    return [
        Measured(_BY_KEY[key], Tally(sums, ratio(_BY_KEY[key].highest or 1.0)), len(lined_up), "exchanges")
        for key, sums in rows.items()
        if lined_up
    ]


def rank(scores: Numbers, gold: int) -> int:
    """1 + how many others have a score at least as high as that at place `gold`: a tie is no win."""
    return int((scores >= scores[gold]).sum())


@dataclass(frozen=True, slots=True)
class _Ranked:
    lineup: Lineup
    nats: Numbers
    """Of each candidate."""
    tokens: Numbers
    """Of each candidate, its end included."""

    def by_mean(self) -> Numbers:
        """Scores, the higher the better."""
        return -self.nats / self.tokens

    def by_sum(self) -> Numbers:
        """Scores, the higher the better."""
        return -self.nats


def _ranked(engine: LocalEngine, lined_up: Sequence[Lineup], on_progress: OnProgress) -> Iterator[_Ranked]:
    encoder = CandidateEncoder(engine.base.tokenizer, engine.base.context_tokens)
    encoded: dict[int, EncodedCandidates] = {}
    with cuts_not_logged():
        for place, lineup in enumerate(lined_up):
            try:
                encoded[place] = encoder.encode(lineup.exchange.history, lineup.texts)
            except EncodingError:  # longer than the context, or a turn without text: counted by the caller
                continue
    for done, (place, nats) in enumerate(nats_of_candidates(engine, encoded), start=1):
        check_scores(nats, engine.base.spec)
        tokens = np.array([len(reply) for reply in encoded[place].replies], dtype=np.float64)
        yield _Ranked(lined_up[place], nats.double().cpu().numpy(), tokens)
        on_progress(done, len(encoded))


def nats_of_candidates(
    engine: LocalEngine, encoded: dict[int, EncodedCandidates]
) -> Iterator[tuple[int, torch.Tensor]]:
    """Place and nats (candidates,) of each exchange, as they come; exchanges of one dialogue share what is read."""
    model, reader = engine.base.model, engine.reader

    def shares(one: EncodedCandidates) -> bool:
        return bool(one.prompt) and len(one.prompt) + max(map(len, one.replies)) <= reader.limit

    sharing = [place for place, one in encoded.items() if shares(one)]
    for group in chains([encoded[place].prompt for place in sharing]):
        places = [sharing[each] for each in group]
        longest = encoded[places[-1]].prompt
        firsts, prefix = reader.read(longest, [len(encoded[place].prompt) for place in places])
        for place, first in zip(places, firsts, strict=True):
            yield place, after_prefix(model, first, prefix, encoded[place])
    collate = Collator(pad_id_of(engine.base.tokenizer))
    for place in encoded.keys() - set(sharing):
        yield place, one_by_one(model, encoded[place], collate, engine.batch_size)


def _hits(k: int) -> Callable[[int, int], float]:
    """Expected value where `better` others are ranked before and `tied` ones beside the data's reply, at random."""
    return lambda better, tied: min(max((k - better) / (tied + 1), 0.0), 1.0)


def _reciprocal(better: int, tied: int) -> float:
    return sum(1 / (better + 1 + place) for place in range(tied + 1)) / (tied + 1)


_WORTH = {"hits_1": _hits(1), "hits_5": _hits(5), "mrr": _reciprocal}


def _measured(
    metric: Metric,
    worth: Callable[[int, int], float],
    ranked: Sequence[_Ranked],
    scores: Callable[[_Ranked], Numbers],
    dialogues: int,
) -> Measured:
    rows = np.zeros((dialogues, 2))
    for one in ranked:
        found = scores(one)
        rows[one.lineup.exchange.dialogue] += (worth(rank(found, one.lineup.gold) - 1, 0), 1)
    return Measured(metric, Tally(rows, ratio(metric.highest or 1.0)), len(ranked), "exchanges")


def _baselines(lined_up: Sequence[Lineup]) -> dict[str, dict[str, float]]:
    """What rankers that know no language reach; their ties, which are many, are broken at random."""
    rankers: dict[str, Callable[[Lineup, str], float]] = {
        "chance": lambda lineup, text: 0.0,
        "persona word overlap": lambda lineup, text: overlap(text, lineup.exchange.history.persona.text),
        "partner word overlap": lambda lineup, text: overlap(text, lineup.exchange.said),
    }
    found: dict[str, dict[str, float]] = {}
    for name, score in rankers.items():
        places = [_better_and_tied(lineup, partial(score, lineup)) for lineup in lined_up]
        means = {key: math.fsum(worth(*place) for place in places) / len(places) for key, worth in _WORTH.items()}
        found[name] = {
            f"{key}{ending}": mean * (_BY_KEY[key].highest or 1.0) for ending in _HOW for key, mean in means.items()
        }
    return found


def _better_and_tied(lineup: Lineup, score: Callable[[str], float]) -> tuple[int, int]:
    """How many candidates score above the data's reply, and how many others as high."""
    scores = [score(text) for text in lineup.texts]
    gold = scores[lineup.gold]
    return sum(one > gold for one in scores), scores.count(gold) - 1
