"""
Train with a bare ``mtt train``
===============================

The options file of the last example trains as it stands. Here it gets few epochs, so
that the whole gallery runs in minutes; ``make demo`` trains for longer. The command is
metatrain's own: ``mtt`` knows the loss because metatrain-dos is installed.
"""

import argparse
import csv
from pathlib import Path

import matplotlib.pyplot as plt
from commands import run
from omegaconf import OmegaConf


parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=20)
epochs = parser.parse_args().epochs

# %%
# ``prepare`` has written a network that suits a data set of this size: SOAP-BPNN, with
# one network for all elements. Without the section ``model`` it has metatrain's size.

options = OmegaConf.load("dos/options.yaml")
print(OmegaConf.to_yaml(options.architecture))

# %%
# Only the number of epochs is changed.

options.architecture.training.num_epochs = epochs
options.architecture.training.log_interval = max(epochs // 20, 1)
OmegaConf.save(options, "dos/options.yaml")

# %%
# Now train. The errors that metatrain prints are those of the unaligned prediction and
# mean nothing for a DOS; watch the loss instead.

run("mtt", "train", "options.yaml", cwd="dos", show="INFO")

# %%
# ``mtt train`` also writes the numbers to a table.

*_, table = sorted(Path("dos/outputs").glob("*/*/train.csv"))
with table.open() as file:
    rows = [row for row in csv.DictReader(file) if row["Epoch"]]
epoch = [int(row["Epoch"]) for row in rows]

figure, panel = plt.subplots(figsize=(6.4, 3.0), layout="constrained")
for kind, color in (("training", "#7f8c8d"), ("validation", "#c0392b")):
    panel.plot(epoch, [float(row[f"{kind} loss"]) for row in rows], color, label=kind)
panel.set(xlabel="epoch", ylabel="loss", yscale="log")
panel.legend(frameon=False)
figure.savefig("training.png", dpi=150)
