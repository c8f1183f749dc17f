"""The wheel and the editable install, each in a virtual environment of its own."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from helpers.paths import PROJECT


FIND = (
    "from metatrain.utils.loss import LossType; "
    "print(LossType.from_key('masked_dos').cls.__module__)"
)
STARTUP_FILES = ["metatrain_dos.pth", "metatrain_dos.start", "metatrain_dos_startup.py"]


def run(*command, **environment):
    """Run a command without the variables of this process that would leak in."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return subprocess.run(
        [str(part) for part in command],
        env={**clean, **environment},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=600,
    )


def succeed(*command, **environment):
    done = run(*command, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the source distribution, and from it the wheel, as for a release."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder]
    succeed(*build, PROJECT)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def fresh(tmp_path_factory, wheel):
    """Make a virtual environment and install the wheel with its dependencies."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--no-compile"]
    succeed(*pip, "--constraint", PROJECT / "constraints.txt", wheel)
    return python


def site_packages(python):
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return Path(succeed(python, "-c", code))


def test_what_is_in_the_wheel(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names}
    assert top == {
        "metatrain_dos",
        wheel.name.split("-py3")[0] + ".dist-info",
        *STARTUP_FILES,
    }
    assert "metatrain_dos/py.typed" in names
    # A start-up file that spans lines, or does not begin so, would not run.
    (line,) = zipfile.ZipFile(wheel).read("metatrain_dos.pth").decode().splitlines()
    assert line.startswith("import ")


def test_the_source_distribution_builds_offline(wheel, tmp_path):
    """As a distribution does, with hatchling and nothing else."""
    (source,) = wheel.parent.glob("*.tar.gz")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    offline = ["--no-index", "--no-build-isolation", "--wheel-dir", tmp_path]
    succeed(*pip, *offline, source)
    (again,) = tmp_path.glob("*.whl")
    assert again.name == wheel.name
    names = [zipfile.ZipFile(path).namelist() for path in (wheel, again)]
    assert names[0] == names[1]


class TestWheel:
    def test_metatrain_knows_the_loss(self, fresh):
        assert succeed(fresh, "-c", FIND) == "metatrain_dos.plugin.masked_dos"

    def test_so_do_subprocesses(self, fresh):
        code = (
            f"import subprocess, sys; subprocess.run([sys.executable, '-c', {FIND!r}])"
        )
        assert succeed(fresh, "-c", code) == "metatrain_dos.plugin.masked_dos"

    @pytest.mark.parametrize("method", ["spawn", "fork"])
    def test_so_do_data_loader_workers(self, fresh, tmp_path, method):
        script = tmp_path / "workers.py"
        script.write_text(
            "from torch.utils.data import DataLoader\n"
            "class Data:\n"
            "    def __len__(self): return 4\n"
            "    def __getitem__(self, i):\n"
            "        from metatrain.utils.loss import LossType\n"
            "        return LossType.from_key('masked_dos').cls.__name__\n"
            "if __name__ == '__main__':\n"
            "    loader = DataLoader(Data(), batch_size=2, num_workers=2,\n"
            f"                        multiprocessing_context='{method}')\n"
            "    print(sorted(set(sum(loader, []))))\n"
        )
        assert succeed(fresh, script) == "['MaskedDOSLoss']"

    def test_starting_python_imports_next_to_nothing(self, fresh):
        code = (
            "import sys; print(sorted(n for n in sys.modules if n.startswith("
            "('torch', 'numpy', 'metat', 'pydantic'))))"
        )
        assert succeed(fresh, "-c", code) == "['metatrain_dos_startup']"

    def test_switched_off(self, fresh):
        done = run(fresh, "-c", FIND, METATRAIN_DOS_AUTOLOAD="0")
        assert done.returncode == 1 and "Unknown loss 'masked_dos'" in done.stderr

    def test_without_start_up_files(self, fresh):
        # -S runs none; the packages themselves have to be put on the path then
        path = str(site_packages(fresh))
        find = [fresh, "-S", "-c", FIND]
        assert "Unknown loss" in run(*find, PYTHONPATH=path).stderr
        register = (
            "import metatrain_dos.plugin.registry as r; r.register_entry_points(); "
        )
        assert (
            succeed(fresh, "-S", "-c", register + FIND, PYTHONPATH=path)
            == "metatrain_dos.plugin.masked_dos"
        )

    def test_commands(self, fresh):
        mtt_dos = fresh.with_name("mtt-dos")
        assert succeed(mtt_dos, "--version") == succeed(
            fresh, "-c", "import metatrain_dos; print(metatrain_dos.__version__)"
        )
        assert "usage: mtt train" in succeed(mtt_dos, "train", "--help")
        assert "usage: mtt train" in succeed(
            fresh, "-m", "metatrain_dos", "train", "-h"
        )
        wrong = run(mtt_dos, "trian")
        assert wrong.returncode == 2 and "invalid choice: 'trian'" in wrong.stderr

    @pytest.mark.parametrize("gone", ["metatrain_dos", "metatrain_dos_startup.py"])
    def test_half_removed(self, fresh, tmp_path, gone):
        path = site_packages(fresh)
        (path / gone).rename(tmp_path / "away")
        try:
            start = run(fresh, "-c", "print('fine')")
            metatrain = run(fresh, "-W", "ignore::DeprecationWarning", "-c", FIND)
        finally:
            (tmp_path / "away").rename(path / gone)
        assert start.stdout == "fine\n" and start.stderr == ""
        assert "Unknown loss 'masked_dos'" in metatrain.stderr
        if gone == "metatrain_dos":
            assert (
                "metatrain-dos could not register its losses with metatrain, so "
                "'masked_dos' is unknown to it: No module named 'metatrain_dos'"
            ) in metatrain.stderr


def test_editable_install_and_removal(fresh):
    """After the tests of the wheel, which it replaces."""
    pip = [fresh, "-m", "pip"]
    succeed(*pip, "install", "--quiet", "--no-deps", "--editable", PROJECT)
    assert succeed(fresh, "-c", FIND) == "metatrain_dos.plugin.masked_dos"
    where = succeed(fresh, "-c", "import metatrain_dos; print(metatrain_dos.__file__)")
    assert Path(where).is_relative_to(PROJECT / "src")

    succeed(*pip, "uninstall", "--quiet", "--yes", "metatrain-dos")
    left = [path.name for path in site_packages(fresh).glob("*metatrain_dos*")]
    assert left == []
    done = run(fresh, "-c", FIND)
    assert "Unknown loss 'masked_dos'" in done.stderr
