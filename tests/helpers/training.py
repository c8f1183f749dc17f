"""Small training runs for several test modules."""

from helpers.paths import STRUCTURES
from omegaconf import OmegaConf

from metatrain_dos.data.dataset import TargetSpec, write_dataset
from metatrain_dos.data.readers import read_extxyz


TINY_PET = {
    "cutoff": 3.5,
    "d_pet": 8,
    "d_node": 8,
    "d_head": 8,
    "d_feedforward": 8,
    "num_heads": 2,
    "num_attention_layers": 1,
    "num_gnn_layers": 1,
}
"""Options of a model that trains in seconds; its quality does not matter."""


MODELS = {
    "pet": TINY_PET,
    "soap_bpnn": {
        "soap": {"max_angular": 2, "max_radial": 2, "cutoff": {"radius": 3.5}},
        "bpnn": {"num_hidden_layers": 1, "num_neurons_per_layer": 8},
    },
}

# The options file of metatrain <= 2026.2, and of papers, as it stands.
YAML_OF_THE_PAPER = """\
loss:
  mtt::dos:
    type: "masked_dos"
    grad_weight: 1e-4
    int_weight: 2.0
    extra_targets: 200
    reduction: "mean"
"""


def make_folder(folder, architecture, loss=YAML_OF_THE_PAPER):
    """Write a small data set and an options file with a given ``loss`` section."""
    calculations = list(read_extxyz(STRUCTURES))[::14]  # 16 materials
    splits = {
        "training_set": calculations[:10],
        "validation_set": calculations[10:13],
        "test_set": calculations[13:],
    }
    spec = TargetSpec.covering(calculations)
    path = write_dataset(
        folder,
        splits,
        spec,
        architecture=architecture,
        model=MODELS[architecture],
        training={"num_epochs": 2, "batch_size": 4, "log_interval": 1},
    )
    options = OmegaConf.load(path)
    options.architecture.atomic_types = sorted(
        {int(z) for each in calculations for z in each.atoms.numbers}
    )
    options.seed = 1
    section = OmegaConf.create(loss).loss
    options.architecture.training.loss = section
    OmegaConf.save(options, path)
    return spec


def extensions(folder):
    """Tell metatrain where the compiled parts of a model are, if it has any."""
    return ("-e", "extensions") if (folder / "extensions").exists() else ()


def losses(log):
    """Read training and validation loss of each epoch from the log."""
    rows = [line for line in log.splitlines() if "Epoch:" in line]
    return [
        [
            float(cell.split(":")[-1])
            for cell in row.split("|")
            if " loss:" in cell and "RMSE" not in cell
        ]
        for row in rows
    ]
