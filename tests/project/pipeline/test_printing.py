"""Lines of steps that print at once stay whole, and begin with their step's name."""

from __future__ import annotations

from dlops.project.pipeline.printing import Printer


def test_lines_are_printed_when_they_are_whole(capsys):
    printer = Printer(["one", "three"])
    printer.add("one", "a\nb")
    printer.add("three", "x\n")
    printer.say("three", "ended\n\nwell")
    printer.add("one", "c\n\nd")
    printer.flush("one")
    printer.flush("one")
    lines = [
        "one   │ a",
        "three │ x",
        "three ▸ ended",
        "three ▸ ",
        "three ▸ well",
        "one   │ bc",
        "one   │ ",
        "one   │ d",
    ]
    assert capsys.readouterr().out.split("\n") == [*lines, ""]
