"""Texts that say almost the same: MinHash finds candidates, the exact Jaccard similarity of their shingles decides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow.compute as pc

from dlops.data import raw_bytes
from dlops.data.raw_bytes import Bytes, Hashes, Places
from dlops.data.staging import Table

WORDS = 2
"""Words in a shingle; `test_near_duplicates.py` measures on planted near duplicates what other figures would find."""
THRESHOLD = 0.8
"""Jaccard similarity of the shingles of two texts from which on they are near duplicates."""
ROWS = 50_000
"""Rows up to which all are compared."""
_SHINGLES = 40_000_000
"""Shingles (8 bytes each) after which no further row is taken."""
_BANDS, _BAND = 12, 4
"""Two texts of similarity s are compared with the probability 1 - (1 - s^4)^12: 0.998 at 0.8 (Leskovec, Rajaraman and
Ullman, Mining of Massive Datasets, section 3.4)."""
_UNLIKELY = 0.2
"""How far below the threshold the estimate of MinHash rules a pair out: 3.5 standard errors of 48 hashes."""
_FELLOWS = 4
"""Rows of its bucket that a row is compared with: where thousands are alike, all hang together, not all in pairs."""
_BLOCK = 1 << 18
"""Bytes of text that are hashed at once: as much as stays in a processor's cache."""

_FACTOR = 0x9E3779B97F4A7C15
_MIXER = np.uint64(0xC2B2AE3D27D4EB4F)
_ALONE = 2
_KINDS = np.array(
    [byte >= 0x80 or chr(byte).isalnum() for byte in range(256)], np.uint8
)  # a byte beyond ASCII is part of a letter
_KINDS[0xE3:0xEA] = _ALONE
"""What each byte of UTF-8 is: 0 between words, 1 in a word, 2 the first of a Chinese or Japanese character, which
stands for a word of its own, since no blanks do."""


@dataclass(frozen=True, kw_only=True)
class NearDuplicates:
    """What was found in the rows that were looked at."""

    rows_checked: int
    sampled: bool
    """Whether there are more rows than those: the figures are those of the first ones, a random sample."""
    pairs: int
    """Pairs above the threshold that were compared: a pair whose two texts hang together already is not compared."""
    leaking: int
    """Clusters whose texts lie in different splits."""
    clusters: tuple[tuple[str, ...], ...]
    """Ids of texts that hang together by such pairs, each in the order of the rows."""
    leaks: tuple[tuple[str, str], ...]
    """For some of the leaking clusters, the ids of two texts in different splits."""

    @property
    def drop(self) -> frozenset[str]:
        """Give the ids of all rows but the first of each cluster."""
        return frozenset(name for cluster in self.clusters for name in cluster[1:])


class Clusters:
    """Rows that hang together (union-find): the root of each cluster is its first row."""

    def __init__(self) -> None:
        self._above: dict[int, int] = {}
        self.pairs = 0

    def joined(self, one: int, other: int) -> bool:
        return self._root(one) == self._root(other)

    def join(self, one: int, other: int) -> None:
        self.pairs += 1
        first, later = sorted((self._root(one), self._root(other)))
        self._above[later] = first
        self._above[first] = first

    def all(self) -> list[list[int]]:
        """Give the clusters, each with its rows in order."""
        clusters = defaultdict(list)
        for place in sorted(self._above):
            clusters[self._root(place)].append(place)
        return list(clusters.values())

    def _root(self, place: int) -> int:
        while (above := self._above.get(place, place)) != place:
            self._above[place] = self._above[above]
            place = above
        return place


