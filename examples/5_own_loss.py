"""
Your own loss as a plugin
=========================

A loss is a class, and two lines of ``pyproject.toml`` make it known to ``mtt train``.
The folder ``own_loss`` is such a package: the absolute error of the aligned DOS, in 20
lines.
"""

from pathlib import Path

from commands import DATA, run
from omegaconf import OmegaConf


PACKAGE = DATA.parents[1] / "own_loss"

# %%
# The class. Alignment comes from metatrain-dos.

print((PACKAGE / "aligned_l1.py").read_text("utf-8"))

# %%
# The entry point.

print((PACKAGE / "pyproject.toml").read_text("utf-8"))

# %%
# Install it. In a project of your own, this is ``pip install .``; here it goes into a
# folder, so that the example leaves nothing behind.

run(
    *("pip", "install", "--quiet", "--no-deps", "--no-build-isolation"),
    *("--upgrade", "--target", "plugins", PACKAGE),
)

# %%
# Use it, like any loss of metatrain: here for two epochs on the data of the first
# example.

options = OmegaConf.load("dos/options.yaml")
options.architecture.training.loss = {
    "mtt::dos": {"type": "aligned_l1", "extra_targets": 200, "h": 0.05}
}
options.architecture.training.num_epochs = 2
options.architecture.training.log_interval = 1
OmegaConf.save(options, "dos/own-loss.yaml")

run(
    *("mtt", "train", "own-loss.yaml", "-o", "own-loss.pt"),
    cwd="dos",
    show="aligned_l1|Epoch",
    PYTHONPATH=str(Path("plugins").resolve()),
)
