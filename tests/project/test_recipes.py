"""The recipes of CONTRIBUTING.md, executed on a copy of the package."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from helpers.paths import PROJECT


FUNCTION = """
def curvature_term(predictions, targets, mask, shift, *, grid_spacing):
    return predictions.diff(n=2, dim=-1).flatten(1).square().sum(1)


@dataclass(frozen=True)
class Term:"""
ROW = """
    Term("curvature", curvature_term, "curve_weight", "states²/eV²", "roughness"),
)
\"\"\"
The terms of the loss."""
WEIGHT = """    curve_weight: Weight = 0.5
    per_structure: Annotated["""
USE = """
import json
import torch
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatrain_dos import MaskedDOSLoss
from metatrain_dos.models.error_table import COLUMNS
from metatrain_dos.models.errors import align
from metatrain_dos.plugin import training_log

def tensor_map(values):
    return TensorMap(
        Labels.single(),
        [TensorBlock(values, Labels.range("system", len(values)), [],
                     Labels.range("dos", values.shape[-1]))],
    )

p = torch.rand(3, 20, dtype=torch.float64)
t = torch.rand(3, 16, dtype=torch.float64)
losses = [
    MaskedDOSLoss("mtt::dos", extra_targets=4, reduction="none", curve_weight=w)(
        {"mtt::dos": tensor_map(p)}, {"mtt::dos": tensor_map(t)}
    )
    for w in (0.0, 2.0)
]
term = p.diff(n=2, dim=-1).square().sum(1)
loss = MaskedDOSLoss("mtt::dos", extra_targets=4)
print(json.dumps({
    "difference": (losses[1] - losses[0] - 2.0 * term).abs().max().item(),
    "default": loss.weights["curve_weight"],
    "column": "loss_curvature" in COLUMNS,
    "aligned": sorted(align(p.numpy(), t.numpy(), None, grid_spacing=0.1).terms),
}))
"""


def exchange(path, old, new):
    text = path.read_text("utf-8")
    assert text.count(old) == 1, f"{path.name} no longer has {old!r}"
    path.write_text(text.replace(old, new), "utf-8")


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """Add a term in the two files that the recipe names, and use it."""
    source = tmp_path_factory.mktemp("copy") / "src"
    shutil.copytree(PROJECT / "src", source)
    loss = source / "metatrain_dos" / "loss"
    exchange(loss / "terms.py", "\n@dataclass(frozen=True)\nclass Term:", FUNCTION)
    exchange(loss / "terms.py", '\n)\n"""\nThe terms of the loss.', ROW)
    exchange(loss / "options.py", "    per_structure: Annotated[", WEIGHT)
    environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", USE], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_new_term_is_in_loss_options_and_reports(extended):
    assert extended["difference"] < 1e-12  # rounding of sums of some hundred numbers
    assert extended["default"] == 0.5
    assert extended["column"]
    assert "curvature" in extended["aligned"]