class Search:
    """Takes rows in the order of their ids, as many as it may, then tells what is alike among them."""

    def __init__(self, *, rows: int = ROWS, threshold: float = THRESHOLD, words: int = WORDS) -> None:
        self._rows, self._threshold, self._words = rows, threshold, words
        self._ids: list[str] = []
        self._splits: list[str] = []
        self._hashes: list[Hashes] = []
        self._sizes: list[Places] = []
        self._digests: list[np.ndarray[Any, np.dtype[np.uint32]]] = []
        self._room = _SHINGLES
        self._sampled = False

    def add(self, table: Table) -> None:
        """Take rows with the columns `id`, `text` and, where they are there, `text_pair` and `split`."""
        taken = 0
        for block in _blocks(table.slice(0, self._rows - len(self._ids))):
            if self._room <= 0:
                break
            self._take(block)
            taken += len(block)
        self._sampled |= taken < len(table)

    def found(self) -> NearDuplicates:
        """Tell what is alike."""
        clusters = Clusters()
        if self._ids:
            self._gather(clusters)
        found = clusters.all()
        leaks = [leak for cluster in found if (leak := self._leak(cluster))]
        return NearDuplicates(
            rows_checked=len(self._ids),
            sampled=self._sampled,
            pairs=clusters.pairs,
            leaking=len(leaks),
            clusters=tuple(tuple(self._ids[place] for place in cluster) for cluster in found),
            leaks=tuple(leaks[:20]),
        )

    def _leak(self, cluster: list[int]) -> tuple[str, str] | None:
        first, *others = cluster
        for other in others if self._splits else ():
            if self._splits[other] != self._splits[first]:
                return self._ids[first], self._ids[other]
        return None

    def _take(self, block: Table) -> None:
        import rensa

        texts = block["text"].combine_chunks()
        if "text_pair" in block.column_names:
            texts = pc.binary_join_element_wise(
                texts, block["text_pair"].combine_chunks(), " ", null_handling="replace"
            )
        hashes, sizes = shingles(pc.fill_null(texts, ""), self._words)
        ends = np.concatenate([[0], np.cumsum(sizes)]).astype(np.uint64)
        matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(hashes, ends, _BANDS * _BAND, 1)
        self._digests.append(np.array(matrix.to_rows(), np.uint32))
        self._hashes.append(hashes)
        self._sizes.append(sizes)
        self._ids += block["id"].to_pylist()
        if "split" in block.column_names:
            self._splits += block["split"].to_pylist()
        self._room -= len(hashes)

    def _gather(self, clusters: Clusters) -> None:
        hashes, sizes = np.concatenate(self._hashes), np.concatenate(self._sizes)
        digests = np.concatenate(self._digests)
        starts = np.concatenate([[0], np.cumsum(sizes)])
        sets: dict[int, Hashes] = {}

        def distinct(place: int) -> Hashes:
            if place not in sets:
                sets[place] = np.unique(hashes[starts[place] : starts[place + 1]])
            return sets[place]

        for one, other in _candidates(digests, np.flatnonzero(sizes), self._threshold - _UNLIKELY):
            if not clusters.joined(one, other) and self._alike(distinct(one), distinct(other)):
                clusters.join(one, other)

    def _alike(self, one: Hashes, other: Hashes) -> bool:
        return _similarity(one, other, self._threshold) >= self._threshold


def find(tables: Iterable[Table], *, rows: int = ROWS, threshold: float = THRESHOLD) -> NearDuplicates:
    """Search in all of these tables, or in the first of them if they are many."""
    search = Search(rows=rows, threshold=threshold)
    for table in tables:
        search.add(table)
    return search.found()


def shingles(texts: Any, words: int) -> tuple[Hashes, Places]:
    """Give the hashes of each run of so many words, row after row, and how many each row has.

    Words are what stands between blanks and punctuation, in lower case; a text with fewer words is one shingle.
    A word's hash is that of its bytes as a polynomial, the difference of two prefix sums (Karp and Rabin, 1987), so
    that numpy hashes all words at once.
    """
    lower = pc.ascii_lower(texts) if pc.all(pc.string_is_ascii(texts)).as_py() else pc.utf8_lower(texts)
    raw, ends = raw_bytes.of(lower)
    first, last = _words(raw, ends)
    factors, inverses = (powers[: len(raw)] for powers in _powers(len(raw)))
    sums = np.zeros(len(raw) + 1, np.uint32)
    np.cumsum(raw * factors, dtype=np.uint32, out=sums[1:])
    hashed = _mixed(((sums[last] - sums[first]) * inverses[first]).astype(np.uint64))
    return _runs(hashed, np.searchsorted(first, ends), words)


