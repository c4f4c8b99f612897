"""A small web shop with a hole: what the demo recording watches.

GET /            start page
GET /list        what is in the shop
GET /files/NAME  a file of the shop
POST /upload     stores a file
GET /ping?host=  hands its argument to `sh -c`: the hole (a command injection)

Prints its port and its process id when it answers. For the demo only: never put it on a network.
"""

import http.server
import os
import subprocess
import sys
import urllib.parse

FOLDER = os.path.abspath(sys.argv[1])


class Shop(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body, status=200, kind="text/html"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/":
            with open(os.path.join(FOLDER, "index.html"), "rb") as page:
                self.answer(page.read())
        elif url.path == "/list":
            rows = []
            for entry in sorted(os.scandir(FOLDER), key=lambda entry: entry.name):
                rows.append(f"<li>{entry.name} {entry.stat().st_size}</li>")
            self.answer("".join(rows).encode())
        elif url.path.startswith("/files/"):
            path = os.path.join(FOLDER, os.path.basename(url.path))
            try:
                with open(path, "rb") as file:
                    self.answer(file.read(), kind="text/plain")
            except OSError:
                self.answer(b"no such file", status=404)
        elif url.path == "/ping":
            host = urllib.parse.parse_qs(url.query).get("host", [""])[0]
            done = subprocess.run(["/bin/sh", "-c", "getent hosts " + host], capture_output=True)
            self.answer(done.stdout, kind="text/plain")
        else:
            self.answer(b"not found", status=404)

    def do_POST(self):
        length = min(int(self.headers.get("Content-Length", "0")), 65536)
        body = self.rfile.read(length)
        name = os.path.basename(urllib.parse.urlsplit(self.path).path) or "upload"
        with open(os.path.join(FOLDER, "upload-" + name), "wb") as file:
            file.write(body)
        self.answer(b"stored")

    def log_message(self, form, *values):
        sys.stderr.write(form % values + "\n")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0), Shop)
    print(server.server_address[1], os.getpid(), flush=True)
    server.serve_forever()
