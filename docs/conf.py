"""Sphinx: ``make docs`` builds the site; nothing in it is fetched when it is read."""

from __future__ import annotations

from importlib.metadata import version as version_of
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert

project = "equiload"
author = "The equiload maintainers"
version = release = version_of("equiload")
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "equiload"
html_math_renderer = "mathml"
html_show_sourcelink = False
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_default_options = {"members": True, "show-inheritance": False}
napoleon_google_docstring = False
add_module_names = False


def _formula(display: str) -> Any:
    """Browsers typeset MathML themselves: no script, no font."""

    def visit(translator: Any, node: nodes.Element) -> None:
        markup = convert(node.astext(), display=display)
        translator.body.append(f'<p class="math">{markup}</p>' if display == "block" else markup)
        raise nodes.SkipNode

    return visit


def setup(app: Any) -> None:
    """Register the renderer of formulas."""
    app.add_html_math_renderer("mathml", (_formula("inline"), None), (_formula("block"), None))
