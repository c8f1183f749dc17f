"""Outputs of codes that mean harm, or are broken."""

XML = '<?xml version="1.0" encoding="{0}"?>\n'
LAUGHS = XML.format("UTF-8") + (
    '<!DOCTYPE a [<!ENTITY l0 "ha">'
    + "".join(f'<!ENTITY l{i + 1} "{f"&l{i};" * 10}">' for i in range(12))
    + "]>\n"
)
OUTSIDE = XML.format("UTF-8") + '<!DOCTYPE a [<!ENTITY x SYSTEM "{0}">]>\n'
ESPRESSO = (
    '<qes:espresso xmlns:qes="http://www.quantum-espresso.org/ns">{0}</qes:espresso>'
)
FRAME = (
    '{atoms}\nLattice="4 0 0 0 4 0 0 0 4" Properties={properties} pbc="T T T" '
    'eigenvalues="0 1 2 3" kpoint_weights="2" {more}\nH 0 0 0\n'
)


def frame(atoms="1", properties="species:S:1:pos:R:3", more="n_electrons=1"):
    return FRAME.format(atoms=atoms, properties=properties, more=more)


TEXTS = {
    "laughs.xml": LAUGHS + ESPRESSO.format("&l12;"),
    "vasp-laughs.xml": LAUGHS + "<modeling>&l12;</modeling>",
    "outside.xml": OUTSIDE.format("file:///etc/passwd") + ESPRESSO.format("&x;"),
    "vasp-outside.xml": OUTSIDE.format("secret.txt") + "<modeling>&x;</modeling>",
    "deep.xml": ESPRESSO.format("<a>" * 200_000),
    "vasp-deep.xml": "<modeling>" + "<calculation>" * 200_000,
    "attributes.xml": ESPRESSO.format(
        "<a " + " ".join(f'a{i}=""' for i in range(99_999))
    ),
    "encoding.xml": XML.format("UTF-32-NOT") + ESPRESSO.format(""),
    "count.xyz": frame(atoms="1000000000000"),
    "endless-count.xyz": frame(atoms="9" * 5000),
    "negative.xyz": frame(atoms="-1"),
    "columns.xyz": frame(properties="species:S:1:pos:R:3:x:R:1000000000000"),
    "many-columns.xyz": frame(properties="species:S:1:pos:R:3" + ":x:R:1" * 50_000),
    "names.xyz": frame(properties="species:S:1:pos:R:3:__class__:R:1"),
    "array.xyz": frame(more='x="_JSON {\\"__ndarray__\\": [[9999999], \\"O\\", [1]]}"'),
    "json.xyz": frame(more='x="_JSON [" y=_JSON{}'),
    "weights.xyz": frame(more='kpoint_weights="nan"'),
    "infinite.xyz": frame(more="fermi_level=1e999"),
    "electrons.xyz": frame(more="n_electrons=1e300"),
    "header.out": "Program PWSCF v.7\n number of k points= 1000000000000\nJOB DONE.\n",
    "atoms.out": (
        "Program PWSCF v.7\n  number of atoms/cell      = 999999999999\n"
        "the Fermi energy is 1 ev\n  JOB DONE.\n"
    ),
}

# A list of ten, ten of these, ten of these...
ALIASES = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 10)}]\n"
    for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)
