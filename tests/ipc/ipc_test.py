#!/usr/bin/env python3
"""`plasticity ipc`, `call` and `pipeline` on a real model: a stranger's client, cancelled jobs, killed servers, hostile requests.

    ipc_test.py PROGRAM MODEL [UNITTEST-OPTION...]
"""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import sysconfig
import tempfile
import time
import unittest
from pathlib import Path

PROGRAM, MODEL = (Path(argument).resolve() for argument in sys.argv[1:3])
SOURCES = Path(__file__).resolve().parents[2]
PATIENCE = 300  # seconds; on a busy machine


class Stranger:
    """All that a client needs: lines of JSON over a Unix socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(str(path))
        self.lines = self.socket.makefile("r", encoding="utf-8")
        self.last_id = 0

    def send(self, method, **params):
        self.last_id += 1
        request = {"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params}
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        return self.last_id

    def receive(self):
        return json.loads(self.lines.readline())

    def answer(self, wanted, on_progress=lambda params: None):
        while True:
            message = self.receive()
            if message.get("method") == "plasticity/progress":
                on_progress(message["params"])
            elif message.get("id") == wanted:
                return message

    def call(self, method, **params):
        return self.answer(self.send(method, **params))

    def close(self):
        self.lines.close()
        self.socket.close()


class Server:
    """The program, listening."""

    def __init__(self, path, *options):
        self.path = path
        self.process = subprocess.Popen([PROGRAM, "ipc", "--socket", path, "--quiet", *options], stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline().strip() != str(path):
            raise RuntimeError("the server did not start")

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        code = self.process.wait(timeout=PATIENCE)
        self.process.stdout.close()
        return code


def write_scores(path):
    """PyTorch's gate gradients of this model (tests/data), in the form that other trainers write."""
    known = json.loads((SOURCES / "tests/data/smollm2_gate_gradients.json").read_text(encoding="utf-8"))
    magnitudes = [[abs(gradient) for gradient in layer] for layer in known["gate_gradients"]]
    most = sorted(sum(magnitudes, []))[-3]
    scores = [[min(magnitude / most, 1) for magnitude in layer] for layer in magnitudes]
    path.write_text(json.dumps({"layer_scores": scores, "num_steps": 1, "model_name": "smollm2", "num_heads": 9,
                                "num_kv_heads": 3}), encoding="utf-8")


class InAFolder(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)
        self.path = self.folder / "ipc.sock"
        self.scores = self.folder / "scores.json"
        write_scores(self.scores)
        self.servers = []

    def tearDown(self):
        for server in self.servers:
            if server.process.poll() is None:
                server.end(signal.SIGKILL)

    def start(self, *options):
        self.servers.append(Server(self.path, *options))
        return self.servers[-1]

    def client(self):
        client = Stranger(self.path)
        self.addCleanup(client.close)
        return client

    def task(self, name="code"):
        """A little Python to score, and to measure on."""
        source = Path(sysconfig.get_path("stdlib"), "shutil.py").read_text(encoding="utf-8")
        text = self.folder / name
        if not text.exists():  # its time is part of what steps are kept by
            text.write_text("\n".join(source.splitlines()[200:600]), encoding="utf-8")
        return str(text)

    def compress_params(self, name="model.gguf"):
        return {"capturePath": str(self.scores), "modelPath": str(MODEL), "targetSize": "90MB", "policy": "tiers",
                "outputPath": str(self.folder / name), "threads": 2}


