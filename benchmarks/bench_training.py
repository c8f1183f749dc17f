"""
Measure the share of the loss in the steps of a real ``mtt train``.

PET at its default size, batch 16, on the shipped data. The time of ``compute`` holds
the forward pass and, because the gradient is made with it, nearly all of the backward
pass.
"""

import os
import tempfile
import time
from pathlib import Path

import torch
from metatrain.cli.train import train_model
from metatrain.utils.loss import LossAggregator
from omegaconf import OmegaConf

import metatrain_dos.plugin.masked_dos
from metatrain_dos.data.dataset import TargetSpec, write_dataset
from metatrain_dos.data.readers import read_extxyz


DATA = Path(__file__).parents[1] / "examples" / "data" / "structures.xyz.xz"


def main():
    spent = []
    plain = metatrain_dos.plugin.masked_dos.MaskedDOSLoss.compute

    def timed(self, *arguments):
        if torch.cuda.is_available():  # which metatrain takes
            torch.cuda.synchronize()
        start = time.perf_counter()
        value = plain(self, *arguments)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        spent.append(time.perf_counter() - start)
        return value

    calculations = list(read_extxyz(DATA))[::2]
    splits = {"training_set": calculations[:64], "validation_set": calculations[64:]}
    with tempfile.TemporaryDirectory() as folder:
        options = write_dataset(
            folder,
            splits,
            TargetSpec.covering(calculations),
            training={"num_epochs": 3, "batch_size": 16},
        )
        os.chdir(folder)
        steps = []
        aggregate = LossAggregator.compute

        def noticed(self, *arguments):
            steps.append(time.perf_counter())
            return aggregate(self, *arguments)

        metatrain_dos.plugin.masked_dos.MaskedDOSLoss.compute = timed
        LossAggregator.compute = noticed
        content = OmegaConf.load(options)
        content.final_eval = False
        train_model(content)
    # The first step compiles, and the last has no end.
    share = sum(spent[1:-1]) / (steps[-1] - steps[1])
    print(
        f"{len(spent) - 2} steps of training and validation: the loss took "
        f"{share:.2%} of the time"
    )


if __name__ == "__main__":
    main()
