"""Create docker.env and .env: `python -m deploy.env`, run by `make docker.env`. Existing files are
never changed.
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
    """The files cannot be created. The text says why and what to do."""


def uses_aws(shell: Mapping[str, str]) -> bool:
    """Return whether the shell has AWS keys, which replace the S3 server of the profile s3.

    Raises:
        EnvironmentFileError: only one of the two keys is set.
    """
    given = [name for name in _AWS_KEYS if shell.get(name)]
    if len(given) == 1:
        missing = next(name for name in _AWS_KEYS if name not in given)
        raise EnvironmentFileError(
            f"{given[0]} is set but {missing} is not. Set both to use AWS, or neither to use the S3 server of the profile s3."
        )
    return len(given) == len(_AWS_KEYS)


def filled(example: str, shell: Mapping[str, str]) -> str:
    """Return docker.env: the example with random secrets and, if the shell has AWS keys, with the
    shell's values of _FROM_SHELL.
    """
    generated: dict[str, str] = {}

    def secret(match: re.Match[str]) -> str:
        # Hexadecimal digits need no escaping in a URL.
        return generated.setdefault(match[1], secrets.token_hex(24))

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
    """Create the missing files, readable only by their owner; return a sentence about each.

    Raises:
        EnvironmentFileError: the example is missing, or the shell has only one AWS key.
    """
    example = folder / "docker.env.example"
    if not example.is_file():
        raise EnvironmentFileError(f"{example} is missing: it is the template of docker.env.")
    profiles = "" if uses_aws(shell) else "s3"
    contents = {
        "docker.env": filled(example.read_text(encoding="utf-8"), shell),
        ".env": f"# For docker compose. s3: run an S3 server; empty: use your own object store.\nCOMPOSE_PROFILES={profiles}\n",
    }
    return [_write(folder / name, text) for name, text in contents.items()]


def _write(path: Path, text: str) -> str:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return f"{path.name} already exists and is unchanged."
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    return f"{path.name} was created."


def main() -> int:
    """Run the command; return its exit status."""
    try:
        print("\n".join(write(ROOT, os.environ)))
    except EnvironmentFileError as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
