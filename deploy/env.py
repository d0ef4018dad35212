"""Makes docker.env and .env: `python -m deploy.env`, what `make docker.env` runs. A file that is
there is never touched.
"""

import os
import re
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
_RANDOM = re.compile(r"<random:([a-z0-9-]+)>")
_AWS_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_FROM_SHELL = (*_AWS_KEYS, "AWS_DEFAULT_REGION", "S3_BUCKET_NAME", "DATABASE_URL", "DRUID_URL")


class EnvironmentFileError(Exception):
    """Why no file was made, for a person."""


def uses_aws(shell: Mapping[str, str]) -> bool:
    """Whether the shell has keys of AWS, so that no S3 server of our own is needed.

    Raises:
        EnvironmentFileError: it has one of the two only.
    """
    given = [name for name in _AWS_KEYS if shell.get(name)]
    if len(given) == 1:
        missing = next(name for name in _AWS_KEYS if name not in given)
        raise EnvironmentFileError(
            f"{given[0]} is set but {missing} is not. Set both to use AWS, or none to use the S3 server of the profile s3."
        )
    return len(given) == len(_AWS_KEYS)


def filled(example: str, shell: Mapping[str, str]) -> str:
    """docker.env: the example with random secrets; with AWS keys in the shell, its values of the
    names that it shares with us.
    """
    made: dict[str, str] = {}

    def secret(match: re.Match[str]) -> str:
        # Hexadecimal, so that it needs no escaping in a URL.
        return made.setdefault(match[1], secrets.token_hex(24))

    text = _RANDOM.sub(secret, example)
    if not uses_aws(shell):
        return text
    values = {name: shell[name] for name in _FROM_SHELL if shell.get(name)}
    values["AWS_ENDPOINT_URL_S3"] = shell.get("AWS_ENDPOINT_URL_S3", "")
    for name, value in values.items():
        text = re.sub(
            rf"^{name}=.*$",
            lambda _, line=f"{name}={value}": line,  # type: ignore[misc]
            text,
            flags=re.MULTILINE,
        )
    return text


def write(folder: Path, shell: Mapping[str, str]) -> list[str]:
    """Makes the files that are not there yet, readable by their owner alone; one sentence about
    each.

    Raises:
        EnvironmentFileError: the example is missing, or the shell has half of a pair of keys.
    """
    example = folder / "docker.env.example"
    if not example.is_file():
        raise EnvironmentFileError(f"{example} is missing: it is the pattern of docker.env.")
    profiles = "" if uses_aws(shell) else "s3"
    contents = {
        "docker.env": filled(example.read_text(encoding="utf-8"), shell),
        ".env": f"# For docker compose. s3: its own S3 server; empty: an object store of yours.\nCOMPOSE_PROFILES={profiles}\n",
    }
    return [_write(folder / name, text) for name, text in contents.items()]


def _write(path: Path, text: str) -> str:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return f"{path.name} is there and stays as it is."
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    return f"{path.name} was made."


def main() -> int:
    """Exit status."""
    try:
        print("\n".join(write(ROOT, os.environ)))
    except EnvironmentFileError as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
