"""Invalid settings end the process with the names of the variables, never their values."""

import pytest

from services.common import settings


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*settings.S3Settings.model_fields, *settings.ServiceSettings.model_fields):
        monkeypatch.delenv(name.upper(), raising=False)


def test_all_missing_variables_are_named_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        settings.load(settings.S3Settings)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "S3_BUCKET_NAME"):
        assert f"{variable}: is not set. " in said


@pytest.mark.parametrize(
    "address", ["50051", "localhost", "http://localhost:1", "a b:1", ":1", "localhost:port"]
)
def test_addresses(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    monkeypatch.setenv("BIND_ADDR", address)
    with pytest.raises(SystemExit):
        settings.load(settings.ServiceSettings)
    assert "BIND_ADDR: " in capsys.readouterr().err


def test_a_wrong_secret_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setenv("S3_BUCKET_NAME", "xx")
    with pytest.raises(SystemExit):
        settings.load(settings.S3Settings)
    assert "hush" not in capsys.readouterr().err


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "hush",
        "S3_BUCKET_NAME": "bucket",
    }.items():
        monkeypatch.setenv(name, value)
    assert "hush" not in repr(settings.load(settings.S3Settings))


def test_only_open_mode_so_far(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BIND_ADDR", "127.0.0.1:1")
    monkeypatch.setenv("AUTH_MODE", "oidc")
    with pytest.raises(SystemExit):
        settings.load(settings.ServiceSettings)
    assert "AUTH_MODE" in capsys.readouterr().err
