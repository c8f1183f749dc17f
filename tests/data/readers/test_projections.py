"""Projections of Quantum ESPRESSO and VASP, against sums that the codes print."""

import gzip
import shutil
import tracemalloc
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from helpers.outputs import run_of_vasp
from helpers.paths import OUTPUTS

from metatrain_dos.data.readers import read_calculations, read_espresso_xml
from metatrain_dos.data.readers.vasp import read_vasprun


PRINTED = 1e-4  # decimals of Löwdin charges

# Löwdin charges of projwfc.x, which has symmetrised them
CHARGES = {
    "al3si": [3.9788, 2.9136, 2.9136, 2.9136],
    "oxygen": [5.9507, 5.9511],
}
SPILLING = {"al3si": 0.0216, "oxygen": 0.0082}

# As pseudopotentials have them: 2s 2p, and in the old version, also an unused 3d
UPF = """<UPF version="2.0.1"><PP_HEADER has_so="false"/><PP_PSWFC>
<PP_CHI.1 type="real" label="3S" l="0" occupation="2.000000000000e0" n="0">
</PP_CHI.1><PP_CHI.2 type="real" label="3P" l="1" occupation="1.000000000000e0">
</PP_CHI.2></PP_PSWFC></UPF>"""
OLD_UPF = """<PP_PSWFC>
3S    0  2.00          Wavefunction
  1.25174178928E-14  1.29957334286E-14
3P    1  1.00          Wavefunction
3D    2 -2.00          Wavefunction
</PP_PSWFC>"""
SPIN_ORBIT_UPF = """<PP_HEADER has_so="true"/><PP_PSWFC>
<PP_CHI.1 l="0" occupation="2.0"></PP_CHI.1>
<PP_CHI.2 l="1" occupation="1.0"></PP_CHI.2><PP_CHI.3 l="1" occupation="1.0">
</PP_CHI.3></PP_PSWFC>"""


