"""Damage files at random, as full disks, bad copies and malice do."""

import random
import re
import struct


NUMBER = re.compile(rb"[-+]?\d+(?:\.\d*)?(?:[eEdD][-+]?\d+)?")
OTHER_NUMBERS = (
    *(b"nan", b"inf", b"-inf", b"1e999", b"-1", b"0", b"1e300", b"-1e-320", b"1d0"),
    *(
        b"1000000000000",
        b"4294967296",
        b"9" * 500,
        b"1e",
        b"0x10",
        b"1_0",
        b"",
        b"*****",
    ),
)
OTHER_WORDS = (
    *(
        struct.pack(order + "d", x)
        for order in "<>"
        for x in (float("nan"), 1e999, 1e300)
    ),
    *(struct.pack(order + "q", x) for order in "<>" for x in (-1, 0, 2**40, 2**63 - 1)),
    *(struct.pack(order + "i", x) for order in "<>" for x in (-1, 0, 2**20, 2**31 - 1)),
)


def damaged(content, *labels):
    """
    Damage some content in up to three places.

    :param content: bytes of a file
    :param labels: labels that determine the choices, such as a seed and a number
    :return: the bytes, and a description of the damage
    """
    rng = random.Random(" ".join(map(str, labels)))
    done = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        change = rng.choice(CHANGES)
        done.append(change.__name__)
        content = change(content, rng)
    return content, ", ".join(done)


def cut(content, rng):
    """End too early."""
    return content[: _place(content, rng)]


def flip_bits(content, rng):
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 4, 16))):
        if content:
            changed[_place(content, rng)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def delete(content, rng):
    begin, end = _block(content, rng)
    return content[:begin] + content[end:]


def repeat(content, rng):
    begin, end = _block(content, rng)
    return content[:end] + content[begin:end] * rng.choice((1, 1, 5)) + content[end:]


def move(content, rng):
    """Write a block over another place."""
    begin, end = _block(content, rng)
    place = _place(content, rng)
    return content[:place] + content[begin:end] + content[place + end - begin :]


def zero(content, rng):
    begin, end = _block(content, rng)
    return content[:begin] + bytes(end - begin) + content[end:]


def noise(content, rng):
    begin, end = _block(content, rng)
    return content[:begin] + rng.randbytes(end - begin) + content[end:]


def exchange_number(content, rng):
    """Write something else in place of a number that is text."""
    found = NUMBER.search(content, _place(content, rng))
    if found is None:
        return content
    return content[: found.start()] + rng.choice(OTHER_NUMBERS) + content[found.end() :]


def exchange_word(content, rng):
    """Write something else in place of a binary number, which is often aligned."""
    word = rng.choice(OTHER_WORDS)
    begin = _place(content, rng) // 4 * 4
    return content[:begin] + word + content[begin + len(word) :]


def _place(content, rng):
    """Choose a place, rather one with content than one in files full of zeros."""
    for _ in range(20):
        place = rng.randrange(max(1, len(content)))
        if any(content[place : place + 8]):
            break
    return place


def _block(content, rng):
    """Choose a block, which often is some lines."""
    begin = _place(content, rng)
    end = min(len(content), begin + int(2 ** rng.uniform(0, 14)))
    if rng.random() < 0.5:
        begin = content.rfind(b"\n", 0, begin) + 1
        end = content.find(b"\n", end) + 1 or len(content)
    return begin, end


CHANGES = (
    *(cut, flip_bits, delete, repeat, move, zero, noise),
    *(exchange_number, exchange_number, exchange_number, exchange_word),
)
