"""The renderer of the contract suites: a command that does as its arguments say, step by step.

It runs as `python -I -S -c SOURCE OUTPUT STEP…`, with this file as SOURCE, so a worker needs nothing but some Python.
A step is `NAME` or `NAME=VALUE`; after `2:` it is one for the second attempt alone. With `meet=HOST:PORT` it connects
to the test, says who it is in a line of JSON, and takes steps from there, a line each, until `go`.
"""

import os
import sys

# What few steps need is imported there: suites start this thousands of times.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

STUBBORN = """
import signal, socket, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(flush=True)
met = socket.socket(fileno=int(sys.argv[1]))
while met.recv(1, socket.MSG_PEEK):
    time.sleep(0.05)
"""
"""A child that only SIGKILL ends, or the end of the test."""


def main() -> None:
    output, steps = sys.argv[1], sys.argv[2:]
    met: socket.socket | None = None
    for step in steps:
        attempt, colon, rest = step.partition(":")
        if colon and attempt.isdigit():
            if attempt != os.environ["HELIOSTAT_ATTEMPT"]:
                continue
            step = rest
        name, _, value = step.partition("=")
        if name == "meet":
            met = meet(value)
            with met.makefile(encoding="utf-8") as orders:
                for order in orders:
                    if order.strip() == "go":
                        break
                    name, _, value = order.strip().partition("=")
                    act(name, value, output, met)
                else:
                    os._exit(70)  # the test has gone
        else:
            act(name, value, output, met)


def act(name: str, value: str, output: str, met: "socket.socket | None") -> None:
    if name == "write":
        with open(output, "w", encoding="utf-8") as file:
            file.write(value)
    elif name == "tell":
        import json

        with open(output, "w", encoding="utf-8") as file:
            json.dump({"env": dict(os.environ), "arguments": sys.argv[2:]}, file)
    elif name == "files":
        count, length = map(int, value.split(","))
        fill(output, count, length)
    elif name == "frames":
        for frame in range(1, int(value) + 1):
            print("frame", frame, flush=True)
    elif name == "say":
        print(value, flush=True)
    elif name == "flood":
        for _ in range(int(value) // 80):
            sys.stdout.write("x" * 79 + "\n")
        sys.stdout.flush()
    elif name == "complain":
        print(value, file=sys.stderr, flush=True)
    elif name == "exit":
        sys.exit(int(value))
    elif name == "die":
        os.kill(os.getpid(), 9)
    elif name == "breed":
        import subprocess

        assert met is not None
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", STUBBORN, str(met.fileno())],
            stdout=subprocess.PIPE,
            pass_fds=[met.fileno()],
        )
        assert child.stdout is not None
        child.stdout.readline()
    else:
        sys.exit(f"there is no step {name}")


def meet(address: str) -> "socket.socket":
    import json
    import socket

    host, _, port = address.rpartition(":")
    met = socket.create_connection((host, int(port)))
    met.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    hello = {
        "chunk": os.environ["HELIOSTAT_CHUNK"],
        "attempt": int(os.environ["HELIOSTAT_ATTEMPT"]),
        "pid": os.getpid(),
        "ancestors": ancestors(),
    }
    met.sendall(json.dumps(hello).encode() + b"\n")
    return met


def ancestors() -> "list[int]":
    """Process ids of the parents, nearest first; the nearest alone where there is no /proc."""
    found = [os.getppid()]
    try:
        while found[-1] > 1:
            with open(f"/proc/{found[-1]}/stat", encoding="utf-8", errors="replace") as file:
                found.append(int(file.read().rpartition(")")[2].split()[1]))
    except OSError:
        pass
    return [pid for pid in found if pid > 0]


def fill(folder: str, count: int, length: int) -> None:
    """So many files of one byte, with paths of about `length` bytes below the folder."""
    deep = folder
    while len(deep) - len(folder) + 110 < length:
        deep = os.path.join(deep, "d" * 100)
    os.makedirs(deep, exist_ok=True)
    for number in range(count):
        with open(os.path.join(deep, f"{number:06d}"), "wb") as file:
            file.write(b"%d" % (number % 10))


main()
