"""The environment file."""

from pathlib import Path

from deploy.doctor.findings import Finding, fault, ok, warning
from deploy.doctor.target import NEEDED, read


def check(path: Path) -> list[Finding]:
    """Complete, without placeholders, and readable by its owner alone."""
    name = path.name
    try:
        variables = read(path)
    except FileNotFoundError:
        return [fault(name, "is not there", "Run `make docker.env`.")]
    found = [
        fault(
            name,
            f"{variable} is empty or missing: {purpose}",
            f"Set {variable} in {name}; docker.env.example shows its form.",
        )
        for variable, purpose in NEEDED.items()
        if not variables.get(variable)
    ]
    found += [
        fault(
            name,
            f"{variable} is still a placeholder",
            "Delete the file and run `make docker.env`, or put a secret of your own in its place.",
        )
        for variable, value in variables.items()
        if "<random:" in value
    ]
    found += [
        fault(
            name,
            f"{variable} has quotes or spaces around its value",
            "Take them off: values are used as they stand.",
        )
        for variable, value in variables.items()
        if value != value.strip()
        or (len(value) > 1 and value[0] == value[-1] and value[0] in "'\"")
    ]
    if path.stat().st_mode & 0o077:
        found.append(
            warning(
                name,
                "others on this machine can read it, and it holds passwords",
                f"chmod 600 {name}",
            )
        )
    return found or [ok(name, "complete and private")]
