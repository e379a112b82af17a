from __future__ import annotations

import csv
import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlops.data import near_duplicates
from dlops.data.cleaning import Cleaning
from dlops.data.near_duplicates import Search, find, shingles
from tests.conftest import REVIEWS, needs_reviews

REVIEW = (
    "I went to see this film with low hopes and came out delighted. The story takes its time, the actors are "
    "wonderful, and the music stays with you for days. Do not miss it if you like quiet films about loud people."
)
CHANGED = REVIEW.replace("wonderful", "splendid").upper()
OTHER = "The worst evening of my year: a plot with holes, jokes without point, and a popcorn machine that was broken."


def table(texts, splits=None, start=0):
    ids = [f"{place:016x}" for place in range(start, start + len(texts))]
    return pa.table({"id": ids, "text": pa.array(texts, pa.string()), "split": splits or ["train"] * len(texts)})


def test_a_text_with_another_word_is_found_and_the_first_one_stays():
    found = find([table([OTHER, REVIEW]), table([CHANGED, "", "!!", "?"], start=2)])
    assert found.clusters == ((f"{1:016x}", f"{2:016x}"),)
    assert found.drop == {f"{2:016x}"}
    assert (found.pairs, found.leaking, found.rows_checked, found.sampled) == (1, 0, 6, False)


def test_a_pair_in_two_splits_leaks():
    found = find([table([REVIEW, OTHER, CHANGED], ["train", "val", "test"])])
    assert found.leaking == 1
    assert found.leaks == ((f"{0:016x}", f"{2:016x}"),)


def test_pairs_of_texts_must_be_alike_in_both():
    both = table([REVIEW, CHANGED]).append_column("text_pair", pa.array([REVIEW, OTHER]))
    assert find([both]).pairs == 0
    both = table([REVIEW, CHANGED]).append_column("text_pair", pa.array([OTHER, OTHER]))
    assert find([both]).pairs == 1


@pytest.mark.parametrize(("rows", "sampled"), [(1, True), (2, True), (3, False), (4, False)])
def test_beyond_the_limit_the_first_rows_are_compared_and_it_says_so(rows, sampled):
    found = find([table([REVIEW]), table([CHANGED, OTHER], start=1)], rows=rows)
    assert (found.rows_checked, found.sampled) == (min(rows, 3), sampled)
    assert found.pairs == (rows > 1)


def test_beyond_the_words_that_fit_no_row_is_taken(monkeypatch):
    monkeypatch.setattr(near_duplicates, "_SHINGLES", 5)
    search = Search()
    search.add(table([REVIEW]))
    search.add(table([CHANGED], start=1))
    assert (search.found().rows_checked, search.found().sampled) == (1, True)


def test_thousands_that_are_alike_are_one_cluster():
    texts = [f"{REVIEW} My ticket had the number {place}." for place in range(3000)]
    found = find([table([*texts, OTHER])])
    assert [len(cluster) for cluster in found.clusters] == [3000]
    assert found.pairs == 2999


def test_no_rows():
    found = find([])
    assert (found.rows_checked, found.pairs, found.clusters, found.sampled) == (0, 0, (), False)
    assert find([table([])]).rows_checked == 0


def test_without_blanks_each_character_is_a_word():
    film, dull = "这部电影非常精彩我很喜欢演员的表演也很出色值得一看大家都应该去看", "完全不同的句子没有任何相同的内容"
    assert find([table([film, film.replace("色", "众"), dull])]).clusters == ((f"{0:016x}", f"{1:016x}"),)


def naive(text, words):
    """The shingles as one would write them without haste."""
    found = "".join(sign if sign.isalnum() or ord(sign) > 127 else " " for sign in text.lower()).split()
    return [tuple(found[place : place + words]) for place in range(max(1, len(found) - words + 1))] if found else []


WORDS = st.lists(st.sampled_from(["a", "b", "Ä", "film", "x1", ".", " ", "-", "", "é"]), max_size=12).map(" ".join)


@given(st.lists(WORDS, max_size=5), st.integers(1, 4))
def test_shingles_are_those_of_the_slow_way(texts, words):
    hashes, sizes = shingles(pa.array(texts, pa.string()), words)
    expected = [naive(text, words) for text in texts]
    assert sizes.tolist() == [len(found) for found in expected]
    flat = [found for row in expected for found in row]
    assert len(set(zip(flat, hashes.tolist(), strict=True))) == len(set(flat)) == len(set(hashes.tolist()))


def test_a_slice_of_a_column_is_hashed_like_the_whole():
    texts = pa.array([OTHER, REVIEW, CHANGED])
    whole, sizes = shingles(texts, 2)
    part, _ = shingles(texts.slice(1, 1), 2)
    assert np.array_equal(whole[sizes[0] : sizes[0] + sizes[1]], part)


@pytest.fixture(scope="module")
def reviews():
    with REVIEWS.open(encoding="utf-8", newline="") as file:
        return list(dict.fromkeys(Cleaning().texts([row["review"] for row in csv.DictReader(file)])))


def planted(texts, kind, share):
    dice = random.Random(0)
    for text in texts:
        words = text.split()
        if kind == "words":
            for place in dice.sample(range(len(words)), max(1, int(share * len(words)))):
                words[place] = dice.choice(["zebra", "quick", "green", "seven", "lamp", "under"])
        elif kind == "cut":
            words = words[: int((1 - share) * len(words))]
        yield " ".join(words).upper().replace(",", "") if kind == "case" else " ".join(words)


@needs_reviews
@pytest.mark.parametrize(
    ("words", "kind", "share", "least", "most"),
    [
        (2, "case", 0, 0.99, 1),
        (2, "cut", 0.1, 0.99, 1),
        (2, "words", 0.04, 0.99, 1),
        (2, "words", 0.06, 0.4, 0.8),
        (2, "words", 0.2, 0, 0),
        (1, "words", 0.2, 0.3, 1),
        (3, "words", 0.04, 0.5, 0.9),
        (5, "words", 0.04, 0, 0.1),
    ],
)
def test_what_runs_of_so_many_words_find_of_what_was_planted(reviews, words, kind, share, least, most):
    """Why two: the reviews with one changed word in 25 are all found; one word takes a fifth changed for the same."""
    base = reviews[:600]
    search = Search(words=words)
    search.add(table([*base, *planted(base, kind, share)]))
    clusters = search.found().clusters
    assert all(int(one, 16) + len(base) == int(other, 16) for one, other in clusters), "each goes with its own"
    assert least <= len(clusters) / len(base) <= most


@needs_reviews
def test_the_reviews_hold_no_near_duplicates(reviews):
    assert find([table(reviews)]).pairs == 0
