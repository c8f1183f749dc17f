"""The package does what its documentation shows."""

import argparse
import ast
import json
import re
import shutil
import sys

import pytest
from helpers.pages import PAGES, block, code_blocks, commands
from helpers.paths import PROJECT
from helpers.processes import in_process, run_python
from omegaconf import OmegaConf

from metatrain_dos.commands.check import check
from metatrain_dos.commands.main import METATRAIN_COMMANDS, main
from metatrain_dos.data.dataset import SPLITS
from metatrain_dos.loss.options import MaskedDOSHypers, validate_hypers
from metatrain_dos.loss.terms import TERMS


if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # which pytest brings along


OWN_LOSS = PROJECT / "examples" / "own_loss"
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))


def blocks(language, without=None):
    """Collect the code blocks of a language, each with its page and number."""
    return [
        pytest.param(code, id=f"{page.relative_to(PROJECT)}-{i}")
        for page in PAGES
        if page != PROJECT / str(without)
        for i, code in enumerate(code_blocks(language, page.read_text("utf-8")))
    ]


@pytest.mark.parametrize("code", blocks("python"))
def test_python_runs(code, tmp_path):
    (tmp_path / "examples").symlink_to(PROJECT / "examples")
    status, printed = run_python(code, folder=tmp_path)
    assert status == 0, printed


def test_the_loss_in_20_lines_is_the_example():
    """The page shows the package whole, but for its docstring and its metadata."""
    code = (OWN_LOSS / "aligned_l1.py").read_text("utf-8")
    assert code.partition("\n\n")[2] == block("python", "docs/own-loss.md")
    assert (
        block("toml", "docs/own-loss.md") in (OWN_LOSS / "pyproject.toml").read_text()
    )


@pytest.mark.parametrize("text", blocks("toml"))
def test_entry_points_are_in_our_group(text):
    (group,) = tomllib.loads(text)["project"]["entry-points"]
    assert group in PYPROJECT["project"]["entry-points"]


PREPARE = 2
"""Number of the block of shell on that page with the way to a model."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Prepare the data set of the page Start."""
    folder = tmp_path_factory.mktemp("quickstart")
    (folder / "examples").symlink_to(PROJECT / "examples")
    prepare, *_ = commands(block("bash", "docs/start.md", PREPARE))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        main(prepare[1:])
    return folder


class TestStart:
    def test_nothing_is_wrong(self, folder, monkeypatch, capsys):
        monkeypatch.chdir(folder / "dos")
        _, enter, wanted, _ = commands(block("bash", "docs/start.md", PREPARE))
        assert enter == ["cd", "dos"] and wanted[:2] == ["mtt-dos", "check"]
        assert check(wanted[2]) == 0
        assert capsys.readouterr().out == block("text", "docs/start.md")

    def test_a_finding(self, folder, monkeypatch, capsys):
        """The page on data shows the finding, with lines broken."""
        monkeypatch.chdir(folder / "dos")
        wrong = block("text", "docs/preparing-data.md")
        options = OmegaConf.load("options.yaml")
        options.architecture.training.loss["mtt::dos"].extra_targets = 300
        OmegaConf.save(options, "wrong.yaml")
        assert check("wrong.yaml") == 1
        printed = capsys.readouterr().out.replace("wrong.yaml", "options.yaml")
        assert " ".join(wrong.split()) in " ".join(printed.split())

    @pytest.mark.parametrize("text", blocks("yaml", without="docs/training.md"))
    def test_metatrain_takes_the_yaml(self, text, folder):
        """Every piece of an options file goes into the one that was prepared."""
        piece = OmegaConf.to_container(OmegaConf.create(text))
        if "loss" in piece:
            piece = {"architecture": {"training": piece}}
        given = OmegaConf.to_container(OmegaConf.load(folder / "dos" / "options.yaml"))
        status, printed = in_process(accept, given, piece, folder=folder / "dos")
        assert status == 0, printed


def accept(given, piece):
    """Merge options, and do with them what ``mtt train`` does before it reads data."""
    from metatrain.utils import architectures, loss, omegaconf, pydantic

    from metatrain_dos import register_loss

    sys.path.insert(0, str(OWN_LOSS))
    from aligned_l1 import AlignedL1

    register_loss("aligned_l1")(AlignedL1)

    options = OmegaConf.merge(given, piece)
    if "training" in piece.get("architecture", {}):
        options.architecture.training.update(piece["architecture"]["training"])
    pydantic.validate_base_options(OmegaConf.to_container(options))
    name = options.architecture.name
    defaults = {"architecture": architectures.get_default_hypers(name)}
    options = OmegaConf.merge(omegaconf.BASE_OPTIONS, defaults, options)
    architectures.check_architecture_options(
        name, OmegaConf.to_container(options.architecture)
    )
    for each in SPLITS:
        omegaconf.expand_dataset_config(options[each])
    training = omegaconf.expand_loss_config(options).architecture.training
    assert training.loss
    for target, section in training.loss.items():
        fields = OmegaConf.to_container(section)
        del fields["gradients"]
        loss.create_loss(fields.pop("type"), name=target, gradient=None, **fields)


