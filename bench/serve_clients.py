#!/usr/bin/env python3
"""`plasticity serve` under OpenAI's own client, unmodified: what it answers, and how long that takes when many ask.

    $(bench/setup_venv bench/requirements_serve.txt) bench/serve_clients.py MODEL [--program build/plasticity] [--data TEXT]

Prints one JSON document: answers that were checked; seconds of 64 clients at once; seconds of a healthy client alone, and
beside 300 slow ones that never finish their headers; resident memory before and after. With --data also the
difference between the log-likelihood that the server gives and that of `plasticity eval` over that text.
"""

import argparse
import concurrent.futures
import json
import math
import re
import socket
import statistics
import subprocess
import time
from pathlib import Path

from openai import OpenAI

CLIENTS, SLOW, HEALTHY = 64, 300, 100


class Server:
    def __init__(self, program, model, *options):
        self.process = subprocess.Popen([program, "serve", model, "--port", "0", "-c", "1024", *options],
                                        stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()
        self.client = OpenAI(base_url=self.url + "/v1", api_key="none", max_retries=0, timeout=600)

    def resident_bytes(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return {name: int(re.search(name + r":\s+(\d+)", status)[1]) * 1024 for name in ("VmRSS", "VmHWM")}

    def end(self):
        self.process.terminate()
        return self.process.wait(timeout=60)


def percentiles(seconds):
    ordered = sorted(seconds)
    return {"n": len(ordered), "median_s": statistics.median(ordered), "p99_s": ordered[math.ceil(0.99 * len(ordered)) - 1],
            "largest_s": ordered[-1]}


def timed(call):
    start = time.monotonic()
    call()
    return time.monotonic() - start


def check_answers(client, model):
    """Chat, stream, completion and log probabilities, each held against another way of asking."""
    ask = {"model": model, "messages": [{"role": "user", "content": "What is the capital of France?"}],
           "max_tokens": 24, "temperature": 0, "seed": 1}
    chat = client.chat.completions.create(**ask, logprobs=True, top_logprobs=2)
    said = chat.choices[0].message.content
    assert "Paris" in said, said
    assert len(chat.choices[0].logprobs.content[0].top_logprobs) == 2
    chunks = list(client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert streamed == said, (streamed, said)
    assert chunks[-1].usage.completion_tokens == chat.usage.completion_tokens
    text = client.completions.create(model=model, prompt="def is_prime(n):", max_tokens=16, temperature=0, logprobs=1)
    pieces = client.completions.create(model=model, prompt="def is_prime(n):", max_tokens=16, temperature=0, stream=True)
    assert "".join(piece.choices[0].text for piece in pieces) == text.choices[0].text
    assert len(text.choices[0].logprobs.token_logprobs) == text.usage.completion_tokens
    assert [entry.id for entry in client.models.list()] == [model]
    return {"chat": said, "completion": text.choices[0].text}


def many_at_once(client, model):
    def one(number):
        return timed(lambda: client.completions.create(model=model, prompt=f"The number {number} is", max_tokens=16,
                                                       temperature=0))
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        start = time.monotonic()
        seconds = list(pool.map(one, range(CLIENTS)))
    return percentiles(seconds) | {"tokens_per_second": CLIENTS * 16 / (time.monotonic() - start)}


def healthy(client, model):
    return percentiles([timed(lambda: client.completions.create(model=model, prompt="One", max_tokens=1, temperature=0))
                        for _ in range(HEALTHY)])


def beside_slow_ones(server, model):
    host, port = re.fullmatch(r"http://(.*):(\d+)", server.url).groups()
    slow = [socket.create_connection((host, int(port))) for _ in range(SLOW)]
    for client in slow:
        try:
            client.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: local")
        except OSError:  # it has given way to a later one
            pass
    result = healthy(server.client, model)
    for client in slow:
        client.close()
    return result


def likelihoods(server, model, program, file, text):
    """Sum of log probabilities of a text's second half, as lm-eval scores a continuation, against the own perplexity."""
    ids = json.loads(subprocess.run(["curl", "-sf", server.url + "/tokenize", "-H", "Content-Type: application/json", "-d",
                                     json.dumps({"content": text.read_text()[:20000]})], capture_output=True, check=True).stdout)["tokens"]
    context = 512
    answer = server.client.completions.create(model=model, prompt=[ids[:context]], max_tokens=1, logprobs=1, echo=True,
                                              temperature=0)
    scores = answer.choices[0].logprobs.token_logprobs[context // 2 + 1:-1]
    ran = subprocess.run([program, "eval", file, "--data", text, "-c", str(context), "--chunks", "1", "--json"],
                         capture_output=True, check=True)
    evaluated = json.loads(ran.stdout)
    own = -math.log(evaluated["perplexity"]) * evaluated["positions"]
    return {"positions": len(scores), "served": sum(scores), "evaluated": own, "difference": abs(sum(scores) - own)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--program", default="build/plasticity")
    parser.add_argument("--data", type=Path)
    arguments = parser.parse_args()
    server, model = Server(arguments.program, arguments.model), arguments.model.stem
    try:
        result = {"answers": check_answers(server.client, model), "memory_before": server.resident_bytes(),
                  "alone": healthy(server.client, model), "many_at_once": many_at_once(server.client, model),
                  "beside_slow_ones": beside_slow_ones(server, model), "memory_after": server.resident_bytes()}
        if arguments.data:
            result["likelihoods"] = likelihoods(server, model, arguments.program, arguments.model, arguments.data)
    finally:
        code = server.end()
    print(json.dumps(result | {"exit_code": code}, indent=2))


if __name__ == "__main__":
    main()
