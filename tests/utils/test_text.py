"""Texts of messages."""

import pytest

from metatrain_dos.utils.text import LONGEST, closest, shorten


def test_shorten():
    assert shorten(ValueError("a\n b")) == "a b"
    assert shorten(ValueError()) == "ValueError"
    assert shorten("text") == "'text'"
    assert len(shorten(ValueError("x" * 10_000))) == LONGEST + len("...")
    assert len(shorten(10**10_000)) < LONGEST  # more digits than Python prints
    bomb = ["x"] * 10
    for _ in range(9):
        bomb = [bomb] * 10
    assert len(shorten(bomb)) <= LONGEST + len("...")


@pytest.mark.parametrize(
    ("word", "found"), [("MASKEDDOS", "masked_dos"), ("huber", None)]
)
def test_closest(word, found):
    assert closest(word, ["mse", "masked_dos"]) == found
