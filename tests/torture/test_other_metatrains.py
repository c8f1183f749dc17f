"""
Copies of metatrain that have changed where we hook in.

Users read one sentence that says what to install, and train with other losses. The
changes are made in a copy of the installed source.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import metatrain
import old_project
import pytest
from helpers.training import TINY_PET


OWN_LOSS = """class MaskedDOSLoss(TensorMapMSELoss):
    def __init__(self, name, gradient, weight, reduction, **options):
        super().__init__(name, gradient, weight, reduction)


class LossType(Enum):
    MASKED_DOS = ("masked_dos", MaskedDOSLoss)"""

PLAIN_CLASS = """

_members = {member.key: member for member in LossType}


class LossType:
    @staticmethod
    def from_key(key):
        return _members[key]
"""

NO_LOSSES = (
    r"metatrain-dos could not register its losses with metatrain, so 'masked_dos' is "
    r"unknown to it: metatrain \S+ has no {} in metatrain\.utils\.loss, which "
    r"metatrain-dos \S+ needs; install a newer metatrain-dos, or metatrain 2026\.4\.1"
)

# What is replaced in the source, by what, and the one sentence that users read.
CHANGES = {
    "from_key has another name": (
        r"\bfrom_key\b",
        "from_name",
        NO_LOSSES.format(r"LossType\.from_key"),
    ),
    "LossType is no enumeration": (
        r"(?m)^def create_loss\(",
        PLAIN_CLASS + r"\n\ndef create_loss(",
        NO_LOSSES.format("enumeration LossType"),
    ),
    "members hold more": (
        r"def __init__\(self, key: str, cls: Type\[LossInterface\]\)",
        "def __init__(self, key, cls, more)",
        NO_LOSSES.format("enumeration LossType of keys and classes"),
    ),
    "LossSpecification has another name": (
        r"\bLossSpecification\b",
        "LossOptions",
        None,
    ),
    "validate has another name": (
        r"\bvalidate\(",
        "check(",
        r"metatrain \S+ validates options in another way than metatrain-dos \S+ "
        r"expects \(.*\), so wrong options of a loss will be refused only after the "
        r"data set has been read; install a newer metatrain-dos, or metatrain "
        r"2026\.4\.1",
    ),
    "masked_dos is its own": (
        r"class LossType\(Enum\):",
        OWN_LOSS,
        r"the loss 'masked_dos' of the package 'metatrain-dos' is available as `type: "
        r"metatrain-dos::masked_dos` only, because metatrain\.utils\.loss\."
        r"MaskedDOSLoss has the key 'masked_dos'",
    ),
}
REGISTERED_NEVERTHELESS = {
    "LossSpecification has another name": "masked_dos",
    "validate has another name": "masked_dos",
    "masked_dos is its own": "metatrain-dos::masked_dos",
}


def changed_copy(folder, name):
    """Copy metatrain and change it."""
    pattern, replacement, _ = CHANGES[name]
    copy = folder / "metatrain"
    ignored = shutil.ignore_patterns("tests", "__pycache__")
    shutil.copytree(Path(metatrain.__file__).parent, copy, ignore=ignored)
    places = 0
    for path in copy.rglob("*.py"):
        text, number = re.subn(pattern, replacement, path.read_text("utf-8"))
        if name == "members hold more":
            text = re.sub(r'(?m)^(    [A-Z_]+ = \("\w+", \w+)\)$', r"\1, 0)", text)
        if number:
            path.write_text(text)
        places += number
    assert places
    return folder


def train(loss, path, folder):
    """Train with a copy of metatrain; return the log and the warnings about us."""
    old_project.write(folder, TINY_PET)
    # `mtt` itself, as the changed copy has to be found before the one beside it
    mtt = "import sys; from metatrain.__main__ import main; sys.argv[0] = 'mtt'; main()"
    overrides = [
        f"architecture.training.loss={loss}",
        "architecture.training.num_epochs=1",
    ]
    done = subprocess.run(
        [
            *(sys.executable, "-c", mtt, "train", "options.yaml"),
            *(word for override in overrides for word in ("-r", override)),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(path), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"Epoch: +0 .*training loss: \d", done.stdout)
    return done.stdout


@pytest.mark.parametrize("name", CHANGES)
def test_changed(name, tmp_path, amount, tally):
    if name not in amount(["from_key has another name"], list(CHANGES)):
        pytest.skip("in make torture only")
    path = changed_copy(tmp_path / "changed", name)
    log = train("mse", path, tmp_path / "mse")
    said = [line for line in log.splitlines() if "metatrain-dos" in line]
    sentence = CHANGES[name][2]
    if sentence is None:
        assert said == []
    else:
        assert len(said) == 1 and re.search(sentence + "$", said[0])
    tally("changed metatrains that train with mse")
    if name in REGISTERED_NEVERTHELESS:
        loss = REGISTERED_NEVERTHELESS[name]
        log = train(loss, path, tmp_path / "ours")
        assert f"'type': '{loss}'" in log
        tally("changed metatrains that train with masked_dos")