class Jobs(InAFolder):
    def test_a_stranger_compresses_with_progress_and_cancels_another_job(self):
        server = self.start()
        self.assertEqual(stat.S_IMODE(self.path.lstat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(Path(f"{self.path}.jobs").stat().st_mode), 0o700)
        client, other = self.client(), self.client()
        wanted = client.send("plasticity/compress", **self.compress_params())
        queued = client.receive()["params"]
        self.assertEqual((queued["event"], queued["id"]), ("queued", wanted))
        waiting = other.send("plasticity/score", modelPath=str(MODEL), dataPaths=self.task(), outputPath=str(self.folder / "g.json"))
        second = other.receive()["params"]["jobId"]
        self.assertEqual([job["jobId"] for job in client.call("plasticity/jobs")["result"]["jobs"]], [queued["jobId"], second])
        seen = []
        result = client.answer(wanted, seen.append)["result"]
        self.assertEqual(set(result) & {"ggufPath", "recipe", "outputSizeBytes", "compressionRatio", "verified", "testOutput"},
                         {"ggufPath", "recipe", "outputSizeBytes", "compressionRatio", "verified", "testOutput"})
        self.assertTrue(result["verified"])
        self.assertEqual(Path(result["ggufPath"]).stat().st_size, result["outputSizeBytes"])
        self.assertIn("tensorQuantMap", result["recipe"])
        self.assertLessEqual({"plan", "compress", "verify"}, {event.get("command") for event in seen})
        self.assertTrue(any(event.get("total") and event.get("done") for event in seen))
        self.cancel_while_it_runs(client, other, waiting, second)
        self.assertEqual(server.end(), 143)
        self.assertFalse(self.path.exists())

    def cancel_while_it_runs(self, client, other, waiting, job):
        while other.receive()["params"].get("command") != "score":
            pass
        self.assertTrue(client.call("plasticity/cancel", jobId=job)["result"]["cancelled"])
        self.assertEqual(other.answer(waiting)["error"]["code"], -32800)
        self.assertEqual(client.call("plasticity/job", jobId=job)["result"]["state"], "cancelled")
        self.assertFalse((self.folder / "g.json").exists())

    def test_a_job_survives_its_client_and_its_server(self):
        server = self.start()
        client = Stranger(self.path)
        client.send("plasticity/compress", **self.compress_params())
        job = client.receive()["params"]["jobId"]
        while client.receive()["params"].get("command") != "compress":
            pass
        client.close()
        server.end(signal.SIGKILL)
        self.assertTrue(self.path.exists())  # what a killed server leaves
        self.start()
        result = self.client().call("plasticity/attach", jobId=job)["result"]
        self.assertTrue(result["verified"])
        self.assertTrue(Path(result["ggufPath"]).exists())
        details = self.client().call("plasticity/job", jobId=job)["result"]
        self.assertEqual((details["state"], details["attempts"]), ("done", 2))
        self.assertEqual(list(self.folder.glob(".*partial*")), [])

    def test_errors_are_those_of_the_commands(self):
        self.start()
        client = self.client()
        params = self.compress_params() | {"modelPath": str(self.folder / "absent.gguf")}
        error = client.call("plasticity/compress", **params)["error"]
        self.assertEqual(error["code"], -32003)
        self.assertIn("absent.gguf", error["message"])
        (self.folder / "model.gguf").write_text("mine", encoding="utf-8")
        error = client.call("plasticity/compress", **self.compress_params())["error"]
        self.assertEqual(error["code"], -32002)
        self.assertEqual((self.folder / "model.gguf").read_text(encoding="utf-8"), "mine")
        error = client.call("plasticity/compress", **self.compress_params() | {"prune": "nonsense"})["error"]
        self.assertEqual(error["code"], -32002)

    def test_hostile_requests_are_answered_with_errors(self):
        self.start()
        client = self.client()
        for line, code in [(b"nonsense", -32700), (b"\xff\xfe", -32700), (b"[" * 100000, -32700), (b"[]", -32600),
                           (b'{"jsonrpc":"2.0","id":1,"method":"plasticity/nothing"}', -32601),
                           (b'{"jsonrpc":"2.0","id":1,"method":"plasticity/compress","params":{"typo":1}}', -32602),
                           (b'{"jsonrpc":"2.0","id":1,"method":"plasticity/topology","params":{"modelPath":"../x"}}', -32602),
                           (b"x" * (8 << 20), -32600)]:
            client.socket.sendall(line + b"\n")
            self.assertEqual(client.receive()["error"]["code"], code, line[:80])
        self.assertEqual(client.call("plasticity/jobs")["result"]["jobs"], [])

    def test_a_client_that_takes_nothing_keeps_nobody_waiting(self):
        self.start()
        greedy = self.client()
        greedy.socket.setblocking(False)
        line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "plasticity/methods"}).encode() + b"\n"
        try:
            for _ in range(5000):
                greedy.socket.sendall(line)
        except BlockingIOError:
            pass
        self.assertEqual(self.client().call("plasticity/jobs")["result"]["jobs"], [])

    def test_what_is_no_socket_stays_and_one_server_has_a_path(self):
        self.start()
        again = subprocess.run([PROGRAM, "ipc", "--socket", self.path], capture_output=True, text=True, check=False)
        self.assertEqual(again.returncode, 2, again.stderr)
        self.assertIn("another server", again.stderr)
        file = self.folder / "file"
        file.write_text("mine", encoding="utf-8")
        refused = subprocess.run([PROGRAM, "ipc", "--socket", file], capture_output=True, text=True, check=False)
        self.assertEqual(refused.returncode, 2, refused.stderr)
        self.assertEqual(file.read_text(encoding="utf-8"), "mine")

    def test_stdio_answers_all_that_came_and_ends(self):
        requests = [{"jsonrpc": "2.0", "id": 1, "method": "plasticity/topology", "params": {"modelPath": str(MODEL)}},
                    {"jsonrpc": "2.0", "id": 2, "method": "plasticity/analyze", "params": {"capturePath": str(self.scores)}}]
        ran = subprocess.run([PROGRAM, "ipc", "--stdio"], input="".join(json.dumps(one) + "\n" for one in requests),
                             capture_output=True, text=True, timeout=PATIENCE, check=True)
        answers = {line["id"]: line["result"] for line in map(json.loads, ran.stdout.splitlines()) if "result" in line}
        self.assertEqual(len(answers[1]["layers"]), 30)
        self.assertEqual(answers[1]["layers"][0], {"layerIndex": 0, "numHeads": 9, "numKvHeads": 3, "feedForwardLength": 1536})
        self.assertEqual(len(answers[2]["layerScores"]), 30)


