"""An OpenAI-compatible chat server on loopback that answers by a script, well or badly, and remembers what it was asked."""
import http.server
import json
import socket
import ssl
import struct
import threading
import time


class ChatServer:
    """`script(request, number)` is given each request (its body, `number` of the times that the same conversation was asked) and returns a
    text (the reply's content), or a function that is given the handler and answers as it likes. `most` is how many were in flight at once;
    with a certificate (a file of key and certificate) the server speaks https."""

    def __init__(self, script, certificate=None):
        self.script, self.lock = script, threading.Lock()
        self.requests, self.answered, self.started, self.keys, self.counts = [], [], [], [], {}
        self.in_flight = self.most = 0
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments):
                pass

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                conversation = json.dumps([body["messages"], body["max_tokens"]])
                with owner.lock:
                    owner.started.append(time.monotonic())
                    owner.in_flight += 1
                    owner.most = max(owner.most, owner.in_flight)
                    owner.requests.append(body)
                    owner.keys.append(self.headers.get("Authorization"))
                    number = owner.counts[conversation] = owner.counts.get(conversation, 0) + 1
                try:
                    answer = owner.script(body, number)
                    with owner.lock:
                        owner.in_flight -= 1
                    if callable(answer):
                        answer(self)
                    else:
                        send_json(self, completion(answer))
                        with owner.lock:
                            owner.answered.append(conversation)
                except OSError:
                    self.close_connection = True

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *arguments: None  # a client that was killed is no error of the server's
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.endpoint = f"http{'s' if certificate else ''}://127.0.0.1:{self.server.server_address[1]}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.server.shutdown()
        self.server.server_close()


def completion(text, thinking=None, finish="stop"):
    message = {"role": "assistant", "content": text}
    if thinking is not None:
        message["reasoning_content"] = thinking
    return {"id": "c", "object": "chat.completion", "choices": [{"index": 0, "message": message, "finish_reason": finish}]}


def send_bytes(handler, body, status=200, headers=(), length=None):
    handler.send_response(status)
    for name, value in headers:
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)


def send_json(handler, value, status=200, headers=()):
    send_bytes(handler, json.dumps(value).encode(), status, [("Content-Type", "application/json"), *headers])


def status(code, text="no", headers=()):
    return lambda handler: send_json(handler, {"error": {"message": text}}, code, headers)


def raw(body):
    return lambda handler: send_bytes(handler, body)


def cut_off(handler):
    send_bytes(handler, b'{"choices": [', length=1000)
    handler.close_connection = True


def reset(handler):
    """Closes the connection by a reset, without an answer."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def drip(handler):
    """A byte now and then, for longer than anybody waits."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(100):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.1)


def is_liked(request):
    """A server that does not know the answer says Yes; the reflect turn tells it."""
    return 'Begin with "No"' not in request["messages"][-1]["content"]
