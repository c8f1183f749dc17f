"""The layout of CONTRIBUTING.md: which folder may import which."""

import ast
import re
import subprocess
import sys

import pytest
from helpers.paths import PROJECT

from metatrain_dos.commands.main import COMMANDS


SOURCE = PROJECT / "src" / "metatrain_dos"
TESTS = PROJECT / "tests"

BELOW = {
    "utils": set(),
    "loss": {"utils"},
    "plugin": {"utils", "loss"},
    "data": {"utils", "loss.defaults", "loss.options"},
    "checks": {"utils", "loss.defaults", "loss.options", "plugin", "data"},
    "models": {"utils", "loss", "data"},
    "figures": {"utils", "loss", "data", "models"},
    "commands": {"utils", "loss", "plugin", "data", "checks", "models", "figures"},
}
"""Folder -> the folders and modules that it may import from."""


def module_names():
    """Map the names of all modules in folders, ``folder.module``, to their files."""
    found = {}
    for path in SOURCE.glob("*/**/*.py"):
        name = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


FILES = module_names()
MODULES = sorted(FILES)


def imports(module, top_level_only=False):
    """Collect the modules that a module imports: ours as ``.folder.module``."""
    tree = ast.parse(FILES[module].read_text("utf-8"))
    package = module if FILES[module].stem == "__init__" else module.rpartition(".")[0]
    nodes = tree.body if top_level_only else ast.walk(tree)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                parts = package.split(".")
                above = parts[: len(parts) - node.level + 1]
                path = ".".join([*above, *filter(None, [node.module])])
                # `from .folder import module` is an arrow to the module
                names = {".".join(filter(None, [path, a.name])) for a in node.names}
                found |= {f".{name}" for name in names & set(MODULES) or {path}}
            else:
                found.add(node.module)
    return found


def ours(module):
    return {name[1:] for name in imports(module) if name[0] == "."} & set(MODULES)


def test_every_module_is_in_a_folder():
    assert {path.stem for path in SOURCE.glob("*.py")} == {"__init__", "__main__"}
    assert {name.split(".")[0] for name in MODULES} == set(BELOW)


@pytest.mark.parametrize("module", MODULES)
def test_arrows_point_down(module):
    folder = module.split(".")[0]
    for other in ours(module):
        allowed = {folder, *BELOW[folder]}
        assert {other, other.split(".")[0]} & allowed, f"{module} imports {other}"


def test_no_circles():
    """Remove modules that import nothing left, until none is left."""
    arrows = {name: ours(name) for name in MODULES}
    while arrows:
        free = {name for name, targets in arrows.items() if not targets & set(arrows)}
        assert free, f"a circle among {sorted(arrows)}"
        arrows = {name: arrows[name] for name in arrows.keys() - free}


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("loss.")])
def test_the_loss_stands_alone(module):
    outside = {name.split(".")[0] for name in imports(module) if name[0] != "."}
    known = {"torch", "numpy", "numba", "pydantic"}
    assert outside - sys.stdlib_module_names <= known


INTERNALS = {"metatrain.utils.loss", "metatrain.utils.logging"}
"""Modules of metatrain that a training run goes through; only ``plugin`` knows them."""


@pytest.mark.parametrize("module", MODULES)
def test_only_the_plugin_knows_how_metatrain_trains(module):
    if module.split(".")[0] != "plugin":
        assert not imports(module) & INTERNALS


@pytest.mark.parametrize("folder", BELOW)
def test_every_folder_says_what_it_serves(folder):
    text = (SOURCE / folder / "__init__.py").read_text("utf-8")
    assert ast.get_docstring(ast.parse(text))
    map_of_contributing = (PROJECT / "CONTRIBUTING.md").read_text("utf-8")
    assert len(re.findall(rf"^\| `{folder}` \|", map_of_contributing, re.M)) == 1


@pytest.mark.parametrize("module", MODULES)
def test_every_module_says_what_it_does(module):
    assert ast.get_docstring(ast.parse(FILES[module].read_text("utf-8")))


SLOW = {"ase", "matplotlib", "metatrain", "numpy", "pydantic", "scipy", "torch"}


@pytest.mark.parametrize("command", [*COMMANDS, "--help"])
def test_parsers_load_nothing_slow(command):
    """A command reports wrong arguments before anybody has to wait."""
    code = (
        "import sys; from metatrain_dos.commands.main import main\n"
        f"try: main(['{command}', '--help'])\n"
        "except SystemExit: pass\n"
        f"print('loaded', *sorted({SLOW} & {{*sys.modules}}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "loaded"


def test_the_start_up_module_is_standard_library_only():
    tree = ast.parse((PROJECT / "src" / "metatrain_dos_startup.py").read_text("utf-8"))
    top = [n for n in tree.body if isinstance(n, (ast.Import, ast.ImportFrom))]
    names = {a.name for n in top if isinstance(n, ast.Import) for a in n.names}
    assert names == {"os", "sys"}


def test_tests_mirror_the_source():
    """A folder of tests belongs to a folder of the source, and helpers stand apart."""
    folders = {path.parent for path in TESTS.rglob("test_*.py")}
    apart = {TESTS / "torture", TESTS / "project"}
    for folder in folders - apart:
        assert (SOURCE / folder.relative_to(TESTS)).is_dir()
    assert {folder.name for folder in folders} >= set(BELOW)


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda p: p.stem)
def test_no_test_module_imports_another(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert not (node.module or "").split(".")[-1].startswith("test_")
