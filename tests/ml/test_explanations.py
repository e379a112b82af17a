from __future__ import annotations

import numpy as np
import pytest

from dlops.ml import coloured_words, explanations
from dlops.ml.explained_set import Collected, contrast
from dlops.ml.explanations import Explanation


def made(tokens, values, *, label="positive", target="positive", name="a", output=0.9):
    return Explanation(
        id=name,
        label=label,
        target=target,
        output=output,
        base=0.5,
        error=0.01,
        method="shap",
        text="".join(tokens),
        tokens=tokens,
        values=np.array(values),
        disagrees=label != target,
    )


ONE = made(["", "un", "believ", "able ", "film", ", ", "good", ""], [0, 0.1, 0.2, 0.3, -0.1, 0.05, 0.5, 0])


def test_tokens_that_nothing_parts_are_one_word():
    words = ONE.words()
    assert [word for word, _ in words] == ["unbelievable", "film", ",", "good"]
    assert [value for _, value in words] == pytest.approx([0.6, -0.1, 0.05, 0.5])


def test_what_is_written_is_read_again(tmp_path):
    about = {"rejected": [{"id": "b", "reason": "the text is empty"}]}
    explanations.write([ONE], about, tmp_path / "part.parquet")
    (found,), told = explanations.read(tmp_path / "part.parquet")
    assert told == about
    assert found.values.tolist() == ONE.values.tolist()
    assert {**vars(found), "values": 0} == {**vars(ONE), "values": 0}
    (tmp_path / "half.parquet").write_bytes((tmp_path / "part.parquet").read_bytes()[:-20])
    with pytest.raises(OSError, match="half"):
        explanations.read(tmp_path / "half.parquet")


def test_arrays_need_no_pickle(tmp_path):
    explanations.npz([ONE, made(["good"], [0.4], name="b")], tmp_path / "part.npz")
    arrays = np.load(tmp_path / "part.npz", allow_pickle=False)
    assert arrays["offsets"].tolist() == [0, 8, 9]
    assert arrays["values"][8:9].tolist() == [0.4]
    begin, end = arrays["token_offsets"][1:3]
    assert arrays["data"][begin:end].tobytes().decode() == "un"
    assert arrays["base_values"].tolist() == [0.5, 0.5]
    assert arrays["ids"].tolist() == ["a", "b"]


def test_the_strongest_words_are_those_that_add_most_in_all():
    collected = Collected(shown=1, listed=1)
    collected.add(made(["Good ", "film"], [0.4, 0.01], name=str(number)) for number in range(3))
    collected.add([made(["once ", "film"], [0.9, 0.02]), made(["bad ", "film"], [-0.5, 0.1], label="negative")])
    assert [(word.word, word.count) for word in collected.words("positive")] == [("good", 3), ("film", 5)]
    assert collected.words("positive")[0].mean == pytest.approx(0.4)
    assert (collected.rows, len(collected.first), len(collected.wrong)) == (5, 1, 1)
    assert collected.wrong[0].label == "negative"
    assert collected.mean_error == pytest.approx(0.01)


def test_the_surest_disagreements_are_kept():
    collected = Collected(shown=0, listed=2)
    collected.add(made(["a"], [0.1], label="negative", name=str(sure), output=sure) for sure in (0.6, 0.9, 0.7, 0.8))
    assert [one.output for one in collected.wrong] == [0.9, 0.8]


def test_two_models_are_compared_word_by_word():
    mine = [made(["good ", "film ", "plot"], [0.5, 0.1, 0.0], name=str(number)) for number in range(3)]
    its = [made(["good ", "film ", "plot"], [0.0, 0.1, 0.5], name=str(number)) for number in range(3)]
    found = contrast(mine, its)
    assert (found.rows, found.correlation) == (3, pytest.approx(-1))
    assert found.gained[0] == ("good", pytest.approx(0.5))
    assert found.lost[0] == ("plot", pytest.approx(-0.5))
    assert contrast(mine, mine).correlation == pytest.approx(1)
    others = [made(["go", "od ", "film"], [0.1, 0.2, 0.3])]
    assert contrast(mine[:1], [made(["other ", "words"], [0.1, 0.2])]).rows == 0
    assert contrast(others, others).rows == 1


def test_colours_are_shown_where_they_are_wanted(monkeypatch, capsys):
    from dlops.ml import progress

    for name, value, wanted in (("FORCE_COLOR", "1", True), ("NO_COLOR", "1", False)):
        monkeypatch.setenv(name, value)
        for line in coloured_words.lines(ONE):
            progress.show(line)
        assert ("\x1b[41m" in capsys.readouterr().out) == wanted


def test_words_are_coloured_or_signed():
    first, second = coloured_words.lines(ONE, colour=True)
    assert first == "positive 0.900, the data says positive"
    assert "\x1b[41munbelievable\x1b[0m" in second
    assert "film" in second
    assert "\x1b[41mfilm" not in second
    assert "unbelievable(+0.600)" in coloured_words.lines(ONE, colour=False)[1]
    hostile = made(["\x1b]0;x\x07 ", "good"], [0.5, 0.4])
    assert "\x1b]0" not in coloured_words.lines(hostile, colour=True)[1]
