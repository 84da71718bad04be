"""What is refused before any route sees it, and the headers that every answer has."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS = {
    # The page needs nothing from elsewhere, and nobody needs the page in a frame.
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


class Guard:
    """Keeps pages of other sites, open in the same browser, from using this server.

    Parameters
    ----------
    app : ASGI application
    hosts : tuple of str
        Names by which the server may be addressed: a site that lets its own name point here
        (DNS rebinding) is turned away. Empty takes any.
    """

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...] = ()) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if scope["path"].startswith("/api/"):
                    headers.setdefault("cache-control", "no-store")
            await send(message)

        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        name = host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
        refusal = None
        if self._hosts and name not in self._hosts:
            refusal = (
                f"host={name!r:.80}: this server answers to {', '.join(self._hosts)}; if a proxy "
                f"leads here under another name, start it with --allow-host {name:.80}"
            )
        elif scope["path"].startswith("/api/") and headers.get("sec-fetch-site") == "cross-site":
            refusal = "site: only the server's own page may ask this."
        if refusal is None:
            await self._app(scope, receive, send_with_headers)
        else:
            await JSONResponse({"error": refusal}, 403)(scope, receive, send_with_headers)
