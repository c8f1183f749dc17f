"""Sections of options files: accepted, and then made, or refused with one message."""

import re

import pytest
from loss_route import follow
from loss_sections import make_section, wrong_options
from metatrain.utils.loss import LossType
from metatrain.utils.pydantic import (
    MetatrainBaseValidationError,
    MetatrainValidationError,
)

from metatrain_dos import MaskedDOSLoss
from metatrain_dos.plugin.validation import InvalidLossOptionsError


KNOWN = {member.key for member in LossType}
# metatrain's own list of all options, and the same of this loss, fit into this.
LONGEST = 1000


def judge(text, outcome):
    """Check the fate of a section, and name it in one word."""
    error = outcome.error
    assert not isinstance(error, TimeoutError), "a hang"
    if outcome.stage == "read":
        # The text is no YAML, or more than OmegaConf can hold.
        assert not outcome.passes_through_us
        return "not read"
    if isinstance(error, MetatrainBaseValidationError):
        return (
            "refused by metatrain"  # a damaged section that goes on outside of `loss`
        )
    expected = sections_of_ours(outcome.section)
    wrong = {name: wrong_options(section) for name, section in expected.items()}
    if isinstance(error, InvalidLossOptionsError):
        check_message(str(error), wrong)
        return "refused by us"
    assert not any(wrong.values()), f"let pass: {wrong}"
    if outcome.stage == "validate":
        assert not outcome.passes_through_us
        assert isinstance(error, MetatrainValidationError)
        # or damage has moved a line out of `loss`, to the options of the training
        moved = re.search(r"Unrecognized option '(.*)' for training", str(error))
        assert "loss" in str(error) or (moved and moved[1] in text)
        return "refused by metatrain"
    if outcome.stage == "construct":
        if outcome.passes_through_us:
            # Nobody knows what ${...} is before all options are together.
            assert isinstance(error, ValueError) and "${" in text
            assert str(error).startswith("Invalid options for loss 'masked_dos' of tar")
            return "refused by us, resolved"
        return "refused by metatrain, without data"
    for name, section in expected.items():
        check_loss(outcome.losses.get(name), section)
    return "accepted"


def sections_of_ours(section):
    """Collect the sections of targets whose loss is ``masked_dos``."""
    if section == "masked_dos":
        return {"mtt::dos": {}}
    if not isinstance(section, dict):
        return {}
    return {
        name: entry if isinstance(entry, dict) else {}
        for name, entry in section.items()
        if entry == "masked_dos"
        or (isinstance(entry, dict) and entry.get("type") == "masked_dos")
    }


def check_message(message, wrong):
    assert len(message) < LONGEST and "\n" not in message
    if message.startswith("Unknown loss "):
        # The longer of its two names is closer to a name with colons.
        assert re.search(r"did you mean '(metatrain-dos::)?masked_dos'\?", message)
        return
    assert message.startswith("Invalid options for loss 'masked_dos' of target ")
    if ".gradients." in message.partition(": ")[0]:
        return
    name, options = next((n, o) for n, o in wrong.items() if o)
    assert repr(str(name))[:40] in message
    for option in options:
        assert repr(str(option))[:40] in message


def check_loss(loss, section):
    assert isinstance(loss, MaskedDOSLoss)
    for key, value in section.items():
        if key not in ("type", "reduction", "gradients") and "${" not in str(value):
            assert getattr(loss.hypers, key) == pytest.approx(float(value), abs=0)


@pytest.mark.filterwarnings("default")  # of libraries, about what is in the sections
@pytest.mark.parametrize("part", range(20))
def test_sections(part, seed, amount, tally):
    counts = {}
    size = amount(share=30, torture=5_000)
    for number in range(part * size, (part + 1) * size):
        kind = follow_and_judge(seed, number)
        counts[kind] = counts.get(kind, 0) + 1
    for kind, count in counts.items():
        tally(f"sections of `loss`: {kind}", count)
    assert {"accepted", "refused by us"} <= set(counts)


@pytest.mark.filterwarnings("default")
def test_sections_of_a_true_architecture(seed, amount, tally):
    """The quick architecture comes to the same end as one of metatrain's."""
    size = amount(share=5, torture=500)
    for number in range(size):
        kind = follow_and_judge(seed, number)
        assert follow_and_judge(seed, number, "pet") == kind
    tally("sections of `loss`: the same with PET", size)


def follow_and_judge(seed, number, architecture="fuzzed"):
    text = make_section(seed, number)
    outcome = follow(text, architecture)
    try:
        return judge(text, outcome)
    except AssertionError as error:
        error.add_note(f"python tests/torture/loss_route.py {seed} {number}")
        raise
