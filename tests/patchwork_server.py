"""A server that speaks the part of Patchwork's REST API that is used, by its documentation and schema (API 1.2).

Checks are kept and never changed, listed by id in pages with a Link header, made by users with a token and the
permission to; fields are validated as the schema has them.
"""

from __future__ import annotations

import contextlib
import json
import re
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

TOKEN = "0123456789abcdef0123456789abcdef01234567"
STATES = ("pending", "success", "warning", "fail")
_CHECKS = re.compile(r"/api/1\.2/patches/(\d+)/checks/")
_SERIES = re.compile(r"/api/1\.2/series/(\d+)/")


@dataclass
class Failure:
    """What the server answers instead. before: nothing is done then; else it is done, and this is the answer."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    before: bool = True
    body: str = "{}"


@dataclass
class Patchwork:
    """What is in it. users: tokens, names and whether they may create checks. failures: for requests to come."""

    series: dict[int, dict[str, Any]] = field(default_factory=dict)
    checks: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    users: dict[str, tuple[str, bool]] = field(default_factory=lambda: {TOKEN: ("ktrial", True)})
    failures: list[Failure | None] = field(default_factory=list)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    page: int = 30
    root: str = ""

    def add_series(self, number: int, patches: dict[int, tuple[str, str]]) -> None:
        """patches: message id and name by the patch's number."""
        self.series[number] = {
            "id": number,
            "url": f"{self.root}/api/1.2/series/{number}/",
            "name": "a series",
            "version": 1,
            "total": len(patches),
            "received_all": True,
            "cover_letter": None,
            "patches": [
                {"id": each, "url": f"{self.root}/api/1.2/patches/{each}/", "msgid": msgid, "name": name}
                for each, (msgid, name) in patches.items()
            ],
        }
        for each in patches:
            self.checks.setdefault(each, [])

    def add_check(self, patch: int, user: str, **fields: Any) -> dict[str, Any]:
        number = sum(map(len, self.checks.values())) + 1
        made = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number)
        check = {
            "id": number,
            "url": f"{self.root}/api/1.2/patches/{patch}/checks/{number}/",
            "user": {"id": 1, "username": user, "email": f"{user}@example.org"},
            "date": made.replace(tzinfo=None).isoformat(),
            "state": fields["state"],
            "target_url": fields.get("target_url"),
            "context": fields.get("context", "default"),
            "description": fields.get("description"),
        }
        self.checks[patch].append(check)
        return check

    def shown(self, patch: int) -> dict[tuple[str, str], str]:
        """The state of each user's context that counts: the newest."""
        return {(each["user"]["username"], each["context"]): each["state"] for each in self.checks[patch]}

    def combined(self, patch: int) -> str:
        states = set(self.shown(patch).values())
        return next(
            (state for state in ("fail", "warning", "pending") if state in states), "success" if states else "pending"
        )

    @property
    def posts(self) -> int:
        return sum(method == "POST" for method, _, _ in self.requests)


@contextlib.contextmanager
def serving(patchwork: Patchwork, certificate: Path | None = None) -> Iterator[str]:
    """The server's URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(patchwork))
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    patchwork.root = f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield patchwork.root
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(patchwork: Patchwork) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        state = patchwork

    return Handler


class _Handler(BaseHTTPRequestHandler):
    state: Patchwork
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Quietly."""

    def do_GET(self) -> None:
        failure = self._begin()
        if failure and failure.before:
            return self._fail(failure)
        parts = urlsplit(self.path)
        if found := _SERIES.fullmatch(parts.path):
            series = self.state.series.get(int(found[1]))
            return self._answer(200, series) if series else self._answer(404, {"detail": "Not found."})
        if found := _CHECKS.fullmatch(parts.path):
            return self._list(int(found[1]), parse_qs(parts.query))
        return self._answer(404, {"detail": "Not found."})

    def do_POST(self) -> None:
        failure = self._begin()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if failure and failure.before:
            return self._fail(failure)
        found = _CHECKS.fullmatch(urlsplit(self.path).path)
        if not found or int(found[1]) not in self.state.checks:
            return self._answer(404, {"detail": "Not found."})
        user = self._user()
        if user is None:
            return None
        if self.headers.get("Content-Type") != "application/json":
            return self._answer(415, {"detail": "Unsupported media type."})
        fields = json.loads(body)
        if errors := _errors(fields):
            return self._answer(400, errors)
        check = self.state.add_check(int(found[1]), user, **fields)
        return self._fail(failure) if failure else self._answer(201, check)

    def _begin(self) -> Failure | None:
        self.state.requests.append((self.command, self.path, dict(self.headers.items())))
        return self.state.failures.pop(0) if self.state.failures else None

    def _user(self) -> str | None:
        kind, _, token = (self.headers.get("Authorization") or "").partition(" ")
        if not kind:
            return self._answer(403, {"detail": "You do not have permission to perform this action."})
        if kind != "Token" or token not in self.state.users:
            return self._answer(401, {"detail": "Invalid token."})
        name, may = self.state.users[token]
        return name if may else self._answer(403, {"detail": "You do not have permission to perform this action."})

    def _list(self, patch: int, query: dict[str, list[str]]) -> None:
        if patch not in self.state.checks:
            return self._answer(404, {"detail": "Not found."})
        wanted = {name: values[-1] for name, values in query.items()}
        user = wanted.get("user", "").casefold()
        makers = {check["user"]["username"].casefold() for checks in self.state.checks.values() for check in checks}
        if user and user not in makers | {name.casefold() for name, _ in self.state.users.values()}:
            return self._answer(400, {"user": [f"“{user}” is not a valid value."]})
        found = [
            each
            for each in self.state.checks[patch]
            if user in ("", each["user"]["username"].casefold())
            and wanted.get("context") in (None, each["context"])
            and wanted.get("state") in (None, each["state"])
        ]
        size = min(int(wanted.get("per_page", self.state.page)), self.state.page)
        number = int(wanted.get("page", 1))
        pages = max(1, -(-len(found) // size))
        if not 1 <= number <= pages:
            return self._answer(404, {"detail": "Invalid page."})
        path = urlsplit(self.path).path
        links = [
            f'<{self.state.root}{path}?{urlencode({**wanted, "page": at})}>; rel="{name}"'
            for name, at in (("next", number + 1), ("prev", number - 1))
            if 1 <= at <= pages
        ]
        return self._answer(
            200, found[(number - 1) * size : number * size], {"Link": ", ".join(links)} if links else {}
        )

    def _answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        self._send(status, "application/json", json.dumps(body), headers or {})

    def _fail(self, failure: Failure) -> None:
        if failure.status == 0:
            self.close_connection = True
            self.connection.close()
            return
        self._send(failure.status, "text/html", failure.body, failure.headers)

    def _send(self, status: int, kind: str, text: str, headers: dict[str, str]) -> None:
        content = text.encode()
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def _errors(fields: Any) -> dict[str, list[str]]:
    """What the schema of CheckCreate does not allow."""
    if not isinstance(fields, dict):
        return {"non_field_errors": ["Invalid data."]}
    errors = {}
    if fields.get("state") not in STATES:
        errors["state"] = ["A check must have a state."]
    if not re.fullmatch(r"[-a-zA-Z0-9_]{1,255}", fields.get("context", "default")):
        errors["context"] = ["Enter a valid slug."]
    url = fields.get("target_url")
    if url is not None and (len(url) > 200 or not re.fullmatch(r"https?://[^\s/]+/?\S*", url)):
        errors["target_url"] = ["Enter a valid URL."]
    if not isinstance(fields.get("description"), str | None):
        errors["description"] = ["Not a valid string."]
    return errors
