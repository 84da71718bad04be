"""Who may use a server that others reach: real requests to a real process, without and with its
token, under its own name and others'.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from gansynth.serve.guard import HEADERS
from gansynth.serve.hosts import known_names
from torture.serving import Running, running

TOKEN = "a-token-for-tests"
NOT_THE_PAGE = "site: only the server's own page may ask this."


@pytest.fixture(scope="module")
def server(toy_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    options = ("--host", "0.0.0.0", "--token", TOKEN, "--allow-host", "Hub.example")
    with running(toy_model, tmp_path_factory.mktemp("open"), *options) as it:
        yield it
        assert it.end() == (0, "")


def ask(server: Running, path: str, method: str = "GET", **headers: Any) -> Any:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    with httpx.Client(base_url=server.address, timeout=60) as client:
        return client.request(method, path, headers=sent)


def known(server: Running, path: str, method: str = "GET", **headers: Any) -> Any:
    return ask(server, path, method, authorization=f"Bearer {TOKEN}", **headers)


def refused(answer: Any, status: int, words: str) -> None:
    assert (answer.status_code, answer.json()) == (status, {"error": words}), answer.text


def test_the_link_has_the_token(server: Running) -> None:
    assert server.link == f"{server.address}/?token={TOKEN}"
    for place in known(server, "/api/model").json()["addresses"]:
        assert place.endswith(f":{server.port}/?token={TOKEN}")


@pytest.mark.parametrize(
    ("path", "method"),
    [("/api/model", "GET"), ("/api/renders", "POST"), ("/api/exports", "POST"),
     ("/api/notes/x/60", "GET"), ("/openapi.json", "GET"), ("/api/none", "GET")],
)  # fmt: skip
def test_nothing_is_played_without_the_token(server: Running, path: str, method: str) -> None:
    for headers in (
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": b"Bearer \xff\xfe"},
        {"cookie": f"gansynth-{server.port}=wrong"},
    ):
        answer = ask(server, path, method, sec_fetch_site="same-origin", **headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["error"].startswith("token: this server asks for its token; open the")
    assert known(server, path, method).status_code != 401


def test_the_page_keeps_the_token_in_a_cookie(server: Running) -> None:
    answer = ask(server, f"/?token={TOKEN}")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"gansynth-{server.port}={TOKEN}; ")
    for part in ("HttpOnly", "SameSite=Strict", "Max-Age"):
        assert part in cookie
    assert "Secure" not in cookie  # a browser wouldn't send it back without https
    given = cookie.partition(";")[0]
    # Asked by the page, as browsers with and without sec-fetch-site tell it.
    for told in (
        {"sec_fetch_site": "same-origin"},
        {"origin": server.address},
        {"referer": f"{server.address}/"},
    ):
        assert ask(server, "/api/model", cookie=given, **told).status_code == 200
    # A page on another port of this machine has the cookie too, and may keep silent.
    assert ask(server, "/api/model", cookie=given).status_code == 401
    elsewhere = f"http://127.0.0.1:{server.port + 1}/"
    assert ask(server, "/api/model", cookie=given, referer=elsewhere).status_code == 401
    for wrong in ("/?token=wrong", "/"):
        answer = ask(server, wrong)
        assert answer.status_code == 200  # the page, which says that it needs the link
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize(
    ("path", "method"),
    [("/api/renders", "POST"), ("/api/exports", "POST"), ("/api/model", "GET"),
     ("/openapi.json", "GET"), ("/page/main.js", "GET")],
)  # fmt: skip
def test_pages_of_other_sites_and_ports_are_refused(
    server: Running, site: str, path: str, method: str
) -> None:
    refused(known(server, path, method, sec_fetch_site=site), 403, NOT_THE_PAGE)
    assert ask(server, "/", sec_fetch_site=site).status_code == 200  # a link to the page


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://[", "garbage", ""]
)
def test_another_origin_is_refused(server: Running, origin: str) -> None:
    refused(known(server, "/api/model", origin=origin), 403, NOT_THE_PAGE)


def test_the_own_origin_is_let_in(server: Running) -> None:
    assert known(server, "/api/model", origin=server.address).status_code == 200
    # Behind a proxy that ends https and passes its name on, or passes on ours instead.
    hub = {"origin": "https://hub.example", "sec_fetch_site": "same-origin"}
    assert known(server, "/api/model", host="hub.example", **hub).status_code == 200
    assert known(server, "/api/model", **hub).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "10.255.255.1", "[::2]:8000"])
def test_a_foreign_name_reads_nothing(server: Running, host: str) -> None:
    for path in ("/", "/api/model", "/page/main.js", "/openapi.json"):
        answer = known(server, path, host=host)
        assert answer.status_code == 403
        assert "this server answers to 127.0.0.1, localhost, ::1, " in answer.json()["error"]
        assert "--allow-host " in answer.json()["error"]


def test_the_machines_own_names_are_let_in(server: Running) -> None:
    import socket

    for host in ("127.0.0.1", "LOCALHOST:8000", "hub.example", f"{socket.gethostname()}.:80"):
        assert known(server, "/api/model", host=host).status_code == 200


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [("/", {}, 200), ("/page/main.js", {}, 200), ("/api/model", {}, 401), ("/none", {}, 401),
     ("/page/none", {}, 404), ("/", {"host": "evil.example"}, 403)],
)  # fmt: skip
def test_every_answer_keeps_the_page_to_itself(
    server: Running, path: str, headers: dict[str, str], status: int
) -> None:
    answer = ask(server, path, **headers)
    assert answer.status_code == status
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["x-frame-options"] == "DENY"
    assert "midi=(self)" in answer.headers["permissions-policy"]


@pytest.mark.parametrize("token", ["short", "with space", "ü" * 10, "a" * 129, ""])
def test_a_token_that_cant_be_one(run_cli: Any, toy_model: Path, token: str) -> None:
    result = run_cli("serve", "--model", toy_model, "--port", 0, "--token", token)
    assert result.code == 2
    assert result.err == (
        "error: --token: must be 8 to 128 letters, digits, '-' and '_', so that it fits into a "
        "link and nobody guesses it.\n"
    )


def test_own_addresses_are_names_in_one_notation() -> None:
    names = known_names((), {}, own=["192.168.1.5", "fe80::1%eth0", "2001:DB8::1"])
    assert names[3:] == ("192.168.1.5", "fe80::1", "2001:db8::1")
