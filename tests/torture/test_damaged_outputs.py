"""Outputs of codes, damaged at random: finite numbers, or an error about this file."""

import pytest
from damage import damaged
from helpers.outputs import ONE_EACH
from helpers.paths import OUTPUTS


# Above what reading the whole file needs. The largest file has 2 MB, most of it zeros.
MEMORY = 100 * 2**20
SECONDS = 15  # of processor time, because the machine may be busy

OUTPUTS = sorted(
    {path.stem for path in OUTPUTS.glob("*.gz")} | {*ONE_EACH, "vasprun_dfpt.xml"}
)


@pytest.mark.parametrize("name", OUTPUTS)
def test_damage(reader, unpack, amount, seed, tally, name):
    """Whatever is found adds up, and whatever is wrong is said of this file."""
    path = unpack(name)
    content = path.read_bytes()
    whole = reader(path)
    refused = 0
    cases = amount(5, 200)
    for number in range(cases):
        changed, done = damaged(content, seed, name, number)
        path.write_bytes(changed)
        answer = reader(path)
        case = f"case {number} of {name} ({done}): {answer}"
        assert answer["status"] == 0, case
        assert "wrong" not in answer, case
        assert answer["seconds"] < SECONDS, case
        assert answer["memory"] < whole["memory"] + MEMORY, case
        if "message" in answer:
            refused += 1
            assert answer["message"].startswith(str(path)), case
            assert "expected" in answer["message"], case
            assert len(answer["message"]) < 2000, case
        else:
            assert answer["count"] > 0, case
    tally("damaged outputs of codes", cases)
    tally("damaged outputs of codes that were refused", refused)


def test_reading_notices(tmp_path, reader):
    """What ends the process that reads, and an error of another kind, are seen."""
    for name, key, value in (("abort", "status", -6), ("error", "wrong", "KeyError")):
        answer = reader(tmp_path / f"{name}.unruly")
        assert str(answer[key]).startswith(str(value)), answer
