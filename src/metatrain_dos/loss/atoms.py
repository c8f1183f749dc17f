"""Let all atoms of a structure share one shift, where targets are those of atoms."""

import torch
from torch import Tensor


def join_atoms(structures: Tensor, *rows: Tensor) -> list[Tensor]:
    """
    Make one sample of the atoms of each structure, which are its components then.

    Where others have more atoms, a structure gets some of zeros and a mask that is
    false, which add nothing to any term. Numbers are divided by the root of the number
    of atoms, so that the terms, which are squares, become means over atoms.

    :param structures: structure of each atom, ``(atoms,)``; those of one structure
        follow each other
    :param rows: arrays with one row for each atom, ``(atoms, ...)``
    :return: the same, ``(structures, most atoms, ...)``
    """
    _, owner, counts = torch.unique_consecutive(
        structures, return_inverse=True, return_counts=True
    )
    first = (counts.cumsum(0) - counts)[owner]
    place = torch.arange(len(owner), device=owner.device) - first
    joined = []
    for each in rows:
        shape = (len(counts), int(counts.max()), *each.shape[1:])
        if each.dtype != torch.bool:
            root = counts[owner].to(each.dtype).sqrt()
            each = each / root.view(-1, *[1] * (each.dim() - 1))
        joined.append(each.new_zeros(shape).index_put((owner, place), each))
    return joined
