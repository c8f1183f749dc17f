"""The losses that are compared, all on the same TensorMaps."""

import importlib.util
import os
import subprocess
import sys
import tempfile
import zipfile
from functools import cache
from pathlib import Path

import torch
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatrain.utils.loss import create_loss

from metatrain_dos.loss import cpu
from metatrain_dos.loss import terms as equations
from metatrain_dos.loss.cpu import correlation
from metatrain_dos.loss.defaults import DEFAULT_SPACING
from metatrain_dos.loss.dispatch import Found
from metatrain_dos.plugin import masked_dos as module
from metatrain_dos.plugin.epoch_terms import EpochTerms
from metatrain_dos.plugin.masked_dos import MaskedDOSLoss


# The compiled loss is what is timed.
os.environ["METATRAIN_DOS_COMPILE"] = "now"

NAME = "mtt::dos"
OLD_VERSION = "2026.2.1"


def old_loss_class():
    """Take the last ``masked_dos`` of metatrain out of its wheel, which is not kept."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = f"metatrain=={OLD_VERSION}"
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
                *("--dest", folder, wanted),
            ],
            check=True,
        )
        (wheel,) = Path(folder).glob("*.whl")
        zipfile.ZipFile(wheel).extract("metatrain/utils/loss.py", folder)
        source = Path(folder) / "metatrain" / "utils" / "loss.py"
        spec = importlib.util.spec_from_file_location("old_metatrain_loss", source)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.MaskedDOSLoss


class UncompiledMaskedDOSLoss(MaskedDOSLoss):
    """Our loss as it is on a GPU, and where numba is not installed."""

    def compute(self, *arguments):
        can_run, cpu.can_run = cpu.can_run, lambda _: False
        try:
            return super().compute(*arguments)
        finally:
            cpu.can_run = can_run


class TorchCompiledMaskedDOSLoss(MaskedDOSLoss):
    """Our loss as ``torch.compile`` makes it of the equations."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.compiled = torch.compile(equations.masked_dos)

    def compute(self, *arguments):
        chosen, module.masked_dos = module.masked_dos, self.call
        try:
            return super().compute(*arguments)
        finally:
            module.masked_dos = chosen

    def call(self, *arguments, **options):
        loss = self.compiled(*arguments, **options)
        return Found(loss, loss.detach()[:, None], loss.detach())


def tensor_map(values):
    key, samples, properties = labels(*values.shape, values.device)
    block = TensorBlock(values, samples, components=[], properties=properties)
    return TensorMap(key, [block])


@cache
def labels(structures, points, device):
    """Make labels once, as a model does, on the device of the values."""
    found = Labels.single(), Labels.range("system", structures)
    return [each.to(device) for each in (*found, Labels.range("dos", points))]


class Case:
    """
    One batch as ``mtt train`` has it: padded targets, boolean masks.

    The DOS are sums of Gaussians, the predictions the same with a shift and an error,
    and each structure is trusted up to an energy of its own.
    """

    def __init__(self, batch, points, extra, dtype, device):
        generator = torch.Generator().manual_seed(0)

        def random(*shape):
            return torch.rand(*shape, generator=generator, dtype=torch.float64)

        columns = torch.arange(points, dtype=torch.float64)
        targets = torch.zeros(batch, points, dtype=torch.float64)
        for _ in range(12):
            centre, width = (
                points * random(batch, 1),
                5 + points / 20 * random(batch, 1),
            )
            peak = torch.exp(-0.5 * ((columns - centre) / width) ** 2)
            targets += torch.where(peak > 1e-12, peak, 0)  # as smeared levels are
        predictions = 0.05 * random(batch, points + extra)
        predictions[:, extra // 3 : extra // 3 + points] += targets
        mask = columns < points * (0.5 + 0.5 * random(batch, 1))

        pad = torch.nn.functional.pad
        self.extra = extra
        self.leaf = predictions.to(device, dtype).requires_grad_()
        padded = pad(targets, (extra, 0)).to(device, dtype)
        padded_mask = pad(mask, (extra, 0)).to(device)
        self.targets = {NAME: tensor_map(padded)}
        self.mask = {f"{NAME}_mask": tensor_map(padded_mask)}
        # shift_agnostic_mse knows no other mask than NaN
        holes = padded.masked_fill(~padded_mask, float("nan"))
        self.targets_with_nan = {NAME: tensor_map(holes)}

    def step(self, loss_function, with_nan=False):
        """Make the function to time: one forward and one backward pass."""
        targets = self.targets_with_nan if with_nan else self.targets

        def run():
            self.leaf.grad = None
            # the output of a model is not a leaf
            predictions = {NAME: tensor_map(self.leaf * 1.0)}
            loss_function(predictions, targets, self.mask).backward()

        return run


def steps(case, old_class=None, torch_compile=False):
    """Make one function to time for each loss."""

    def make(key, **options):
        common = {"name": NAME, "gradient": None, "weight": 1.0, "reduction": "mean"}
        return create_loss(key, **common, **options)

    ours = {"extra_targets": case.extra}
    rivals = {
        "masked_dos (ours)": case.step(make("masked_dos", **ours)),
        "masked_dos (ours, no numba)": case.step(UncompiledMaskedDOSLoss(NAME, **ours)),
        "mse": case.step(make("mse")),
        "masked_mse": case.step(make("masked_mse")),
        "shift_agnostic_mse": case.step(
            make("shift_agnostic_mse", int_weight=2.0, grad_penalty_weight=1e-4),
            with_nan=True,
        ),
    }
    if torch_compile:
        compiled = TorchCompiledMaskedDOSLoss(NAME, **ours)
        rivals["masked_dos (ours, torch.compile)"] = case.step(compiled)
    if old_class is not None:
        old = old_class(NAME, None, 1.0, 1e-4, 2.0, case.extra, "mean")
        rivals[f"masked_dos (metatrain {OLD_VERSION})"] = case.step(old)
    return rivals


def watched_steps(case):
    """Make our loss alone, and as it is in ``mtt train``, which logs its terms."""
    plain, logged = (MaskedDOSLoss(NAME, extra_targets=case.extra) for _ in range(2))
    names = tuple(term.name for term in equations.TERMS)
    logged._sums = EpochTerms(NAME, names, DEFAULT_SPACING, case.extra)
    return {"plain": case.step(plain), "logged": case.step(logged)}


def floors(case):
    """
    Make functions that no implementation can beat.

    Streaming reads predictions, targets and mask once and writes the gradient once; the
    transforms are those of the shift search, if no block of points is masked.
    """
    predictions = case.leaf.detach()
    targets = case.targets[NAME].block().values
    mask = case.mask[f"{NAME}_mask"].block().values.view(torch.uint8)
    gradient = torch.empty_like(predictions)
    points = targets.shape[-1] - case.extra
    size = correlation.block_size(points, case.extra)
    blocks = -(-points // (size - case.extra))
    signals = torch.rand(len(predictions), blocks, 2, size, device=predictions.device)

    def stream():
        torch.addcmul(predictions, targets, mask, out=gradient)

    def transform():
        spectrum = torch.fft.rfft(signals)
        torch.fft.irfft(spectrum[:, 0, 0], n=size)

    return {"floor: streaming": stream, "floor: FFTs": transform}
