"""The application as a whole: its page, its schema, and a process without torch."""

import json
import re
import subprocess
import sys
import urllib.request

import pytest

pytest.importorskip("fastapi", reason="needs the extra studio")
from fastapi.testclient import TestClient

from gansmith.web.app import create_app

HOME = "http://127.0.0.1:8000"


@pytest.mark.slow
def test_the_page_and_its_files(client):
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    for file in re.findall(r'(?:src|href)="(static/[^"]+)"', page.text):
        assert client.get(f"/{file}").status_code == 200
    for path in ("/static/", "/static/nothing.js", "/static/../app.py", "/static/%2e%2e/app.py", "/docs"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "web.not_found"


@pytest.mark.slow
def test_the_schema_names_the_bounds(client):
    schema = client.get("/v1/openapi.json").json()
    assert schema["openapi"].startswith("3.")
    image = schema["paths"]["/v1/models/{model}/image.png"]["get"]
    bounds = {each["name"]: each["schema"] for each in image["parameters"]}
    assert bounds["truncation"]["anyOf"][0]["exclusiveMinimum"] == 0
    assert bounds["seeds"]["pattern"].startswith("^")
    assert {"/healthz", "/readyz", "/metrics", "/v1/models/{model}/walk.{form}"} <= set(schema["paths"])


@pytest.mark.slow
def test_serve_has_the_models_alone(served):
    with TestClient(create_app([served / "cond.onnx"], page=False), base_url=HOME) as client:
        assert [each["id"] for each in client.get("/v1/models").json()] == ["cond"]
        assert client.get("/v1/models/cond/image.png").status_code == 200
        for path in ("/", "/static/app.js", "/v1/runs", "/v1/learn/presets", "/v1/judge/cond"):
            assert client.get(path).status_code == 404
        assert client.get("/readyz").json() == {"status": "ready"}


def test_details_of_models(client):
    plain = client.get("/v1/models/plain").json()
    assert (plain["method"], plain["size"], plain["latent_dim"], plain["preparing"]) == ("latent", [8, 8], 4, False)


@pytest.mark.slow
def test_details_of_models_of_images(client_of_all):
    up = client_of_all.get("/v1/models/up").json()
    assert (up["method"], up["scale"], up["takes_mask"]) == ("upscaler", 2, False)
    assert client_of_all.get("/v1/models/colorize").json()["method"] == "translator"


def test_numbers_for_prometheus(client):
    client.get("/v1/models/plain/image.png?seeds=5")
    client.get("/v1/models/no/image.png")
    text = client.get("/metrics").text
    for line in text.splitlines():
        assert re.fullmatch(r"# (HELP|TYPE) \w+ .+|\w+(\{.*\})? [\d.e+-]+", line), line
    found = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    route = "/v1/models/{model}/image.png"
    assert float(found[f'gansmith_requests_total{{route="{route}",status="200"}}']) >= 1
    assert float(found[f'gansmith_requests_total{{route="{route}",status="404"}}']) >= 1
    assert found['gansmith_request_seconds_bucket{le="+Inf"}'] == found["gansmith_request_seconds_count"]
    assert float(found["process_resident_memory_bytes"]) > 10**7


SERVER = """
import os, sys, threading, urllib.request, json
from gansmith.web import serving
class Ready(serving.PatientProtocol):
    pass
import uvicorn
started = uvicorn.Server.startup
async def startup(self, sockets=None):
    await started(self, sockets)
    threading.Thread(target=ask, args=(sockets[0].getsockname()[1],), daemon=True).start()
def ask(port):
    home = f"http://127.0.0.1:{port}"
    first = urllib.request.urlopen(f"{home}/v1/models/cond/image.png?seeds=3").read()
    for path in ("/", "/v1/models", "/v1/models/cond/grid.png", "/v1/runs", "/v1/learn/presets", "/v1/judge/cond"):
        urllib.request.urlopen(home + path).read()
    mib = [memory()]
    for number in range(600):
        what = {9: "grid.png?seeds={}", 19: "strip.png?at=seeds%3D{}", 29: "no.png?{}"}
        what = what.get(number % 30, "image.png?seeds={}")
        model = ("cond", "plain")[number % 3 == 0]
        try:
            urllib.request.urlopen(f"{home}/v1/models/{model}/{what.format(number)}").read()
        except urllib.error.HTTPError as refused:
            refused.read()
        mib += [memory()] if number % 200 == 199 else []
    print(json.dumps({"torch": "torch" in sys.modules, "png": first[:4].hex(), "mib": mib}), flush=True)
    os._exit(0)
def memory():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 // 2**20 if os.path.exists("/proc") else 0
uvicorn.Server.startup = startup
serving.serve(serving.ServeOptions((sys.argv[1],), port=0))
"""


@pytest.mark.slow
def test_the_server_draws_without_torch_and_in_little_memory(served_all):
    done = subprocess.run([sys.executable, "-c", SERVER, str(served_all)], capture_output=True, text=True, timeout=120)
    told = json.loads(done.stdout)
    assert told["torch"] is False
    assert told["png"] == "89504e47"
    before, *_, later, last = told["mib"]
    assert before < 300
    assert last - later < 8, "memory grows under mixed load"


@pytest.mark.slow
def test_workers_answer_alike(served):
    command = [sys.executable, "-m", "gansmith", "serve", str(served / "cond.onnx"), "--workers", "2", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            home = re.search(r"at (http\S+)/", server.stderr.readline())[1]
            url = f"{home}/v1/models/cond/image.png?seeds=3"
            assert len({urllib.request.urlopen(url).read() for _ in range(8)}) == 1
        finally:
            server.terminate()


@pytest.mark.parametrize("query", ["n=1000000000", "n=-1", "n=NaN", "seeds=3&truncatoin=0.5", "seeds=0-3&=1"])
def test_a_parameter_that_a_route_does_not_take_is_refused(client, query):
    answer = client.get(f"/v1/models/plain/grid.png?{query}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "web.unknown_parameter")


@pytest.mark.slow
def test_schemathesis_finds_nothing(served_all):
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis.checks import CHECKS

    app, host = create_app([served_all], page=False), {"host": "127.0.0.1"}
    schema = schemathesis.openapi.from_asgi("/v1/openapi.json", app, headers=host)
    schema = schema.exclude(path_regex="invert|refresh")
    # Not positive_data_acceptance: whether numbers fit depends on the model and on each other.
    checks = CHECKS.get_by_names(
        [
            "not_a_server_error",
            "status_code_conformance",
            "content_type_conformance",
            "response_schema_conformance",
            "response_headers_conformance",
            "negative_data_rejection",
            "unsupported_method",
        ]
    )
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=6, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy())
        def check(case):
            case.call_and_validate(headers=host, checks=checks)

        check()
