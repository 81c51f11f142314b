"""Who may ask: token, Host header, origin; limits of a body; headers of every answer; clients that leave."""

import asyncio
import json

import pytest

pytest.importorskip("fastapi", reason="needs the extra studio")
from fastapi.testclient import TestClient

from gansmith.web import security
from gansmith.web.app import create_app
from gansmith.web.metrics import Metrics
from gansmith.web.security import Security

HOME = "http://127.0.0.1:8000"
TOKEN = "open sesame"


@pytest.fixture(scope="module")
def locked(served):
    """The application with a token, as it is served to other machines."""
    return create_app([served], token=TOKEN)


def code_of(answer) -> str:
    return answer.json()["error"]["code"]


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "localhost@evil.example", "127.0.0.2:80"]
)
def test_without_a_token_only_this_machine_is_named(client, host):
    answer = client.get("/v1/models", headers={"host": host})
    assert (answer.status_code, code_of(answer)) == (421, "web.wrong_host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]", "[::1]:8000"])
def test_names_of_this_machine(client, host):
    assert client.get("/v1/models", headers={"host": host}).status_code == 200


@pytest.mark.slow
def test_a_token_is_asked_for_everywhere_but_where_load_balancers_look(locked):
    client = TestClient(locked, base_url="http://10.1.2.3:8000")
    for path in ("/", "/static/app.js", "/v1/models", "/v1/models/plain/image.png", "/metrics", "/v1/openapi.json"):
        for given in ({}, {"authorization": "Bearer wrong"}, {"cookie": "gansmith=wrong"}, {"authorization": TOKEN}):
            answer = client.get(path, headers=given)
            assert (answer.status_code, code_of(answer)) == (401, "web.token_needed")
            assert answer.headers["www-authenticate"] == "Bearer"
    assert client.get("/v1/models?token=wrong").status_code == 401
    assert client.get("/v1/models?token=").status_code == 401
    assert client.get("/healthz").status_code == 200
    assert client.get("/v1/models", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_the_token_in_the_address_becomes_a_cookie(locked):
    client = TestClient(locked, base_url="http://10.1.2.3:8000")
    answer = client.get(f"/v1/models?token={TOKEN}&x=%22%3E1")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert TOKEN not in cookie
    assert 'url=/v1/models?x=%22%3E1"' in answer.text
    assert client.get("/v1/models").status_code == 200, "the client has the cookie now"
    client.cookies.clear()
    assert client.post(f"/v1/models/plain/latent?token={TOKEN}", json={}).status_code == 401, "links do not send"


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example/", "/%2f/evil.example"])
def test_the_way_on_leads_nowhere_else(locked, path):
    answer = TestClient(locked, base_url="http://10.1.2.3").get(f"http://10.1.2.3{path}?token={TOKEN}")
    target = answer.text.partition("url=")[2].partition('"')[0]
    assert target.startswith("/")
    assert not target.startswith(("//", "/\\"))


def test_pages_of_other_origins_send_nothing(client):
    for headers in ({"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        answer = client.post("/v1/models/plain/latent", json={}, headers=headers)
        assert (answer.status_code, code_of(answer)) == (403, "web.other_origin")
    answer = client.post("/v1/models/plain/latent", json={}, headers={"origin": HOME, "sec-fetch-site": "same-origin"})
    assert answer.status_code == 200


@pytest.mark.slow
def test_every_answer_has_the_headers(client):
    for path in ("/", "/v1/models", "/v1/models/plain/image.png", "/v1/models/no", "/nowhere"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers
        assert "no-" in headers["cache-control"], "no permalink"
    assert client.get("/", headers={"host": "evil.example"}).headers["referrer-policy"] == "no-referrer"


def test_a_body_has_a_limit(client):
    announced = client.post("/v1/models/plain/translate", content=b"x", headers={"content-length": str(10**9)})
    assert (announced.status_code, code_of(announced)) == (413, "web.body_too_large")
    nonsense = client.post("/v1/models/plain/latent", content=b"{}", headers={"content-length": "9" * 400})
    assert nonsense.status_code == 413


# --- connections, without a network ---------------------------------------------------------------------------------


def ask(app, receive, method: str = "POST", path: str = "/x") -> list[dict]:
    """Return what an ASGI application sends to a client that ``receive`` plays."""
    sent = []

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }  # fmt: skip
    asyncio.run(asyncio.wait_for(Security(app, None, Metrics())(scope, receive, send), 10))
    return sent


async def read_all(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})


def test_a_body_without_an_end_ends_the_request():
    async def endless():
        return {"type": "http.request", "body": bytes(2**16), "more_body": True}

    start, body = ask(read_all, endless)
    assert start["status"] == 413
    assert (b"connection", b"close") in start["headers"]
    assert json.loads(body["body"])["error"]["code"] == "web.body_too_large"


def test_a_body_that_does_not_arrive_ends_the_request(monkeypatch):
    monkeypatch.setattr(security, "BODY_SEC", 0.02)

    async def stuck():
        await asyncio.sleep(60)

    start, body = ask(read_all, stuck)
    assert start["status"] == 408
    assert json.loads(body["body"])["error"]["code"] == "web.slow_body"


def test_work_for_a_client_that_left_is_cancelled():
    messages = [{"type": "http.request", "body": b""}, {"type": "http.disconnect"}]
    cancelled = []

    async def receive():
        return messages.pop(0)

    async def work(scope, receive, send):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(scope["path"])
            raise

    assert ask(work, receive, "GET") == []
    assert cancelled == ["/x"]


def test_a_client_that_does_not_read_is_left(monkeypatch):
    monkeypatch.setattr(security, "SEND_SEC", 0.02)
    messages = [{"type": "http.request", "body": b""}]

    async def receive():
        if not messages:
            await asyncio.sleep(60)
        return messages.pop(0)

    async def send(message):
        if message["type"] == "http.response.body":
            await asyncio.sleep(60)

    scope = {
        "type": "http", "method": "GET", "path": "/", "raw_path": b"/", "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }  # fmt: skip
    metrics = Metrics()
    asyncio.run(asyncio.wait_for(Security(read_all, None, metrics)(scope, receive, send), 10))
    assert metrics.requests == {("other", 200): 1}
