"""Files as they come: every kind and packing, archives that climb out or blow up, and a way to damage each."""

from __future__ import annotations

import gzip
import io
import json
import random
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

ROWS = [
    (f"review {number}: “fine”, she said;\nthe {word} — second line" * 3, label)
    for number, (word, label) in enumerate([("film", "pos"), ("book", "neg"), ("ünïcode", "pos")] * 20)
]

LABELS = [
    ("classes", {"a": 1}, "dict"),
    ("classes", "\ud800", "surrogates"),
    ("multilabel", "[a", "no list"),
    ("multilabel", [{"a": 1}], "dict"),
    ("number", "four", "no number"),
    ("number", "inf", "finite"),
    ("number", [1], "no number"),
]
"""Kinds of labels, values that are none of that kind, and what is said of each."""


def csv(rows=ROWS, delimiter=","):
    quoted = [
        delimiter.join('"' + value.replace('"', '""') + '"' for value in row) for row in [("text", "label"), *rows]
    ]
    return "\r\n".join(quoted).encode() + b"\r\n"


def json_lines(rows=ROWS):
    return "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows).encode()


def json_array(rows=ROWS):
    return json.dumps([{"text": text, "label": label} for text, label in rows], indent=1, ensure_ascii=False).encode()


def parquet(rows=ROWS):
    file = io.BytesIO()
    texts, labels = zip(*rows, strict=True)
    pyarrow.parquet.write_table(pa.table({"text": texts, "label": labels}), file, row_group_size=25)
    return file.getvalue()


def zstd(content):
    return pa.compress(content, "zstd", asbytes=True)


def zipped(**members):
    """Pack members; `__` in a name stands for its dot."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return file.getvalue()


def tarred(*entries):
    """Pack pairs of a name, or a header, and content."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for header, content in entries:
            info = tarfile.TarInfo(header) if isinstance(header, str) else header
            if info.isreg():
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


VALID = {
    "a.csv": csv(),
    "a.tsv": csv(delimiter="\t"),
    "semicolons.csv": csv(delimiter=";"),
    "utf16.csv": csv().decode().encode("utf-16"),
    "a.jsonl": json_lines(),
    "a.json": json_array(),
    "a.parquet": parquet(),
    "a.csv.gz": gzip.compress(csv(), mtime=0),
    "a.jsonl.zst": zstd(json_lines()),
    "a.parquet.gz": gzip.compress(parquet(), mtime=0),
    "a.zip": zipped(b__csv=csv(), c__jsonl=json_lines(), d__parquet=parquet()),
    "a.tar": tarred(("b.csv", csv()), ("c/d.jsonl", json_lines())),
    "a.tar.gz": gzip.compress(tarred(("b.csv", csv()), ("d.json", json_array())), mtime=0),
    "a.tar.zst": zstd(tarred(("b.csv", csv()), ("d.csv.gz", gzip.compress(csv(), mtime=0)))),
}
"""One valid file of each kind, by a name that says its kind."""


def damaged(content, seed):
    """Damage a file in one to three places: bits flipped, bytes cut out, put in, doubled, or its end cut off."""
    generator = random.Random(seed)
    content = bytearray(content)
    for _ in range(generator.randint(1, 3)):
        place, length = generator.randrange(len(content) or 1), generator.choice((1, 2, 8, 100, 1000))
        match generator.randrange(6):
            case 0:
                for _ in range(generator.choice((1, 1, 5, 50))):
                    content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
            case 1:
                del content[max(1, place) :]
            case 2:
                del content[place : min(place + length, len(content) - 1)]
            case 3:
                content[place:place] = generator.randbytes(length)
            case 4:
                content[place:place] = content[place : place + length]
            case 5:
                content[place : place + length] = b"\0" * min(length, len(content) - place)
    return bytes(content)


def written(folder, name, content):
    file = Path(folder) / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def plain(columns):
    """Give columns as Python lists, those of Arrow too."""
    return {name: values.to_pylist() if isinstance(values, pa.Array) else values for name, values in columns.items()}
