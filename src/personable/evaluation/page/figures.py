"""How numbers are written for people: digits that mean something, units, intervals, durations, sizes, dates."""

from __future__ import annotations

import math
import re
from datetime import datetime

from personable.evaluation.metric import Better, Metric

NOTHING = "–"
"""Stands where there is no number."""
ARROWS = {Better.HIGHER: "↑", Better.LOWER: "↓", Better.NEITHER: "≈"}
DIRECTIONS = {
    Better.HIGHER: "higher is better",
    Better.LOWER: "lower is better",
    Better.NEITHER: "neither high nor low is good by itself",
}
_MINUS = "−"


def digits_of(metric: Metric, value: float | None) -> int:
    """How many digits after the point a metric is written with, all of its row alike; its value decides."""
    if metric.unit == "%":
        return 2 if value is not None and abs(value) < 10 else 1
    if metric.unit.startswith("bits") or metric.highest == 1:
        return 3
    if metric.unit in ("words", "tokens", "characters"):
        return 1
    return 2


def figure(value: float | None, digits: int) -> str:
    """12.3, 1,234 or −0.5; a dash where there is no number."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if abs(value) >= 1000:
        digits = 0
    written = f"{value:,.{digits}f}"
    if written.startswith("-"):
        written = written[1:] if float(written.replace(",", "")) == 0 else _MINUS + written[1:]
    return written


def signed(value: float | None, digits: int) -> str:
    """A difference, with its sign."""
    written = figure(value, digits)
    if written in (NOTHING, figure(0, digits)) or written.startswith(_MINUS):
        return written
    return f"+{written}"


def with_unit(written: str, unit: str) -> str:
    """`16.1 %`; nothing is added to a bare number or where there is none."""
    return f"{written}\N{NO-BREAK SPACE}{unit}" if unit and written != NOTHING else written


def unit_beside_name(metric: Metric) -> str:
    """The unit, unless the metric's name says it already."""
    words = re.findall(r"[a-z]+", metric.unit.casefold())
    return "" if words and words[0].removesuffix("s") in metric.name.casefold() else metric.unit


def interval(bounds: tuple[float, float] | None, digits: int) -> str:
    """`15.7–16.4`, and `−0.3 to 0.4` where a sign would run into the dash; empty where there is none."""
    if bounds is None:
        return ""
    low, high = (figure(bound, digits) for bound in bounds)
    joint = " to " if _MINUS in low + high else "–"
    return f"{low}{joint}{high}"


def signed_interval(bounds: tuple[float, float] | None, digits: int) -> str:
    """`−0.3 to +0.4`; empty where there is none."""
    return " to ".join(signed(bound, digits) for bound in bounds) if bounds else ""


def capitalised(name: str) -> str:
    """With a capital first, and the rest as it stands: `BLEU-4` keeps its letters."""
    return name[:1].upper() + name[1:]


def duration(seconds: float) -> str:
    """0.4 s, 12 s, 3 min 5 s, 2 h 4 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60:,} h {minutes % 60} min"


def size(count: float) -> str:
    """Bytes in a unit that fits: 817 B, 12.3 kB, 1.42 GB."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.2f} GB"


def moment(written: str) -> str:
    """`22 November 2026, 12:00 UTC` for an ISO time; anything else as it stands."""
    try:
        when = datetime.fromisoformat(written)
    except ValueError:
        return written
    return f"{when.day} {when:%B %Y, %H:%M} {when.tzname() or ''}".rstrip()
