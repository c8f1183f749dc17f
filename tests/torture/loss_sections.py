"""Make ``loss:`` sections as text, and state their mistakes."""

import math
import re
from random import Random


# ------------------------------------------------------------- kinds of sections


def _pieces(text):
    """Split a text at bars and line ends."""
    return re.split(r" *\| *|\n", text.strip("\n"))


NUMBERS = _pieces("""
0 | 1 | 2.0 | 200 | 200.0 | 1e-4 | 1E5 | 1.0e-4 | .5 | 5. | +1 | -0.0 | 0x10 | 0o17
017 | 0b101 | 1_000 | 1_0.5 | 1:30 | 190:20:30 | 1:30.5 | -1 | -1e-9 | 0.5 | 1000000
1000001 | 1e400 | -1e400 | 1e-400 | 1e308 | .nan | .NaN | nan | .inf | -.inf | .Inf
inf | Infinity | 1,5 | ∞ | ½ | ٣
""")
NUMBERS += ["9" * 30, "9" * 400, "9" * 5000, "1." + "3" * 2000, "1" + "0" * 308]
TEXTS = _pieces(r"""
yes | no | on | off | y | true | True | FALSE | null | ~ |  | ??? | mean | sum | none
None | Mean | masked_dos | mse | maskd_dos | huber | '1' | "2" | '1e-4' | '1e-4 '
' 1E5' | "1e\u0663" | 'mean ' | "mean\n" | "\0" | "\ud800" | ﬀ | '#' | a#b | !!float 1
!!int '3' | !!str 1 | !!bool yes | !!null '' | !!binary aGk= | !!set {a, b} | &one 1
!!omap [a: 1] | 2001-01-01 | 2001-12-14t21:59:43.10-05:00
""")
TEXTS += [
    "|\n         12\n",
    ">-\n         sum\n",
    "x" * 300,
    f"'{'ä' * 5000}'",
    "'\U0001f600'",
]
BROKEN = _pieces(r"""
!!python/object/apply:os.getcwd [] | !x 1 | !!python/tuple [1, 2] | = | << | *unknown
@x | `x` | %x | - 1 | ? 1 | [ | } | ' | " | a: b: c | "\x" | &loop [*loop]
&deep {a: *deep}
""")
BROKEN += ["[" * depth + "]" * depth for depth in (60, 900)]
INTERPOLATIONS = _pieces("""
${validation_set} | ${..int_weight} | ${.int_weight} | ${base_precision} | ${seed}
${nowhere} | ${architecture.training.loss} | ${device} | ${.} | ${..} | ${ | ${}
$ {x} | '${a:b}' | $ | a${base_precision} | ${oc.env:NOT_THERE_AT_ALL}
${oc.env:NOT_THERE_AT_ALL,3} | ${${x}} | ${oc.create:[1]} | '${oc.decode:1e-4}'
${oc.select:nowhere,0.5} | ${default_random_seed:}
${architecture.training.loss.mtt::dos.int_weight} | '${x} ${y}'
""")
INTERPOLATIONS += ["\\${x}"]
NESTED = _pieces("""
[1] | [] | {} | {a: 1} | [[1, 2], [3]] | {positions: masked_dos} | {positions: mse}
{positions: {type: masked_dos, int_wieght: 1}} | {1: 2} | {positions: {type: mse}}
{<<: {a: 1}} | {positions: {type: maskd_dos}}
{x: &x [1, 1], y: &y [*x, *x], z: [*y, *y]}
""")
GOOD = {
    "grad_weight": ("0", "1e-4", "1.5", "3", "1E5", "'1e-4'", "0x10", "1_000"),
    "int_weight": ("0.0", "2.0", "2", ".5", "1:30", "1e-400"),
    "extra_targets": ("0", "200", "200.0", "1000000", "2e2", "017", "0b11"),
    "grid_spacing": ("0.05", "5e-2", "1", "1e300"),
    "tail_weight": ("1.0", "0", "-0.0", "5."),
    "weight": ("1.0", "2", "-3.5", "1e-4"),
    "reduction": ("mean", "sum", "'mean'", '"sum"'),
    "gradients": ("{}",),
}
KEYS = _pieces(r"""
int_wieght | Int_Weight | int-weight | extra_target | gridspacing | 1 | 1.5 | null
true | '' | "\n" | "a\u0000b" | 'int_weight ' | ïnt_weight | 重み | type | loss | forces
_ | __class__ | << | 2001-01-01 | self | name | gradient | ??? | ${x} | .nan
""")
KEYS += ["k" * 300, f"'{'ü' * 3000}'", "? [1, 2]\n       "]
NAMES = _pieces("mtt::dos | mtt::spin | energy | 'x y' | 1 | null | '${x}' | 'a.b' | é")
NAMES += ["z" * 300]


