"""What a model card says about an evaluation: scores with their baselines, what was not measured, quoted replies."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from personable.errors import DataError
from personable.evaluation.page import figures
from personable.evaluation.page.score_rows import ScoreRow, ScoreRows, score_rows
from personable.publishing.card.lineage import last_name
from personable.publishing.card.metadata import sampled, shown_source
from personable.publishing.card.text import code, plain, setting, text

_FAILURES = 6
_ORDINARY = 3
_TURNS = 4
_CHARACTERS = 600
"""Of one quoted text; a model gone wrong can talk without end."""
_AT_RANDOM = "random"
PLACEHOLDER = "RUN"
"""For the folder of a run, where a card cannot name it."""


_NEEDED = {"scores": dict, "data": dict, "decoding": dict, "engine": dict, "confidence": int | float}


def check_evaluation(found: Mapping[str, Any], file: Path) -> None:
    """Raises DataError where the content of an evaluation.json lacks what a card says of it. file: for the message."""
    lacking = [key for key, kind in _NEEDED.items() if not isinstance(found.get(key), kind)]
    if lacking:
        raise DataError(
            f"{file}: expected what `personable evaluate` writes, found no {', '.join(lacking)}. "
            "Next: run personable evaluate again."
        )


def evaluated(found: Mapping[str, Any] | None, *, folder: str) -> dict[str, Any]:
    """What evaluation.json says, as the template asks for it. folder: the run's, for the command that evaluates it."""
    nothing: dict[str, Any] = {
        "evaluation": None, "judged": False, "failures": [], "failures_found": 0, "beaten": []
    }  # fmt: skip
    if found is None:
        typed = shlex.quote(folder)
        command = f"personable evaluate {typed} --data PATH\npersonable card {typed}"
        return {**nothing, "evaluate_command": command, "run_is_named": folder != PLACEHOLDER}
    rows = score_rows(found)
    scores = [*found["scores"].values()]
    samples = found.get("samples", [])
    failures = [each for each in samples if _AT_RANDOM not in each["kind"]]
    ordinary = [each for each in samples if _AT_RANDOM in each["kind"]]
    return {
        "evaluation": found,
        "judged": any(title in rows.groups for title in ("Fidelity", "Generation")),
        "sampled": sampled(found),
        "rows": rows,
        "group_baselines": {
            title: [each for each in rows.baselines if any(each in row.baselines for row in group)]
            for title, group in rows.groups.items()
        },
        "arrows": figures.ARROWS,
        "confidence": f"{found['confidence'] * 100:g}",
        "methods": text(", ".join(dict.fromkeys(m for each in scores if (m := each.get("interval_method"))))),
        "measured_on": _measured_on(found["data"]),
        "decoding": text(_decoding(found["decoding"])),
        "scored_by": _engine(found["engine"]),
        "baselines": [(each, found["baselines"][each].get("description", "")) for each in rows.baselines],
        "definitions": [row.metric for row in rows.all if row.metric.definition],
        "failures": _different(_of_each_kind(failures))[:_FAILURES],
        "failures_found": len(failures),
        "ordinary": ordinary[:_ORDINARY],
        "beaten": [line for row in rows.all if (line := _beaten(row, rows))],
    }


def _measured_on(data: Mapping[str, Any]) -> str:
    parts = [shown_source(plain(data.get("name") or "dialogues"))]
    parts += [f"format {code(data['format'])}"] if data.get("format") else []
    parts += [f"{data[key]:,} {key}" for key in ("dialogues", "replies") if data.get(key) is not None]
    parts += [f"a sample of at most {data['limit']:,} dialogues"] if data.get("limit") else []
    if data.get("detokenised") is not None:
        parts.append("spaced punctuation mended" if data["detokenised"] else "text as published")
    parts += [f"fingerprint {code(data['fingerprint'])}"] if data.get("fingerprint") else []
    return ", ".join(parts)


def _engine(engine: Mapping[str, Any]) -> str:
    kind = {"local": "(loaded by Personable)", "url": "(behind a URL)"}.get(str(engine.get("kind")), "")
    shown = code(last_name(plain(engine["name"]))) if engine.get("name") else ""
    return " ".join(part for part in (shown, kind) if part)


def _decoding(found: Mapping[str, Any]) -> str:
    told = {key: value for key, value in found.items() if value is not None}
    if told.get("method") == "greedy":  # what sampling would have used says nothing then
        told = {key: told[key] for key in ("method", "max_reply_tokens") if key in told}
    return ", ".join(f"{key} {setting(value)}" for key, value in told.items())


def _beaten(row: ScoreRow, rows: ScoreRows) -> str:
    better = [each for each in rows.baselines if row.beaten_by(each)]
    if not better:
        return ""
    rivals = ", ".join(f"{text(each)} {figures.figure(row.baselines[each].value, row.digits)}" for each in better)
    own = figures.figure(row.score.value, row.digits)
    return f"{text(row.metric.name)}: a trivial system does better than this model's {own} ({rivals})."


def _of_each_kind(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One of every kind first, then the second of every kind, and so on."""
    place: dict[str, int] = {}
    order = []
    for sample in samples:
        place[sample["kind"]] = place.get(sample["kind"], -1) + 1
        order.append(place[sample["kind"]])
    return [sample for _, sample in sorted(zip(order, samples, strict=True), key=lambda pair: pair[0])]


def _different(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without replies that were picked for another reason already."""
    return list({str((each["persona"], each["turns"], each["reply"])): each for each in reversed(samples)}.values())[
        ::-1
    ]


def quoted_samples(samples: list[dict[str, Any]]) -> str:
    """Quoted replies as a Markdown list."""
    return "\n".join(line for sample in samples for line in _sample_lines(sample))


def _sample_lines(sample: Mapping[str, Any]) -> list[str]:
    facts = f"Facts: {_quoted(' / '.join(sample['persona'])) or 'none'}"
    turns = sample["turns"]
    if _AT_RANDOM in sample["kind"]:
        lines = [f"- {facts}"]
    else:
        note = f" ({text(sample['note'])})" if sample.get("note") else ""
        lines = [f"- {text(sample['kind'])}{note}", f"  - {facts}"]
    if len(turns) > _TURNS:
        earlier = len(turns) - _TURNS
        lines.append(f"  - ({earlier} earlier turn{'s' if earlier > 1 else ''})")
    lines += [f"  - {turn['speaker'].capitalize()}: {_quoted(turn['text'])}" for turn in turns[-_TURNS:]]
    lines.append(f"  - **Reply:** {_quoted(sample['reply']) or '(empty)'}")
    return lines + ([f"  - The data's reply: {_quoted(sample['reference'])}"] if sample.get("reference") else [])


def _quoted(said: str) -> str:
    return text(said if len(said) <= _CHARACTERS else said[:_CHARACTERS] + " ...")
