"""Credentials never reach a record: by the name of their variable, by their shape, by what they are assigned to."""

import pytest

from lesion.runs.manifest.redact import scrubbed, without_secrets

TOKENS = [
    "ghp_" + "a1B2" * 9,
    "hf_" + "x" * 34,
    "sk-" + "proj-" + "Q" * 30,
    "AKIA" + "ABCDEFGH12345678",
    "xoxb-" + "1" * 20,
    "eyJ" + "a" * 20 + "." + "b" * 20 + "." + "c" * 20,
]


@pytest.mark.parametrize("token", TOKENS)
def test_what_has_the_shape_of_a_token_is_blotted_out(token: str) -> None:
    assert token not in without_secrets(f"+    client = Client({token!r})\n")


@pytest.mark.parametrize("name", ["SERVICE_KEY", "DB_PASSWORD", "MY_AUTH", "SENTRY_DSN", "GITHUB_TOKEN", "API_KEY_2"])
def test_the_value_of_a_variable_with_such_a_name_is_blotted_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "correct-horse-battery")
    assert "correct-horse" not in scrubbed("the log says correct-horse-battery here")


def test_the_password_of_an_address_is_blotted_out_and_the_rest_stays() -> None:
    assert without_secrets("DATABASE_URL=postgres://me:hunter2hunter2@db/x") == "DATABASE_URL=postgres://***@db/x"


def test_a_private_key_and_an_assigned_secret_are_blotted_out() -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----"
    assert "MIIEow" not in without_secrets(f"+{key}\n")
    assert without_secrets('+api_key = "0123456789abcdef0123"') == '+api_key = "***"'


def test_ordinary_text_stays_as_it_is() -> None:
    text = "+    tokens = [item.ids for item in items]  # token by token\n-key: alphas=0.5, https://example.org/a:b@c\n"
    assert without_secrets(text) == text
