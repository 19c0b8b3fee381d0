#!/usr/bin/env python3
"""`plasticity serve` and `chat` on a real model as clients meet them: answers, streams, departures, floods, signals.

    serve_test.py PROGRAM MODEL [UNITTEST-OPTION...]
"""

import concurrent.futures
import http.client
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest
from pathlib import Path
from urllib.parse import urlsplit

PROGRAM, MODEL = (Path(argument).resolve() for argument in sys.argv[1:3])
CONTEXT = 512


class Server:
    """The program, listening."""

    def __init__(self, *options, **environment):
        command = [PROGRAM, "serve", MODEL, "--port", "0", "-c", str(CONTEXT), "--slots", "4", "-t", "1", "--json", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env=os.environ | environment)
        document = ""
        while not document.endswith("}\n"):
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError("the server ended: " + self.process.stderr.read())
            document += line
        self.port = urlsplit(json.loads(document)["url"]).port
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(timeout=60)

    def connection(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

    def ask(self, path, body=None, headers=None):
        connection = self.connection()
        data = None if body is None else json.dumps(body)
        connection.request("GET" if body is None else "POST", path, data,
                           {"Content-Type": "application/json"} | (headers or {}))
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, json.loads(text) if answer.headers.get_content_type() == "application/json" else text

    def stream(self, path, body):
        connection = self.connection()
        connection.request("POST", path, json.dumps(body | {"stream": True}), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert answer.headers.get_content_type() == "text/event-stream", answer.headers
        events = [line[len("data: "):] for line in answer.read().decode().split("\n\n") if line]
        assert events.pop() == "[DONE]"
        return [json.loads(event) for event in events]

    def metric(self, name):
        return float(re.search(rf"^plasticity_{name} (\S+)$", self.ask("/metrics")[1], re.MULTILINE)[1])

    def resident_bytes(self):
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())[1]) * 1024

    def wait_until_idle(self):
        end = time.monotonic() + 300  # a step that has begun is finished, which takes its time on a busy machine
        while time.monotonic() < end:
            if self.metric("busy_slots") == 0 and self.metric("queued") == 0:
                return
            time.sleep(0.05)
        raise AssertionError("texts of clients that left are still at work")


def infer(prompt, tokens, *options):
    ran = subprocess.run([PROGRAM, "infer", MODEL, "-p", prompt, "-n", str(tokens), "--temp", "0", "--json",
                          "--logprobs", "2", "-t", "1", *options], capture_output=True, text=True, check=True)
    return json.loads(ran.stdout)