def _words(raw: Bytes, ends: Places) -> tuple[Places, Places]:
    """Give where each word begins and ends."""
    kinds = _KINDS[raw]
    within = kinds > 0
    begins = within.copy()
    begins[1:] &= ~within[:-1] | (kinds[1:] == _ALONE)
    rows = ends[:-1][ends[:-1] < len(raw)]
    begins[rows] = within[rows]
    stops = within.copy()
    stops[:-1] &= ~within[1:] | begins[1:]
    return np.flatnonzero(begins), np.flatnonzero(stops) + 1


def _runs(hashed: Hashes, bounds: Places, words: int) -> tuple[Hashes, Places]:
    counts = np.diff(bounds)
    left = np.repeat(bounds[1:], counts) - np.arange(len(hashed))
    runs = hashed.copy()
    for number in range(1, words):
        more = max(0, len(hashed) - number)
        runs *= _MIXER
        runs[:more] += np.where(left[:more] > number, hashed[number:], np.uint64(0))
    kept = left >= words
    kept[bounds[:-1][counts > 0]] = True
    return _mixed(runs[kept]), np.where(counts > 0, np.maximum(counts - words + 1, 1), 0)


def _candidates(digests: Any, rows: Places, least: float) -> Iterator[tuple[int, int]]:
    """Give pairs of rows that share a bucket, and whose hashes are equal in a share that is not too small."""
    banded = digests[rows].astype(np.uint64).reshape(len(rows), _BANDS, _BAND)
    keys = np.zeros((len(rows), _BANDS), np.uint64)
    for number in range(_BAND):
        keys = (keys ^ banded[:, :, number]) * np.uint64(_FACTOR)
        keys ^= keys >> np.uint64(29)
    orders = np.argsort(keys, axis=0, kind="stable")
    ordered = np.take_along_axis(keys, orders, axis=0)
    for lag in range(1, min(_FELLOWS, len(rows) - 1) + 1):
        places, bands = np.nonzero(ordered[lag:] == ordered[:-lag])
        one, other = rows[orders[places, bands]], rows[orders[places + lag, bands]]
        one, other = np.divmod(np.unique(one * len(digests) + other), len(digests))
        for start in range(0, len(one), 1 << 16):
            part = slice(start, start + (1 << 16))
            likely = (digests[one[part]] == digests[other[part]]).mean(axis=1) >= least
            yield from zip(one[part][likely].tolist(), other[part][likely].tolist(), strict=True)


def _similarity(one: Hashes, other: Hashes, least: float) -> float:
    """Give the Jaccard similarity of two sets, or 0 where their sizes alone put it below what is asked."""
    if min(len(one), len(other)) < least * max(len(one), len(other)):
        return 0.0
    both = np.concatenate((one, other))
    both.sort()
    shared = np.count_nonzero(both[1:] == both[:-1])
    return float(shared / (len(both) - shared))


def _blocks(table: Table) -> Iterator[Table]:
    """Give the rows in blocks of about a quarter of a megabyte of text."""
    sizes = pc.binary_length(table["text"]).fill_null(0).to_numpy()
    place = 0
    if len(table):
        edges = np.flatnonzero(np.diff(np.cumsum(sizes, dtype=np.int64) // _BLOCK)) + 1
        for edge in [*edges.tolist(), len(table)]:
            yield table.slice(place, edge - place)
            place = edge


def _powers(count: int) -> tuple[Any, Any]:
    """Give the powers of a factor and of its inverse, modulo 2^32: more than are needed, for the next to share."""
    return _more_powers(1 << (count - 1).bit_length() if count else 1)


@lru_cache(maxsize=2)
def _more_powers(count: int) -> tuple[Any, Any]:
    powers = np.ones((2, count), np.uint32)
    powers[0, 1:] = _FACTOR & 0xFFFFFFFF
    powers[1, 1:] = pow(_FACTOR, -1, 1 << 32)
    found = np.cumprod(powers, axis=1, dtype=np.uint32)
    return found[0], found[1]


def _mixed(hashes: Hashes) -> Hashes:
    hashes ^= hashes >> np.uint64(32)
    hashes *= _MIXER
    hashes ^= hashes >> np.uint64(29)
    return hashes
