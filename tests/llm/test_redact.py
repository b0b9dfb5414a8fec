import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.redaction import redact
from llm.redaction.redact import (
    UNCHECKED,
    allowed_attributes,
    quoted_name,
    quoted_text,
    redact_name,
    redact_text,
)

SECRETS = {
    "password": ("login failed password=hunter2canary now", "hunter2canary"),
    "quoted": ('{"api_key": "canary key 7"}', "canary key 7"),
    "bearer": ("Authorization: Bearer canary.abc-123", "canary.abc"),
    "jwt": ("token eyJhbGciOi.eyJzdWIiOiJjYW5hcnki.c2ln", "eyJzdWIiOiJjYW5hcnki"),
    "pem": ("-----BEGIN RSA PRIVATE KEY-----\nMIIcanary\n-----END RSA PRIVATE KEY-----", "MIIcanary"),
    "cut pem": ("-----BEGIN PRIVATE KEY-----\nMIIcanary", "MIIcanary"),
    "aws": ("key AKIACANARYCANARY1234 used", "AKIACANARY"),
    "github": ("ghp_canarycanarycanary0123456789", "canarycanary"),
    "url": ("postgres://root:canary@db/x", "canary"),
    "card": ("card 4111 1111 1111 1111 declined", "4111"),
    "email": ("mail canary@example.com", "canary"),
    "ipv4": ("connect 10.1.2.3:5432", "10.1.2.3"),
    "ipv6": ("connect fe80::1:2 failed", "fe80"),
    "full-width": ("ｐａｓｓｗｏｒｄ＝canary", "canary"),
    "hidden": ("pass\u200bword=canary", "canary"),
    "long token": ("session 0123456789abcdef0123456789abcdef0123", "abcdef0123"),
}


@pytest.mark.parametrize("name", SECRETS)
def test_secret_is_removed(name: str) -> None:
    """Each kind of secret is replaced, and the text says that something was."""
    text, secret = SECRETS[name]
    assert secret not in redact_text(text)
    assert "[redacted:" in redact_text(text)


@pytest.mark.parametrize(
    "text",
    ["Connection refused after 152 ms", "token expired", "GET /api/v1/orders/{id}", "at 12:30:45 in line 7",
     "version 1.2.3.4.5", "order 1234567890123 rejected"],
)  # fmt: skip
def test_plain_errors_stay_readable(text: str) -> None:
    """Texts that are no secret stay as they are."""
    assert redact_text(text) == text


def test_secret_at_the_edge_of_the_scan() -> None:
    """A secret that is cut in half by the length limit does not appear in part."""
    for padding in range(1170, 1215):
        assert "canary" not in redact_text(
            "y" * 7 + " " + "x " * (padding // 2) + "password=canarycanary " * 3
        )


def test_a_megabyte_is_cut() -> None:
    """A value of 1 MB becomes at most the limit, in no time worth measuring."""
    assert len(redact_text("word " * 200_000)) <= redact.TEXT_LIMIT_CHARS


def test_failure_is_closed() -> None:
    """When the check itself fails, the text does not get through."""

    class Hostile:
        def __str__(self) -> str:
            raise RuntimeError("canary")

    assert redact_text(Hostile()) == UNCHECKED


@given(st.text())
def test_never_raises_and_never_hides(text: str) -> None:
    """Any text gives one visible line within the limit."""
    line = redact_text(text)
    assert line == redact.strip_invisible(line)
    assert "\n" not in line
    assert len(line) <= redact.TEXT_LIMIT_CHARS


def test_names_lose_only_what_cannot_be_seen() -> None:
    """A name keeps its own characters, without tag and zero-width ones."""
    assert redact_name("publish\u200b <default>\U000e0041\n") == "publish <default>"


def test_attributes_by_allow_list() -> None:
    """Only known keys leave, with their text redacted; lists and infinities stay behind."""
    given_ = {
        "db.system.name": "postgresql", "user.id": "canary", "server.address": "10.0.0.7",
        "order.quantity": float("inf"), "http.route": ["a"], "order.price": 42_000.5,
    }  # fmt: skip
    assert allowed_attributes(given_) == {
        "db.system.name": "postgresql",
        "order.price": 42_000.5,
        "server.address": "[redacted:ip]",
    }


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("http://evil.example/x", "http:// evil.example/x"),
        ("www.evil.example", "www. evil.example"),
        ("//evil.example", "// evil.example"),
        *((name, name) for name in ("**evil**", "{{7*7}}", ":material/warning:")),
    ],
)
def test_a_name_that_a_page_would_render_is_quoted(name: str, quoted: str) -> None:
    """Links, bold text, templates and icons are no identifiers, and an address becomes no link."""
    assert quoted_name(name) == f'"{quoted}"'


def test_nothing_closes_the_quotation() -> None:
    """No mark that reads as the end of a quotation stays inside one."""
    for mark in '"“”„‟«»＂':
        assert quoted_text(f"pay{mark} is fine. {mark}evil") == "\"pay' is fine. 'evil\""


def test_requests_by_their_method_are_names() -> None:
    """The names that instrumentations give outgoing requests stand without quotation marks."""
    assert (quoted_name("HTTP POST"), quoted_name("GET /cart")) == ("HTTP POST", "GET /cart")
