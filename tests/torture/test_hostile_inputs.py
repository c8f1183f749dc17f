"""Files that mean harm, or are broken: a clear error, in bounded memory and time."""

import os
from pathlib import Path

import pytest
from helpers.commands import MEMORY, snapshot
from hostile_texts import ALIASES, TEXTS, frame


# ------------------------------------------------------------------------- single files


def test_laughs_are_large():
    assert len("ha") * 10**12 > 1000 * MEMORY


@pytest.mark.parametrize("name", TEXTS)
def test_prepare_refuses(command, tmp_path, tally, name):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.txt").write_text("tell nobody")
    (tmp_path / "in" / name).write_text(TEXTS[name], "utf-8")
    before = snapshot(tmp_path)
    status, out, err = command(tmp_path, "prepare", "in", "-o", "out", "--workers", "1")
    assert status == 1, out
    assert name in err and "tell nobody" not in err and "root:" not in err
    assert len(err) < 3000
    after = snapshot(tmp_path)
    assert {p: c for p, c in after.items() if "out.unfinished" not in p.parts} == before
    tally("hostile files for `prepare`")


# ---------------------------------------------------- names, pipes and devices


@pytest.fixture
def sources(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    one = frame(more="n_electrons=1 fermi_level=0.5")
    different = [one.replace('Lattice="4', f'Lattice="{4 + i}') for i in range(10)]
    (folder / "good.xyz").write_text("".join(different))
    return folder


def prepare(command, folder, *arguments, output="out"):
    options = ("--workers", "1", "--group-by", "none", "-o", output)
    return command(folder, "prepare", *options, *arguments)


def test_pipes_devices_and_loops(command, sources, tally):
    """They are left alone in a folder, and refused when they are named."""
    os.mkfifo(sources / "a.xml")
    os.mkfifo(sources / "b.xyz")
    (sources / "c.xyz").symlink_to("/dev/zero")
    (sources / "d.xyz").symlink_to("d.xyz")
    (sources / "e.xyz").symlink_to("nothing")
    (sources / "loop").symlink_to(".")
    for name in ("f.xyz", "g.out", "h.gpw", "i_GSR.nc", "j.save", "k.xml"):
        (sources / name).mkdir()
    status, out, err = prepare(command, sources.parent, "in")
    assert status == 0, err
    assert "structures    10 " in out and "3 cannot be read" in out
    for name in ("a.xml", "b.xyz", "c.xyz", "d.xyz", "e.xyz"):
        status, _, err = prepare(command, sources.parent, f"in/{name}", output="other")
        assert status == 1 and name in err
        tally("names that are no files")


NAMES = (
    *(b"\xff\xfe.xyz", b"a\nb.xyz", b"c\x1b[2J.xyz", b"@x.xyz", b"[a].xyz", b"-o.xyz"),
    *("ä€.xyz".encode(), b"%s{}.xyz", b" .xyz", b"a" * 250 + b".xyz", b"#x.xyz"),
)


def test_names(command, sources, tally):
    good = (sources / "good.xyz").read_text()
    for name in NAMES:
        Path(os.fsdecode(os.fsencode(sources) + b"/" + name)).write_text(good)
        bad = os.fsdecode(os.fsencode(sources) + b"/bad" + name[-200:])
        Path(bad).write_text("nonsense")
    for number, source in enumerate(("in", "in/*", "in/[[]a].xyz")):
        status, out, err = prepare(
            command, sources.parent, source, output=f"out{number}"
        )
        assert status == 0, err
        if number < 2:
            assert f"{len(NAMES)} cannot be read" in out
            assert "structures    10 " in out  # the others are the same
    tally("strange names of files", 2 * len(NAMES))


def test_lists_that_lead_back(command, sources):
    (sources.parent / "list").write_text("@list\n")
    status, _, err = prepare(command, sources.parent, "@list")
    assert status == 1 and "@list: expected a file" in err


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--grid-spacing", "1e-12", "take a larger spacing"),
        ("--grid-spacing", "nan", "spacing: expected"),
        ("--smearing", "1e12", "smearing: expected"),
        ("--extra-targets", "1000000000000", "extra_targets: expected"),
        ("--extra-targets", "-1", "extra_targets: expected"),
        ("--trust-margin", "nan", "trust_margin: expected"),
        ("--seed", "-1", "seed: expected"),
        ("--tolerance", "nan", "tolerance: expected"),
        ("--workers", "0", "workers: expected"),
        ("--like", "deep.json", "deep.json: expected"),
        ("--like", "large.json", "size: expected 1 to"),
        ("--like", "elsewhere.json", "fit the grid, got none of 10"),
    ],
)
def test_choices(command, sources, tally, option, value, message):
    folder = sources.parent
    (folder / "deep.json").write_text("[" * 100_000)
    grid = '{"grid": {"origin": %s, "spacing": 0.05, "size": %s}}'
    (folder / "large.json").write_text(grid % (0, 10**12))
    (folder / "elsewhere.json").write_text(grid % (1000, 10))
    status, _, err = prepare(command, folder, "in", option, value)
    assert status == 1 and message in err
    tally("impossible options of `prepare`")


@pytest.mark.parametrize("output", ["", ".", "/", "link", "in", "x" * 300])
def test_outputs(command, sources, output):
    (sources.parent / "link").symlink_to("nowhere")
    before = snapshot(sources.parent)
    status, _, err = prepare(command, sources.parent, "in", output=output)
    assert status == 1
    assert any(each in err for each in ("expected", "exists", "too long"))
    assert snapshot(sources.parent) == before


# --------------------------------------------------------------------- options files

OPTIONS_FILES = {
    "aliases": ALIASES.encode(),
    "a loop": b"a: &a [*a]\n",
    "deep": b"a: " + b"[" * 50_000 + b"]" * 50_000,
    "latin": b"a: \xff\n",
    "utf-16": "a: 1\n".encode("utf-16"),
    "a null": b"a: \0\n",
    "digits": b"a: " + b"9" * 5000,
    "python": b"a: !!python/object/apply:os.system ['touch owned']\n",
    "a list": b"- 1\n",
    "empty": b"",
}


@pytest.mark.parametrize("name", OPTIONS_FILES)
def test_options_files(command, tmp_path, tally, name):
    (tmp_path / "options.yaml").write_bytes(OPTIONS_FILES[name])
    before = snapshot(tmp_path)
    status, out, err = command(tmp_path, "check", "options.yaml")
    assert status == 2 and not out
    assert err.startswith("mtt-dos check: options.yaml: expected ")
    assert err.count("\n") == 1
    assert snapshot(tmp_path) == before
    tally("hostile options files for `check`")


@pytest.mark.parametrize(
    "content",
    [
        TEXTS["count.xyz"],
        TEXTS["columns.xyz"],
        "",
        "pickle",
        "1\nProperties=species:S:1:pos:R:3 dos=x\nH 0 0 0\n",
    ],
)
def test_data_for_check(command, sources, tally, content):
    folder = sources.parent
    assert prepare(command, folder, "in")[0] == 0
    (folder / "out" / "training.xyz").write_text(content)
    status, out, _ = command(folder, "check", "out/options.yaml")
    assert status == 1
    assert "cannot be read: out/training.xyz, structure 0: " in out
    tally("hostile data for `check`")
