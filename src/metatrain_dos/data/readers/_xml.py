"""Find elements of XML, and the numbers in them."""

from collections.abc import Sequence
from xml.etree.ElementTree import Element

import numpy as np

from ..calculation import InputError
from ._common import numbers


def find(element: Element, tag: str) -> Element:
    """Find an element that every finished run writes."""
    found = element.find(tag)
    if found is None:
        raise InputError(
            f"{tag}: expected in the output of every finished run, got nothing; check "
            "whether the run finished"
        )
    return found


def rows_of(elements: Element | Sequence[Element]) -> np.ndarray:
    """Read the numbers in elements, or in those of one, ``(elements, numbers)``."""
    first = elements if isinstance(elements, Element) else elements[0]
    text = " ".join(each.text or "" for each in elements)
    return numbers(text, first.get("name", first.tag)).reshape(len(elements), -1)
