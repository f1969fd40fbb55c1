"""What is asked of the image. Started by check.sh: `check.py IMAGE BASE [podman options]`.

It runs with a read-only root, no capability and no new privileges, as the uid that it names itself; relays a request;
lets a running stream finish after SIGTERM; ends with exit code 0 within the drain. Prints one line for each.
"""

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

IMAGE, BASE, *OPTIONS = sys.argv[1:]
LB = Path(sys.executable).parent / "lb"
UID = "10001"
DRAIN_SECONDS = 20
BODY = {"model": "chat", "messages": [{"role": "user", "content": "hello"}]}
LIMITS = ["--ulimit", "nofile=1024:20000", "--ulimit", "nproc=1024:4096", "--cgroups=disabled", "--network", "host"]
"""What a machine that is a container itself lets podman set."""

NESTED = 'umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec "$@"'
"""A mount namespace of its own with plain cgroups: podman refuses the mixture that nested machines have."""


def main() -> None:
    described = _podman_json("image", "inspect", IMAGE)[0]
    _configuration(described["Config"])
    _contents()
    size, base = described["Size"], _podman_json("image", "inspect", BASE)[0]["Size"]
    _say(f"size: {size / 1e6:.0f} MB, of which the base image {base / 1e6:.0f} MB")
    with _simulator() as backend:
        _lifetime(backend)


def _configuration(config: dict[str, object]) -> None:
    assert config["User"] == f"{UID}:{UID}", config["User"]
    assert config["Entrypoint"] == ["lb"], config["Entrypoint"]
    assert config["Cmd"] == ["serve"], config["Cmd"]
    assert config.get("StopSignal", "SIGTERM") in ("SIGTERM", "15"), config["StopSignal"]
    assert not config.get("Healthcheck"), config["Healthcheck"]
    _say("configuration: user, entry point, signal, no health check")


def _contents() -> None:
    """No compiler, no installer in our part, all of our code as bytecode, and the hot path as machine code."""
    script = (
        "import pathlib, shutil, sys, lb, lb.build;"
        "found = [tool for tool in ('gcc', 'cc', 'make', 'git', 'curl') if shutil.which(tool)];"
        "root = pathlib.Path(lb.__file__).parent;"
        "found += [str(path) for path in pathlib.Path(sys.prefix).rglob('pip')];"
        "found += [str(path) for path in root.rglob('*.py')"
        " if not list((path.parent / '__pycache__').glob(path.stem + '.*.pyc'))];"
        "found += [] if lb.build.COMPILED else ['modules that are not compiled'];"
        "print(found)"
    )
    command = _run(["--rm", "--read-only", "--entrypoint", "python", IMAGE, "-c", script])
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert printed.strip() == "[]", printed
    _say("contents: no build tools, no installer beside the program, the hot path compiled, the rest as bytecode")


def _lifetime(backend: str) -> None:
    port, admin = _free_port(), _free_port()
    settings = {
        "BACKEND_1_URL": backend,
        "BACKEND_1_APIKEY": "any",
        "LB_HOST": "127.0.0.1",
        "LB_PORT": str(port),
        "LB_ADMIN_PORT": str(admin),
        "LB_DRAIN_SECONDS": str(DRAIN_SECONDS),
    }
    given = [part for name, value in settings.items() for part in ("--env", f"{name}={value}")]
    hardened = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]  # noqa: S108
    name = f"lb-check-{os.getpid()}"
    started = time.monotonic()
    command = _run(["--rm", "--name", name, *hardened, *given, IMAGE])
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as container:
        try:
            _wait_until_ready(port)
            _say(f"ready {time.monotonic() - started:.1f} s after `podman run`")
            _privileges(name)
            _request(port)
            _ends_well(container, name, port)
        except BaseException:
            container.kill()
            print(container.communicate(timeout=30)[0], file=sys.stderr)
            raise


def _privileges(name: str) -> None:
    """Read where the kernel tells it: of the very process that serves."""
    pid = _podman("inspect", "--format", "{{.State.Pid}}", name).strip()
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    assert set(status["Uid"].split()) == {UID}, status["Uid"]
    assert set(status["Gid"].split()) == {UID}, status["Gid"]
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[kind], 16) == 0, (kind, status[kind])
    assert status["NoNewPrivs"] == "1", status["NoNewPrivs"]
    mounts = [line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
    root = next(mount for mount in mounts if mount[4] == "/")
    assert "ro" in root[5].split(","), root
    memory = int(re.findall(r"\d+", status["VmRSS"])[0]) / 1024
    _say(f"privileges: uid {UID}, no capability, no new privileges, read-only root; {memory:.0f} MiB resident")


def _request(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", "/openai/v1/chat/completions", json.dumps(BODY), {"content-type": "application/json"})
    reply = connection.getresponse()
    answer = json.loads(reply.read())
    assert reply.status == 200, (reply.status, answer)
    assert answer["choices"], answer
    _say(f"a request through it: {reply.status} from {reply.headers['x-lb-backend']}")
    connection.close()


def _ends_well(container: "subprocess.Popen[str]", name: str, port: int) -> None:
    """SIGTERM in the middle of a stream: the stream reaches its end, then the program ends."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"content-type": "application/json"}
    connection.request("POST", "/openai/v1/chat/completions", json.dumps({**BODY, "stream": True}), headers)
    reply = connection.getresponse()
    got = [reply.readline()]
    reader = threading.Thread(target=lambda: got.append(reply.read()))
    reader.start()
    asked = time.monotonic()
    _podman("kill", "--signal", "TERM", name)
    reader.join(timeout=60)
    output, _ = container.communicate(timeout=60)
    took = time.monotonic() - asked
    assert b"[DONE]" in got[-1], got
    assert container.returncode == 0, (container.returncode, output)
    assert took < DRAIN_SECONDS, took
    assert "Proxying to" in output, output
    _say(f"SIGTERM: the running stream was finished, exit code 0 after {took:.1f} s of {DRAIN_SECONDS}")


@contextmanager
def _simulator() -> Iterator[str]:
    """One endpoint whose streams take some seconds."""
    command = [LB, "sim", "--token-delay", "0.15", "--reply-tokens", "24"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as simulator:
        assert simulator.stdout
        found = re.search(r"http://\S+?:\d+", simulator.stdout.readline())
        assert found
        try:
            yield found.group()
        finally:
            simulator.terminate()


def _wait_until_ready(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the image did not get ready within a minute")


def _run(arguments: list[str]) -> list[str]:
    plain = ["podman", *OPTIONS, *(["--cgroup-manager", "cgroupfs"] if OPTIONS else []), "run", *LIMITS, *arguments]
    return ["unshare", "-m", "sh", "-c", NESTED, "sh", *plain] if OPTIONS else plain


def _podman(*arguments: str) -> str:
    command = ["podman", *OPTIONS, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _podman_json(*arguments: str) -> list[dict[str, object]]:
    return json.loads(_podman(*arguments))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _say(line: str) -> None:
    print(f"ok  {line}", flush=True)


if __name__ == "__main__":
    main()
