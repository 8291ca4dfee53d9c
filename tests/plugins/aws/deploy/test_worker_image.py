"""The worker image. There is no Docker where these tests run: its files are read, and its entry point is started."""

from __future__ import annotations

import http.server
import json
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from heliostat_aws.deploy.template import parse_template

REPOSITORY = Path(__file__).parents[4]
WORKER = REPOSITORY / "infra/worker"
ENTRYPOINT = WORKER / "entrypoint.sh"


def instructions() -> list[tuple[str, str]]:
    """Each instruction of the Dockerfile and its arguments, lines joined, comments left out."""
    text = re.sub(r"^\s*#.*\n", "", (WORKER / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines if line)]


def test_the_dockerfile_is_made_of_instructions_that_there_are() -> None:
    known = {"FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "ENTRYPOINT"}
    assert {name for name, _ in instructions()} <= known
    assert [rest for name, rest in instructions() if name == "FROM"] == [
        "python:3.12-slim AS wheels",
        "python:3.12-slim",
    ]


def test_what_is_copied_is_there_and_not_left_out_of_the_context() -> None:
    ignored, *allowed = (WORKER / "Dockerfile.dockerignore").read_text().split()
    assert ignored == "*"
    copied = [shlex.split(rest) for name, rest in instructions() if name == "COPY"]
    sources = [word for words in copied for word in words[:-1] if not word.startswith("--")]
    assert len(sources) == 7
    for source in sources:
        assert (REPOSITORY / source).exists(), source
        assert f"!{source}" in allowed, source


def test_it_has_the_wheels_of_the_core_and_of_both_plugins() -> None:
    (made,) = [rest for name, rest in instructions() if name == "RUN" and "pip wheel" in rest]
    assert made.split()[-3:] == [".", "./plugins/aws", "./plugins/gcp"]
    for place in made.split()[-3:]:
        assert (REPOSITORY / place / "pyproject.toml").exists()
    (installed,) = [rest for name, rest in instructions() if name == "RUN" and "pip install" in rest]
    assert "/wheels/*.whl" in installed
    for package in ("awslambdaric", "aiohttp", "imageio-ffmpeg"):
        assert re.search(rf" {package}==[0-9.]+ ", installed), package


def test_it_does_not_run_as_root_and_starts_the_entry_point() -> None:
    last = dict(instructions())
    assert last["USER"] == "1000"
    assert json.loads(last["ENTRYPOINT"]) == ["/usr/local/bin/heliostat-worker"]
    copied = [rest for name, rest in instructions() if name == "COPY"][-1]
    assert copied == "--chmod=0755 infra/worker/entrypoint.sh /usr/local/bin/heliostat-worker"
    assert os.access(ENTRYPOINT, os.X_OK)


def test_the_handler_that_the_template_names_is_the_one_that_the_entry_point_takes() -> None:
    (handler,) = parse_template()["Resources"]["Worker"]["Properties"]["ImageConfig"]["Command"]
    assert f"${{1:-{handler}}}" in ENTRYPOINT.read_text()


# --- the entry point -------------------------------------------------------------------------------------------------


def environment(**extra: str) -> dict[str, str]:
    return {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "HOME": "/tmp", **extra}


def test_arguments_are_those_of_heliostat() -> None:
    done = subprocess.run([ENTRYPOINT, "version"], env=environment(), capture_output=True, text=True, check=True)
    assert re.fullmatch(r"[0-9.]+\S*\n", done.stdout)


class RuntimeApi:
    """Lambda's Runtime API for one invocation: hands out an event, and keeps what comes back."""

    def __init__(self, event: object) -> None:
        self.posted: list[tuple[str, Any]] = []
        self.answered = threading.Event()
        self.over = threading.Event()
        handed_out = threading.Event()
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if handed_out.is_set():
                    api.over.wait()  # for the next event, which never comes: the client is killed meanwhile
                    return
                handed_out.set()
                self._answer(
                    event,
                    {
                        "Lambda-Runtime-Aws-Request-Id": "r1",
                        "Lambda-Runtime-Deadline-Ms": "9999999999999",
                        "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-west-1:123456789012:function:f",
                        "Lambda-Runtime-Trace-Id": "Root=1",
                    },
                )

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                api.posted.append((self.path, json.loads(body) if body else None))
                self._answer({"status": "OK"}, {})
                api.answered.set()

            def _answer(self, body: object, headers: dict[str, str]) -> None:
                data = json.dumps(body).encode()
                self.send_response(200)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)


@pytest.fixture
def runtime_api() -> Iterator[RuntimeApi]:
    api = RuntimeApi({"version": 1, "invocation": "hello"})
    with api.server:
        thread = threading.Thread(target=api.server.serve_forever)
        thread.start()
        yield api
        api.over.set()
        api.server.shutdown()
        thread.join()


@pytest.mark.skipif(sys.platform != "linux", reason="awslambdaric is for Linux")
@pytest.mark.parametrize("arguments", [(), ("heliostat_aws.handler.handle",)])
def test_on_lambda_it_answers_invocations(arguments: tuple[str, ...], runtime_api: RuntimeApi, tmp_path: Path) -> None:
    address = f"127.0.0.1:{runtime_api.server.server_port}"
    started = subprocess.Popen(
        [ENTRYPOINT, *arguments],
        env=environment(AWS_LAMBDA_RUNTIME_API=address, LAMBDA_TASK_ROOT=str(tmp_path), AWS_LAMBDA_FUNCTION_NAME="f"),
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        assert runtime_api.answered.wait(50)
    finally:
        started.kill()
        _, said = started.communicate()
    ((path, body),) = runtime_api.posted
    assert path == "/2018-06-01/runtime/invocation/r1/response", (body, said)
    assert set(body) == {"heliostat", "python"}
