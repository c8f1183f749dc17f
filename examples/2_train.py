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
# For research, start without the section ``model``, from metatrain's defaults.

options = OmegaConf.load("dos/options.yaml")
options.architecture.model = {
    "cutoff": 4.5,
    "d_pet": 64,
    "d_node": 128,
    "d_head": 64,
    "d_feedforward": 128,
    "num_heads": 4,
    "num_attention_layers": 1,
    "num_gnn_layers": 2,
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
