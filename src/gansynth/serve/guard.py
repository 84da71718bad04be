"""The one place that accepts requests: what is refused before any route sees it or a body is read.

In this order: the Host isn't this server's (DNS rebinding), another site's page asks, one client
asks too often, the token is missing. Every answer gets the headers that keep the page to itself.
"""

from __future__ import annotations

import hmac
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gansynth.serve.clients import USUAL, Limits, Rate, client_of
from gansynth.serve.hosts import LOOPBACK, plain_address, split_host

HEADERS = {
    # The page needs nothing from elsewhere, and nobody needs the page in a frame.
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "midi=(self), autoplay=(self), clipboard-write=(self), "
    "camera=(), microphone=(), geolocation=(), display-capture=(), usb=(), serial=(), payment=()",
    # The page's own requests say where they come from; nothing is told to other sites.
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
# Seconds that a browser keeps the token.
_COOKIE_AGE = 30 * 24 * 3600
_ENCODED = [(name.lower().encode(), value.encode("latin-1")) for name, value in HEADERS.items()]
_ENCODED_API = [*_ENCODED, (b"cache-control", b"no-store")]
_MOST_HEADERS = 100
_DEFAULT_PORTS = {"http": "80", "https": "443"}

_OTHER_SITE = "site: only the server's own page may ask this."
_NO_TOKEN = (
    "token: this server asks for its token; open the link that it printed when it started, or "
    "send the header 'authorization: Bearer TOKEN'."
)


class Guard:
    """Lets in whoever may use the server, and nobody else.

    Parameters
    ----------
    app : ASGI application
    hosts : tuple of str
        Names by which the server may be addressed, besides the address that a connection came
        to. Empty takes any.
    token : str or None
        What everything but the page's own files asks for; None asks for nothing.
    limits : Limits
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: tuple[str, ...] = (),
        token: str | None = None,
        limits: Limits = USUAL,
    ) -> None:
        self._app, self._hosts, self._token = app, hosts, token
        self._rate = Rate(limits.requests_per_second, limits.burst)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "no WebSockets here"})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        is_page = scope["path"] == "/" or scope["path"].startswith("/page/")
        opened = is_page and self._is_token(parse_query(scope).get("token", ""))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = list(message.get("headers", ()))
                given = {name for name, _ in answer}
                added = _ENCODED if is_page else _ENCODED_API
                answer += [pair for pair in added if pair[0] not in given]
                if opened:
                    answer.append((b"set-cookie", self._cookie(scope).encode("latin-1")))
                message = {**message, "headers": answer}
            await send(message)

        refusal = self._refusal(scope, headers, is_page)
        if refusal is None:
            await self._app(scope, receive, send_with_headers)
        else:
            status, words, more = refusal
            answer = JSONResponse({"error": words}, status, more)
            await answer(scope, receive, send_with_headers)

    def _refusal(
        self, scope: Scope, headers: Headers, is_page: bool
    ) -> tuple[int, str, dict[str, str]] | None:
        """Status, words and headers of a refusal; None lets the request in."""
        if len(headers) > _MOST_HEADERS:
            return 431, f"headers: {len(headers)} given; at most {_MOST_HEADERS} are read.", {}
        hosts = headers.getlist("host")
        name = split_host(hosts[0])[0] if len(hosts) == 1 else ""
        if self._hosts and not self._is_here(name, scope):
            words = (
                f"host={name!r:.80}: this server answers to {', '.join(self._hosts)}; if a proxy "
                f"leads here under another name, start it with --allow-host {name or 'NAME':.80}"
            )
            return 403, words, {}
        # A link from anywhere may open the page; nothing but the page may ask for the rest.
        if scope["path"] != "/" and self._is_foreign(headers, hosts[0] if hosts else ""):
            return 403, _OTHER_SITE, {}
        if not self._rate.allow(client_of(scope)):
            words = "requests: this address asks too often; wait a moment."
            return 429, words, {"retry-after": "1"}
        if not is_page and self._token is not None and not self._has_token(scope, headers):
            return 401, _NO_TOKEN, {"www-authenticate": "Bearer"}
        return None

    def _is_here(self, name: str, scope: Scope) -> bool:
        local = scope.get("server") or ("",)
        return name in self._hosts or (bool(name) and name == plain_address(str(local[0])))

    def _is_foreign(self, headers: Headers, host: str) -> bool:
        """Whether a browser says that a page of another origin asks."""
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site is not None and site not in ("same-origin", "none"):
            return True
        if origin is None or self._is_origin(origin, host):
            return False
        # Behind a proxy that passes its own name on, the browser's word has to do.
        name = _split_origin(origin)[1]
        behind_proxy = not self._hosts or (name in self._hosts and name not in LOOPBACK)
        return not (site == "same-origin" and (behind_proxy or origin == "null"))

    def _is_origin(self, address: str, host: str) -> bool:
        """Whether an address is of the same origin as the Host; https may end at a proxy."""
        (scheme, name, port), (ours, own_port) = _split_origin(address), split_host(host)
        default = _DEFAULT_PORTS.get(scheme, "")
        return bool(name) and name == ours and (port or default) == (own_port or default)

    def _has_token(self, scope: Scope, headers: Headers) -> bool:
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._is_token(given.strip()):
            return True
        cookies = cookie_parser(headers.get("cookie", ""))
        if not self._is_token(cookies.get(_cookie_name(scope), "")):
            return False
        # A cookie goes along from pages of other ports, too. Browsers that leave out
        # sec-fetch-site (no https, or old) say in one of these two which page asks.
        told = headers.get("sec-fetch-site") or headers.get("origin")
        return bool(told) or self._is_origin(headers.get("referer", ""), headers.get("host", ""))

    def _is_token(self, given: str) -> bool:
        return self._token is not None and hmac.compare_digest(
            given.encode(errors="replace"), self._token.encode()
        )

    def _cookie(self, scope: Scope) -> str:
        # Without a path, it is the page's, wherever a proxy puts it.
        secure = "; Secure" if scope.get("scheme") == "https" else ""
        return (
            f"{_cookie_name(scope)}={self._token}; Max-Age={_COOKIE_AGE}; HttpOnly; "
            f"SameSite=Strict{secure}"
        )


def parse_query(scope: Scope) -> dict[str, str]:
    """The query of a request; of a name that stands there several times, the first value."""
    try:
        query = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=100)
    except ValueError:
        return {}
    return {name: values[0] for name, values in query.items()}


def _cookie_name(scope: Scope) -> str:
    """Servers on other ports of a machine have cookies of their own."""
    port = (scope.get("server") or ("", None))[1]
    return f"gansynth-{port or 'token'}"


def _split_origin(address: str) -> tuple[str, str, str]:
    """Scheme, name and port of an address; empty where it has none."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "", "", ""
    return parts.scheme, *split_host(parts.netloc)