def make_section(seed, number):
    """Write what follows ``loss:`` in an options file."""
    random = Random(f"{seed} {number}")
    if random.random() < 0.05:
        return random.choice(["masked_dos", _value(random), _garbled(random)])
    anchors = ["  # anything"]
    targets = ["mtt::dos"]
    if random.random() < 0.3:
        targets += random.sample(NAMES, random.randint(1, 2))
        random.shuffle(targets)
    lines = [f"      {name}: {_target(random, anchors)}" for name in targets]
    text = "\n".join(["", *lines])
    return _garble(random, text) if random.random() < 0.03 else text


def _target(random, anchors):
    """Write what stands under the name of a target."""
    chance = random.random()
    if chance < 0.06:
        return random.choice(["masked_dos", "mse", "maskd_dos", "Masked-DOS"])
    if chance < 0.1:
        return _value(random)
    options = [("type", "masked_dos")]
    if random.random() < 0.08:
        kinds = ["mse", "maskd_dos", "'masked_dos '", "MASKED_DOS", _value(random)]
        options = [("type", random.choice(kinds))]
    wrong = random.choice([0, 0, 1, 1, 1, 2])
    for name in random.sample(list(GOOD), random.randint(0, 4)):
        options.append((name, random.choice(GOOD[name])))
    for _ in range(wrong):
        known = random.random() < 0.75
        name = random.choice(list(GOOD) if known else KEYS)
        options = [entry for entry in options if entry[0] != name or not known]
        options.append((name, _value(random)))
    if random.random() < 0.02:
        options.append(random.choice(options))  # twice the same
    random.shuffle(options)
    if random.random() < 0.03:
        options.append(
            ("<<", random.choice(["{int_weight: 3.5}", "[{a: 1}]", "{weight: no}"]))
        )
    if random.random() < 0.1:
        return "{" + ", ".join(f"{name}: {value}" for name, value in options) + "}"
    return "".join(f"\n        {name}: {value}" for name, value in options)


def _value(random):
    kinds = (NUMBERS, TEXTS, INTERPOLATIONS, NESTED, BROKEN)
    kind = random.choices(kinds, (50, 40, 20, 20, 5))[0]
    if random.random() < 0.1:
        return (
            f"{random.choice(['', '-'])}{random.random() * 10 ** random.uniform(-9, 9)}"
        )
    return random.choice(kind)


def _garbled(random):
    return "".join(chr(random.choice([*range(32, 127), 9, 10, 228])) for _ in range(20))


def _garble(random, text):
    """Damage one place of a text."""
    place = random.randrange(len(text))
    piece = random.choice(
        ["", "\t", ":", "{", "]", "'", '"', "\n", "#", "&", "\x07", "é"]
    )
    return text[:place] + piece + text[place + random.randint(0, 2) :]


# ----------------------------------------------------------- what must come out of them


def wrong_options(section):
    """List the keys of a section of ``masked_dos`` that it must refuse."""
    return [
        key
        for key, value in section.items()
        if key != "type"
        and not (isinstance(value, str) and "${" in value)
        and not _is_allowed(key, value)
    ]


def _is_allowed(key, value):
    """Check an option against the table in the docs."""
    if key == "reduction":
        return value in ("mean", "sum") if isinstance(value, str) else False
    if key == "gradients":
        return value == {}
    if isinstance(value, str) and re.fullmatch(
        r"\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*", value, re.IGNORECASE
    ):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        number = float(value)
    except OverflowError:
        return False
    if not math.isfinite(number):
        return False
    return {  # and nothing else
        "grad_weight": number >= 0,
        "int_weight": number >= 0,
        "tail_weight": number >= 0,
        "grid_spacing": number > 0,
        "extra_targets": number.is_integer() and 0 <= number <= 1_000_000,
        "weight": True,
    }.get(key, False)
