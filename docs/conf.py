"""The site: ``make docs`` builds it into docs/_build; pages are Markdown, formulas MathML, so it reads offline."""

import sys
from pathlib import Path

from gansmith.recipe import recipe_names
from gansmith.version import __version__

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

project, author, release = "gansmith", "the gansmith authors", __version__
project_copyright = "MIT licence"
extensions = ["myst_nb", "site_parts"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # a test executes the notebook; the site shows what is stored in it
html_theme = "furo"
html_title = "gansmith"
html_theme_options = {"source_edit_link": None}
html_math_renderer = "mathml"
# Pieces that pages include, and pages whose recipe does not come with this version.
pages = [page.stem for page in (HERE / "learn").glob("*.md") if page.stem not in ("index", *recipe_names())]
exclude_patterns = ["_build", "learn/runs", "questions/measured", *(f"learn/{page}.md" for page in pages)]
