"""The list of the API's paths as one HTML page without scripts, which loads nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

CONTENT_SECURITY_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Spyhop HTTP API</title>
<meta name="viewport" content="width=device-width">
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
code { font: 14px ui-monospace, monospace }
section { border-top: 1px solid #8884; padding: .5rem 0 }
table { border-collapse: collapse } td { padding: 0 1rem .2rem 0; vertical-align: top }
@media (prefers-color-scheme: dark) { body { background: #111; color: #ddd } a { color: #8bf } }
</style></head><body><h1>Spyhop HTTP API</h1>
<p>JSON in and out; errors are <code>{"error": {"code", "message", "details"}}</code>. Bodies are sent as
<code>application/json</code>. The same as OpenAPI: <a href="openapi.json">openapi.json</a>.</p>
"""


def render(document: Mapping[str, Any]) -> str:
    """The page of an OpenAPI document."""
    return "".join([_HEAD, *_sections(document), "</body></html>\n"])


def _sections(document: Mapping[str, Any]) -> Iterator[str]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"<section><h2><code>{method.upper()} {escape(path)}</code></h2>"
            if text := operation.get("description"):
                yield f"<p>{escape(text)}</p>"
            rows = [*_parameters(operation), *_body_fields(document, operation)]
            if rows:
                yield f"<table>{''.join(rows)}</table>"
            yield "</section>\n"


def _parameters(operation: Mapping[str, Any]) -> Iterator[str]:
    for parameter in operation.get("parameters", ()):
        yield _row(parameter["name"], parameter["in"], parameter["schema"], parameter.get("required", False))


def _body_fields(document: Mapping[str, Any], operation: Mapping[str, Any]) -> Iterator[str]:
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for name, part in schema.get("properties", {}).items():
        yield _row(name, "body", part, name in schema.get("required", ()))


def _row(name: str, place: str, schema: Mapping[str, Any], is_required: bool) -> str:
    kinds = " or ".join(
        str(one.get("type", "object")) for one in schema.get("anyOf", (schema,)) if one.get("type") != "null"
    )
    default = schema.get("default")
    needed = "required" if is_required else "" if default is None else f"default {default}"
    cells = (f"<code>{escape(name)}</code>", place, escape(kinds), escape(needed))
    text = escape(schema.get("description", ""))
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}<td>{text}</td></tr>"
