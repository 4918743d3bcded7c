# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""HTTP servers in the process of a test: one that passes on to a real one, one that repeats what
a real one said, and one that says what a test wants.
"""

import base64
import gzip
import hashlib
import io
import json
import threading
import urllib.error
import urllib.request
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from PIL import Image

JSON = "application/json"


class Answering:
    """A server on this machine, while it is entered. port: 0 for a free one; tls: an SSLContext.

    answer: (method, path, body) -> (status, text); None: the connection is cut without a word.
    asked: [(method, path, body)] so far. headers: of the last request.
    """

    def __init__(self, answer, port=0, tls=None):
        self.answer = answer
        self.asked = []
        self.headers = {}
        station = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self._respond("GET", None)

            def do_POST(self):
                length = int(self.headers.get("content-length", 0))
                self._respond("POST", json.loads(self.rfile.read(length)))

            def _respond(self, method, body):
                station.headers = {name.lower(): value for name, value in self.headers.items()}
                station.asked.append((method, self.path, body))
                reply = station.answer(method, self.path, body)
                if reply is None:
                    self.close_connection = True
                    return
                status, text = reply
                content = text.encode()
                with suppress(BrokenPipeError, ConnectionResetError):
                    self.send_response(status)
                    self.send_header("Content-Type", JSON)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 128  # connections that come at once

        self._server = Server(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._scheme = "https" if tls else "http"
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self):
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}"

    def posts(self, end=""):
        """The bodies that were posted to paths that end so."""
        return [
            body for method, path, body in self.asked if method == "POST" and path.endswith(end)
        ]

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def passing_on(url, key=""):
    """An answer that is the one of the server at `url`."""

    def answer(method, path, body):
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url + path, content, method=method)
        request.add_header("Content-Type", JSON)
        request.add_header("Authorization", f"Bearer {key}")
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except urllib.error.URLError:
            return None

    return answer


def recording(answer, path):
    """The same answer, written to a gzipped file of lines [key, status, text] as they come."""
    seen = set()

    def answered(method, where, body):
        reply = answer(method, where, body)
        if reply is not None and (key := key_of(method, where, body)) not in seen:
            seen.add(key)
            with gzip.open(path, "at") as file:
                file.write(json.dumps([key, *reply]) + "\n")
        return reply

    return answered


def repeating(path):
    """An answer that was recorded, byte for byte; 404 for what was never asked."""
    with gzip.open(path, "rt") as file:
        said = {key: (status, text) for key, status, text in map(json.loads, file)}
    unknown = 404, json.dumps({"error": {"message": "this request was not recorded"}})
    return lambda method, where, body: said.get(key_of(method, where, body), unknown)


def key_of(method, path, body):
    """Equal for equal requests: an image counts by its pixels, since PNGs of them differ."""
    text = json.dumps(_with_pixels(body), sort_keys=True)
    return f"{method} {path} {hashlib.sha256(text.encode()).hexdigest()[:32]}"


def _with_pixels(value):
    if isinstance(value, dict):
        return {name: _with_pixels(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_pixels(inner) for inner in value]
    if isinstance(value, str) and value.startswith("data:image/png;base64,"):
        return hashlib.sha256(pixels_of(value).tobytes()).hexdigest()
    return value


def pixels_of(url):
    """(h, w, 3) uint8 of a data URL."""
    content = base64.b64decode(url.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
