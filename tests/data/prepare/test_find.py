"""Which files a user means."""

import gzip
import os
import shutil
from pathlib import Path

import pytest
from helpers.paths import OUTPUTS

from metatrain_dos.data.prepare.find import find_sources
from metatrain_dos.data.prepare.read import read_all
from metatrain_dos.data.prepare.workers import open_workers
from metatrain_dos.data.readers import find_reader, read_calculations


@pytest.fixture
def folder(tmp_path):
    """Make a folder as calculations leave it."""
    run = gzip.decompress((OUTPUTS / "silicon.xml.gz").read_bytes())
    for name in ("b/run.xml", "a/2.xml", "a/10.xml", "a/deep/si.save/data.xml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(run)
    # The same run once more, and things that are no runs.
    (tmp_path / "b" / "run.save").mkdir()
    (tmp_path / "b" / "run.save" / "data-file-schema.xml").write_bytes(run)
    (tmp_path / "b" / "pseudo.xml").write_text("<upf/>")
    (tmp_path / "b" / "slurm-1.out").write_text("hello")
    (tmp_path / "b" / "died.xml").write_text("")
    (tmp_path / "b" / "notes.txt").write_text("hello")
    return tmp_path


def paths(sources, **more):
    """Find files that are named, or that a reader reads."""
    found = find_sources(sources, **more)
    faulty = (p for p in found.paths if not (os.path.exists(p) and os.path.getsize(p)))
    kept = {*found.named, *filter(find_reader, found.paths), *faulty}
    return [path for path in found.paths if path in kept]


def read(found, cache):
    more = {"labels": [], "smearing": 0.3, "options": {}, "strict": False}
    with open_workers(1, None) as workers:
        return read_all(found, cache, workers, **more)


def names(folder, found):
    return [str(Path(path).relative_to(folder)) for path in found]


def test_folders_are_searched(folder):
    assert names(folder, paths([str(folder)])) == [
        "a/10.xml",
        "a/2.xml",
        "a/deep/si.save",
        "b/died.xml",
        "b/run.save",
        "b/run.xml",
    ]


def test_what_is_not_read_is_counted(folder):
    (folder / "a" / "OUTCAR").touch()
    (folder / "a" / "OUTCAR.gz").touch()
    (folder / "a" / "si.castep").touch()
    (folder / "a" / "aims.out").write_text("FHI-aims")
    # A system of deepmd-kit without DOS
    (folder / "a" / "type.raw").write_text("0")
    found = find_sources([str(folder)])
    counted = {"CASTEP output": 1, "VASP OUTCAR": 2}
    assert found.kinds_unread() == counted
    index = read(found, folder / "cache")
    counted |= {
        "FHI-aims output": 1,
        "XML of another program": 1,
        "text output of another program": 1,
    }
    assert found.kinds_unread() == counted
    # Its XML has another name.
    faulty = ["a/deep/si.save", "b/died.xml"]
    assert names(folder, (each.source for each in index.unreadable)) == faulty
    assert len(index.sources) == 4


def test_what_is_named_is_not_counted(folder):
    named = [str(folder / "b" / name) for name in ("run.xml", "pseudo.xml")]
    found = find_sources(named)
    [problem] = read(found, folder / "cache").unreadable
    assert problem.source == named[1] and "got other content" in problem.reason
    assert found.kinds_unread() == {}


def test_nothing_but_others(folder):
    shutil.rmtree(folder / "a")
    shutil.rmtree(folder / "b" / "run.save")
    for name in ("run.xml", "died.xml"):
        (folder / "b" / name).write_text("<upf/>")
    with pytest.raises(ValueError, match=r"got none of .*there are .* XML of another"):
        read(find_sources([str(folder)]), folder / "cache")


def test_nothing_is_opened(folder, monkeypatch):
    """Where disks are far away, that would take as long as reading."""
    monkeypatch.setattr("builtins.open", lambda *_: 1 / 0)
    monkeypatch.setattr(Path, "open", lambda *_: 1 / 0)
    assert len(find_sources([str(folder)]).paths) == 8


def test_a_folder_that_is_one_calculation(folder):
    path = folder / "b" / "run.save"
    assert paths([str(path)]) == [str(path)]


def test_patterns_and_order(folder):
    found = paths([str(folder / "b" / "r*.xml"), str(folder / "*" / "*0.xml")])
    assert names(folder, found) == ["b/run.xml", "a/10.xml"]


def test_no_source_comes_twice(folder):
    path = str(folder / "a" / "2.xml")
    assert paths([path, str(folder / "a" / "[2].xml"), path]) == [path]


@pytest.mark.parametrize("with_option", [False, True])
def test_lists(folder, with_option):
    path = folder / "list.txt"
    path.write_text("b/run.xml  # the best\n\n# a/10.xml\na/*.xml\n")
    found = paths([], lists=[str(path)]) if with_option else paths([f"@{path}"])
    assert names(folder, found) == ["b/run.xml", "a/10.xml", "a/2.xml"]


def test_what_is_named_is_taken(folder):
    path = str(folder / "b" / "notes.txt")
    assert paths([path]) == [path]


def test_folders_to_leave_out(folder):
    found = paths([str(folder)], leave_out=[folder / "a"])
    assert names(folder, found) == ["b/died.xml", "b/run.save", "b/run.xml"]


def test_links_in_a_circle(folder):
    (folder / "a" / "circle").symlink_to(folder, target_is_directory=True)
    assert len(paths([str(folder)])) == 6


def test_what_has_no_end_is_left_alone(folder, no_waiting):
    expected = paths([str(folder)])
    os.mkfifo(folder / "a" / "1.xml")
    os.mkfifo(folder / "pipe.xyz")
    (folder / "zero.xyz").symlink_to("/dev/zero")
    assert paths([str(folder)]) == expected
    # Whoever names it hears why.
    for name in ("a/1.xml", "pipe.xyz", "zero.xyz"):
        [path] = paths([str(folder / name)])
        with pytest.raises(ValueError, match=rf"{name}: .*got a pipe or a device"):
            list(read_calculations(path))


@pytest.mark.parametrize("target", ["loop.xyz", "nothing"])
def test_links_to_nothing_are_noticed(folder, target):
    path = folder / "loop.xyz"
    path.symlink_to(target)
    for source in (folder, path, folder / "*.xyz"):
        assert str(path) in paths([str(source)])
    with pytest.raises(ValueError, match=r"loop\.xyz: expected"):
        list(read_calculations(path))


def test_lists_that_lead_back(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("@list.txt\n")
    with pytest.raises(ValueError, match=r"@list\.txt: expected a file, a folder or"):
        paths([f"@{path}"])


def test_names_that_are_no_text(folder):
    name = os.fsdecode(b"\xff\n.xyz")
    (folder / name).write_text("1\n\nH 0 0 0\n")
    assert str(folder / name) in paths([str(folder)])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere", "nowhere: expected a file, a folder or a pattern that fits some"),
        ("*.abc", r"\.abc: expected a file, a folder or a pattern"),
        ("@nowhere", "@.*nowhere: expected a text file with one source in each line"),
        ("empty", "SOURCES: expected files whose names fit"),
    ],
)
def test_mistakes(tmp_path, monkeypatch, source, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=message):
        paths([source])
