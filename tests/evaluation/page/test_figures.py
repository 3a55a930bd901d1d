"""Numbers, times and sizes in words."""

from __future__ import annotations

from personable.evaluation.page.figures import duration, figure, interval, moment, signed, signed_interval, size


def test_numbers_as_people_write_them() -> None:
    assert [figure(value, 1) for value in (0, -0.04, -0.5, 1234.56, None, float("nan"))] == [
        *("0.0", "0.0", "−0.5", "1,235", "–", "–")
    ]
    assert (signed(0.21, 1), signed(-0.21, 1), signed(0.01, 1)) == ("+0.2", "−0.2", "0.0")
    assert (interval((1, 2), 1), interval((-1, 2), 1), interval(None, 1)) == ("1.0–2.0", "−1.0 to 2.0", "")
    assert signed_interval((-1, 2), 0) == "−1 to +2"
    assert [duration(value) for value in (0.44, 59.4, 59.7, 185, 7440)] == [
        *("0.4 s", "59 s", "1 min 0 s", "3 min 5 s", "2 h 4 min")
    ]
    assert [size(value) for value in (817, 12_300, 1_420_000_000)] == ["817 B", "12.3 kB", "1.42 GB"]
    assert (moment("2026-11-22T12:00:00+00:00"), moment("yesterday")) == ("22 November 2026, 12:00 UTC", "yesterday")
