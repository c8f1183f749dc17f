"""The start-up file in all the places and ways in which Python starts."""

import os
import shutil
import subprocess
import sys
import textwrap
import venv
from pathlib import Path

import numpy
import pytest
from helpers.paths import PROJECT


HOOKS = (
    "import sys; "
    "print(sum(type(f).__name__ == 'LossImportHook' for f in sys.meta_path))"
)
FIND = (
    "from metatrain.utils.loss import LossType; "
    "print(LossType.from_key('masked_dos').cls.__module__)"
)
QUIET = "-Wignore::DeprecationWarning"


def run(*command, **environment):
    """Run a command without the variables of this process that would leak in."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(
        [str(part) for part in command],
        env={**clean, "OMP_NUM_THREADS": "1", **environment},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip(), done.stderr.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation"]
    run(*build, "--outdir", folder, PROJECT)
    (path,) = folder.glob("*.whl")
    return path


def pip_install(wheel, *where):
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", *where, wheel)


def add_all_else(site_packages):
    """Let an installation use the dependencies of this environment."""
    found = Path(numpy.__file__).parents[1]
    (site_packages / "zz_all_else.pth").write_text(f"{found}\n")


@pytest.fixture(scope="module")
def target(tmp_path_factory, wheel):
    """``pip install --target``: a folder that is not a site folder."""
    folder = tmp_path_factory.mktemp("target")
    pip_install(wheel, "--target", folder)
    return folder


@pytest.fixture
def environment(tmp_path, wheel):
    """Make a virtual environment that has the wheel; return its folder and Python."""
    venv.create(tmp_path / "environment", with_pip=False)
    python = tmp_path / "environment" / "bin" / "python"
    path, _ = run(python, "-c", "import sysconfig as s; print(s.get_path('purelib'))")
    pip_install(wheel, "--target", path)
    add_all_else(Path(path))
    return Path(path), python


FLAGS = {
    (): 1,
    ("-I",): 1,
    ("-E",): 1,
    ("-s",): 1,
    ("-P",): 1,
    ("-O",): 1,
    ("-B",): 1,
    ("-X", "utf8"): 1,
    ("-S",): 0,
    ("-I", "-S"): 0,
}


def test_flags_of_python(environment, tally):
    _, python = environment
    for flags, number in FLAGS.items():
        if flags != ("-P",) or sys.version_info >= (3, 11):
            assert run(python, *flags, "-c", HOOKS) == (str(number), ""), flags
            tally("starts of Python with the start-up file")
    for flags in ((), ("-I",), ("-E",)):
        off = run(python, *flags, "-c", HOOKS, METATRAIN_DOS_AUTOLOAD="0")
        assert off == ("0", "")
        tally("starts of Python with the start-up file")


def test_user_site(tmp_path, wheel, tally):
    """Below the home directory of the user, with the Python of the system."""
    python, base = sys._base_executable, {"PYTHONUSERBASE": str(tmp_path)}
    path, _ = run(
        python, "-c", "import site as s; print(s.getusersitepackages())", **base
    )
    pip_install(wheel, "--target", path)
    assert run(python, "-c", HOOKS, **base) == ("1", "")
    for flag in ("-s", "-I", "-S"):
        assert run(python, flag, "-c", HOOKS, **base) == ("0", "")
    tally("starts of Python with the start-up file", 4)


def test_target_folder(target, tally):
    """Python runs no start-up files in ``PYTHONPATH``; the command does without."""
    path = str(target)
    assert run(sys._base_executable, "-c", HOOKS, PYTHONPATH=path) == ("0", "")
    added = f"import site; site.addsitedir({path!r}); {HOOKS}"
    assert run(sys._base_executable, "-c", added) == ("1", "")
    tally("starts of Python with the start-up file", 2)


def test_uninstall(environment, tally):
    path, python = environment
    uninstall = ["uninstall", "--quiet", "--yes", "metatrain-dos"]
    run(sys.executable, "-m", "pip", "--python", python, *uninstall)
    assert list(path.glob("metatrain_dos*")) == []
    assert run(python, "-c", HOOKS) == ("0", "")
    tally("starts of Python with the start-up file")


def test_zip_application(target, tmp_path, only_torture, tally):
    """In a zip file, too, the loss works, without a start-up file."""
    app = tmp_path / "app"
    shutil.copytree(target, app)
    (app / "__main__.py").write_text(
        textwrap.dedent(
            f"""
            from metatrain_dos.plugin.registry import register_entry_points
            register_entry_points()
            {FIND}
            import torch
            from metatrain_dos.loss import dispatch, terms as equations
            x = torch.rand(2, 12, dtype=torch.float64, requires_grad=True)
            mask = torch.ones(2, 9, dtype=torch.bool)
            weights = dict.fromkeys(["grad_weight", "int_weight", "tail_weight"], 1.0)
            found = dispatch.masked_dos(
                x, x.detach()[:, :9], mask, weights, grid_spacing=0.1
            )
            loss = found.loss.sum()
            loss.backward()
            print(loss.isfinite().item(), x.grad.isfinite().all().item())
            """
        )
    )
    run(sys.executable, "-m", "zipapp", app, "-o", tmp_path / "app.pyz")
    output, errors = run(
        *(sys.executable, QUIET, tmp_path / "app.pyz"), METATRAIN_DOS_AUTOLOAD="0"
    )
    assert output == "metatrain_dos.plugin.masked_dos\nTrue True" and errors == ""
    tally("starts of Python with the start-up file")


def test_two_versions(environment, tmp_path, only_torture, tally):
    """The first on the path is the one that is used, once."""
    path, python = environment
    first = tmp_path / "first"
    first.mkdir()
    for found in path.glob("metatrain_dos*"):
        if found.is_dir():
            # Compiled in the same second, it would be taken for that of the new text.
            no_pyc = shutil.ignore_patterns("__pycache__")
            shutil.copytree(found, first / found.name, ignore=no_pyc)
        else:
            shutil.copy(found, first)
    init = first / "metatrain_dos" / "__init__.py"
    text = init.read_text("utf-8")
    version = text.split('__version__ = "')[1].split('"')[0]
    init.write_text(text.replace(version, "0.0.1"))
    (info,) = first.glob("*.dist-info")
    info.rename(first / "metatrain_dos-0.0.1.dist-info")
    code = (
        f"{FIND}; import metatrain_dos; print(metatrain_dos.__version__); "
        "print([m.key for m in LossType].count('masked_dos'))"
    )
    output, errors = run(python, QUIET, "-c", code, PYTHONPATH=str(first))
    assert output == "metatrain_dos.plugin.masked_dos\n0.0.1\n1" and errors == ""
    tally("starts of Python with the start-up file")


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
def test_read_only_installation(environment, tmp_path, only_torture, tally):
    """Nothing can be written to the installation, nor to the home directory."""
    _, python = environment
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("may not mount")
    code = textwrap.dedent(
        f"""
        {FIND}
        import torch
        from metatrain_dos.loss import dispatch
        x = torch.rand(2, 12, dtype=torch.float64, requires_grad=True)
        mask = torch.ones(2, 9, dtype=torch.bool)
        weights = dict.fromkeys(["grad_weight", "int_weight", "tail_weight"], 1.0)
        found = dispatch.masked_dos(
            x, x.detach()[:, :9], mask, weights, grid_spacing=0.1
        )
        found.loss.sum().backward()
        print(x.grad.isfinite().all().item())
        try:
            open({str(tmp_path / "x")!r}, "w")
        except OSError as error:
            print(error.strerror)
        """
    )
    mount = f"mount --bind {tmp_path} {tmp_path} && mount -o remount,ro,bind {tmp_path}"
    start = ["sh", "-c", f'{mount} && exec "$@"', "sh", python, QUIET, "-c", code]
    output, errors = run("unshare", "--mount", *start, HOME=str(tmp_path))
    assert output == "metatrain_dos.plugin.masked_dos\nTrue\nRead-only file system"
    assert errors == ""
    tally("starts of Python with the start-up file")


class TestOtherHooks:
    """Others that have a say in how modules are imported."""

    def test_pytest(self, environment, tmp_path, only_torture, tally):
        """Its own, which rewrites assertions, also in plugins."""
        _, python = environment
        (tmp_path / "test_it.py").write_text(
            "import metatrain_dos_startup\n"
            "from metatrain.utils.loss import LossType\n"
            "def test_it():\n"
            "    assert LossType.from_key('masked_dos').key == 'masked_dos'\n"
        )
        command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        output, _ = run(*command, "-W", "ignore", tmp_path / "test_it.py")
        assert "1 passed" in output
        tally("other import hooks")

    def test_coverage(self, environment, tmp_path, only_torture, tally):
        pytest.importorskip("coverage")
        _, python = environment
        (tmp_path / "it.py").write_text(FIND)
        data = {"COVERAGE_FILE": str(tmp_path / "data")}
        command = [python, QUIET, "-m", "coverage", "run"]
        source = "--source=metatrain_dos,metatrain_dos_startup"
        output, _ = run(*command, source, tmp_path / "it.py", **data)
        assert output == "metatrain_dos.plugin.masked_dos"
        tally("other import hooks")

    def test_beartype(self, environment, only_torture, tally):
        """It checks the types in every call of ours."""
        pytest.importorskip("beartype")
        _, python = environment
        code = textwrap.dedent(
            f"""
            import warnings
            from beartype.claw import beartype_packages
            from beartype.roar import BeartypeCallHintParamViolation
            from beartype.roar import BeartypeClawDecorWarning
            # It cannot check classes of TorchScript, nor protocols of pydantic.
            warnings.simplefilter("ignore", BeartypeClawDecorWarning)
            beartype_packages(("metatrain_dos", "metatrain_dos_startup"))
            {FIND}
            from metatrain_dos import EnergyGrid
            print(EnergyGrid(0.0, 0.1, 11).size)
            try:
                EnergyGrid("zero", 0.1, 11)
            except BeartypeCallHintParamViolation:
                print("checked")
            """
        )
        output, errors = run(python, QUIET, "-c", code)
        assert output == "metatrain_dos.plugin.masked_dos\n11\nchecked" and errors == ""
        tally("other import hooks")


IN_PYTHON_3_15 = """
import { loadPyodide } from "pyodide";
import fs from "node:fs";