@pytest.fixture
def run(tmp_path):
    """Unpack a run of pw.x and projwfc.x, with pseudopotentials."""

    def unpack(name, upf=UPF):
        folder = tmp_path / f"{name}.save"
        folder.mkdir()
        for file in (OUTPUTS / "projections" / name).iterdir():
            (folder / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
        root = ElementTree.parse(folder / "data-file-schema.xml").getroot()
        for file in root.findall("output/atomic_species/species/pseudo_file"):
            if upf is not None:
                (folder / file.text).write_text(upf)
        return folder

    return unpack


def print_states(owners):
    """Write the output of projwfc.x, as far as it names the atoms."""
    lines = [
        f"     state #{i:4d}: atom{owner:4d} (X  ), wfc  1 (l=0 m= 1)"
        for i, owner in enumerate(owners, 1)
    ]
    return "\n     Program PROJWFC v.6.7MaX starts\n" + "\n".join(lines)


def charges(folder):
    """Add up the projections of the electrons, as projwfc.x does."""
    calculation = read_espresso_xml(folder, projected=True)
    root = ElementTree.parse(folder / "data-file-schema.xml").getroot()
    channels, points, bands = calculation.eigenvalues.shape
    occupations = [
        element.text.split()
        for element in root.findall("output/band_structure/ks_energies/occupations")
    ]
    occupations = np.array(occupations, float).reshape(points, channels, bands)
    return np.einsum(
        "k,ksb,askb->a",
        calculation.kpoint_weights,
        occupations,
        calculation.projections,
    )


class TestEspresso:
    @pytest.mark.parametrize("name", CHARGES)
    @pytest.mark.parametrize("upf", [UPF, OLD_UPF, SPIN_ORBIT_UPF])
    def test_charges(self, run, name, upf):
        folder = run(name, upf)
        np.testing.assert_allclose(charges(folder), CHARGES[name], atol=PRINTED)
        spilling = 1 - charges(folder).sum() / {"al3si": 13, "oxygen": 12}[name]
        assert spilling == pytest.approx(SPILLING[name], abs=PRINTED)

    def test_symmetry_matters(self, run):
        # Without it, the three equivalent atoms are all different.
        folder = run("al3si")
        file = folder / "data-file-schema.xml"
        text = file.read_text()
        assert text.count("<equivalent_atoms") == 48
        file.write_text(text.replace("equivalent_atoms", "others"))
        assert np.ptp(charges(folder)[1:]) > 0.01

    @pytest.mark.parametrize("place", ["beside", "in a folder", "compressed"])
    def test_where_the_files_are(self, run, tmp_path, place):
        folder = run("oxygen")
        wanted = read_espresso_xml(folder, projected=True).projections
        if place == "beside":
            path = folder / "data-file-schema.xml"
        elif place == "in a folder":
            path = shutil.copy(folder / "data-file-schema.xml", tmp_path / "oxygen.xml")
        else:
            for name in ("data-file-schema.xml", "atomic_proj.xml"):
                content = gzip.compress((folder / name).read_bytes())
                (folder / f"{name}.gz").write_bytes(content)
                (folder / name).unlink()
            path = folder
        [found] = read_calculations(path, projected=True)
        np.testing.assert_array_equal(found.projections, wanted)

    def test_not_unless_asked_for(self, run):
        assert read_espresso_xml(run("oxygen")).projections is None

    def test_printed_atoms(self, run):
        folder = run("oxygen", None)
        (folder / "projwfc.out").write_text(print_states([1] * 4 + [2] * 4))
        np.testing.assert_allclose(charges(folder), CHARGES["oxygen"], atol=PRINTED)
        # in another order than pseudopotentials would tell
        (folder / "projwfc.out").write_text(print_states([2] * 4 + [1] * 4))
        np.testing.assert_allclose(
            charges(folder), CHARGES["oxygen"][::-1], atol=PRINTED
        )

    def test_spinors(self, run):
        # Two wavefunctions of each atom, with two components each
        folder = run("oxygen", UPF.replace('l="1"', 'l="0"'))
        np.testing.assert_allclose(charges(folder), CHARGES["oxygen"], atol=PRINTED)

    def test_other_pseudopotentials(self, run):
        folder = run("oxygen", UPF.replace('l="1"', 'l="2"'))
        with pytest.raises(ValueError, match=r"UPF\) with 8 atomic wavefunctions"):
            read_espresso_xml(folder, projected=True)

    @pytest.mark.parametrize("printed", [None, [1] * 4 + [2] * 3, [1] * 4 + [3] * 4])
    def test_unknown_atoms(self, run, printed):
        folder = run("oxygen", None)
        if printed is not None:
            (folder / "projwfc.out").write_text(print_states(printed))
        with pytest.raises(ValueError, match=r"UPF\) with 8 atomic .* got neither"):
            read_espresso_xml(folder, projected=True)

    def test_none(self, run):
        folder = run("oxygen")
        (folder / "atomic_proj.xml").unlink()
        with pytest.raises(ValueError, match=r"atomic_proj\.xml beside .*run projwfc"):
            read_espresso_xml(folder, projected=True)

    def test_of_another_run(self, run):
        folder = run("oxygen")
        shutil.copy(run("al3si") / "atomic_proj.xml", folder)
        with pytest.raises(ValueError, match=r"eigenvalues of .*projwfc\.x again"):
            read_espresso_xml(folder, projected=True)

    def test_of_other_energies(self, run):
        folder = run("oxygen")
        file = folder / "atomic_proj.xml"
        text = file.read_text()
        energy = text.partition("<E>")[2].split()[0]
        file.write_text(text.replace(energy, f"{float(energy) + 0.001:.15f}"))
        with pytest.raises(ValueError, match=r"eigenvalues of .*projwfc\.x again"):
            read_espresso_xml(folder, projected=True)

    def test_old_format(self, run):
        folder = run("oxygen")
        file = folder / "atomic_proj.xml"
        file.write_text(file.read_text().replace("ATOMIC_WFC", "ATMWFC.1"))
        with pytest.raises(ValueError, match=r"expected ATOMIC_WFC .* 6\.4 or later"):
            read_espresso_xml(folder, projected=True)


BANDS = """<set comment="kpoint {k}"><set comment="band 1">{rows[0]}</set>
<set comment="band 2">{rows[1]}</set></set>"""

# Parts of two bands at two k-points that are on s and p of two atoms
PARTS = np.random.default_rng(0).integers(50, 250, (2, 2, 2, 2)) / 1000


def projected_xml(parts=PARTS, spins=1, tag="projected"):
    """Write the projections of vasprun.xml."""
    rows = [
        ["".join(f"<r>   {s:.4f}   {p:.4f} </r>" for s, p in band) for band in point]
        for point in parts
    ]
    points = "".join(BANDS.format(k=k, rows=each) for k, each in enumerate(rows, 1))
    # Spinors have the magnetisation besides, which may be negative.
    more = points.replace("<r>   ", "<r>  -") * (spins - 1)
    return f"""<{tag}><eigenvalues><array><field>eigene</field><set>
<set comment="spin 1"><set comment="kpoint 1"><r> -5.0 1.0 </r><r> 1.0 0.0 </r></set>
</set></set></array></eigenvalues><array><dimension dim="1">ion</dimension>
<field>  s</field><field>  p</field><set><set comment="spin1">{points}</set>
<set comment="spin2">{more}</set></set></array></{tag}>"""


def procar(parts=PARTS, phase=False, **exchanged):
    """Write PROCAR."""
    energies = [[-5, 1], [-4, 2]]
    text = (
        "PROCAR lm decomposed\n# of k-points:    2         # of bands:   2   "
        "      # of ions:   2\n\n"
    )
    for k in range(2):
        text += (
            f" k-point     {k + 1} :    0.00000000-0.50000000 0.00000000     "
            "weight = 0.5\n\n"
        )
        for b in range(2):
            text += f"band     {b + 1} # energy{energies[k][b]:14.8f} # occ.  1.0\n\n"
            head = "ion      s      p    tot\n"
            rows = [*parts[k, b], parts[k, b].sum(0)]
            lines = "".join(
                f"{name:>5}  {s:.3f}  {p:.3f}  {s + p:.3f}\n"
                for name, (s, p) in zip(("1", "2", "tot"), rows, strict=True)
            )
            text += head + lines + (head + lines.replace(" 0.", "-9.")) * phase + "\n"
    return text


class TestVasp:
    @pytest.fixture
    def write(self, tmp_path):
        def write(projections="", symmetry=0, moments=(1, 1), **more):
            text = run_of_vasp(weights=(0.5, 0.5), **more)
            text = text.replace("</calculation>", f"{projections}</calculation>")
            settings = f"""<i type="int" name="ISYM"> {symmetry}</i>
<v name="MAGMOM"> {" ".join(map(str, moments))}</v></parameters>"""
            path = tmp_path / "vasprun.xml"
            path.write_text(text.replace("</parameters>", settings))
            return path

        return write

    WANTED = np.moveaxis(PARTS.sum(-1), -1, 0)[:, None]

    def test_in_the_file(self, write):
        path = write(projected_xml())
        found = read_vasprun(path, projected=True)
        np.testing.assert_allclose(found.projections, self.WANTED, rtol=1e-12)
        assert read_vasprun(path).projections is None
        [same] = read_calculations(path, projected=True)
        np.testing.assert_array_equal(same.projections, found.projections)

    @pytest.mark.parametrize("ending", ["", ".gz"])
    @pytest.mark.parametrize("phase", [False, True])
    def test_beside_it(self, write, ending, phase):
        path = write()
        text = procar(phase=phase).encode()
        path.with_name(f"PROCAR{ending}").write_bytes(
            gzip.compress(text) if ending else text
        )
        found = read_vasprun(path, projected=True)
        np.testing.assert_allclose(found.projections, self.WANTED, rtol=1e-12)

    def test_beside_a_renamed_one(self, write):
        path = write()
        path = path.rename(path.with_name("vasprun.xml.relax2"))
        path.with_name("PROCAR").write_text("of another run")
        path.with_name("PROCAR.relax2").write_text(procar())
        found = read_vasprun(path, projected=True)
        np.testing.assert_allclose(found.projections, self.WANTED, rtol=1e-12)

    def test_of_spinors(self, write):
        path = write(projected_xml(spins=4))
        path.write_text(
            path.read_text().replace(
                "</parameters>", "<i name='LNONCOLLINEAR'>T</i></parameters>"
            )
        )
        found = read_vasprun(path, projected=True)
        assert found.channels == 0
        np.testing.assert_allclose(found.projections, self.WANTED, rtol=1e-12)

    @pytest.mark.parametrize(
        ("symmetry", "moments", "symbols", "are_equal"),
        [
            (2, (1, 1), ("Si", "Si"), True),
            (0, (1, 1), ("Si", "Si"), False),
            (-1, (1, 1), ("Si", "Si"), False),
            (2, (1, -1), ("Si", "Si"), False),
            (2, (0, 0, 1, 0, 0, 1), ("Si", "Si"), True),
            (2, (0, 0, 1, 0, 1, 0), ("Si", "Si"), False),
            (2, (1, 1), ("Si", "C"), False),
        ],
    )
    def test_equivalent_atoms(self, write, symmetry, moments, symbols, are_equal):
        path = write(projected_xml(), symmetry, moments, symbols=symbols)
        found = read_vasprun(path, projected=True).projections
        mean = np.broadcast_to(self.WANTED.mean(0), found.shape)
        wanted = mean if are_equal else self.WANTED
        np.testing.assert_allclose(found, wanted, rtol=1e-12)

    def test_of_the_last_step(self, write):
        path = write(projected_xml())
        text = path.read_text()
        step = text[text.index("<calculation>") : text.index("</modeling>")]
        # The first step has projections of its own, the last one none.
        path.write_text(text.replace(step, step + step.replace(projected_xml(), "")))
        with pytest.raises(ValueError, match=r"<projected> in vasprun\.xml, or PROCAR"):
            read_vasprun(path, projected=True)
        other = step.replace(projected_xml(), projected_xml(PARTS / 2))
        path.write_text(text.replace(step, other + step))
        found = read_vasprun(path, projected=True)
        np.testing.assert_allclose(found.projections, self.WANTED, rtol=1e-12)

    def test_cut_off(self, write):
        rows = projected_xml()
        end = rows.rindex('<set comment="band 2">')
        path = write(rows[:end] + "</set></set></set></array></projected>")
        with pytest.raises(ValueError, match=r"incomplete or damaged"):
            read_vasprun(path, projected=True)

    def test_none(self, write):
        with pytest.raises(ValueError, match=r"PROCAR beside it, .* LORBIT = 11"):
            read_vasprun(write(), projected=True)

    @pytest.mark.parametrize(
        ("old", "new"),
        [(" 2.00000000 #", " 2.10000000 #"), ("# of k-points", "#"), ("band ", "x")],
    )
    def test_of_another_run(self, write, old, new):
        path = write()
        path.with_name("PROCAR").write_text(procar().replace(old, new, 1))
        with pytest.raises(ValueError, match=r"PROCAR"):
            read_vasprun(path, projected=True)

    def test_memory(self, write, monkeypatch):
        monkeypatch.setattr("metatrain_dos.data.readers._vasprun.PIECE", 2**14)
        path = write("<projected></projected>")
        text = path.read_text()
        band = '<set comment="band 1">' + "<r>  0.01  0.02 </r>\n" * 500 + "</set>"
        point = '<set comment="kpoint 1">' + 100 * band + "</set>"
        path.write_text(text.replace("</projected>", f"{point}</projected>"))
        tracemalloc.start()
        try:
            with pytest.raises(ValueError, match=r"projections: expected shape"):
                read_vasprun(path, projected=True)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        # Sums of 50,000 rows have 0.4 MB, and their elements 7 MB at least.
        assert peak < 3e6
