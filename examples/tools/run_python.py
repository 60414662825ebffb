"""Runs a Python program in a process with limits: {"code": "…"} on standard input, or {"input": "…"} from GLM-4's own tool."""

import json
import resource
import shutil
import subprocess
import sys
import tempfile

SECONDS = 10
MEMORY = 512 << 20
FILE = 16 << 20


def limit():
    """Holds in the new process, before the program starts."""
    for kind, value in [
        (resource.RLIMIT_CPU, SECONDS),
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_FSIZE, FILE),
        (resource.RLIMIT_CORE, 0),
    ]:
        resource.setrlimit(kind, (value, value))


def without_network():
    """A command that takes the network away, where the system lets users do so."""
    unshare = shutil.which("unshare")
    if not unshare:
        return []
    command = [unshare, "--user", "--net", "--map-root-user"]
    tried = subprocess.run([*command, "true"], capture_output=True, check=False)
    return command if tried.returncode == 0 else []


def main():
    arguments = json.load(sys.stdin)
    code = arguments["code"] if "code" in arguments else arguments["input"]
    fence = without_network()
    if not fence:
        print("note: the network could not be taken away", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        try:
            result = subprocess.run(
                [*fence, sys.executable, "-I", "-c", code],
                cwd=folder,
                env={"HOME": folder, "TMPDIR": folder, "PATH": "/usr/bin:/bin"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=SECONDS,
                preexec_fn=limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            sys.exit(f"it took longer than {SECONDS} s and was ended")
    sys.stdout.write(result.stdout.decode(errors="replace"))
    if result.returncode != 0:
        sys.stdout.write(result.stderr.decode(errors="replace"))
        print(f"[it ended with code {result.returncode}]")


if __name__ == "__main__":
    main()