const [folder] = process.argv.slice(2);
const python = await loadPyodide({
    // before the interpreter starts, as if pip had installed it
    fsInit: async (FS, { sitePackages }) => {
        for (const file of fs.readdirSync(folder)) {
            const content = fs.readFileSync(`${folder}/${file}`);
            FS.writeFile(`${sitePackages}/${file}`, content);
        }
    },
});
console.log(python.runPython(`
    import sys
    hooks = sum(type(f).__name__ == "LossImportHook" for f in sys.meta_path)
    f"{sys.version_info[:2]} {hooks}"
`));
"""


@pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm")
@pytest.mark.parametrize(
    ("files", "hooks"),
    [
        (["metatrain_dos.pth", "metatrain_dos.start"], 1),
        (["metatrain_dos.start"], 1),
        (["metatrain_dos.pth"], 1),
        ([], 0),
    ],
)
def test_start_file_of_python_3_15(target, tmp_path, only_torture, files, hooks, tally):
    """In CPython 3.15 as WebAssembly, which is a package of Node.js."""
    installed = tmp_path / "installed"
    installed.mkdir()
    for name in [*files, "metatrain_dos_startup.py"]:
        shutil.copy(target / name, installed)
    (tmp_path / "start.mjs").write_text(IN_PYTHON_3_15)
    npm = [
        "npm",
        "install",
        "--silent",
        "--prefix",
        tmp_path,
        "pyodide@315.0.0-alpha.2",
    ]
    run(*npm)
    output, errors = run("node", tmp_path / "start.mjs", installed)
    assert output == f"(3, 15) {hooks}" and errors == ""
    tally("starts of Python with the start-up file")
