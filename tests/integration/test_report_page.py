"""The report in a real browser: nothing is wider than the screen. Alone: pytest -m '' tests/integration/test_report_page.py.

It needs Chromium (Debian's package `chromium`) and is skipped without it.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.flows.command import last_json, run

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
PROBE = """<script>
const wide = [...document.querySelectorAll("body *")].filter(e => !e.closest(".scroll") && e.scrollWidth > innerWidth);
const broken = [...document.images].filter(i => i.naturalWidth === 0);
document.body.dataset.found = [innerWidth, document.documentElement.scrollWidth, wide.length, broken.length].join(" ");
</script></body>"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here; Debian's package is called chromium"),
    pytest.mark.usefixtures("prefect_engine"),
]


@pytest.mark.parametrize("width", [1280, 390])
def test_report_fits_the_screen_and_shows_its_pictures(make_recipe, tmp_path: Path, width: int):
    recipe = make_recipe("on-screen", gate={"at_least": 0.5, "non_inferiority_margin": 0.3})
    run("run", recipe)
    outcome = last_json(run("run", recipe, "--json", "--set", "training.seeds=[5]", "--no-promote"))
    page = tmp_path / "report.html"
    page.write_text(Path(outcome["report"]).read_text().replace("</body>", PROBE))

    dumped = subprocess.run(
        [
            BROWSER,
            *FLAGS,
            f"--user-data-dir={tmp_path}/profile",
            f"--window-size={width},2000",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout
    found = re.search(r'data-found="(\d+) (\d+) (\d+) (\d+)"', dumped)

    assert found
    inner, scroll, wide, broken = map(int, found.groups())
    assert scroll <= inner
    assert (wide, broken) == (0, 0)
