"""One structure of a data set, drawn."""

import ase.io
import matplotlib.image
import pytest
from helpers.calculations import crystal, made_up
from helpers.prepare import prepare, report

from metatrain_dos.commands.main import main


@pytest.mark.parametrize("more", [("xyz",), ("zip",), ("memmap", "--spin-resolved")])
def test_show(tmp_path, monkeypatch, capsys, more):
    monkeypatch.chdir(tmp_path)
    frames = [made_up(crystal(i), seed=i) for i in range(8)]
    ase.io.write("all.xyz", frames)
    prepare("all.xyz", "-o", "dos", "--format", *more)
    rows = report(tmp_path / "dos")["trusted_ranges"]
    training = [row for row in rows if row["split"] == "training_set"]
    main(["show", "dos", "3"])
    printed = capsys.readouterr().out
    assert f"all.xyz, structure {training[3]['number']}\n" in printed
    assert "training_set 3: Si2" in printed
    assert "8 in the full mesh" in printed and "trusted up to" in printed
    main(["show", "dos", "0", "--set", "test", "-o", "test.png"])
    for name in ("training-3.png", "test.png"):
        image = matplotlib.image.imread(tmp_path / name)
        assert image.std() > 0.05  # not an empty figure


def test_mistakes(tmp_path):
    ase.io.write(tmp_path / "all.xyz", [made_up(crystal(i), seed=i) for i in range(8)])
    prepare(tmp_path / "all.xyz", "-o", tmp_path / "dos")
    for index in ("99", "-1"):
        with pytest.raises(SystemExit, match=r"show: index: expected the number of a"):
            main(["show", str(tmp_path / "dos"), index])
    with pytest.raises(SystemExit, match=r"show: .*No such file"):
        main(["show", str(tmp_path / "nothing"), "0"])
