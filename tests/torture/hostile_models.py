"""Models, and what else ``evaluate`` and ``predict`` read, that mean harm."""

import io
import pickle
import zipfile

import torch
from hostile_data import Owned
from hostile_texts import TEXTS, frame


def pickled_by_torch(value):
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def other_zip():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("../outside", "text")
        archive.writestr("model/data.pkl", pickle.dumps(Owned()))
        archive.writestr("model/code/__torch__.py", "open('owned', 'w')")
        archive.writestr("model/version", "3\n")
    return stream.getvalue()


EVIL = {"model_state_dict": Owned(), "architecture_name": "pet"}
MODELS = {
    "empty.pt": b"",
    "text.pt": b"not a model\n",
    "noise.pt": bytes(range(256)) * 99,
    "zip.pt": other_zip(),
    "pickle.pt": pickle.dumps(Owned()),
    "torch.pt": pickled_by_torch(Owned()),
    "checkpoint.pt": pickled_by_torch(EVIL),
    "empty.ckpt": b"",
    "text.ckpt": b"not a checkpoint\n",
    "noise.ckpt": bytes(range(256)) * 99,
    "cut.ckpt": pickled_by_torch({"a": torch.zeros(999)})[:-500],
    "other.ckpt": pickled_by_torch({"a": 1}),
    "number.ckpt": pickled_by_torch(1),
    "name.ckpt": pickled_by_torch({"architecture_name": "../../etc/passwd"}),
}


STRUCTURES = {
    **{name: TEXTS[name] for name in ("count.xyz", "endless-count.xyz")},
    **{name: TEXTS[name] for name in ("negative.xyz", "columns.xyz")},
    "nan.xyz": frame().replace("H 0 0 0", "H nan 0 0"),
    "element.xyz": frame().replace("H 0 0 0", "Og 0 0 0"),
    "nothing.xyz": "",
    "no-atoms.xyz": "0\n\n",
    "noise.cif": "\0" * 999,
    "noise.traj": "\0" * 999,
    "pickle.traj": "PickleTrajectory" + "\x80\x02.",
    "noise.db": "\0" * 999,
    "noise.unknown": "\0" * 999,
    "noise.xyz.gz": "no gzip",
}


ELECTRONS = {
    "text.yaml": "a: [\n",
    "bomb.yaml": "".join(
        f"x{i}: &x{i} [{', '.join([f'*x{i - 1}' if i else 'x'] * 10)}]\n"
        for i in range(10)
    )
    + "Si: *x9\n",
    "deep.yaml": "a: " + "[" * 50_000,
    "latin.yaml": "H: \udcff\n",
    "list.yaml": "- 1\n",
}
