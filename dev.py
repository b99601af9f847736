#!/usr/bin/env python3
"""Set up .venv beside this file and run something in it; needs Python 3.11 or newer, and pip.

python3 dev.py search [OPTIONS]   the main job: foretell search
python3 dev.py check              everything that must pass: lint, types, the site, tests
python3 dev.py docs               the documentation as a site, in site/
python3 dev.py oldest [TESTS]     tests with the oldest versions that are supported, without extras
python3 dev.py run COMMAND ...    any command of the environment, such as `foretell rank`
"""

import subprocess
import sys
import tomllib
import venv
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv"
BIN = ENVIRONMENT / ("Scripts" if sys.platform == "win32" else "bin")

SITE = ("mkdocs", "build", "--quiet", "--strict")
CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    SITE,
    ("pytest", "-n", "2"),
)


def main() -> int:
    """Do what the first argument says."""
    action, *rest = sys.argv[1:] or ["--help"]
    if action == "search":
        set_up(extras="report")
        return run("foretell", "search", *rest)
    if action == "check":
        set_up(extras="dev")
        return next((code for check in CHECKS if (code := run(*check))), 0)
    if action == "docs":
        set_up(extras="docs")
        return run(*SITE)
    if action == "oldest":
        return oldest(rest)
    if action == "run" and rest:
        set_up(extras="report")
        return run(*rest)
    print(__doc__)
    return 0 if action in ("-h", "--help") else 2


def set_up(extras: str) -> None:
    """Make the environment, or bring it up to date where the project's requirements changed."""
    stamp = ENVIRONMENT / f".installed{extras and f'-{extras}'}"
    wanted = sha256(b"".join((ROOT / name).read_bytes() for name in REQUIREMENTS)).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    if not (BIN / "python").exists() and not (BIN / "python.exe").exists():
        print("making .venv ...", file=sys.stderr)
        venv.create(ENVIRONMENT, with_pip=True)
    print("installing (once; PyTorch is large) ...", file=sys.stderr)
    target = f"{ROOT}[{extras}]" if extras else str(ROOT)
    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    subprocess.run(
        [BIN / "python", *pip, "--constraint", ROOT / "constraints.txt", "--editable", target],
        check=True,
    )
    stamp.write_text(wanted)


REQUIREMENTS = ("pyproject.toml", "constraints.txt")


def oldest(tests: list[str]) -> int:
    """Run tests in .venv-oldest, with the lowest versions that pyproject.toml declares."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    exact = [needed.replace(">=", "==") for needed in project["dependencies"]]
    environment = ROOT / ".venv-oldest"
    venv.create(environment, with_pip=True)
    python = environment / BIN.name / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    tools = ("pytest>=9", "pytest-timeout>=2.4", "hypothesis>=6.100")
    subprocess.run([*install, *exact, *tools, "--editable", ROOT], check=True)
    usual = ["tests", "src", "--ignore=src/foretell/integrations"]
    return subprocess.run([python, "-m", "pytest", *(tests or usual)], cwd=ROOT).returncode


def run(*command: str) -> int:
    """Run a command of the environment from the project's folder; its exit code."""
    try:
        return subprocess.run([BIN / command[0], *command[1:]], cwd=ROOT).returncode
    except KeyboardInterrupt:  # the command has had it too and said its word
        return 130


if __name__ == "__main__":
    sys.exit(main())
