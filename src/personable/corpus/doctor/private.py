"""Personal data in texts: e-mail addresses, phone numbers, payment cards, bank accounts. Precision before recall."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum


class Private(StrEnum):
    """A sort of personal data; the value is what stands in its place, in brackets."""

    EMAIL = "e-mail"
    CARD = "card"
    IBAN = "iban"
    PHONE = "phone"


@dataclass(frozen=True, slots=True)
class Span:
    """Where in a text something private stands."""

    sort: Private
    start: int
    end: int


# Text may be tokenised: "ann @ example . com", "( 415 ) 555 - 1234".
_EMAIL = re.compile(
    # Only where a word begins: tried at every letter of a long one, the time would grow with the square of its length.
    r"(?<![\w.+-])[\w.+-]*\w"
    r"(?:@(?:[\w-]+\.)+[^\W\d_]{2,}| @ (?:[\w-]+ ?\. ?)+(?:com|org|net|edu|gov|info|io|co|uk|de)\b)",
    re.IGNORECASE,
)
_CARD = re.compile(r"(?<![\w.$£€+-])(?<!\d )[3-6](?: ?-? ?\d){12,18}(?![\w-]|\.\d)")
_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)", re.IGNORECASE)
_BETWEEN = r"(?: ?[-.] ?| )"
_AREA = r"(?:\( ?[2-9]\d\d ?\) ?-? ?|[2-9]\d\d" + _BETWEEN + ")"
_PHONE = re.compile(
    # A number that a price, a decimal or a longer number runs into is none.
    r"(?<![\w$£€+-])(?<!\d[.,:/ ])(?:"
    # +44 20 7493 4545, +1 (212) 703-2001
    r"\+ ?\d{1,3}(?:" + _BETWEEN + r"?\(? ?\d{1,5} ?\)?){2,5}"
    # 415-286-4371, (415) 286 4371, 1 415.286.4371
    r"|(?:1" + _BETWEEN + r")?" + _AREA + r"[2-9]\d\d" + _BETWEEN + r"\d{4}"
    # 020 7493 4545, 01223 356354
    r"|0\d{2}" + _BETWEEN + r"\d{4}" + _BETWEEN + r"\d{4}|0\d{3}" + _BETWEEN + r"\d{3}" + _BETWEEN + r"\d{4}"
    r"|0\d{4}" + _BETWEEN + r"\d{6}"
    # 01 23 45 67 89
    r"|0[1-9](?:[ .]\d\d){4}"
    r")(?!\w|[-.]\d)"
)
# Ten or eleven digits in a row may be anything; they are a phone number where the text speaks of one.
_BARE_PHONE = re.compile(r"(?<![\w.,$£€-])(?:0\d{9,10}|1?[2-9]\d\d[2-9]\d{6})(?![\w-]|[.,]\d)")
_SPEAKS_OF_A_PHONE = re.compile(
    r"\b(?:phone|telephone|tel|cell|mobile|call|text|dial|reach|contact|whatsapp)\b"
    r"|(?<!account )(?<!order )(?<!ticket )(?<!reference )(?<!confirmation )(?<!card )\bnumber (?:is|:)",
    re.IGNORECASE,
)
_THREE_DIGITS = re.compile(r"\d\W{0,3}\d\W{0,3}\d")
_INVENTED_EXCHANGE = "555"  # North American numbers with it belong to nobody
_COUNTED_OUT = "01234567890 09876543210"


def private_spans(text: str) -> list[Span]:
    """Every span of personal data in a text, in order, none within another."""
    if not _may_hold_any(text):
        return []
    found: list[Span] = []
    for find in _FINDERS:
        # What was found is blanked, so that its digits neither count twice nor make those beside them look like more.
        while spans := list(find(text)):
            found += spans
            for span in spans:
                text = text[: span.start] + _BLANK * (span.end - span.start) + text[span.end :]
    return sorted(found, key=lambda span: span.start)


def masked(text: str) -> str:
    """The text with personal data replaced by its sort: [e-mail], [phone], [card], [iban]."""
    for span in reversed(private_spans(text)):
        text = f"{text[: span.start]}[{span.sort.value}]{text[span.end :]}"
    return text


def hint(text: str, span: Span) -> str:
    """What may be shown of a span: its last two characters, so that it is known again and of no use."""
    shown = text[span.start : span.end]
    return f"[{span.sort.value}] of {sum(map(str.isalnum, shown))} letters and digits, ending in {shown[-2:]!r}"


def _may_hold_any(text: str) -> bool:
    # Saves the time of all other expressions for nearly every turn.
    return "@" in text or _THREE_DIGITS.search(text) is not None


def _emails(text: str) -> Iterator[Span]:
    return (Span(Private.EMAIL, *match.span()) for match in _EMAIL.finditer(text))


def _cards(text: str) -> Iterator[Span]:
    return (Span(Private.CARD, *match.span()) for match in _CARD.finditer(text) if _is_card(match[0]))


def _ibans(text: str) -> Iterator[Span]:
    return (Span(Private.IBAN, *match.span()) for match in _IBAN.finditer(text) if _is_iban(match[0]))


def _phones(text: str) -> Iterator[Span]:
    return (Span(Private.PHONE, *match.span()) for match in _PHONE.finditer(text) if _is_phone(match[0]))


def _bare_phones(text: str) -> Iterator[Span]:
    if _SPEAKS_OF_A_PHONE.search(text):
        for match in _BARE_PHONE.finditer(text):
            if not _invented(match[0]):
                yield Span(Private.PHONE, *match.span())


_FINDERS: tuple[Callable[[str], Iterator[Span]], ...] = (_emails, _cards, _ibans, _phones, _bare_phones)
_BLANK = "|"


def _is_card(text: str) -> bool:
    """Whether digits are those of a card: a known issuer's first digits and length, and a check digit that fits."""
    digits = _digits(text)
    return _ISSUED.fullmatch(digits) is not None and _luhn(digits)


_ISSUED = re.compile(
    r"4\d{12}(?:\d{3})?(?:\d{3})?"  # Visa
    r"|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"  # Mastercard
    r"|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|35\d{14}|6(?:011|5\d\d|4[4-9]\d)\d{12}"  # Amex, Diners, JCB, Discover
)


def _luhn(digits: str) -> bool:
    """Whether the check digit fits. ISO/IEC 7812-1, annex B."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + position % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _is_iban(text: str) -> bool:
    """Whether an account number's check digits fit. ISO 13616, ISO/IEC 7064 MOD 97-10."""
    compact = "".join(text.split()).upper()
    if not 15 <= len(compact) <= 34 or sum(map(str.isdigit, compact)) < 10:
        return False
    return int("".join(str(int(char, 36)) for char in compact[4:] + compact[:4])) % 97 == 1


def _is_phone(text: str) -> bool:
    return 9 <= len(_digits(text)) <= 15 and not _invented(text)


def _invented(text: str) -> bool:
    digits = _digits(text)
    return digits[-7:-4] == _INVENTED_EXCHANGE or len(set(digits)) <= 2 or digits in _COUNTED_OUT


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))
