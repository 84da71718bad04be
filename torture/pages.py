"""Pages of other sites, open in the browser of someone who plays: Chromium, without a window.

Each runs the same attack on the server: requests that a page may send anywhere without asking, and
attempts to read what comes back. Their visitor has the server's cookie.
"""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlencode, urlsplit

from gansynth.serve.hosts import own_addresses
from torture.clients import latent_of
from torture.serving import Running, running, small_model
from torture.table import Options, Row

EVIL = "evil.example"
# What a name is, if markup in it became markup: it says so in the page's window.
MARKUP = "<img src=x onerror=window.marked=1><script>window.marked=1</script>"

_SONG = b"MThd\0\0\0\6\0\0\0\1\1\xe0MTrk\0\0\0\x0c\0\x90<@\x60\x80<\0\0\xff/\0"  # one note
_ATTACK = """async ([server, latent, song]) => {
  const read = [];
  const wait = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));
  const within = (promise) => Promise.race([promise, wait(20)]);
  const ask = (path, options) => fetch(server + path, { credentials: "include", ...options })
    .then(async (answer) => {
      if (answer.ok) read.push(`${path}: ${(await answer.text()).slice(0, 80)}`);
    })
    .catch(() => {});
  const post = (path, body) => [
    ask(path, { method: "POST", body, mode: "no-cors" }), ask(path, { method: "POST", body })];
  const element = (name, where, path) => new Promise((done) => {
    const it = Object.assign(document.createElement(name), { onload: done, onerror: done });
    it[where] = server + path;
    document.body.append(it);
  });
  const form = (path) => {
    document.body.insertAdjacentHTML("beforeend", `<iframe name="to"></iframe>
      <form method="post" enctype="text/plain" target="to" action="${server}${path}">
      <input name='{"latent":"${latent}","name":"' value='"}'></form>`);
    document.forms[document.forms.length - 1].submit();
    return wait(1);
  };
  const note = `/api/notes/${latent}/60`;
  await Promise.all([
    ...post(`/api/renders?latent=${latent}`, Uint8Array.from(song, (one) => one.charCodeAt(0))),
    ...post("/api/exports", JSON.stringify({ latent, name: "a" })),
    ...post("/api/instruments/random", '{"count": 1}'),
    ...["/api/model", "/openapi.json", note, `/api/sidecars/${latent}`].map((path) => ask(path)),
    ...["/api/model", note].map((path) => ask(path, { mode: "no-cors" })),
    element("img", "src", `/api/rainbowgrams/${latent}/60`),
    element("img", "src", `/api/notes/${latent}/61`),
    element("audio", "src", `/api/notes/${latent}/62`),
    element("script", "src", "/api/model"),
    form("/api/exports"),
    form(`/api/renders?latent=${latent}`),
  ].map(within));
  return read;
}"""


def run(options: Options) -> Iterator[Row]:
    """Let pages attack a server that others reach, and one for this machine alone."""
    from playwright.sync_api import sync_playwright

    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    if browser_path is None:
        yield Row("hostile pages", 0, [], "left out: no Chromium on the PATH")
        return
    model = small_model(options.scratch)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=browser_path,
            args=["--no-sandbox", f"--host-resolver-rules=MAP {EVIL} 127.0.0.1"],
        )
        for host in ("0.0.0.0", "127.0.0.1"):
            with running(model, options.scratch, "--host", host) as server:
                for words, failures in attacks(browser, server):
                    yield Row(f"{words}, --host {host}", 1, failures)
                yield Row(f"markup as names, --host {host}", 3, names_as_markup(browser, server))
                code, errors = server.end()
                printed = [errors] if code or errors else []
                yield Row(f"what the server printed, --host {host}", 1, printed)
        browser.close()


def attacks(browser: Any, server: Running) -> Iterator[tuple[str, list[str]]]:
    """The attack from every kind of page: what it is, and what it got."""
    with other_server() as port:
        places = {
            "a page of another site": (f"http://{EVIL}:{port}", server.address),
            "a page on another port": (f"http://127.0.0.1:{port}", server.address),
            "a name that leads here (DNS rebinding)": (f"http://{EVIL}:{server.port}",) * 2,
        }
        for own in own_addresses(socket.AF_INET)[:1] if server.token else []:
            places["a page on another port, in the network"] = (
                f"http://{own}:{port}",
                f"http://{own}:{server.port}",
            )
        for words, (place, target) in places.items():
            yield words, attack(browser, server, place, target)


