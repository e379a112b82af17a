"""What a fine-tuned model must beat to be worth its price: the most frequent class, and a bag of words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from dlops.ml.datasets import Split

_WORD = r"(?u)\b\w+\b"

TITLES = {"majority": "most frequent class", "bag_of_words": "bag of words"}


def accuracies(train: Split, test: Split) -> dict[str, float]:
    """Give the test accuracy of each baseline, trained on the same rows as the model."""
    return {
        "majority": majority(train.labels, test.labels),
        "bag_of_words": bag_of_words(train, test),
    }


def majority(train: Sequence[str], test: Sequence[str]) -> float:
    """Always answer with the training rows' most frequent class."""
    answer = Counter(sorted(train)).most_common(1)[0][0]
    return sum(label == answer for label in test) / len(test)


def bag_of_words(train: Split, test: Split) -> float:
    """TF-IDF of words and pairs of words, with logistic regression (Wang & Manning, 2012, "Baselines and Bigrams")."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=_WORD)
    counts = words.fit_transform(train.texts)
    fitted = LogisticRegression(C=10, max_iter=1000).fit(counts, train.labels)
    return float(fitted.score(words.transform(test.texts), test.labels))
