"""The embedded sample: synthetic reviews from a grammar in which words alone do not tell the opinion.

Each sentiment word stands as often on one side as on the other: negation with a long reach, contrast, a clause that
concedes, an expectation that came true or not, and sarcasm decide what it means. A bag of words therefore does little
better than guessing, while a model that reads word order does well; wrong labels and typing errors keep it from
being perfect. The idea follows contrast sets (Gardner et al., 2020, "Evaluating Models' Local Decision Boundaries").
"""

from __future__ import annotations

import random
from collections.abc import Callable

NAME = "sample"
"""The word that `ingest` knows the sample by."""

DESCRIPTION = "synthetic reviews, generated from a grammar"

ROWS = 2000
"""Different texts in the sample."""

LABELS = ("negative", "positive")
LABEL_NOISE = 0.03
TYPING_ERRORS = 0.12
REPEATS = 0.01

_ASPECTS = {
    "film": ("plot", "acting", "ending", "dialogue", "soundtrack", "pacing", "camera work", "lead actor", "script"),
    "product": ("battery", "screen", "case", "keyboard", "sound", "build", "charger", "finish", "software"),
    "service": ("staff", "room", "food", "breakfast", "booking", "delivery", "support", "kitchen", "view"),
}
_THINGS = {
    "film": ("film", "movie", "sequel", "series", "documentary"),
    "product": ("phone", "laptop", "speaker", "watch", "kettle"),
    "service": ("hotel", "restaurant", "airline", "clinic", "garage"),
}
_OPENINGS = {
    "film": ("Saw it on Friday.", "We watched it with friends.", "Second viewing.", "Seen at the festival."),
    "product": ("Bought it in March.", "I use it every day.", "It replaced my old one.", "Ordered two of these."),
    "service": ("We stayed three nights.", "Our second visit.", "Booked at short notice.", "I came for work."),
}
_CLOSINGS = ("That is all.", "More next month.", "Just my view.", "Make of it what you like.", "Ask me anything.")
_ADJECTIVES = {
    "positive": ("good", "great", "superb", "lovely", "brilliant", "solid", "charming", "impressive", "excellent"),
    "negative": ("bad", "awful", "weak", "dreadful", "poor", "dull", "sloppy", "disappointing", "terrible"),
}
_VERDICTS = {
    "positive": ("I loved it", "I enjoyed every minute of it", "it won me over", "I would choose it again"),
    "negative": ("I hated it", "I regretted every minute of it", "it let me down", "I would never choose it again"),
}
_PLAIN = (
    "the {aspect} was {word}",
    "I found the {aspect} {word}",
    "truly {word} {aspect}",
    "the {aspect} struck me as {word}",
)
_TURNED = (
    "nobody could call the {aspect} {word}",
    "I cannot say the {aspect} was {word}",
    "hardly anyone calls the {aspect} {word}",
    "the {aspect} was anything but {word}",
    "I doubt anyone finds the {aspect} {word}",
    "not once did the {aspect} seem {word}",
)
_LATER_WINS = ("{lost}, but {won}", "{lost}; still, {won}", "{lost}, yet {won}")
_MAIN_WINS = ("although {lost}, {won}", "{won}, even though {lost}", "while {lost}, {won}")
_KEPT = ("they were right", "it turned out to be true", "I can only agree")
_BROKEN = ("they were wrong", "it turned out to be false", "I cannot agree")
_HEARD = ("everybody told me the {aspect} was {word}, and {turn}", "the reviews call the {aspect} {word}; {turn}")
_SARCASM = {
    "negative": (
        "oh, {word}, the {aspect} failed again",
        "how {word} of them to forget the {aspect}",
        "{word} idea to save on the {aspect}",
    ),
    "positive": (
        "oh no, how {word}, now I want a second {thing}",
        "the only {word} thing: I must leave this {thing} to others",
        "my {word} luck: the family keeps taking this {thing}",
    ),
}


def generate(seed: int, rows: int = ROWS) -> list[tuple[str, str]]:
    """Generate `rows` different texts with their labels, and a few exact repeats among them.

    The same seed gives the same rows in the same order.
    """
    generator = random.Random(seed)  # noqa: S311 (no secret depends on it)
    texts: dict[str, str] = {}
    repeated: list[tuple[str, str]] = []
    while len(texts) < rows:
        label = generator.choice(LABELS)
        text = _typed(generator, _review(generator, label))
        if text in texts:
            continue
        texts[text] = _other(label) if generator.random() < LABEL_NOISE else label
        if generator.random() < REPEATS:
            repeated.append((text, texts[text]))
    return [*texts.items(), *repeated]


def _review(generator: random.Random, label: str) -> str:
    domain = generator.choice(tuple(_ASPECTS))
    sentences = [_sentence(generator.choice(_FORMS)(generator, domain, label))]
    if generator.random() < 0.1:
        sentences.insert(0, generator.choice(_OPENINGS[domain]))
    if generator.random() < 0.05:
        sentences.append(generator.choice(_CLOSINGS))
    return " ".join(sentences)


def _plain(generator: random.Random, domain: str, label: str) -> str:
    return _fill(generator, generator.choice(_PLAIN), domain, label)


def _turned(generator: random.Random, domain: str, label: str) -> str:
    """A negation some words before the adjective that it turns."""
    return _fill(generator, generator.choice(_TURNED), domain, _other(label))


def _contrast(generator: random.Random, domain: str, label: str) -> str:
    """Two clauses of opposite sides; the conjunction says which one counts."""
    template = generator.choice((*_LATER_WINS, *_MAIN_WINS))
    return template.format(
        lost=_clause(generator, domain, _other(label)),
        won=_clause(generator, domain, label),
    )


def _hearsay(generator: random.Random, domain: str, label: str) -> str:
    """What others said, and whether it held."""
    kept = generator.random() < 0.5
    template = generator.choice(_HEARD).replace("{turn}", generator.choice(_KEPT if kept else _BROKEN))
    return _fill(generator, template, domain, label if kept else _other(label))


def _sarcasm(generator: random.Random, domain: str, label: str) -> str:
    return _fill(generator, generator.choice(_SARCASM[label]), domain, _other(label))


_FORMS: tuple[Callable[[random.Random, str, str], str], ...] = (
    *(_plain,) * 4,
    *(_turned,) * 3,
    *(_contrast,) * 5,
    *(_hearsay,) * 2,
    _sarcasm,
)


def _clause(generator: random.Random, domain: str, label: str) -> str:
    draw = generator.random()
    if draw < 0.25:
        return generator.choice(_VERDICTS[label])
    return (_plain if draw < 0.7 else _turned)(generator, domain, label)


def _fill(generator: random.Random, template: str, domain: str, side: str) -> str:
    return template.format(
        aspect=generator.choice(_ASPECTS[domain]),
        thing=generator.choice(_THINGS[domain]),
        word=generator.choice(_ADJECTIVES[side]),
    )


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _typed(generator: random.Random, text: str) -> str:
    """Type it as people do: now and then two letters change places, or the capitals are left out."""
    if generator.random() < TYPING_ERRORS:
        at = generator.randrange(1, len(text) - 2)
        text = f"{text[:at]}{text[at + 1]}{text[at]}{text[at + 2 :]}"
    return text.lower() if generator.random() < TYPING_ERRORS else text


def _other(label: str) -> str:
    return LABELS[1 - LABELS.index(label)]
