"""How the documentation is built: ``python -m sphinx -W docs docs/_build/html``.

The tutorials are the notebooks with their stored outputs; nothing in them is executed. The reference, and the tables of
engines and formats, are written from the code by `docs/generate.py` before anything is read.
"""

from __future__ import annotations

import sys
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import generate  # noqa: E402

generate.write_all()

project = "diarnb"
author = "The diarnb authors"
copyright = author  # noqa: A001
version = release = installed("diarnb")

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_design",
]
exclude_patterns = ["README.md", "_build"]
default_role = "py:obj"

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc's sections have them, with their units
numpydoc_show_class_members = False

myst_enable_extensions = ["colon_fence", "attrs_inline"]
myst_heading_anchors = 3
nb_execution_mode = "off"
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]  # the still picture instead


def setup(app: Sphinx) -> None:
    """Let links to files of the repository lead to the pages that are made of them."""

    def adapt(_app: Sphinx, name: str, content: list[str]) -> None:
        content[0] = generate.adapt_links(content[0], here="../" * name.count("/"))

    app.connect("source-read", adapt)


html_theme = "pydata_sphinx_theme"
html_title = "diarnb"
html_static_path = ["_static"]
html_css_files = ["diarnb.css"]
html_copy_source = html_show_sourcelink = False
html_theme_options = {
    "github_url": "https://github.com/diarnb/diarnb",
    "navbar_align": "left",
    "show_toc_level": 2,
    "header_links_before_dropdown": 6,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
html_sidebars = {"index": [], "gallery": [], "settings": []}
