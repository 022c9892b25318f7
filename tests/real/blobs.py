"""A server that sends as many bytes as it is asked for, the same ones each time, and hashes what it gets.

GET /blobs/SIZE      SIZE bytes with a Content-Length; their SHA-256 as `X-Sha256` in HEAD's and GET's answer
GET /blobs/SIZE?chunked   the same in chunks
PUT /blobs/NAME      answers with the SHA-256 of the body
"""

import hashlib
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BLOCK = b"".join(hashlib.sha256(n.to_bytes(4, "big")).digest() for n in range(8192))  # 256 KiB


def blocks(size):
    while size > 0:
        yield BLOCK[:size]
        size -= len(BLOCK)


class Blobs(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path, _, query = self.path.partition("?")
        size = int(path.rsplit("/", 1)[1])
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        if query == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(size))
        self.end_headers()
        if self.command == "HEAD":
            return
        for block in blocks(size):
            if query == "chunked":
                self.wfile.write(b"%x\r\n%b\r\n" % (len(block), block))
            else:
                self.wfile.write(block)
        if query == "chunked":
            self.wfile.write(b"0\r\n\r\n")

    do_HEAD = do_GET

    def do_PUT(self):
        digest, length = hashlib.sha256(), 0
        for data in self.body():
            digest.update(data)
            length += len(data)
        answer = f"{digest.hexdigest()} {length}\n".encode()
        self.send_response(201)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def body(self):
        if "Content-Length" in self.headers:
            left = int(self.headers["Content-Length"])
            while left > 0:
                data = self.rfile.read(min(left, 1 << 18))
                left -= len(data)
                yield data
        elif self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    if sys.argv[1] == "sha256":
        digest = hashlib.sha256()
        for block in blocks(int(sys.argv[2])):
            digest.update(block)
        print(digest.hexdigest())
    else:
        ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Blobs).serve_forever()
