from __future__ import annotations

from dlops.config.terminal import visible


def test_nothing_that_commands_a_terminal_is_left():
    unseen = "\xa0\xad"  # a blank and a soft hyphen command nothing
    every = "".join(chr(number) for number in range(0x180) if chr(number) not in unseen)
    assert visible(every).isprintable()
    assert visible("pos\x1b[31m\x9b, naïve\n") == "pos\\x1b[31m\\x9b, naïve\\x0a"
    assert visible("a\tb\nc", lines=True) == "a\\x09b\nc"
