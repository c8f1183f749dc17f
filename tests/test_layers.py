"""The layer rule of CONTRIBUTING.md."""

import ast
import re
import sys
from pathlib import Path

import pytest


PROJECT = Path(__file__).parents[1]
SOURCE = PROJECT / "src" / "metatrain_dos"
FILES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts): path
    for path in SOURCE.rglob("*.py")
    if path.parent != SOURCE or path.stem[0] != "_"
}
# A package goes by its own name, like a module.
FILES = {name.removesuffix(".__init__"): path for name, path in FILES.items()}
MODULES = sorted(FILES)


def imports(module, top_level_only=False):
    """Collect the modules that a module imports: ours as ``.package.name``."""
    tree = ast.parse(FILES[module].read_text("utf-8"))
    inside = module if FILES[module].stem == "__init__" else module.rpartition(".")[0]
    nodes = tree.body if top_level_only else ast.walk(tree)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                above = inside if node.level == 1 else ""
                path = ".".join(filter(None, [above, node.module]))
                # `from .package import module` is an arrow to the module
                names = {".".join(filter(None, [path, a.name])) for a in node.names}
                found |= {f".{name}" for name in names & set(MODULES) or {path}}
            else:
                found.add(node.module)
    return found


def test_arrows_point_one_way():
    """Remove modules that import nothing left, until none is left."""
    arrows = {
        name: {other[1:] for other in imports(name) if other[0] == "."} & set(MODULES)
        for name in MODULES
    }
    while arrows:
        free = {name for name, targets in arrows.items() if not targets & set(arrows)}
        assert free, f"a circle among {sorted(arrows)}"
        arrows = {name: arrows[name] for name in arrows.keys() - free}


@pytest.mark.parametrize(
    "module",
    [
        *("alignment", "functional", "fused", "shapes", "term_sums"),
        *(name for name in MODULES if name.startswith("compiled")),
    ],
)
def test_mathematics_imports_torch_alone(module):
    outside = {name.split(".")[0] for name in imports(module) if name[0] != "."}
    known = {"torch", *(["numba", "numpy"] if module.startswith("compiled") else [])}
    assert outside - sys.stdlib_module_names <= known
    inside = {name.split(".")[1] for name in imports(module) if name[0] == "."}
    assert inside <= {"alignment", "compiled", "functional", "shapes"}


@pytest.mark.parametrize("module", MODULES)
def test_only_the_registry_knows_metatrain(module):
    known = {name for name in imports(module) if name.split(".")[0] == "metatrain"}
    allowed = {
        "registry": {"metatrain.utils.loss", "metatrain.utils.pydantic"},
        "training_log": {"metatrain.utils.logging"},
        "cli": {"metatrain.__main__"},
        "formats": {"metatrain.utils.data.writers"},
        "model_files": {"metatrain.utils.io"},
        "models": {"metatrain.utils.neighbor_lists"},
        "checking.option_checks": {
            "metatrain.utils.architectures",
            "metatrain.utils.omegaconf",
            "metatrain.utils.pydantic",
        },
        "checking.training_sets": {"metatrain.utils.data", "metatrain.utils.omegaconf"},
        "checking.samples": {"metatrain.utils.data"},
    }
    if module != "registry" and "metatrain.utils.loss" in known:  # a loss
        known.remove("metatrain.utils.loss")
        text = FILES[module].read_text("utf-8")
        assert "from metatrain.utils.loss import LossInterface\n" in text
    assert known <= allowed.get(module, set())


@pytest.mark.parametrize("module", MODULES)
def test_nothing_imports_the_command(module):
    assert ".cli" not in imports(module)


# Modules that load torch when they are imported. All others must not, new ones too, so
# that a command says what is wrong with its arguments before anybody has to wait.
LOAD_TORCH = {
    *("alignment", "evaluation", "functional", "fused", "loss", "shapes", "tensors"),
    *("model_files", "models", "term_sums", "training_log"),
    *("evaluating.choice", "evaluating.comparison", "evaluating.drawing"),
    *("evaluating.evaluate", "evaluating.page", "evaluating.table"),
    *("predicting.calculator", "predicting.predict"),
    *(name for name in MODULES if name.split(".")[0] == "compiled"),
}


def loaded(module, found=()):
    """Collect all that the import of a module imports, however far away."""
    found = {*found, module}
    for name in imports(module, top_level_only=True):
        path = name[1:].split(".") if name[0] == "." else []
        inside = {".".join(path[:end]) for end in range(1, len(path) + 1)}
        for other in (inside & set(MODULES)) - found:
            found |= loaded(other, found)
        if not path:
            found.add(name.split(".")[0])
    return found


@pytest.mark.parametrize("module", MODULES)
def test_who_loads_torch(module):
    parents = {module.rpartition(".")[0]} & set(MODULES)
    everything = set.union(*(loaded(name) for name in {module, *parents}))
    heavy = {"torch", "metatensor", "metatomic", "metatrain"} & everything
    assert bool(heavy) == (module in LOAD_TORCH)


def test_the_start_up_module_is_standard_library_only():
    tree = ast.parse((PROJECT / "src" / "metatrain_dos_startup.py").read_text("utf-8"))
    top = [n for n in tree.body if isinstance(n, (ast.Import, ast.ImportFrom))]
    names = {a.name for n in top if isinstance(n, ast.Import) for a in n.names}
    assert names == {"os", "sys"}


def test_the_map_names_every_module():
    text = (PROJECT / "CONTRIBUTING.md").read_text("utf-8")
    named = set(re.findall(r"^\| `([\w.]+)` \|", text, re.MULTILINE))
    assert named == {*MODULES, "metatrain_dos_startup"}


def test_the_home_of_the_default_spacing():
    for module in MODULES:
        text = FILES[module].read_text("utf-8")
        assert ("0.05" in text) == (module == "grid"), module
