"""Whatever happens to numba or its cache costs time only."""

import os
import re
import resource
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

from metatrain_dos.loss import cpu
from metatrain_dos.loss.cpu import jit


def double(values):
    for i in range(len(values)):
        values[i] *= 2.0


def unknown_to_numba(values):
    return eval("values")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Keep the compiled code of a test for itself."""
    monkeypatch.setattr(jit, "folder", tmp_path / "cache")
    jit.folder.mkdir()
    return jit.folder


def make_run(function=double):
    """Compile as a process does that has just started, and note the results."""
    fast = jit.compiled(function)
    results = []

    def run():
        values = np.ones(3)
        fast(values)
        results.append(values.tolist())

    return run, results, fast


def code(folder):
    return [path for path in folder.rglob("*.nb?") if path.stat().st_size]


def test_compiles_once_and_says_so(folder, caplog):
    caplog.set_level("INFO")
    for first in (True, False):
        caplog.clear()
        run, results, _ = make_run()
        assert jit.load_or_compile(run)
        assert results == [[2.0, 2.0, 2.0]]
        said = "Compiling the loss masked_dos for this processor" in caplog.text
        assert said == first
    assert len(code(folder)) == 2
    assert not list(Path(__file__).parent.rglob("*.nb?"))  # nor next to the source


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
def test_damaged_files_are_replaced(folder, ending):
    assert jit.load_or_compile(make_run()[0])
    (damaged,) = folder.rglob(f"*.{ending}")
    damaged.write_bytes(b"")
    run, results, _ = make_run()
    assert jit.load_or_compile(run)
    assert results == [[2.0, 2.0, 2.0]] and len(code(folder)) == 2
    run, _, loaded = make_run()
    assert jit.load_or_compile(run)
    assert sum(loaded.stats.cache_hits.values()) == 1


def test_full_disk(folder):
    """A file cannot grow, as with a quota; the message says so and names the folder."""
    run, _, _ = make_run()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.warns(RuntimeWarning, match=f"File too large.*its cache is {folder}"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
        try:
            assert not jit.load_or_compile(run)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_numba_that_cannot_compile(folder):
    with pytest.warns(RuntimeWarning, match="compiled loss cannot be used .*eval") as w:
        assert not jit.load_or_compile(make_run(unknown_to_numba)[0])
    assert len(w) == 1


def test_others_wait_for_the_one_that_compiles(folder):
    run, results, _ = make_run()
    with FileLock(folder / "lock"):
        thread = threading.Thread(target=jit.load_or_compile, args=(run,))
        thread.start()
        thread.join(1.0)
        assert thread.is_alive() and not code(folder)
    thread.join(60)
    assert results == [[2.0, 2.0, 2.0]]


def test_nobody_waits_for_ever(folder, monkeypatch):
    monkeypatch.setattr(jit, "PATIENCE", 0.1)
    run, results, _ = make_run()
    with FileLock(folder / "lock"):
        assert jit.load_or_compile(run)
    assert results == [[2.0, 2.0, 2.0]]


def test_folder_depends_on_every_source(tmp_path, monkeypatch):
    """numba would not see another STENCIL in a file beside that of the kernel."""
    loss = Path(jit.__file__).parents[1]
    copy = tmp_path / "loss"
    shutil.copytree(loss, copy)
    monkeypatch.setattr(jit, "__file__", str(copy / "cpu" / "jit.py"))
    before = jit._find_folder()
    text = (copy / "terms.py").read_text("utf-8")
    (copy / "terms.py").write_text(text.replace("25 / 12", "25 / 11"), "utf-8")
    assert jit._find_folder() != before


COMPUTE = """
import torch
from metatrain_dos.loss import dispatch
from metatrain_dos.loss import terms
p = torch.linspace(0, 1, 24, dtype=torch.float64).reshape(2, 12).requires_grad_()
mask = torch.ones(2, 9, dtype=torch.bool)
rest = p.detach()[:, :9] ** 2, mask, dict.fromkeys(["tail_weight", "int_weight"], 1.0)
for _ in range(2):
    loss = dispatch.masked_dos(p, *rest, grid_spacing=0.1).loss
    loss.sum().backward()
expected = terms.masked_dos(p, *rest, grid_spacing=0.1)
print(torch.allclose(loss, expected, rtol=1e-12, atol=0))  # sums in another order
"""


@pytest.mark.parametrize(
    ("cause", "message"),
    [
        ("switched off", "NUMBA_DISABLE_JIT is set"),
        ("broken", "numba cannot be imported: needs another NumPy"),
        ("cache in the way", "File exists|Not a directory"),
        ("not installed", None),
    ],
)
def test_torch_does_the_work(tmp_path, cause, message):
    """With one warning; without any where numba is not installed."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    if cause == "switched off":
        environment["NUMBA_DISABLE_JIT"] = "1"
    elif cause == "cache in the way":
        (tmp_path / "cache").touch()
    else:
        error = {
            "broken": "ImportError('needs another NumPy')",
            "not installed": "ModuleNotFoundError(name='numba')",
        }[cause]
        (tmp_path / "numba.py").write_text(f"raise {error}")
        paths = [str(tmp_path), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
    done = subprocess.run(
        [sys.executable, "-W", "always::RuntimeWarning", "-c", COMPUTE],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "True\n", done.stderr
    assert done.stderr.count("RuntimeWarning: masked_dos") == (message is not None)
    assert message is None or re.search(message, done.stderr), done.stderr


@pytest.mark.parametrize("unusual", ["meta", "half", "parameter"])
def test_tensors_that_numba_cannot_read(unusual):
    values = torch.zeros(2, 3)
    if unusual == "meta":
        assert not cpu.can_run(values.to("meta"))
    elif unusual == "half":
        assert not cpu.can_run(values.half())
    else:
        assert cpu.can_run(torch.nn.Parameter(values))
