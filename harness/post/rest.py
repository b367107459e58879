"""JSON over HTTP, as a REST API with tokens, pages and limits wants it (Patchwork's: docs/api/rest of its source).

A redirect is an error: followed, it would carry the token to another host, or turn a POST into a GET that changes
nothing. A token goes over TLS only, unless to this machine. What a server puts off (429, 5xx) or a connection that is
lost is tried again, with growing pauses, or those that the server asks for.
"""

from __future__ import annotations

import email.utils
import functools
import http.client
import ipaddress
import json
import re
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from harness import __version__
from harness.errors import KtrialError, MachineLost, UsageError
from harness.report import safe

__all__ = ["PutOff", "Rest", "Retry"]

T = TypeVar("T")

_BUSY = (429, 500, 502, 503, 504)
_LARGEST = 64 << 20
_PAGES = 1000
_NEXT = re.compile(r'<([^>]*)>\s*;[^,]*\brel="?next\b')


class PutOff(MachineLost):
    """The server is busy, or the connection was lost. wait: seconds that the server asks for; None for as one likes."""

    def __init__(self, summary: str, wait: float | None = None) -> None:
        super().__init__(summary, hint="try again later")
        self.wait = wait


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Not followed: it becomes an HTTPError."""


@dataclass
class Retry:
    """How long a busy server is waited for. patience: seconds in all, over all requests. sleep: for tests."""

    patience: float = 120.0
    first: float = 1.0
    longest: float = 60.0
    sleep: Callable[[float], None] = time.sleep

    def call(self, action: Callable[[], T]) -> T:
        """What `action` returns, tried again while it raises PutOff and patience lasts."""
        pause = self.first
        while True:
            try:
                return action()
            except PutOff as error:
                wait = pause if error.wait is None else max(error.wait, 0.1)
                if wait > self.patience:
                    raise
                self.patience -= wait
                self.sleep(wait)
                pause = min(2 * pause, self.longest)


@dataclass(frozen=True)
class Rest:
    """A server's API. root: its URL, ending in a slash. token: "" for none, and never shown. ca_file: "" for the
    system's certificates. timeout: seconds for an answer."""

    root: str
    token: str = field(default="", repr=False)
    ca_file: str = ""
    timeout: float = 30.0
    retry: Retry = field(default_factory=Retry)

    def __post_init__(self) -> None:
        parts = urllib.parse.urlsplit(self.root)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise UsageError(f"{safe.line(self.root, 200)} is no URL of a server", hint="https://patchwork.example.org")
        if parts.scheme == "http" and self.token and not _is_this_machine(parts.hostname):
            raise UsageError(f"{self.root}: a token is not sent without TLS", hint="name the server with https://")

    def get(self, path: str, **query: str) -> Any:
        """The JSON at a path. Raises UsageError where the server refuses, MachineLost where it stays away."""
        return self.retry.call(lambda: self._ask("GET", self._url(path, query))[0])

    def pages(self, path: str, **query: str) -> Iterator[Any]:
        """The items of a list, page by page (RFC 8288: Link with rel="next")."""
        for _ in range(_PAGES):
            url = self._url(path, query)
            items, link = self.retry.call(functools.partial(self._ask, "GET", url))
            if not isinstance(items, list):
                raise UsageError(f"{url}: the answer is no list")
            yield from items
            following = _NEXT.search(link)
            if following is None:
                return
            # Of the link only its query is taken: behind a proxy its host can be another, which gets no token of ours.
            query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(following[1]).query))
        raise UsageError(f"{self.root}{path}: its pages do not end")

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The server's JSON answer to a POST, tried once: who calls knows how to tell whether it was done."""
        return self._ask("POST", self._url(path, {}), json.dumps(body).encode())[0]

    def _url(self, path: str, query: Mapping[str, str]) -> str:
        return f"{self.root}{path}{'?' if query else ''}{urllib.parse.urlencode(query)}"

    def _ask(self, method: str, url: str, data: bytes | None = None) -> tuple[Any, str]:
        """The answer's JSON and its Link header."""
        request = urllib.request.Request(url, data=data, method=method, headers=self._headers(data))
        try:
            with self._opener.open(request, timeout=self.timeout) as answer:
                content = answer.read(_LARGEST + 1)
                link = ", ".join(answer.headers.get_all("Link") or ())
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(method, url, error) from None
        except (OSError, http.client.HTTPException) as error:
            raise _unreached(url, error) from None
        return _decoded(url, content), link

    @functools.cached_property
    def _opener(self) -> urllib.request.OpenerDirector:
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(f"ca_file {self.ca_file} cannot be used: {error}") from None
        return urllib.request.build_opener(_NoRedirect, urllib.request.HTTPSHandler(context=context))

    def _headers(self, data: bytes | None) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": f"ktrial/{__version__}"}
        headers |= {"Authorization": f"Token {self.token}"} if self.token else {}
        return headers | ({"Content-Type": "application/json"} if data is not None else {})


def _refusal(method: str, url: str, error: urllib.error.HTTPError) -> KtrialError:
    """The error for an answer that is no success."""
    said = _said(error)
    if error.code in _BUSY:
        return PutOff(f"{method} {url}: {error.code} {error.reason}", _retry_after(error.headers.get("Retry-After")))
    if 300 <= error.code < 400:
        place = safe.line(error.headers.get("Location") or "another place", 300)
        return UsageError(f"{method} {url}: redirected to {place}", hint="name the server by its final URL")
    hint = ""
    if error.code in (401, 403):
        hint = "is the token right, and may its user create checks? (the permission patchwork.add_check)"
    return UsageError(f"{method} {url}: {error.code} {safe.line(str(error.reason), 100)}", detail=said, hint=hint)


def _said(error: urllib.error.HTTPError) -> str:
    """What the server says of it; a page of HTML says nothing."""
    try:
        content = error.read(20_000).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return ""
    return "" if "html" in (error.headers.get("Content-Type") or "") else content[:2000]


def _unreached(url: str, error: Exception) -> KtrialError:
    reason = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLCertVerificationError):
        return UsageError(
            f"{url}: its certificate is not trusted ({reason.verify_message})",
            hint="ca_file names other certificates to trust",
        )
    return PutOff(f"{url}: {safe.line(str(reason), 300) or type(reason).__name__}")


def _decoded(url: str, content: bytes) -> Any:
    if len(content) > _LARGEST:
        raise UsageError(f"{url}: the answer is larger than {_LARGEST >> 20} MiB")
    try:
        return json.loads(content)
    except ValueError:
        raise UsageError(f"{url}: the answer is no JSON", hint="is this the server's API?") from None


def _retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header (RFC 9110, 10.2.3): a number, or a date."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value.strip())
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