class Serving(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.process.stderr.close)
        cls.addClassCleanup(cls.server.process.stdout.close)
        cls.addClassCleanup(cls.server.process.wait)
        cls.addClassCleanup(cls.server.process.kill)

    def completion(self, **body):
        status, answer = self.server.ask("/v1/completions", {"temperature": 0, "seed": 1} | body)
        self.assertEqual(status, 200, answer)
        return answer

    def test_first_of_all_one_client_gets_what_infer_says(self):
        prompt = "def is_prime(n):"
        said, answer = infer(prompt, 24), self.completion(prompt=prompt, max_tokens=24, logprobs=2)
        choice = answer["choices"][0]
        self.assertEqual(choice["text"], said["text"])
        self.assertEqual(choice["logprobs"]["token_logprobs"], [token["logprob"] for token in said["logprobs"]])
        self.assertEqual(answer["usage"]["prompt_tokens"], said["prompt_tokens"])
        self.assertEqual(choice["finish_reason"], "length")

    def test_scores_as_lm_eval_asks_for_them(self):
        ids = self.server.ask("/tokenize", {"content": "The cat sat on the mat."})[1]["tokens"]
        answer = self.completion(prompt=[ids, ids[:3]], max_tokens=1, logprobs=1, echo=True)
        self.assertEqual([choice["index"] for choice in answer["choices"]], [0, 1])
        long, short = (choice["logprobs"] for choice in answer["choices"])
        self.assertEqual(len(long["token_logprobs"]), len(ids) + 1)
        self.assertIsNone(long["token_logprobs"][0])
        for one, other in zip(long["token_logprobs"][1:3], short["token_logprobs"][1:3]):
            self.assertAlmostEqual(one, other, delta=2e-2)  # kernels for many and for few tokens round differently
        as_text = self.completion(prompt="The cat sat on the mat.", max_tokens=0, logprobs=1, echo=True)["choices"][0]
        self.assertEqual(as_text["text"], "The cat sat on the mat.")
        self.assertEqual(len(as_text["logprobs"]["tokens"]), len(ids))
        self.assertEqual("".join(as_text["logprobs"]["tokens"]), "The cat sat on the mat.")

    def test_streams_say_the_same(self):
        body = {"prompt": "Once upon a time", "max_tokens": 16, "temperature": 0}
        whole = self.completion(**body)["choices"][0]
        chunks = self.server.stream("/v1/completions", body)
        self.assertEqual("".join(chunk["choices"][0]["text"] for chunk in chunks), whole["text"])
        self.assertEqual(chunks[-1]["choices"][0]["finish_reason"], whole["finish_reason"])

    def test_chats(self):
        body = {"messages": [{"role": "user", "content": "What is the capital of France?"}], "max_tokens": 24, "temperature": 0}
        status, answer = self.server.ask("/v1/chat/completions", body | {"logprobs": True, "top_logprobs": 1})
        self.assertEqual(status, 200, answer)
        message = answer["choices"][0]["message"]
        self.assertIn("Paris", message["content"])
        self.assertEqual(len(answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]), 1)
        chunks = self.server.stream("/v1/chat/completions", body | {"stream_options": {"include_usage": True}})
        self.assertEqual(chunks[0]["choices"][0]["delta"]["role"], "assistant")
        self.assertEqual(chunks[-1]["choices"], [])
        self.assertGreater(chunks[-1]["usage"]["completion_tokens"], 0)
        self.assertEqual("".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks[:-1]), message["content"])

    def test_stop_and_several_choices(self):
        answer = self.completion(prompt="1, 2, 3, 4,", max_tokens=24, stop=[" 7"])
        self.assertNotIn("7", answer["choices"][0]["text"])
        self.assertEqual(answer["choices"][0]["finish_reason"], "stop")
        several = self.completion(prompt=["a", "b"], n=2, temperature=1, max_tokens=4)
        self.assertEqual([choice["index"] for choice in several["choices"]], [0, 1, 2, 3])
        self.assertEqual(self.completion(prompt="a", temperature=1, max_tokens=8, seed=5)["choices"],
                         self.completion(prompt="a", temperature=1, max_tokens=8, seed=5)["choices"])

    def test_other_paths(self):
        self.assertEqual(self.server.ask("/health"), (200, {"status": "ok"}))
        self.assertEqual(self.server.ask("/v1/models")[1]["data"][0]["id"], MODEL.stem)
        card = self.server.ask("/model")[1]
        self.assertEqual(len(card["layers"]), 30)
        self.assertEqual(card["layers"][0]["types"]["gate"], "q4_1")
        status, page = self.server.ask("/")
        self.assertEqual(status, 200)
        self.assertNotRegex(page, r"(src|href)=\"(?!data:)")
        self.assertGreater(self.server.metric("steps_total"), 0)

    def test_errors_are_openais(self):
        for path, body, status in (("/v1/completions", {"prompt": "a", "paint": 1}, 400),
                                   ("/v1/completions", {"prompt": [99999999]}, 400),
                                   ("/v1/completions", {"prompt": "a " * 2 * CONTEXT}, 400),
                                   ("/v1/completions", {"prompt": ""}, 400),
                                   ("/v1/chat/completions", {"messages": []}, 400),
                                   ("/v1/other", {}, 404)):
            got, answer = self.server.ask(path, body)
            self.assertEqual(got, status, answer)
            self.assertIn("message", answer["error"])

    def test_a_word_that_is_long_is_no_danger(self):
        status, answer = self.server.ask("/tokenize", {"content": "a" * 1_900_000})
        self.assertIn(status, (200, 400))

    def departure(self, send):
        with socket.create_connection(("127.0.0.1", self.server.port)) as client:
            send(client)

    def test_clients_that_leave_in_every_state(self):
        body = {"prompt": "word " * 60, "max_tokens": 200, "temperature": 0}

        def request(more, length=None):
            text = json.dumps(body | more)
            return (f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                    f"Content-Length: {length or len(text)}\r\n\r\n{text}").encode()

        def while_streaming(client):
            client.sendall(request({"stream": True, "prompt": "Once"}))
            client.recv(600)

        def while_queued(client):
            client.sendall(request({"n": 16}))
            time.sleep(0.3)

        states = {"connected": lambda client: None,
                  "in its headers": lambda client: client.sendall(b"POST /v1/completions HTT"),
                  "in its body": lambda client: client.sendall(request({}, 100_000)),
                  "while its prompt is fed": lambda client: client.sendall(request({})),
                  "while it waits": while_queued,
                  "while it is answered": while_streaming}
        for name, send in states.items():
            with self.subTest(name):
                self.departure(send)
                self.assertEqual(self.server.ask("/health")[0], 200)
        self.server.wait_until_idle()
        self.assertGreaterEqual(self.server.metric("cancelled_total"), 17)

    def test_many_clients_at_once(self):
        def one(number):
            body = {"prompt": f"Number {number} is", "max_tokens": 8, "temperature": 0}
            return self.server.ask("/v1/completions", body)

        expected = [one(number) for number in range(4)]
        with concurrent.futures.ThreadPoolExecutor(64) as pool:
            answers = list(pool.map(one, range(64)))
        self.assertEqual({status for status, _ in answers}, {200})
        texts = [answer["choices"][0]["text"] for _, answer in answers]
        self.assertEqual(texts[:4], [answer["choices"][0]["text"] for _, answer in expected])

    def test_slow_clients_and_large_bodies_harm_nobody(self):
        before = self.server.resident_bytes()
        slow = [socket.create_connection(("127.0.0.1", self.server.port)) for _ in range(300)]
        for client in slow:
            try:
                client.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localh")
            except OSError:  # it gave way to a later one
                pass
        with socket.create_connection(("127.0.0.1", self.server.port)) as client:
            client.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                           b"Content-Length: 1073741824\r\n\r\n" + b" " * 65536)
            self.assertIn(b" 413 ", client.recv(100))
        waits = []
        for _ in range(20):
            start = time.monotonic()
            self.assertEqual(self.server.ask("/v1/completions", {"prompt": "a", "max_tokens": 1})[0], 200)
            waits.append(time.monotonic() - start)
        for client in slow:
            client.close()
        self.assertLess(max(waits), 5)
        self.assertLess(self.server.resident_bytes() - before, 64 << 20)


