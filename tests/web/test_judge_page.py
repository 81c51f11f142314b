"""The place Judge in Chromium and Firefox: numbers with their meanings, pictures, A against B, a failed evaluation."""

import numpy as np
import pytest

from browsers import DESKTOP, PHONE, sideways, until, violations
from gansmith.imaging.images import save_png
from run_files import write_evaluation
from small_models import make_model

pytestmark = pytest.mark.slow
GOOD = "Good, compared with the images that it was trained on: it has variety."
SHORT = "It falls short, compared with the images that it was trained on: it lacks variety (only 20% of real images"


@pytest.fixture(scope="module")
def studio(tmp_path_factory, start_studio) -> str:
    folder = tmp_path_factory.mktemp("judged")
    for name, values in (("good", {}), ("short", {"coverage2k_fashion_train": 0.2, "fd2k_fashion_train": 3.71})):
        make_model("hidden=[8]").save(folder / name)
        write_evaluation(folder / name, **values)
        save_png(np.zeros((8, 32, 1), np.uint8), folder / name / "evaluation" / "nearest.png")
    return start_studio(folder)


@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "light"), (DESKTOP, "dark")], ids=["phone", "desktop"])
def test_a_model_is_judged_and_set_against_another(studio, open_page, size, scheme):
    page = open_page(f"{studio}#/judge/good", size, scheme)
    page.get_by_text(GOOD).wait_for()
    row = page.get_by_role("row").filter(has_text="Coverage")
    assert "0.8\n± 0.01" in row.inner_text()
    assert "How many real images have a sample like them?" in row.inner_text()
    for name in ("64 real images", "64 images that the model made", "Samples and their nearest training images"):
        until(page, f"""document.querySelector('img[alt="{name}"]').naturalWidth > 0""")
    shares = page.get_by_role("row", name="light")
    assert shares.inner_text().split() == ["light", "missing", "samples:", "0.0", "%", "real", "images:", "50.0", "%"]
    assert violations(page) == []
    assert sideways(page) == 0

    page.get_by_label("Against (B)").select_option("short")
    page.get_by_text("A is better in 1 numbers, B in 0; in 1 the difference may be chance.", exact=False).wait_for()
    page.get_by_text(SHORT, exact=False).wait_for()
    assert page.get_by_role("row").filter(has_text="Fréchet").get_by_text("even", exact=True).is_visible()
    page.get_by_alt_text("64 images that model B made").wait_for()
    assert page.url.endswith("#/judge/good?against=short")
    assert violations(page) == []
    assert sideways(page) == 0


def test_an_evaluation_that_cannot_be_made_says_why_and_keeps_the_last_one(studio, open_page):
    page = open_page(f"{studio}#/judge/good")
    page.get_by_text("Evaluate again").click()
    page.get_by_label("Images", exact=True).select_option("500")
    page.get_by_role("button", name="Evaluate", exact=True).click()
    page.get_by_text("Measuring since", exact=False).wait_for()
    page.get_by_role("alert").wait_for()  # a model folder alone has no real images to compare with
    assert "there is no reference set" in page.get_by_role("alert").inner_text()
    assert page.get_by_text(GOOD).is_visible()


def test_the_sentence_on_a_model_stands_in_firefox(studio, firefox):
    firefox.open(f"{studio}#/judge/short")
    said = firefox.wait("return document.querySelector('p.notice')?.innerText")
    assert said.startswith(SHORT)
    firefox.wait("return document.querySelector('img.nearest')?.naturalWidth > 0")
    assert firefox.run("return document.documentElement.scrollWidth <= document.documentElement.clientWidth")