class TestShell:
    """Every command on the pages exists, with its options."""

    @pytest.mark.parametrize("code", blocks("bash"))
    def test_commands(self, code, monkeypatch):
        monkeypatch.setattr(sys, "argv", sys.argv)
        for words in commands(code):
            while words[0] in ("srun", "nice"):
                words = words[1:]
            check_of = getattr(self, words[0].replace("-", "_"), None)
            assert check_of is not None, f"nothing checks {words[0]!r}"
            check_of(*words[1:])

    def mtt_dos(self, command, *arguments):
        if command in METATRAIN_COMMANDS:
            self.mtt(command, *arguments)
        else:
            sys.argv = ["mtt-dos", command, *arguments]
            parse(main, "mtt-dos")

    def mtt(self, *arguments):
        from metatrain.__main__ import main as metatrain

        sys.argv = ["mtt", *arguments]
        parse(metatrain, "mtt")

    def make(self, target, *assignments):
        targets = re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(), re.M)
        assert target in targets

    def pip(self, command, *arguments):
        assert command in ("install", "uninstall")
        for argument in arguments:
            name, _, extra = argument.rstrip("]").partition("[")
            if name in (".", "metatrain-dos") and extra:
                assert extra in PYPROJECT["project"]["optional-dependencies"]
            if arguments[0] == "--constraint":
                assert (PROJECT / arguments[1]).is_file()

    def python(self, first, *arguments):
        if first == "-c":
            status, printed = run_python(*arguments, folder=PROJECT)
            assert status == 0 and printed, printed
        else:
            folders = (PROJECT, PROJECT / "examples" / "data")
            (script,) = (each / first for each in folders if (each / first).is_file())
            assert arguments[0] in script.read_text("utf-8")

    def export(self, assignment):
        name, _ = assignment.split("=")
        source = (PROJECT / "src" / "metatrain_dos_startup.py").read_text("utf-8")
        assert f'"{name}"' in source

    def cd(self, *arguments):
        pass

    # not ours, and nothing that a test should do
    git = twine = dask = cd


class Parsed(Exception):
    """A command line has been parsed; the command need not run."""


def parse(run, program):
    """Let a program parse its arguments, and stop there."""
    parse_known_args = argparse.ArgumentParser.parse_known_args

    def stop(parser, *given, **named):
        known, rest = parse_known_args(parser, *given, **named)
        if parser.prog == program:
            raise Parsed(rest)
        return known, rest

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_known_args", stop)
        with pytest.raises((Parsed, SystemExit)) as end:
            run()
    # All arguments were known, or it was `--version`.
    assert end.value.args in (([],), (0,))


def test_extras_that_are_named_are_there():
    for page in PAGES:
        for extra in re.findall(
            r"(?:metatrain-dos|\.)\[(\w+)\]", page.read_text("utf-8")
        ):
            assert extra in PYPROJECT["project"]["optional-dependencies"], page


def test_the_message_of_a_mistyped_option():
    """The README shows it, with lines broken."""
    with pytest.raises(ValueError) as error:
        validate_hypers(
            MaskedDOSHypers,
            {"int_wieght": 1},
            loss_type="masked_dos",
            target="mtt::dos",
        )
    assert str(error.value) == " ".join(block("text", "README.md").split())


def test_the_table_of_options_is_complete():
    text = (PROJECT / "docs" / "theory.md").read_text("utf-8")
    _, text = text.split("\n## Options\n")
    row = r"^\| `(\w+)` \|[^|]*\|[^|]*\| `?([^|`]*)`? \|"
    rows = dict(re.findall(row, text, re.MULTILINE))
    fields = dict(MaskedDOSHypers.model_fields)
    del fields["gradients"]
    assert rows.keys() == fields.keys()
    for name, field in fields.items():
        shown = rows[name].strip()
        assert str(field.default) == shown or float(shown) == field.default


def test_the_table_of_terms_is_complete():
    text = (PROJECT / "docs" / "theory.md").read_text("utf-8")
    rows = [
        f"| `{term.name}` | {f'`{term.option}`' if term.option else 1} "
        f"| {term.unit} | {term.meaning} |"
        for term in TERMS
    ]
    assert "\n".join(rows) in text


@pytest.mark.parametrize(
    "notebook",
    sorted((PROJECT / "examples").glob("*.ipynb")),
    ids=lambda path: path.stem,
)
def test_notebooks_become_scripts(notebook, tmp_path, monkeypatch):
    """The build of the site runs the scripts; nobody should read old results."""
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)
    shutil.copy(notebook, tmp_path)
    monkeypatch.syspath_prepend(PROJECT / "docs")
    import notebooks

    notebooks.write_script(tmp_path / notebook.name)
    script = (tmp_path / notebook.name).with_suffix(".py").read_text("utf-8")
    tree = ast.parse(script)
    title, line, _ = ast.get_docstring(tree).split("\n", 2)
    assert line == "=" * len(title)
    assert script.count("\n# %%\n") == len(cells) - len(code) - 1
    lines = [x for cell in code for x in ast.parse("".join(cell["source"])).body]
    assert [ast.dump(x) for x in tree.body[1:]] == [ast.dump(x) for x in lines]


def test_links_inside_lead_somewhere():
    """Those of the site are checked when it is built; these are for other readers."""
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8")):
            if "://" not in target:
                path = page.parent / target
                is_built = target.startswith("gallery/") or page.parts[-2] == "api"
                assert path.exists() or is_built, f"{page.name}: {target}"
