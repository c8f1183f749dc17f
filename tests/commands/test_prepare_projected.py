"""Targets of atoms, from outputs of codes to a model that predicts them."""

import csv
import gzip
import re
import shutil

import ase.io
import matplotlib.image
import numpy as np
import pytest
import torch
from helpers.outputs import run_of_vasp
from helpers.paths import OUTPUTS
from helpers.prepare import prepare, report
from helpers.processes import mtt
from helpers.training import TINY_PET
from metatrain.utils.data import get_dataset
from omegaconf import OmegaConf

from metatrain_dos.checks.run import diagnose
from metatrain_dos.commands.main import main
from metatrain_dos.data.options_file import OptionsFile
from metatrain_dos.data.projection import parts_on_atoms
from metatrain_dos.data.readers import read_espresso_xml
from metatrain_dos.data.target_spec import TargetSpec
from metatrain_dos.loss.options import MaskedDOSHypers
from metatrain_dos.loss.terms import masked_dos
from metatrain_dos.models.errors import align
from metatrain_dos.models.model import DOSModel


UPF = '<PP_CHI.1 l="0" occupation="2.0"><PP_CHI.2 l="1" occupation="1.0">'
KEY = "mtt::dos"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Unpack a real run of pw.x and projwfc.x ten times, in cells of ten sizes."""
    folder = tmp_path_factory.mktemp("runs")
    for i in range(10):
        for name in ("al3si", "oxygen")[: 2 if i < 3 else 1]:
            saved = folder / str(i) / f"{name}.save"
            saved.mkdir(parents=True)
            for file in (OUTPUTS / "projections" / name).iterdir():
                text = gzip.decompress(file.read_bytes()).decode()
                if file.name.startswith("data"):
                    head, cell, rest = text.partition("<cell>")
                    text = head + cell + rest.replace(".", f".{i}", 1)
                    # the bands and the structure are of the same step
                    head, cell, rest = text.rpartition("<cell>")
                    text = head + cell + rest.replace(".", f".{i}", 1)
                (saved / file.stem).write_text(text)
            for potential in ("Al.pz-vbc.UPF", "Si.pz-vbc.UPF", "O.pz-rrkjus.UPF"):
                (saved / potential).write_text(UPF)
        # which has no projections
        shutil.copy(OUTPUTS / "espresso-silicon.out.gz", folder / str(i) / "pw.out.gz")
    return folder


@pytest.fixture(scope="module")
def made(outputs, tmp_path_factory):
    """Make a data set in each format."""
    folder = tmp_path_factory.mktemp("made")
    for name in ("xyz", "zip", "memmap"):
        more = ("--group-by", "none", "--seed", 1, "--architecture", "pet")
        where = (outputs, "-o", folder / name, "--format", name)
        prepare(*where, "--projected", *more)
    return folder


class TestDataSet:
    def test_is_what_the_calculations_say(self, made):
        spec = TargetSpec.read(made / "xyz" / "grid.json")
        assert spec.projected
        counts = set()
        with (made / "xyz" / "sources.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 13
        for row in rows:
            name = row["split"].removesuffix("_set")
            frame = ase.io.read(made / "xyz" / f"{name}.xyz", int(row["index"]))
            calculation = read_espresso_xml(row["source"], projected=True)
            dos, mask = spec.dos_and_mask(calculation)
            target, masks = frame.arrays["dos"], frame.arrays["dos_mask"]
            counts.add(len(target))
            padding = spec.extra_targets
            # six decimals of each atom
            rounding = 0.5e-6 * len(target)
            np.testing.assert_allclose(
                target[:, padding:].sum(0), dos, rtol=0, atol=rounding * 1.01
            )
            assert (masks[:, padding:] == mask).all() and not masks[:, :padding].any()
            wanted, _ = spec.row(calculation)
            np.testing.assert_allclose(target, wanted, rtol=0, atol=0.51e-6)
        assert counts == {2, 4}

    def test_equivalent_atoms_have_equal_targets(self, made):
        frames = ase.io.read(made / "xyz" / "training.xyz", ":")
        frame = next(each for each in frames if len(each) == 4)
        aluminium = frame.arrays["dos"][frame.numbers == 13]
        assert len(aluminium) == 3 and np.ptp(aluminium, axis=0).max() == 0
        silicon = frame.arrays["dos"][frame.numbers == 14][0]
        assert np.abs(silicon - aluminium[0]).max() > 0.1

    @pytest.mark.parametrize("name", ["zip", "memmap"])
    def test_metatrain_reads_all_formats(self, made, name, monkeypatch):
        read = []
        for folder in ("xyz", name):
            monkeypatch.chdir(made / folder)
            section = OmegaConf.load("options.yaml").training_set
            options = {
                "systems": {**section.systems, "reader": None},
                "targets": {KEY: {**section.targets[KEY], "reader": None}},
                "extra_data": {},
            }
            for entry in options["targets"].values():
                entry["read_from"] = options["systems"]["read_from"]
            dataset, infos, _ = get_dataset(OmegaConf.create(options))
            assert infos[KEY].per_atom
            read.append([dataset[i][KEY].block(0) for i in range(len(dataset))])
        section = OmegaConf.load(made / "xyz" / "options.yaml")
        frames = ase.io.read(made / "xyz" / "training.xyz", ":")
        for frame, one, other in zip(frames, *read, strict=True):
            masks = torch.from_numpy(frame.arrays["dos_mask"])
            wanted = one.values.masked_fill(~masks, float("nan"))
            torch.testing.assert_close(
                other.values, wanted, equal_nan=True, check_dtype=False
            )
            assert other.samples.names == ["system", "atom"]
            assert other.samples.column("atom").tolist() == list(range(len(frame)))

    def test_options_fit_the_data(self, made, tmp_path, monkeypatch):
        for folder in made.iterdir():
            monkeypatch.chdir(folder)
            options = OmegaConf.load("options.yaml")
            loss = options.architecture.training.loss[KEY]
            assert loss.shift_per == "structure"
            assert diagnose(OptionsFile.read("options.yaml")).findings == []
        loss.shift_per = "sample"
        OmegaConf.save(options, tmp_path / "options.yaml")
        [found] = diagnose(OptionsFile.read(tmp_path / "options.yaml")).findings
        assert "each atom slides on its own" in found.found
        assert found.severity == "note" and found.fix == "shift_per: structure"

    def test_report(self, outputs, made, tmp_path, capsys):
        told = report(made / "xyz")
        assert told["unread"] == {"outputs without projections": 10}
        assert not told["unreadable"]
        for row in told["trusted_ranges"]:
            calculation = read_espresso_xml(row["source"], projected=True)
            found = row["on_atoms"], row["empty_on_atoms"]
            np.testing.assert_allclose(found, parts_on_atoms(calculation), atol=1e-6)
        prepare(outputs, "-o", tmp_path / "dos", "--projected")
        printed = capsys.readouterr().out
        line = r"98% to 99% of the occupied states and \d+% to \d+% of the empty states"
        assert re.search(rf"projections   {line} are on atoms, scaled to all", printed)
        assert "between different atoms" not in printed

    def test_figure(self, made, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        main(["show", str(made / "memmap"), "0"])
        printed = capsys.readouterr().out
        assert re.search(r"on atoms +0\.9\d+ of each occupied state", printed)
        assert "of each empty state" in printed
        assert matplotlib.image.imread("training-0.png").std() > 0.05

    def test_like_another_one(self, outputs, made, tmp_path):
        prepare(outputs, "-o", tmp_path / "dos", "--like", made / "xyz")
        assert TargetSpec.read(tmp_path / "dos" / "grid.json") == TargetSpec.read(
            made / "xyz" / "grid.json"
        )
        assert "dos" in ase.io.read(tmp_path / "dos" / "training.xyz").arrays


def test_vasp(tmp_path, capsys):
    """Projections of which most is between the atoms, and PROCAR beside others."""
    for i in range(5):
        folder = tmp_path / "runs" / str(i)
        folder.mkdir(parents=True)
        rows = "<r> 0.3 0.1 </r><r> 0.0 0.0 </r>"
        bands = "".join(f'<set comment="band {b}">{rows}</set>' for b in (1, 2))
        point = f'<set comment="kpoint 1">{bands}</set>'
        text = run_of_vasp(
            positions=((0, 0, 0), (0.25, 0.25, 0.2 + 0.02 * i)), symbols=("Si", "C")
        ).replace(
            "</calculation>",
            "<projected><array><field>s</field><field>p</field><set>"
            f'<set comment="spin1">{2 * point}</set></set></array></projected>'
            "</calculation>",
        )
        (folder / "vasprun.xml").write_text(text)
        (folder / "PROCAR").write_text("not needed")
    more = ("--projected", "--group-by", "none")
    prepare(tmp_path / "runs", "-o", tmp_path / "dos", *more)
    assert "between different atoms" in capsys.readouterr().out
    told = report(tmp_path / "dos")
    assert told["structures"] == 5 and told["unread"] == {}
    assert told["projections"]["occupied"] == pytest.approx([0.4, 0.4])
    assert told["projections"]["mostly_elsewhere"] == 5
    frame = ase.io.read(tmp_path / "dos" / "training.xyz")
    dos = frame.arrays["dos"]
    assert dos[0].max() > 1 and not dos[1].any()


class TestMistakes:
    @pytest.mark.parametrize("option", ["--steps", "--spin-resolved"])
    @pytest.mark.parametrize("like", [False, True])
    def test_options(self, outputs, made, tmp_path, option, like):
        more = ("--like", made / "xyz") if like else ("--projected",)
        with pytest.raises(SystemExit, match=rf"{option}: expected .* --(proj|like)"):
            prepare(outputs, "-o", tmp_path / "dos", option, *more)

    def test_no_source_has_projections(self, tmp_path):
        shutil.copy(OUTPUTS / "espresso-silicon.out.gz", tmp_path / "pw.out.gz")
        with pytest.raises(
            SystemExit, match=r"expected output of Quantum ESPRESSO, .*"
        ):
            prepare(tmp_path / "pw.out.gz", "-o", tmp_path / "dos", "--projected")

    def test_they_are_missing(self, outputs, tmp_path):
        shutil.copytree(outputs, tmp_path / "runs")
        (tmp_path / "runs" / "4" / "al3si.save" / "atomic_proj.xml").unlink()
        prepare(tmp_path / "runs", "-o", tmp_path / "dos", "--projected")
        [problem] = report(tmp_path / "dos")["unreadable"]
        assert "run projwfc.x" in problem["reason"]

    def test_are_said_to_be_unread(self, outputs, tmp_path, capsys):
        shutil.copytree(outputs, tmp_path / "runs")
        for i in range(9):
            (tmp_path / "runs" / str(i) / "PROCAR").write_text("")
        prepare(tmp_path / "runs", "-o", tmp_path / "dos")
        assert "9 files of projections (see --projected)" in capsys.readouterr().out


def test_from_outputs_to_predictions(made, tmp_path, capsys):
    folder = tmp_path / "dos"
    shutil.copytree(made / "xyz", folder)
    options = OmegaConf.load(folder / "options.yaml")
    options.architecture.model = TINY_PET
    options.architecture.training.num_epochs = 1
    OmegaConf.save(options, folder / "options.yaml")
    status, log = mtt("train", "options.yaml", folder=folder)
    assert status == 0, log
    frames = ase.io.read(folder / "test.xyz", ":")
    model = DOSModel.load(folder / "model.ckpt")
    rows = list(model.predict(frames, per_atom=True))

    main(["evaluate", str(folder / "model.ckpt"), str(folder), "-o", f"{tmp_path}/r"])
    with (tmp_path / "r" / "errors.csv").open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == sum(map(len, frames))
    shifts = {}
    for row in table:
        shifts.setdefault(row["structure"], set()).add(row["shift"])
    assert all(len(each) == 1 for each in shifts.values())
    aligned = align(
        np.vstack(rows),
        np.vstack([frame.arrays["dos"] for frame in frames]),
        np.vstack([frame.arrays["dos_mask"] for frame in frames]),
        grid_spacing=0.05,
        extra_targets=200,
        structures=np.repeat(range(len(frames)), list(map(len, frames))),
    )
    found = [float(row["rmse_per_atom"]) for row in table]
    np.testing.assert_allclose(found, aligned.rmse, rtol=1e-5)  # digits of the table

    loss = options.architecture.training.loss[KEY]
    for i, (row, frame) in enumerate(zip(rows, frames, strict=True)):
        target, mask = (frame.arrays[key][:, 200:] for key in ("dos", "dos_mask"))
        root = len(frame) ** 0.5
        one = [torch.from_numpy(x)[None] for x in (row / root, target / root, mask)]
        wanted = masked_dos(
            *one,
            MaskedDOSHypers(int_weight=loss.int_weight).model_dump(),
            grid_spacing=0.05,
            per_structure=loss.per_structure,
        )
        found = [float(each["loss"]) for each in table if each["structure"] == str(i)]
        np.testing.assert_allclose(found, wanted.item(), rtol=1e-5)

    predicted = tmp_path / "predicted.npz"
    files = [folder / "model.ckpt", folder / "test.xyz", "-o", predicted]
    main(["predict", *map(str, files), "--per-atom", "--zero", "axis"])
    capsys.readouterr()
    with np.load(predicted) as content:
        parts = content["part"]
        each = content["dos"][parts != "all"]
        np.testing.assert_allclose(each, np.vstack(rows), rtol=1e-5, atol=1e-6)
        sums = [row.sum(0) for row in rows]
        np.testing.assert_allclose(
            content["dos"][parts == "all"], sums, rtol=1e-5, atol=1e-5
        )