def attack(browser: Any, server: Running, place: str, target: str) -> list[str]:
    """What a page at `place` gets from the server at `target` that it shouldn't have."""
    context = browser.new_context()
    visited = target if urlsplit(target).hostname != EVIL else server.address
    home = context.new_page()
    home.goto(f"{visited}/{'?token=' if server.token else ''}{server.token}")
    until(home, "document.title.includes('gansynth') && document.title.length > 8")
    home.close()
    page = context.new_page()
    # Playwright tells no status of answers that the browser keeps from the page; the protocol does.
    asked: dict[str, dict[str, str]] = {}
    statuses: dict[str, int] = {}
    protocol = context.new_cdp_session(page)
    protocol.on(
        "Network.requestWillBeSent", lambda it: asked.update({it["requestId"]: it["request"]})
    )
    protocol.on(
        "Network.responseReceivedExtraInfo",
        lambda it: statuses.update({it["requestId"]: it["statusCode"]}),
    )
    protocol.send("Network.enable")
    # The browser would keep a page that Playwright makes up from this machine. Behind a rebound
    # name the server's refusal is the page; the script runs in its place all the same.
    page.goto(f"{place}/attack")
    given = [target, latent_of(server), _SONG.decode("latin-1")]
    found = [f"read {text}" for text in page.evaluate(_ATTACK, given)]
    answered = 0
    for key, request in asked.items():
        at = urlsplit(request["url"])
        if at.port == server.port and at.path not in ("/", "/attack"):
            answered += key in statuses
            if statuses.get(key, 400) < 400:
                found.append(f"{request['method']} {at.path[:60]}: {statuses[key]}")
    if answered < 10:
        found.append(f"only {answered} requests of the attack were answered")
    # A page that only shows ours in a frame, to have it clicked.
    page.evaluate(
        "(server) => { document.body.innerHTML = `<iframe src='${server}/'></iframe>`; }", target
    )
    page.wait_for_timeout(1000)
    framed = [one for one in page.frames[1:] if one.url.startswith(target)]
    found += ["the page in a frame" for one in framed if one.query_selector("#piano")]
    context.close()
    found += [f"a rendering: {one}" for one in server.folder.rglob("jobs/*")]
    return found


def names_as_markup(browser: Any, server: Running) -> list[str]:
    """Where markup in the name of a link, of a sound or of a file became markup."""
    context = browser.new_context()
    page = context.new_page()
    latent = latent_of(server)
    failures = []

    def check(where: str) -> None:
        page.wait_for_timeout(500)
        if page.evaluate("window.marked"):
            failures.append(where)

    page.goto(f"{server.link}#{urlencode({'name': MARKUP, 'latent': latent})}")
    until(page, "document.querySelector('#name').value.length > 0")
    check("the name in a link")
    if "token=" in page.url:
        failures.append("the token stays in the address")
    answer = page.evaluate(
        "(path) => fetch(path).then((it) => it.json())", f"api/sidecars/{latent}"
    )
    sidecar = json.dumps({**answer, "name": MARKUP})
    file = {"name": f"{MARKUP}.json", "mimeType": "application/json", "buffer": sidecar.encode()}
    page.set_input_files("#import", file)
    until(page, "document.querySelector('#kept').children.length > 0")
    check("the name of an imported sound")
    for buffer, where in ((_SONG, "a file's name"), (b"MThd", "a broken file's name")):
        file = {"name": f"{MARKUP}.mid", "mimeType": "audio/midi", "buffer": buffer}
        page.set_input_files("#midi-file", file)
        page.wait_for_timeout(2000)
        check(where)
    context.close()
    return failures


def until(page: Any, script: str, seconds: float = 60) -> None:
    """Wait until a script is true; the page's policy forbids Playwright's own way to wait."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(script):
        if time.monotonic() > deadline:
            raise TimeoutError(script)
        page.wait_for_timeout(100)


_PAGE = "<!doctype html><meta name=referrer content=no-referrer><title>evil</title><body></body>"


@contextmanager
def other_server() -> Iterator[int]:
    """Another server on this machine, whose every page is the attacker's; gives its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(_PAGE.encode())

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("0.0.0.0", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join(10)