class Calls(InAFolder):
    def call(self, *arguments, **options):
        return subprocess.run([PROGRAM, "call", *arguments], capture_output=True, text=True, cwd=self.folder, check=False,
                              timeout=PATIENCE, env=os.environ | {"HOME": str(self.folder)}, **options)

    def test_the_same_with_and_without_a_server(self):
        here = self.call("plasticity/analyze", "--capturePath=scores.json", "--threshold=0.2")
        self.assertEqual(here.returncode, 0, here.stderr)
        self.start()
        there = self.call("plasticity/analyze", "--capturePath=~/scores.json", "--threshold=0.2", "--socket", self.path)
        self.assertEqual(there.returncode, 0, there.stderr)
        self.assertEqual(json.loads(here.stdout), json.loads(there.stdout))
        self.assertIn("job 1", there.stderr)
        jobs = self.call("plasticity/jobs", "--socket", self.path)
        self.assertEqual(json.loads(jobs.stdout)["jobs"][0]["state"], "done")

    def test_exit_codes_are_the_commands(self):
        self.start()
        for arguments, code, text in [(("plasticity/topology", "--modelPath=absent.gguf"), 3, "absent.gguf"),
                                      (("plasticity/topology", "--modelPth=x"), 2, "modelPth"),
                                      (("plasticity/topology", "modelPath"), 2, "--key=value"),
                                      (("plasticity/jobs",), 2, "--socket")]:
            ran = self.call(*arguments)
            self.assertEqual(ran.returncode, code, ran.stderr)
            self.assertIn(text, ran.stderr)
        ran = self.call("plasticity/topology", "--modelPath=absent.gguf", "--socket", self.path)
        self.assertEqual(ran.returncode, 3, ran.stderr)
        self.assertEqual(self.call("plasticity/attach", "--jobId=1", "--socket", self.path).returncode, 3)
        self.assertEqual(self.call("plasticity/job", "--jobId=9", "--socket", self.path).returncode, 3)
        ran = self.call("plasticity/topology", "--modelPath=x", "--socket=/no/such/socket")
        self.assertEqual(ran.returncode, 3, ran.stderr)


