"""A small OpenID Connect provider on this machine: discovery, authorisation, tokens signed with RS256, keys."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

CLIENT, SECRET = "braindash", "the client's secret"
PEOPLE = {
    "ada": {"sub": "1", "email": "ada@lab.org", "email_verified": True, "name": "Ada Lovelace"},
    "bob": {"sub": "2", "email": "bob@lab.org", "email_verified": True, "name": "Bob"},
    "eve": {"sub": "3", "email": "eve@evil.org", "email_verified": True, "name": "Eve"},
    "mallory": {"sub": "4", "email": "ada@lab.org", "email_verified": True, "name": "Mallory"},  # signed by herself
}


class Provider:
    """Serves until `close`; ``forge`` names people whose tokens are signed with a key of their own."""

    forge = ("mallory",)

    def __init__(self) -> None:
        from joserfc.jwk import RSAKey

        self.key = RSAKey.generate_key(2048, {"kid": "ours", "use": "sig", "alg": "RS256"}, auto_kid=False)
        self.other = RSAKey.generate_key(2048, {"kid": "ours", "use": "sig", "alg": "RS256"}, auto_kid=False)
        self.codes: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.get(self)

            def do_POST(self) -> None:
                provider.token(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def get(self, request: BaseHTTPRequestHandler) -> None:
        place = urlsplit(request.path)
        query = {k: v[0] for k, v in parse_qs(place.query).items()}
        self.asked.append(place.path)
        if place.path == "/.well-known/openid-configuration":
            _answer(
                request,
                {
                    "issuer": self.url,
                    "authorization_endpoint": f"{self.url}/authorize",
                    "token_endpoint": f"{self.url}/token",
                    "jwks_uri": f"{self.url}/jwks",
                    "response_types_supported": ["code"],
                    "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": ["RS256"],
                    "code_challenge_methods_supported": ["S256"],
                },
            )
        elif place.path == "/jwks":
            _answer(request, {"keys": [self.key.as_dict(private=False)]})
        elif place.path == "/authorize":
            links = "".join(
                f'<p><a href="/choose?{escape(urlencode(query | {"who": who}))}">{escape(who)}</a></p>'
                for who in PEOPLE
            )
            _answer(request, f"<!doctype html><title>The institution</title><h1>Who are you?</h1>{links}")
        elif place.path == "/choose":
            code = secrets.token_urlsafe(16)
            self.codes[code] = query
            request.send_response(302)
            request.send_header(
                "Location", f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"
            )
            request.end_headers()
        else:
            _answer(request, {}, 404)

    def token(self, request: BaseHTTPRequestHandler) -> None:
        from joserfc import jwt

        form = {
            k: v[0] for k, v in parse_qs(request.rfile.read(int(request.headers["Content-Length"])).decode()).items()
        }
        asked = self.codes.pop(form["code"], None)
        basic = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        known = request.headers.get("Authorization") == f"Basic {basic}" or form.get("client_secret") == SECRET
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        proof = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if asked is None or not known or proof != asked["code_challenge"] or asked["client_id"] != CLIENT:
            _answer(request, {"error": "invalid_grant"}, 400)
            return
        now = int(time.time())
        claims = PEOPLE[asked["who"]] | {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 300}
        signing = self.other if asked["who"] in self.forge else self.key
        token = jwt.encode({"alg": "RS256", "kid": "ours"}, claims | {"nonce": asked["nonce"]}, signing)
        _answer(request, {"access_token": "x", "token_type": "Bearer", "expires_in": 300, "id_token": token})


def _answer(request: BaseHTTPRequestHandler, body: object, status: int = 200) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    request.send_response(status)
    request.send_header("Content-Type", "text/html" if isinstance(body, str) else "application/json")
    request.end_headers()
    request.wfile.write(text.encode())
