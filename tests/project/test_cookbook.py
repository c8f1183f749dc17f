"""Train with every recipe of the cookbook, for two epochs with a tiny model."""

import csv
import json
import shutil

import ase.io
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from helpers.pages import code_blocks, commands, sections
from helpers.paths import STRUCTURES
from helpers.processes import in_process, mtt
from helpers.training import TINY_PET, losses
from omegaconf import OmegaConf

from metatrain_dos.commands.main import main
from metatrain_dos.data.dataset import SPLITS, TargetSpec


RECIPES = sections("docs/training.md", "Cookbook")
SHORT = {
    "architecture": {
        "model": TINY_PET,
        "training": {"num_epochs": 2, "batch_size": 4, "log_interval": 1},
    },
    "final_eval": False,
}


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Make a folder with a few calculations, and ``dos/`` with a model of them."""
    folder = tmp_path_factory.mktemp("cookbook")
    frames = ase.io.read(STRUCTURES, ":")
    few = [frame for frame in frames if frame.info["material"] in ("SiC", "BN")]
    for frame in few:
        frame.calc = SinglePointCalculator(frame, energy=-5.0 * len(frame))
    ase.io.write(folder / "calculations.xyz", few)
    (folder / "calculations.txt").write_text("calculations.xyz\n")
    (folder / "calculations").mkdir()
    (folder / "calculations" / "same.xyz").symlink_to("../calculations.xyz")
    (folder / "new-calculations").symlink_to("calculations")
    prepare(folder, "mtt-dos prepare calculations/ -o dos/ --split 0.6,0.2,0.2")
    train(folder / "dos")
    return folder


def prepare(folder, line):
    """
    Run a command line of the page in this process, on one core.

    There are too few families to keep them together, and the tiny model is a PET.
    """
    [words] = commands(line)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        more = ["--workers", "1", "--group-by", "none", "--architecture", "pet"]
        main([*words[1:], *more])


def shell(recipe, number=0):
    return code_blocks("bash", RECIPES[recipe])[number]


def piece(recipe, number=0):
    return OmegaConf.create(code_blocks("yaml", RECIPES[recipe])[number])


def in_all_sets(given):
    """Repeat for validation and test what a recipe shows for training."""
    return OmegaConf.merge(given, dict.fromkeys(SPLITS, given.training_set))


def train(folder, *pieces, arguments=()):
    """
    Merge recipes into the options file of a data set, and train for two epochs.

    Return the log.
    """
    options = OmegaConf.merge(OmegaConf.load(folder / "options.yaml"), *pieces, SHORT)
    OmegaConf.save(options, folder / "recipe.yaml")
    status, log = mtt("train", "recipe.yaml", *arguments, folder=folder)
    assert status == 0, log
    assert np.shape(losses(log)) == (2, 2) and np.isfinite(losses(log)).all(), log
    return log


def change_frames(source, folder, change):
    """Copy a data set of extended XYZ, and change every structure of it."""
    folder.mkdir()
    options = (source / "options.yaml").read_text("utf-8")
    (folder / "options.yaml").write_text(options)
    for each in SPLITS:
        name = OmegaConf.create(options)[each].systems.read_from
        frames = ase.io.read(source / name, ":")
        for frame in frames:
            change(frame)
        ase.io.write(folder / name, frames)
    return folder


def test_fine_tuning(work):
    prepare(work, shell("Fine-tuning"))
    for number in (0, 1):
        train(work / "new", piece("Fine-tuning", number))


def test_pet_mad_dos(work):
    """A small model of its shape, trained as it was, stands for the published one."""
    prepare(work, "mtt-dos prepare calculations/ --like pet-mad-dos -o mad/")
    grid = json.loads((work / "mad" / "grid.json").read_text("utf-8"))
    assert grid["valences"]["Zn"] == 20
    theirs = {"type": "shift_agnostic_mse", "grad_penalty_weight": 1e-4}
    options = OmegaConf.load(work / "mad" / "options.yaml")
    ours = options.architecture.training.loss
    assert options.training_set.targets["mtt::dos"].num_subtargets == 4806
    options.architecture.training.loss = {"mtt::dos": {**theirs, "int_weight": 0.0}}
    OmegaConf.save(options, work / "mad" / "options.yaml")
    train(work / "mad")
    (work / "mad" / "model.ckpt").rename(work / "mad" / "published.ckpt")

    options.architecture.training.loss = ours
    OmegaConf.save(options, work / "mad" / "options.yaml")
    tuning = piece("Fine-tuning")
    tuning.architecture.training.finetune.read_from = "published.ckpt"
    train(work / "mad", tuning)

    (work / "mad" / "model.ckpt").rename(work / "tuned.ckpt")
    files = [work / "tuned.ckpt", work / "mad" / "test.xyz"]
    main(
        [
            "predict",
            *map(str, files),
            "-o",
            str(work / "mad.npz"),
            "--grid",
            "pet-mad-dos",
        ]
    )
    with np.load(work / "mad.npz") as predicted:
        assert predicted["dos"].shape[1] == 4806
        assert set(predicted["electrons"]) == {8.0}


@pytest.fixture(scope="module")
def with_energies(work):
    """Make ``joint/``, which has energies beside the DOS."""
    prepare(work, shell("A DOS beside an energy"))
    return work / "joint"


def test_a_dos_beside_an_energy(with_energies):
    log = train(with_energies, piece("A DOS beside an energy"))
    assert "energy RMSE" in log and "mtt::dos masked term" in log


def test_a_dos_for_a_model_of_energies(work, with_energies):
    options = OmegaConf.load(with_energies / "options.yaml")
    options.architecture.training = {"loss": {"energy": "mse"}}
    for each in SPLITS:
        del options[each].targets["mtt::dos"], options[each].extra_data
    folder = change_frames(with_energies, work / "energy", lambda frame: None)
    OmegaConf.save(options, folder / "options.yaml")
    train(folder)
    train(work / "dos", piece("A DOS for a model of energies"))


def test_per_atom_dos(work):
    def share_among_atoms(frame):
        for key in ("dos", "dos_mask"):
            values = np.asarray(frame.info.pop(key))
            frame.arrays[key] = np.tile(values, (len(frame), 1))

    folder = change_frames(work / "dos", work / "atoms", share_among_atoms)
    train(folder, in_all_sets(piece("Per-atom DOS")))


def test_spin(work):
    prepare(work, shell("Spin"))
    folder = work / "spin"
    status, printed = in_process(main, ["check", "options.yaml"], folder=folder)
    assert status == 0 and "error" not in printed, printed
    log = train(folder, piece("Spin"))
    assert "mtt::dos masked term" in log
    model = ["model.pt", "validation.xyz"]
    more = ["--valences", "Si=4 C=4 B=3 N=5", "--zero", "axis"]
    arguments = ["predict", *model, "-o", "predicted.npz", *more]
    status, printed = in_process(main, arguments, folder=folder)
    assert status == 0, printed
    with np.load(folder / "predicted.npz") as predicted:
        spec = TargetSpec.read(folder / "grid.json")
        assert predicted["dos_energies"].shape[-1] == len(spec.energies)
        dos, up, down = (predicted["dos"][i::3] for i in range(3))
        assert dos.any()
        # All three are in single precision.
        np.testing.assert_allclose(up + down, dos, rtol=1e-6, atol=1e-5)
    status, printed = in_process(
        main, ["evaluate", *model, "-o", "report"], folder=folder
    )
    assert status == 0, printed
    with (folder / "report" / "errors.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert all(float(row["rmse_up_per_atom"]) > 0 for row in rows)


def test_large_data_and_clusters(work):
    recipe = "Large data and clusters"
    prepare(work, "mtt-dos prepare calculations/ -o large/ --format memmap")
    [[srun, program, *arguments]] = commands(shell(recipe))
    assert [srun, program, *arguments[:2]] == ["srun", "mtt", "train", "options.yaml"]
    train(work / "large", piece(recipe), arguments=arguments[2:])
    assert list((work / "large").glob("outputs/*/*/model_*.ckpt"))


def test_uncertainty(work):
    folder = change_frames(work / "dos", work / "committee", lambda frame: None)
    shutil.copy(work / "dos" / "grid.json", folder)
    shutil.copy(work / "dos" / "validation.xyz", folder / "structures.xyz")
    options = OmegaConf.load(folder / "options.yaml")
    OmegaConf.save(OmegaConf.merge(options, SHORT), folder / "options.yaml")
    *training, prediction = commands(shell("Uncertainty"))
    for _, *arguments in training:
        status, log = mtt(*arguments, folder=folder)
        assert status == 0, log
    arguments = [*prediction[1:], "--zero", "axis"]  # two epochs give no levels
    status, printed = in_process(main, arguments, folder=folder)
    assert status == 0, printed
    assert (folder / "a.pt").read_bytes() != (folder / "b.pt").read_bytes()
    with np.load(folder / "predicted.npz") as predicted:
        # without levels, members cannot be aligned, and there is no deviation
        assert predicted["dos_std"].shape == predicted["dos"].shape


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_is_tested(recipe):
    name = "test_" + recipe.lower().replace(" ", "_").replace("-", "_")
    assert name in globals()