class Pipelines(InAFolder):
    def command(self, example, *options):
        self.task("code")
        self.task("heldout")
        inputs = {"model": MODEL, "data": "code", "size": "90MB", "tokens": 32, "chunk": 16, "policy": "tiers"}
        if example == "compress":
            inputs |= {"heldOut": "heldout", "context": 64}
        flags = [word for key, value in inputs.items() for word in ("--input", f"{key}={value}")]
        return [PROGRAM, "pipeline", SOURCES / f"examples/pipelines/{example}.yaml", *flags, "--json", "--log-json", *options]

    def finished(self, example, *options):
        ran = subprocess.run(self.command(example, *options), cwd=self.folder, capture_output=True, text=True, check=False,
                             timeout=PATIENCE)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        return json.loads(ran.stdout)

    def kill_at(self, example, is_moment):
        process = subprocess.Popen(self.command(example), cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stderr.close)
        for line in process.stderr:
            if is_moment(json.loads(line)):
                break
        process.kill()
        self.assertEqual(process.wait(timeout=PATIENCE), -signal.SIGKILL)

    def test_score_compress_verify_killed_and_resumed(self):
        plan = self.finished("compress", "--dry-run")
        self.assertEqual(plan["steps"]["compress"]["params"]["capturePath"], str(self.folder.resolve() / "gate_gradients.json"))
        self.assertEqual(plan["steps"]["verify"]["params"]["modelPath"], str(self.folder.resolve() / "model.gguf"))
        self.assertFalse((self.folder / "gate_gradients.json").exists())
        self.kill_at("compress", lambda event: event.get("task") == "compress")
        document = self.finished("compress")
        self.assertEqual({name: step["status"] for name, step in document["steps"].items()},
                         {"score": "kept", "compress": "done", "verify": "done"})
        self.assertTrue(document["passed"] and document["steps"]["verify"]["data"]["passed"])
        self.assertIn("meanKl", json.dumps(document["steps"]["verify"]["data"]["quality"]))
        self.assertEqual({step["status"] for step in self.finished("compress")["steps"].values()}, {"kept"})
        (self.folder / "model.gguf").unlink()
        again = self.finished("compress")["steps"]
        self.assertEqual((again["score"]["status"], again["compress"]["status"]), ("kept", "done"))

    def test_slices_are_scored_merged_and_compressed_killed_and_resumed(self):
        self.kill_at("slices", lambda event: event.get("task") == "score" and (self.folder / "slice0.json").exists())
        before = (self.folder / "slice0.json").stat().st_mtime_ns
        steps = self.finished("slices")["steps"]
        self.assertEqual((self.folder / "slice0.json").stat().st_mtime_ns, before)
        self.assertEqual(len(steps["slices"]["data"]), 2)
        self.assertEqual(steps["merge"]["data"]["examples"], 2)
        self.assertEqual(len(steps["analyze"]["data"]["layerScores"]), 30)
        self.assertTrue(steps["compress"]["data"]["verified"])
        self.assertLessEqual((self.folder / "model.gguf").stat().st_size, 90_000_000)

    def test_over_ipc(self):
        shutil.copy(SOURCES / "examples/pipelines/slices.yaml", self.folder)
        self.start()
        inputs = {"model": str(MODEL), "data": self.task(), "size": 90_000_000}
        params = {"pipelinePath": str(self.folder / "slices.yaml"), "input": inputs, "dryRun": True}
        result = self.client().call("plasticity/pipeline", **params)["result"]
        self.assertEqual(result["steps"]["merge"]["params"]["capturePaths"],
                         [str(self.folder.resolve() / f"slice{i}.json") for i in range(2)])
        params["allowShell"] = True
        self.assertEqual(self.client().call("plasticity/pipeline", **params)["error"]["code"], -32602)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
