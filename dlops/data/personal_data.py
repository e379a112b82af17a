"""How many texts likely hold personal data; the texts themselves are never given, kept or told."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyarrow.compute as pc

from dlops.data.staging import Table

ROWS = 20_000
"""Rows that are looked at."""


@dataclass(frozen=True)
class _Kind:
    """Something personal: RE2 finds texts that may hold it, `re` finds it, and `valid` tells chance from it."""

    suspect: str
    pattern: re.Pattern[str]
    valid: Callable[[str], bool]


def _digits(found: str) -> str:
    return "".join(filter(str.isdigit, found))


def _luhn(found: str) -> bool:
    """Check a card number's last digit (ISO/IEC 7812), and that it is no row of one digit."""
    digits = [int(digit) for digit in reversed(_digits(found))]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _iban(found: str) -> bool:
    """Check the two digits behind the country (ISO 13616: the number, moved round, is 1 modulo 97)."""
    code = found.replace(" ", "")
    turned = code[4:] + code[:4]
    return 15 <= len(code) <= 34 and int("".join(str(int(sign, 36)) for sign in turned)) % 97 == 1


def _address(found: str) -> bool:
    """Tell addresses on a network from version numbers such as 1.2.3.4 and from those that name no one."""
    try:
        address = ipaddress.ip_address(found)
    except ValueError:
        return False
    small = isinstance(address, ipaddress.IPv4Address) and all(int(part) < 20 for part in found.split("."))
    return not (small or address.is_loopback or address.is_unspecified or address.is_multicast)


def _phone(found: str) -> bool:
    return 8 <= len(_digits(found)) <= 15 and len(set(_digits(found))) > 2


def _any(_found: str) -> bool:
    return True


_KINDS = {
    "email": _Kind("@", re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}\b"), _any),
    # With a country's code, a 0 or an area in brackets before it, or as Americans write them.
    "phone": _Kind(
        r"[0-9][ ./()-]{0,2}[0-9][0-9 ./()-]{5}",
        re.compile(
            r"(?<![\w.,/-])(?<!\d )(?:(?:\+|00)[1-9]\d{0,2}[ ./-]?(?:\(0?\d{1,4}\)[ ./-]?)?"
            r"\d{1,5}(?:[ ./-]?\d{2,5}){1,4}"
            r"|\(0?\d{2,5}\)[ ./-]?\d{2,5}(?:[ ./-]\d{2,5}){1,3}"
            r"|0[1-9]\d{1,4}[ /]\d{2,8}(?:[ -]\d{2,5}){0,3}"
            r"|[2-9]\d{2}[-.][2-9]\d{2}[-.]\d{4})(?![\w/-])"
        ),
        _phone,
    ),
    "card": _Kind(
        r"[0-9]{4}[ -]?[0-9]{2}",
        re.compile(r"(?<![\w.-])[2-6]\d{3}(?:[ -]?\d{4,6}){2}(?:[ -]?\d{1,5})?(?![\w-])"),
        _luhn,
    ),
    "iban": _Kind(
        r"[A-Z]{2}[0-9]{2} ?[0-9A-Z]{4}",
        re.compile(r"\b[A-Z]{2}\d{2}(?: ?[0-9A-Z]{4}){2,7}(?: ?[0-9A-Z]{1,3})?\b"),
        _iban,
    ),
    "ip": _Kind(
        r"[0-9]\.[0-9]{1,3}\.|[0-9a-fA-F]:[0-9a-fA-F]{1,4}:",
        re.compile(
            r"(?<![\w.:])(?:(?:\d{1,3}\.){3}\d{1,3}|(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}"
            r"|(?:[0-9a-fA-F]{1,4}:){2,6}:[0-9a-fA-F]{1,4})(?![\w:]|\.\d)"
        ),
        _address,
    ),
    # The American social security number, as it is written in no other meaning; those never given out are no hit.
    "social_security": _Kind(
        r"[0-9]{3}-[0-9]{2}-[0-9]{4}",
        re.compile(r"(?<![\w-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])"),
        _any,
    ),
}
KINDS = tuple(_KINDS)


@dataclass
class PersonalData:
    """Counts of texts, by kind, in the rows that were looked at."""

    rows_checked: int = 0
    sampled: bool = False
    """Whether there are more rows than those."""
    rows: int = 0
    """Texts with anything of these kinds."""
    kinds: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    """Texts with something of this kind."""
    ids: list[str] = field(default_factory=list)
    """Rows of some of them."""

    def add(self, table: Table, rows: int = ROWS) -> None:
        """Look at rows (columns `id`, `text` and, where it is there, `text_pair`), until `rows` have been seen."""
        taken = table.slice(0, max(0, rows - self.rows_checked))
        self.rows_checked += len(taken)
        self.sampled |= len(taken) < len(table)
        if not len(taken):  # pyarrow 25 dies of a regular expression over no text at all
            return
        hit: set[int] = set()
        for kind in KINDS:
            found: set[int] = set()
            for column in ("text", "text_pair"):
                if column in taken.column_names:
                    found |= _places(taken[column], kind)
            self.kinds[kind] += len(found)
            hit |= found
        self.rows += len(hit)
        room = 20 - len(self.ids)
        self.ids += [taken["id"][place].as_py() for place in sorted(hit)[:room]]


def holds(text: str) -> tuple[str, ...]:
    """Give the kinds of which a text likely holds something."""
    return tuple(name for name, kind in _KINDS.items() if _found(kind, text))


def redacted(text: str) -> str:
    """Put the name of its kind in the place of whatever is likely personal: `[email]`, `[phone]` and so on."""
    for name, kind in _KINDS.items():
        parts, end = [], 0
        for found in kind.pattern.finditer(text):
            if kind.valid(found[0]):
                parts += [text[end : found.start()], f"[{name}]"]
                end = found.end()
        text = "".join([*parts, text[end:]])
    return text


def _places(texts: Any, kind: str) -> set[int]:
    sought = _KINDS[kind]
    suspects = pc.indices_nonzero(pc.match_substring_regex(texts, sought.suspect).fill_null(False)).to_pylist()
    return {place for place in suspects if _found(sought, texts[place].as_py())}


def _found(kind: _Kind, text: str) -> bool:
    return any(kind.valid(found[0]) for found in kind.pattern.finditer(text))
