"""Which language a text is in; this file travels inside models that tell it, and needs py3langid alone."""

from __future__ import annotations

LETTERS = 20
"""Letters below which a language is a guess."""


def of(text: str) -> str | None:
    """Give the language's code (ISO 639-1); `None` where there are too few letters to tell."""
    import py3langid

    if sum(map(str.isalpha, text[:200])) < LETTERS:
        return None
    return str(py3langid.classify(text[:1000])[0])


def known() -> frozenset[str]:
    """List the codes of all languages that are told apart."""
    import py3langid

    return frozenset(code for code, _ in py3langid.rank(""))
