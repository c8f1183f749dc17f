"""Shorten values and errors for messages, and guess mistyped words."""

import difflib
import reprlib
from collections.abc import Iterable


LONGEST = 300
"""Most characters of a value or an error inside a message."""

# Aliases in YAML make billions of entries of a few lines: repr() is no option.
_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 100


def shorten(value: object) -> str:
    """
    Describe a value or an error in one short line.

    :param value: anything, of any size; of an exception, its message is taken
    :return: at most :data:`LONGEST` characters and an ellipsis
    """
    if isinstance(value, BaseException):
        text = str(value) or type(value).__name__
    else:
        try:
            text = _repr.repr(value)
        except ValueError:  # Python prints no integers of thousands of digits
            text = "a very large number"
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def closest(word: str, known: Iterable[str]) -> str | None:
    """Find the known word that a mistyped one stands for; ``None`` if none is close."""
    folded = {name.lower().replace("_", ""): name for name in known}
    matches = difflib.get_close_matches(
        word.lower().replace("_", "").replace("-", ""), list(folded), n=1, cutoff=0.6
    )
    return folded[matches[0]] if matches else None
