"""No secret gets through, however it is cut; what is none stays."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dlops.worker import masking
from dlops.worker.masking import Stream

SECRETS = st.lists(st.text("ab:*", min_size=1, max_size=5), max_size=4)
OUTPUT = st.lists(st.text("ab:*\n", max_size=6), max_size=6)


def streamed(pieces, secrets):
    stream = Stream(secrets)
    return b"".join([*(stream.feed(piece.encode()) for piece in pieces), stream.rest()]).decode()


@given(OUTPUT, SECRETS)
@example(["abcdef", "gh"], ["abcdef", "abcdefgh"])
@example(["abcdefg"], ["abcdef", "abcdefgh"])
@example(["ab", "ba"], ["bb", "ab", "abbab"])
def test_a_stream_in_any_pieces_is_masked_as_the_whole(pieces, secrets):
    assert streamed(pieces, secrets) == masking.text("".join(pieces), secrets)


@given(st.lists(st.binary(max_size=8), max_size=8))
def test_without_a_secret_every_byte_gets_through(pieces):
    stream = Stream(["not in here"])
    assert b"".join([*map(stream.feed, pieces), stream.rest()]) == b"".join(pieces)


def test_what_cannot_be_a_secret_is_shown_at_once():
    stream = Stream(["hunter22"])
    assert stream.feed(b"epoch 1\n") == b"epoch 1\n"
    assert stream.feed(b"my hunt") == b"my "
    assert stream.feed(b"ing dog") == b"hunting dog"
    assert stream.feed(b"hunter22") == b"***"


def test_a_secret_of_many_bytes_a_letter_is_found_across_a_cut():
    stream = Stream(["geheimnis-süß"])
    data = "x geheimnis-süß y".encode()
    assert stream.feed(data[:14]) + stream.feed(data[14:]) == b"x *** y"


@pytest.mark.parametrize(
    "name",
    [
        *("api_key", "API_KEY", "apikey", "HF_TOKEN", "hub_token", "password", "DB_PASSWORD", "AWS_SECRET_ACCESS_KEY"),
        *("AWS_SESSION_TOKEN", "session_token", "ADMIN_TOKEN", "CI_REGISTRATION_TOKEN", "PGPASSWORD", "OPENAI_KEY"),
        *("DB_PASS", "GITLAB_PAT", "SMTP_PWD", "AZURE_STORAGE_CONNECTION_STRING", "AUTHENTICATION_TOKEN"),
        *("client-secret", "private_key", "credentials", "aws.access.key".replace("access.", "access_"), "token"),
    ],
)
def test_a_name_that_sounds_secret_is(name):
    assert masking.is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        *("epochs", "tokenizer", "max_tokens", "num_tokens", "pad_token", "pad_token_id", "eos_token_id", "token_ids"),
        *(
            "max_token_length",
            "token_type_ids",
            "vision_token_id",
            "group_key",
            "n_pass",
            "passes",
            "PATH",
            "monkey",
            "keyboard",
            "author",
            "PWD",
            "OLDPWD",
            "secretary",
            "tokens_per_batch",
        ),
    ],
)
def test_a_name_of_the_field_is_none(name):
    assert not masking.is_secret(name)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("https://user:tok@host/x", "https://***@host/x"),
        ("https://token@host/x", "https://***@host/x"),
        ("https://user:p@ss@host/x", "https://***@host/x"),
        ("postgresql+psycopg2://u:p@h:5432/d", "postgresql+psycopg2://***@h:5432/d"),
        ("ssh://git@host/x", "ssh://git@host/x"),
        ("ssh://git:pw@host/x", "ssh://***@host/x"),
        ("git@host:x.git", "git@host:x.git"),
        ("see https://a:b@h1/x and https://c:d@h2", "see https://***@h1/x and https://***@h2"),
        ("https://host/a@b", "https://host/a@b"),
        ("sqlite:////tmp/a@b.db", "sqlite:////tmp/a@b.db"),
        ("mail a@b.c", "mail a@b.c"),
        ("https://host/a?X-Amz-Signature=abc&id=3#top", "https://host/a?X-Amz-Signature=***&id=3#top"),
        ("https://host?api_key=abc", "https://host?api_key=***"),
        ("'https://host/a?id=3&sig=abc' failed", "'https://host/a?id=3&sig=***' failed"),
        ("exceeded with url: /a?access_token=abc (refused)", "exceeded with url: /a?access_token=*** (refused)"),
        ("python a.py x=a?b_key=c && tokenizer=bert", "python a.py x=a?b_key=c && tokenizer=bert"),
        ("+    if (flags&key_mask==1 ? key=2 : 3)", "+    if (flags&key_mask==1 ? key=2 : 3)"),
    ],
)
def test_credentials_in_urls(text, masked):
    assert masking.url(text) == masked
    assert masking.url(masked) == masked


def test_known_secrets_are_collected_from_everywhere_longest_first():
    found = masking.known_secrets(
        {"HF_TOKEN": "hf_123456", "SHORT_TOKEN": "no", "PATH": "/usr/bin", "PROXY": "http://me:proxy-pass@h"},
        {"api_key": "k-123456", "epochs": "1000000"},
        ["postgresql://u:db-pass@h/d"],
    )
    assert set(found) == {"hf_123456", "k-123456", "proxy-pass", "me:proxy-pass", "db-pass"}
    assert list(found) == sorted(found, key=len, reverse=True)


def test_an_empty_secret_masks_nothing():
    assert masking.text("abc", [""]) == "abc"
    assert streamed(["abc"], [""]) == "abc"
