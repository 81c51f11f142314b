"""Settings of the site: ``make docs`` builds it into docs/_build; its pages read offline."""

import sys
from pathlib import Path

from gansmith.core.version import __version__

sys.path.insert(0, str(Path(__file__).parent))

project, author, release = "gansmith", "the gansmith authors", __version__
html_show_copyright = False
extensions = ["myst_nb", "site_parts"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # a test executes the notebook; the site shows its stored outputs
html_theme = "furo"
html_title = "gansmith"
html_theme_options = {"source_edit_link": None}
html_static_path, html_css_files = ["_static"], ["site.css"]
html_math_renderer = "mathml"
exclude_patterns = ["_build", "learn/runs", "questions/measured"]  # pages include the latter two
