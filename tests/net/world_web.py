# SPDX-License-Identifier: LGPL-2.1-or-later
"""The servers of world.py: HTTP, HTTPS, echoes, and one that writes down the first bytes that come to it."""
import hashlib
import http.server
import os
import socket
import socketserver
import ssl
import subprocess
import threading
import time

BIG = 90 << 20


def background(call, *args):
    threading.Thread(target=call, args=args, daemon=True).start()


class Web(http.server.BaseHTTPRequestHandler):
    """/ says who it is; /big has 90 MB; /endless never ends; /to/URL leads there; /files/ are those of the
    world's directory; /git/ are repositories (smart HTTP); what is put is counted and hashed."""
    protocol_version = "HTTP/1.1"
    files = None

    def answer(self, body, status=200, more=()):
        if isinstance(body, str):
            body = body.encode()
        self.send_response(status)
        for name, value in more:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/big":
            self.send_blocks(BIG, 0)
        elif self.path == "/endless":
            self.send_blocks(1 << 40, 0.01)
        elif self.path.startswith("/to/"):
            self.answer("elsewhere\n", 302, [("Location", self.path[4:])])
        elif self.path.startswith("/files/"):
            self.send_file()
        elif self.path.startswith("/git/"):
            self.run_git(b"")
        else:
            said = getattr(self.connection, "said", None)
            self.answer("I am %s%s\n" % (self.connection.getsockname()[0], " for " + said if said else ""))

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.run_git(body)

    def do_CONNECT(self):
        self.answer("I am a proxy\n")

    def send_blocks(self, size, pause):
        block = bytes(range(256)) * (4096 if not pause else 256)
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        for _ in range(size // len(block)):
            self.wfile.write(block)
            if pause:
                time.sleep(pause)  # a slow server, not a wait for something

    def send_file(self):
        path = os.path.normpath(self.path.split("?")[0])
        try:
            with open(self.files + path[len("/files"):], "rb") as f:
                self.answer(f.read())
        except OSError:
            self.answer("not here\n", 404)

    def run_git(self, body):
        path, _, query = self.path[len("/git"):].partition("?")
        environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"), "GIT_PROJECT_ROOT": self.files + "/git",
            "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""), "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""), "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, stdout=subprocess.PIPE)
        head, _, rest = done.stdout.partition(b"\r\n\r\n")
        headers = [line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line]
        status = next((int(value.split()[0]) for name, value in headers if name == "Status"), 200)
        self.answer(rest, status, [h for h in headers if h[0] not in ("Status", "Content-Length")])

    def do_PUT(self):
        left, digest, got = int(self.headers["Content-Length"]), hashlib.sha256(), 0
        while left > 0:
            data = self.rfile.read(min(left, 1 << 20))
            if not data:
                break
            left, got = left - len(data), got + len(data)
            digest.update(data)
        self.answer("%d %s\n" % (got, digest.hexdigest()))

    def log_message(self, *args):
        pass


class WebServer(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads, request_queue_size = True, 128

    def server_bind(self):  # without asking for the host's name
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, request, client_address):
        pass  # clients go away as they like


class WebServer6(WebServer):
    address_family = socket.AF_INET6


def web(address, port):
    background((WebServer6 if ":" in address else WebServer)((address, port), Web).serve_forever)


class TlsServer(WebServer):
    """The certificate is for all names; which one the client asked for is in the answer."""

    def finish_request(self, request, client_address):
        request.settimeout(30)
        with self.context.wrap_socket(request, server_side=True) as connection:
            super().finish_request(connection, client_address)


def https(address, port, directory):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory + "/server.pem", directory + "/server.key")
    context.set_alpn_protocols(["http/1.1"])

    def remember(connection, name, _):
        connection.said = name or "nobody"
    context.sni_callback = remember
    server = TlsServer((address, port), Web)
    server.context = context
    background(server.serve_forever)


def certificates(directory, names):
    """ca.pem, and server.pem with server.key for the names, by the openssl that people have."""
    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, cwd=directory, stderr=subprocess.DEVNULL)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=world.py")
    openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=a.tls.test")
    with open(directory + "/names", "w") as f:
        f.write("subjectAltName=" + ",".join("DNS:" + name for name in names) + "\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out",
            "server.pem", "-days", "2", "-extfile", "names")


def echo(address, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((address, port))

    def run():
        while True:
            data, peer = s.recvfrom(65536)
            s.sendto(data, peer)
    background(run)


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)


class EchoServer(socketserver.ThreadingTCPServer):
    daemon_threads, allow_reuse_address, request_queue_size = True, True, 128

    def handle_error(self, request, client_address):
        pass


def tcp_echo(address, port):
    background(EchoServer((address, port), Echo).serve_forever)


def raw(address, port, log):
    """Writes "ADDRESS PORT HEX" of the first bytes, or "-" where none came, and says that it got them."""
    class Raw(socketserver.BaseRequestHandler):
        def handle(self):
            data = b""
            try:
                data = self.request.recv(1024)
            except OSError:
                pass
            where = "%s %d " % self.request.getsockname()[:2]
            os.write(log, (where + (data.hex() or "-") + "\n").encode())
            if data:
                self.request.sendall(b"got it\n")
    background(EchoServer((address, port), Raw).serve_forever)
