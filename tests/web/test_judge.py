"""Judge over HTTP: the last evaluation with its meanings, a new one in a process of its own, what is refused."""

import asyncio
import shutil
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra studio")
from fastapi.testclient import TestClient

from gansmith.core.errors import GansmithError
from gansmith.evaluation.result import best_end
from gansmith.parts.metrics.base import metrics
from gansmith.parts.metrics.image_similarity import BEST
from gansmith.web import judge
from gansmith.web.app import create_app
from run_files import CLASS_SHARES, write_evaluation
from small_models import make_model

HOME = "http://127.0.0.1:8000"


@pytest.fixture
def folder(tmp_path) -> Path:
    make_model("hidden=[8]").save(tmp_path / "plain")
    return tmp_path


@pytest.fixture
def page(folder) -> TestClient:
    with TestClient(create_app([folder]), base_url=HOME) as made:
        yield made


def until(page: TestClient, done) -> dict:
    for _ in range(500):
        found = page.get("/v1/judge/plain").json()
        if done(found):
            return found
        time.sleep(0.01)
    raise AssertionError(found)


def test_the_meanings_name_the_best_value_that_the_metrics_name():
    ends = {name: end for kind in metrics.names() for name, end in metrics.get(kind).best.items()} | BEST
    ours = {name: meaning.best for name, meaning in judge.MEANINGS.items() if meaning.best and name != "fid"}
    assert ours == {name: end for name, end in ends.items() if name in ours}
    assert set(ours) == set(ends)
    assert judge.MEANINGS["fid"].best == best_end("fid10k")


@pytest.mark.slow
def test_a_model_without_an_evaluation(page):
    found = page.get("/v1/judge/plain").json()
    assert (found["evaluation"], found["pictures"], found["running_sec"], found["can_evaluate"]) == (
        None,
        [],
        None,
        True,
    )


@pytest.mark.slow
def test_an_evaluation_is_shown_with_its_meanings(page, folder):
    write_evaluation(folder / "plain")
    found = page.get("/v1/judge/plain").json()
    first = found["evaluation"]["numbers"][0]
    assert (first["name"], first["title"], first["best"], first["value"]) == (
        "fd2k_fashion_train", "Fréchet distance", "low", 3.7,
    )  # fmt: skip
    assert found["evaluation"]["classes"] == CLASS_SHARES
    assert found["pictures"] == ["real", "samples"]
    assert not found["evaluation"]["stale"]
    assert page.get("/v1/judge/plain/real.png").headers["content-type"] == "image/png"


@pytest.mark.slow
def test_an_evaluation_of_older_weights_is_called_stale(page, folder):
    write_evaluation(folder / "plain", kimg=0.5)
    assert page.get("/v1/judge/plain").json()["evaluation"]["stale"]


@pytest.mark.slow
@pytest.mark.parametrize("text", ["", "[]", "{", '{"numbers": {}}', '{"numbers": []}'])
def test_a_damaged_evaluation_is_as_none(page, folder, text):
    write_evaluation(folder / "plain")
    (folder / "plain" / "evaluation" / "evaluation.json").write_text(text)
    assert page.get("/v1/judge/plain").json()["evaluation"] is None


@pytest.mark.slow
def test_an_evaluation_runs_in_a_process_of_its_own(page, folder, monkeypatch):
    asked, may_end = [], threading.Event()

    async def child(words, timeout_sec):
        asked.append(words)
        while not may_end.is_set():
            await asyncio.sleep(0.01)
        write_evaluation(folder / "plain")
        return {}

    monkeypatch.setattr(judge, "run_child", child)
    for _ in range(2):  # a second request does not start a second one
        assert page.post("/v1/judge/plain", json={"num": 500, "on_training": True}).status_code == 202
    assert page.get("/v1/judge/plain").json()["running_sec"] is not None
    may_end.set()
    assert until(page, lambda found: found["running_sec"] is None)["evaluation"] is not None
    assert asked == [["evaluate", str(folder / "plain"), "--num", "500", "--on-training"]]


@pytest.mark.slow
def test_an_evaluation_that_fails_says_why(page, monkeypatch):
    async def child(words, timeout_sec):
        raise GansmithError("metric.no_reference", "there is no reference set")

    monkeypatch.setattr(judge, "run_child", child)
    page.post("/v1/judge/plain", json={})
    found = until(page, lambda found: found["problem"] is not None)
    assert found["problem"]["code"] == "metric.no_reference"


@pytest.mark.slow
def test_a_second_evaluation_waits_and_says_so(page, folder, monkeypatch):
    may_end = threading.Event()

    async def child(words, timeout_sec):
        while not may_end.is_set():
            await asyncio.sleep(0.01)
        return {}

    monkeypatch.setattr(judge, "run_child", child)
    shutil.copytree(folder / "plain", folder / "second")
    page.post("/v1/judge/plain", json={})
    until(page, lambda found: not found["waits"])
    while page.post("/v1/judge/second", json={}).status_code == 404:  # the list is a second old
        time.sleep(0.1)
    found = page.get("/v1/judge/second").json()
    assert (found["running_sec"], found["waits"]) == (0.0, True)
    assert page.get("/v1/judge/plain").json()["waits"] is False
    may_end.set()
    until(page, lambda found: found["running_sec"] is None)


@pytest.mark.slow
def test_an_evaluation_that_cannot_be_started_says_so(page, monkeypatch):
    async def child(words, timeout_sec):
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(judge, "run_child", child)
    page.post("/v1/judge/plain", json={})
    found = until(page, lambda found: found["problem"] is not None)
    assert found["problem"]["message"].startswith("the evaluation could not be started")
    assert "Cannot allocate memory" in found["problem"]["message"]


@pytest.mark.slow
def test_an_evaluation_can_be_stopped(page, monkeypatch):
    async def child(words, timeout_sec):
        await asyncio.sleep(60)

    monkeypatch.setattr(judge, "run_child", child)
    page.post("/v1/judge/plain", json={})
    assert page.delete("/v1/judge/plain").status_code == 204
    until(page, lambda found: found["running_sec"] is None)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"num": 1}, {"num": 10**9}, {"num": "many"}, {"path": "/etc"}])
def test_settings_out_of_range_are_refused(page, settings):
    assert page.post("/v1/judge/plain", json=settings).status_code == 422


@pytest.mark.slow
def test_an_onnx_file_cannot_be_evaluated(served, prose):
    with TestClient(create_app([served]), base_url=HOME) as page:
        assert not page.get("/v1/judge/cond").json()["can_evaluate"]
        answer = page.post("/v1/judge/cond", json={})
    assert answer.json()["error"]["code"] == "model.needs_weights"
    prose("judge of an ONNX file", answer.json()["error"]["message"])


@pytest.mark.slow
def test_a_picture_that_is_not_there(page, prose):
    answer = page.get("/v1/judge/plain/nearest.png")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "web.no_such_picture")
    prose("judge without that picture", answer.json()["error"]["message"])


@pytest.mark.slow
@pytest.mark.parametrize("path", ["nobody", "plain/secret.png", "..%2f..%2fetc", "plain/..%2fevaluation.png"])
def test_what_is_not_there_is_refused(page, path):
    assert page.get(f"/v1/judge/{path}").status_code in (404, 422)
