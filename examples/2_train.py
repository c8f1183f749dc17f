"""
Train with a bare ``mtt train``
===============================

The options file of the last example trains as it stands. Here it gets a small network
and few epochs, so that the whole gallery runs in minutes; ``make demo`` trains for
longer. The command is metatrain's own: ``mtt`` knows the loss because metatrain-dos is
installed.
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
# SOAP-BPNN learns most from a hundred structures of known materials. For materials that
# the training set does not have, start from PET, which ``prepare`` writes.

options = OmegaConf.load("dos/options.yaml")
options.architecture.name = "soap_bpnn"
options.architecture.model = {
    "soap": {"max_angular": 4, "max_radial": 4, "cutoff": {"radius": 5.0}},
    "bpnn": {"num_hidden_layers": 2, "num_neurons_per_layer": 64},
}
options.architecture.training.update(
    num_epochs=epochs,
    batch_size=8,
    learning_rate=3e-3,
    log_interval=max(epochs // 20, 1),
    checkpoint_interval=1000,
)

# %%
# The rest of the options is as ``prepare`` wrote it.

OmegaConf.save(options, "dos/options.yaml")
print(OmegaConf.to_yaml(options.architecture.training))

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