class Programs(unittest.TestCase):
    def test_signals_end_the_server(self):
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            server = Server()
            client = socket.create_connection(("127.0.0.1", server.port))
            text = json.dumps({"prompt": "Once", "max_tokens": 400, "stream": True})
            client.sendall(f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                           f"Content-Length: {len(text)}\r\n\r\n{text}".encode())
            client.recv(100)
            self.assertEqual(server.end(number), code)
            client.close()

    def test_a_key_is_asked_for(self):
        server = Server(PLASTICITY_API_KEY="secret")
        self.addCleanup(server.end)
        self.assertEqual(server.ask("/v1/models")[0], 401)
        self.assertEqual(server.ask("/v1/models", headers={"Authorization": "Bearer secret"})[0], 200)
        self.assertEqual(server.ask("/health")[0], 200)

    def test_nobody_else_is_served_without_a_key(self):
        ran = subprocess.run([PROGRAM, "serve", MODEL, "--host", "0.0.0.0"], capture_output=True, text=True, timeout=60)
        self.assertEqual(ran.returncode, 2)
        self.assertIn("--api-key", ran.stderr)

    def test_chat_at_a_terminal(self):
        """Ctrl-C stops an answer and not the program; at the prompt it ends it."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.execv(PROGRAM, [PROGRAM, "chat", MODEL, "--temp", "0", "-n", "300", "-c", "1024"])
        heard = b""

        def hear_until(pattern, seconds=60):
            nonlocal heard
            end = time.monotonic() + seconds
            while not re.search(pattern, heard):
                self.assertLess(time.monotonic(), end, heard)
                heard += os.read(terminal, 4096)
            heard = heard[re.search(pattern, heard).end():]

        hear_until(rb"\n> $|> ")
        os.write(terminal, b"Tell me a very long story about the sea.\n")
        hear_until(rb"sea\.\r\n(.|\n)*\w+ \w+ \w+ \w+ \w+")
        os.write(terminal, b"\x03")
        hear_until(rb"; stopped")
        os.write(terminal, b"/clear\n")
        hear_until(rb"anew")
        os.write(terminal, b"What is the capital of France?\n")
        hear_until(rb"Paris")
        hear_until(rb"generated at")
        os.write(terminal, b"\x03")
        _, status = os.waitpid(pid, 0)
        self.assertEqual(os.waitstatus_to_exitcode(status), 130)
        os.close(terminal)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
