"""Load models of ``mtt train`` and ``mtt export``, and find their DOS."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from metatomic.torch import AtomisticModel, load_atomistic_model

from ..utils.text import shorten


# Outputs that models have besides their targets.
NO_TARGETS = ("mtt::aux::", "feature")


def load_model(
    path: Path, extensions: str | Path | None
) -> tuple[AtomisticModel, Mapping[str, Any]]:
    """
    Load an exported model, or the best epoch of a checkpoint, as ``mtt export`` does.

    :param path: ``.pt``, which loads the compiled extensions that it names, or
        ``.ckpt``, a pickle, which can run any code
    :param extensions: folder of these extensions
    :return: the model, and the options of the loss by target, which ``.ckpt`` has
    :raises ValueError: if the file is no model, or an extension or its architecture is
        missing
    """
    # Here, not above: metatrain takes a second.
    from metatrain.utils.io import model_from_checkpoint

    try:
        if path.suffix == ".pt":
            return load_atomistic_model(path, extensions_directory=extensions), {}
        checkpoint = torch.load(path, weights_only=False, map_location="cpu")
        model = model_from_checkpoint(checkpoint, context="export").export()
        loss = checkpoint.get("train_hypers", {}).get("loss")
    except Exception as error:  # a pickle may hold anything
        raise ValueError(
            "model: expected an exported model or a checkpoint of metatrain, got "
            f"{path}, which cannot be loaded ({shorten(error)}); give the .pt or .ckpt "
            "file that `mtt train` has written, and the folder of its compiled "
            "extensions if it has any, or install its architecture"
        ) from error
    return model, loss if isinstance(loss, Mapping) else {}


def find_target(
    outputs: Mapping[str, Any], target: str | None, path: Path | None
) -> str:
    """
    Choose the output that is the DOS.

    :param outputs: outputs of the model
    :param target: name of the output; the only one that can be a DOS unless given
    :param path: file of the model, for the message
    :return: name of the output
    :raises ValueError: if there is no such output, or there are several
    """
    names = [name for name in outputs if not name.startswith(NO_TARGETS)]
    if target is not None:
        candidates = [target] if target in outputs else []
    else:
        without_unit = [name for name in names if not outputs[name].unit]
        called_dos = [name for name in without_unit if "dos" in name.lower()]
        candidates = called_dos or without_unit
    if len(candidates) != 1:
        wanted = "one that can be a DOS" if target is None else repr(target)
        raise ValueError(
            f"target: expected {wanted} among the outputs of "
            f"{path or 'the model'}, which are {', '.join(names) or 'none'}; name one "
            "of them as the target"
        )
    return candidates[0]
