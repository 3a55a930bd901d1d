"""Personal data: what is taken for it, what is not, and that it never gets out."""

from __future__ import annotations

from pathlib import Path

import pytest

from personable.corpus import Kind, examine, write_dialogues
from personable.corpus.doctor.private import masked
from personable.dialogue import Dialogue, Persona, Speaker, Turn

VISA, AMEX = "4111 1111 1111 1111", "3782 822463 10005"  # numbers that card issuers publish for tests
IBAN = "GB82 WEST 1234 5698 7654 32"  # the example of ISO 13616's registry


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to ann.lee+x@mail.example.org.", "write to [e-mail]."),
        ("it's ann @ example . com .", "it's [e-mail] ."),
        ("it's tom861 @ gmail.com", "it's [e-mail]"),
        ("call 415-286-4371 now", "call [phone] now"),
        ("call (415) 286-4371, ok", "call [phone], ok"),
        ("( 415 ) 286 - 4371", "[phone]"),
        ("+1 212-703-2001.", "[phone]."),
        ("+44 20 7493 4545", "[phone]"),
        ("1.833.625.6111", "[phone]"),
        ("0118 496 0123 or 01223 356354", "[phone] or [phone]"),
        ("appelez 01 42 68 53 00", "appelez [phone]"),
        ("My number is 01223334900.", "My number is [phone]."),
        (f"card {VISA}, thanks", "card [card], thanks"),
        (f"{AMEX} and {VISA.replace(' ', '-')}", "[card] and [card]"),
        ("4111 - 1111 - 1111 - 1111", "[card]"),
        (f"pay to {IBAN}", "pay to [iban]"),
        ("a@b.de1x@c.org|.+x-y@mail.example.org", "[e-mail][e-mail]|[e-mail]"),
        ("a@b.de 415-286-4371", "[e-mail] [phone]"),
        ("415-286-4371 415-286-4372", "[phone] [phone]"),
    ],
)
def test_personal_data_is_masked(text: str, expected: str) -> None:
    assert masked(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "it was 1999 - 2005, then 2010-03-12 at 10:30",
        "they cost $1,234,567.89 or $415.286",
        "12 5 76 34 8 45",
        "0 . 99 1 . 5 liter . 1 . . . 2 . . . 3",
        "4 8 15 16 23 42",
        "0011010010110100101 and 3.141592653589793238462654338",
        "i had like 403902930493 words",
        "the account number is 15273478841",
        "555-555-5555, (555) 555-5555, 123-456-7890, 987-654-3210, 415-555-0123",
        "4111 1111 1111 1112",  # the check digit does not fit
        "0000 0000 0000 0000",
        "1234 5678 9012 3452",  # fits, but no issuer begins with 1
        "GB83 WEST 1234 5698 7654 32",  # the check digits do not fit
        "@spencerchandler, this @#!* thing, 8th @ 5 in the evening, Bloomrooms @ New Delhi",
        "flight 2019 0312 1530 to gate 12",
        "scores of 200-300-400 and a 9 - 5 job in 90210-1234",
    ],
)
def test_other_numbers_and_signs_are_left_alone(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize(
    "text", ["a" * 200_000 + " 123", "@" + "a-" * 100_000, "a@" + "a-" * 100_000, "a @ " + "a . " * 50_000, "a@b." * 9]
)
def test_words_without_end_are_read_to_their_end(text: str) -> None:
    assert masked(f"{text} ann@example.org").endswith(" [e-mail]")


def test_masking_leaves_nothing_to_mask() -> None:
    once = masked(f"{VISA} a@b.de {IBAN} 415-286-4371")
    assert once == "[card] [e-mail] [iban] [phone]"
    assert masked(once) == once


def test_findings_never_hold_what_they_found(tmp_path: Path) -> None:
    secrets = [VISA, IBAN, "ann@example.org", "415-286-4371"]
    everything = " ".join(secrets)
    path = tmp_path / "corpus.jsonl"
    # Labels, blanks, repeated speakers and long turns are quoted, and quotes must not leak either.
    turns = (
        Turn(Speaker.PARTNER, f"[your name] {everything}"),
        Turn(Speaker.PARTNER, f"{everything} " + "word " * 300),
        Turn(Speaker.PERSONA, f"You: {everything}"),
    )
    write_dialogues([Dialogue(Persona((f"I live at {everything}",)), turns), Dialogue(Persona(), turns)], path)
    path.write_text(path.read_text() + f'{{"turns": "{everything}"}}\n')
    diagnosis = examine(path)
    assert {Kind.CARD, Kind.IBAN, Kind.EMAIL, Kind.PHONE, Kind.SPEAKS_FOR_PARTNER, Kind.PLACEHOLDER} <= set(
        diagnosis.counts
    )
    assert diagnosis.counts[Kind.CARD] == 1 + 3 + 3
    shown = "\n".join(finding.found for finding in diagnosis.findings)
    assert not any(secret in shown or secret.replace(" ", "") in shown for secret in secrets)
    assert "in a fact: [card] of 16 letters and digits, ending in '11'" in shown
