"""Show in the gallery the figures that an example saves."""

from pathlib import Path

from PIL import Image


# Figures with more columns of pixels are shown in a box that slides.
WIDE = 1500

FIGURE = """
.. image:: /{path}
   :alt: {alt}
   :class: {kind}
   :width: {width}px
"""


def show_saved_figures(block, block_vars, gallery_conf, **options):
    """
    Move the PNG files that the last block of an example wrote into the page.

    :param block: kind of the block, its code and its first line; not used
    :param block_vars: sphinx-gallery's variables of the block
    :param gallery_conf: sphinx-gallery's configuration
    :return: reST that shows the figures
    """
    site = Path(gallery_conf["src_dir"])
    found = sorted(Path(block_vars["src_file"]).parent.glob("*.png"))
    shown = []
    for figure, path in zip(found, block_vars["image_path_iterator"], strict=False):
        with Image.open(figure) as image:
            width, density = image.width, image.info.get("dpi", (96, 96))[0]
        figure.rename(path)
        shown.append(
            FIGURE.format(
                path=Path(path).relative_to(site).as_posix(),
                alt=figure.stem.replace("-", " "),
                kind="wide" if width > WIDE else "saved",
                width=round(width * 96 / density),
            )
        )
    return "".join(shown)


def _get_sg_image_scraper():
    return show_saved_figures
