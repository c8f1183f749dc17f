"""Whatever happens to numba or its cache costs time only."""

import importlib
import inspect
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.prepare import wait_for

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


class TestElsewhere:
    """The first process on a machine does not wait for the compiler."""

    CODE = """
from pathlib import Path
import numpy as np
from metatrain_dos.loss.cpu import jit
jit.folder = Path({folder!r})
function = jit.compiled({function})
jit.compile_for_others(lambda: function(np.ones(3)))
"""

    @pytest.fixture
    def start(self, folder, tmp_path, monkeypatch):
        """Ask for compiled code, which another process may compile."""
        monkeypatch.delenv(jit.SWITCH)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "loops", raising=False)
        source = inspect.getsource(double)
        (tmp_path / "loops.py").write_text(f"{source}\nbroken = eval\n")

        def start(function="double"):
            code = "import loops" + self.CODE.format(
                folder=str(folder), function=f"loops.{function}"
            )
            module = importlib.import_module("loops")
            fast = jit.compiled(module.double)
            return jit.load_or_compile(lambda: fast(np.ones(3)), code)

        return start

    def wait(self, folder):
        wait_for(lambda: not (folder / jit.CLAIM).exists())

    def test_next_process_has_it(self, folder, start, caplog):
        caplog.set_level("INFO")
        assert not start()
        assert "Another process compiles the loss masked_dos" in caplog.text
        self.wait(folder)
        assert len(code(folder)) == 2
        assert start()

    def test_only_one_process_compiles(self, folder, start):
        claim = folder / jit.CLAIM
        claim.touch()
        assert not start()
        time.sleep(5)
        assert claim.exists() and not code(folder)
        # One that has died does not keep the others from it.
        os.utime(claim, (0, 0))
        assert not start()
        self.wait(folder)
        assert start()

    def test_failure_is_told_to_the_next_one(self, folder, start):
        assert not start("broken")
        self.wait(folder)
        with pytest.warns(RuntimeWarning, match=f"loss cannot .*{folder}") as warned:
            assert not start()
        assert len(warned) == 1
        self.wait(folder)  # it tries again, and the cause is gone
        assert start()

    def test_leaves_no_process_behind(self, folder, start):
        assert not start()
        children = f"/proc/self/task/{os.getpid()}/children"
        states = [
            Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[0]
            for child in Path(children).read_text().split()
        ]
        assert "Z" not in states
        self.wait(folder)

    def test_the_real_loss(self, tmp_path):
        cache = tmp_path / "cache"
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
        del environment[jit.SWITCH]
        script = COMPUTE + "print(dispatch.cpu.can_run(p.detach()))"

        def run():
            done = subprocess.run(
                [sys.executable, "-W", "error", "-c", script],
                env=environment,
                capture_output=True,
                text=True,
            )
            return done.stdout.split(), done.stderr

        assert run() == (["True", "False"], "")
        (made,) = cache.glob("metatrain-dos/*")
        self.wait(made)
        assert run() == (["True", "True"], "")


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
