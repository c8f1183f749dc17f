"""Build the site: ``make docs``."""

import inspect
import shutil
import sys
import typing
from pathlib import Path

from docutils import nodes


DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

import draw_predicting  # noqa: E402
import draw_theory  # noqa: E402
import elsewhere  # noqa: E402
import notebooks  # noqa: E402

import metatrain_dos  # noqa: E402
from metatrain_dos.loss.options import MaskedDOSHypers  # noqa: E402


project = "metatrain-dos"
author = "The metatrain-dos developers"
copyright = author
release = version = metatrain_dos.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx-mathjax-offline",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "README.md", "**sg_execution_times.rst"]

# Markdown reads the same on a code-hosting site: dollars for equations, `#heading`
# links.
myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
python_maximum_signature_line_length = 72
python_use_unqualified_type_names = True
add_module_names = False
viewcode_follow_imported_members = False

# A reference to one of our names that is not on the site is a mistake. Types of other
# projects are linked where `elsewhere.py` knows them.
nitpicky = True
nitpick_ignore_regex = [
    ("py:class", r"(?!metatrain_dos).*|.*\.(Loss|Schema|LevelPair)")
]

# Show the types of options as in an options file, without their validators.
MaskedDOSHypers.__annotations__ = typing.get_type_hints(MaskedDOSHypers)
MaskedDOSHypers.__signature__ = inspect.Signature(
    inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=field.default,
        annotation=MaskedDOSHypers.__annotations__[name],
    )
    for name, field in MaskedDOSHypers.model_fields.items()
)

# Links to other projects come from small inventories in this folder, so that the build
# needs no network and gives the same site everywhere.
intersphinx_mapping = elsewhere.write_inventories(DOCS / "_build" / "inventories")

# The gallery runs in a copy, so that the output of examples does not end up among them.
# The README of the data would make the data a gallery of its own.
EXAMPLES = DOCS / "_build" / "examples"
for script in EXAMPLES.glob("*.py"):  # of examples that have another name now
    script.unlink()
shutil.copytree(
    DOCS.parent / "examples",
    EXAMPLES,
    ignore=shutil.ignore_patterns("README.md", "generate.py", "work", "__pycache__"),
    dirs_exist_ok=True,
)
for notebook in EXAMPLES.glob("*.ipynb"):
    notebooks.write_script(notebook)

sphinx_gallery_conf = {
    "examples_dirs": str(EXAMPLES),
    "gallery_dirs": "gallery",
    "filename_pattern": r"/\d_",
    "ignore_pattern": r"^(?!\d_)",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "remove_config_comments": True,
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 1e9,
    "image_scrapers": ("saved_figures",),
    "capture_repr": ("_repr_html_",),
}

html_theme = "furo"
html_title = "metatrain-dos"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_show_copyright = False
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#a93226",
        "color-brand-content": "#a93226",
    },
    "dark_css_variables": {
        "color-brand-primary": "#ec7063",
        "color-brand-content": "#ec7063",
    },
}
copybutton_exclude = ".linenos, .gp, .go"


def add_dark_figures(app, doctree):
    """Show ``NAME-dark.svg`` in the place of ``NAME.svg`` where the page is dark."""
    for image in list(doctree.findall(nodes.image)):
        twin = image["uri"].removesuffix(".svg") + "-dark.svg"
        if image["uri"].endswith(".svg") and (DOCS / twin).exists():
            dark = image.deepcopy()
            dark["uri"] = twin
            dark["classes"] = [*dark["classes"], "only-dark"]
            image["classes"] = [*image["classes"], "only-light"]
            image.parent.insert(image.parent.index(image) + 1, dark)


def setup(app):
    """Draw the figures of some pages, and let pages find them."""
    draw_theory.draw_all(DOCS / "figures")
    draw_predicting.draw_all(DOCS / "figures")
    app.connect("doctree-read", add_dark_figures, priority=100)
