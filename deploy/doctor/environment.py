"""Checks of the environment file."""

from pathlib import Path

from deploy.doctor.findings import Finding, fault, ok, warning
from deploy.doctor.target import NEEDED, read


def check(path: Path) -> list[Finding]:
    """Check that the file is complete, without placeholders, and readable only by its owner."""
    name = path.name
    try:
        variables = read(path)
    except FileNotFoundError:
        return [fault(name, "does not exist", "Run `make docker.env`.")]
    found = [
        fault(
            name,
            f"{variable} is empty or missing: {purpose}",
            f"Set {variable} in {name}; see docker.env.example.",
        )
        for variable, purpose in NEEDED.items()
        if not variables.get(variable)
    ]
    found += [
        fault(
            name,
            f"{variable} is still a placeholder",
            "Delete the file and run `make docker.env`, or set your own secret.",
        )
        for variable, value in variables.items()
        if "<random:" in value
    ]
    found += [
        fault(
            name,
            f"{variable} has quotes or spaces around its value",
            "Remove them: values are used verbatim.",
        )
        for variable, value in variables.items()
        if value != value.strip()
        or (len(value) > 1 and value[0] == value[-1] and value[0] in "'\"")
    ]
    if path.stat().st_mode & 0o077:
        found.append(
            warning(
                name,
                "other users of this machine can read it, and it contains passwords",
                f"chmod 600 {name}",
            )
        )
    return found or [ok(name, "complete and private")]
