"""Character regression tests: says each probe's lines to its persona and checks what comes back."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from personable.dialogue import Dialogue, Persona, Speaker
from personable.evaluation.engine import Engine, OnProgress, no_progress
from personable.evaluation.fidelity.probes_file import Probe, ProbeFile, ProbeSettings, read_probes
from personable.reply import Sampling

__all__ = ["Probe", "ProbeFile", "ProbeOutcome", "ProbeSettings", "read_probes", "run_probes"]


@dataclass(frozen=True, slots=True)
class ProbeOutcome:
    """What came of one probe."""

    persona: Persona
    say: tuple[str, ...]
    place: str
    """Where the probe stands in its file."""
    reply: str
    """The last reply of the first time that failed; where none did, of the first time."""
    passed: bool
    why: str
    """What was wrong with `reply`; empty when nothing was."""
    times: int
    times_passed: int


def run_probes(engine: Engine, probes: ProbeFile, on_progress: OnProgress = no_progress) -> list[ProbeOutcome]:
    """The outcome of every probe, in the order of the file.

    A probe with several lines is one dialogue in which the engine's own replies stand between them; the conditions are
    for the last one. The nth time of a probe is asked with the file's seed + n. Told of progress in replies.
    """
    most_times = max(probe.settings.times for probe in probes.probes)
    total = sum(len(probe.settings.say) * probe.settings.times for probe in probes.probes)
    replies: list[list[str]] = [[] for _ in probes.probes]
    done = 0
    for time in range(most_times):
        seed = None if probes.sampling.seed is None else probes.sampling.seed + time
        asked = [place for place, probe in enumerate(probes.probes) if time < probe.settings.times]
        talks = _talk(engine, [probes.probes[place] for place in asked], probes.sampling.but(seed=seed))
        for place, reply in zip(asked, talks, strict=True):
            replies[place].append(reply)
            done += len(probes.probes[place].settings.say)
        on_progress(done, total)
    return [_outcome(probe, said) for probe, said in zip(probes.probes, replies, strict=True)]


def _talk(engine: Engine, probes: Sequence[Probe], sampling: Sampling) -> list[str]:
    """The last reply of each probe's dialogue; lines of one rank are replied to together."""
    talks = [Dialogue(probe.persona) for probe in probes]
    last = [""] * len(probes)
    for line in range(max(len(probe.settings.say) for probe in probes)):
        open_ones = [place for place, probe in enumerate(probes) if line < len(probe.settings.say)]
        for place in open_ones:
            talks[place] = talks[place].then(Speaker.PARTNER, probes[place].settings.say[line])
        for place, reply in zip(
            open_ones, engine.replies([talks[place] for place in open_ones], sampling), strict=True
        ):
            last[place] = reply
            if reply.strip():  # a turn without text cannot stand in a dialogue
                talks[place] = talks[place].then(Speaker.PERSONA, reply)
    return last


def _outcome(probe: Probe, replies: Sequence[str]) -> ProbeOutcome:
    wrongs = [wrong_with(reply, probe.settings) for reply in replies]
    shown = next((place for place, wrong in enumerate(wrongs) if wrong), 0)
    times_passed = wrongs.count("")
    # Rounded first: 0.7 * 10 is a little more than 7.
    needed = math.ceil(round(probe.settings.at_least * len(replies), 9))
    return ProbeOutcome(
        persona=probe.persona,
        say=probe.settings.say,
        place=probe.place,
        reply=replies[shown],
        passed=times_passed >= needed,
        why=wrongs[shown],
        times=len(replies),
        times_passed=times_passed,
    )


def wrong_with(reply: str, settings: ProbeSettings) -> str:
    """Every condition that the reply breaks, in words; empty where it breaks none."""
    wrong = [f"lacks {phrase!r}" for phrase in settings.must_contain or () if not _contains(reply, phrase)]
    wanted = settings.must_contain_any
    if wanted and not any(_contains(reply, phrase) for phrase in wanted):
        wrong.append(f"lacks any of {', '.join(map(repr, wanted))}")
    wrong += [f"contains {phrase!r}" for phrase in settings.must_not_contain or () if _contains(reply, phrase)]
    if settings.must_match is not None and not re.search(settings.must_match, reply, re.IGNORECASE):
        wrong.append(f"does not match {settings.must_match!r}")
    if settings.max_words is not None and (count := len(reply.split())) > settings.max_words:
        wrong.append(f"has {count} words, at most {settings.max_words} are allowed")
    return "; ".join(wrong)


def _contains(reply: str, phrase: str) -> bool:
    """Whether the phrase occurs as whole words, in any case and with any white space between its words."""
    pattern = r"\s+".join(re.escape(word) for word in phrase.split())
    return re.search(rf"(?<!\w){pattern}(?!\w)", reply, re.IGNORECASE) is not None
