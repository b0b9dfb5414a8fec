"""Clients that are fetched and built: each into a folder of its own, once.

They come from npm, Maven Central and the Go module proxy, by the ordinary tools; versions are pinned here.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

SOURCES = Path(__file__).parent
NODE = [
    "@opentelemetry/api@1.9.1",
    "@opentelemetry/auto-instrumentations-node@0.81.2",
    "express@5.3.0",
    "pino@9.14.0",
]
JAVA_AGENT = "io.opentelemetry.javaagent:opentelemetry-javaagent:2.33.1"
JAVA_API = "io.opentelemetry:opentelemetry-api:1.66.0"
GO_SDK = [
    "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp@v0.72.0",
    "go.opentelemetry.io/otel@v1.47.0",
    "go.opentelemetry.io/otel/sdk@v1.47.0",
]
COLLECTOR = [
    "github.com/open-telemetry/opentelemetry-collector-contrib/exporter/fileexporter@v0.161.0",
    *(
        f"go.opentelemetry.io/collector/{part}@v0.161.0"
        for part in (
            *("otelcol", "service", "exporter/otlpexporter", "exporter/otlphttpexporter"),
            *("processor/batchprocessor", "receiver/otlpreceiver"),
        )
    ),
    "go.opentelemetry.io/collector/confmap/provider/fileprovider@v1.67.0",
]
TELEMETRYGEN = "github.com/open-telemetry/opentelemetry-collector-contrib/cmd/telemetrygen@v0.161.0"
_BUILD_S = 1800


def node(folder: Path) -> list[str]:
    """The command of the shop for Node.js."""
    if not (folder / "node_modules").exists():
        run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *NODE], folder)
    shutil.copy(SOURCES / "node" / "shop.js", folder)
    return ["node", "shop.js"]


def java(folder: Path) -> list[str]:
    """The command of the shop for Java: a JAR beside the agent's."""
    agent, jar = folder / "opentelemetry-javaagent.jar", folder / "shop.jar"
    if not agent.exists():
        run(
            ["mvn", "-q", "dependency:copy", f"-Dartifact={JAVA_AGENT}", f"-DoutputDirectory={folder}"],
            folder,
        )
        next(folder.glob("opentelemetry-javaagent-*.jar")).rename(agent)
    pom = folder / "pom.xml"
    if not pom.exists():  # for the API with what it needs
        group, artifact, version = JAVA_API.split(":")
        pom.write_text(
            '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
            "<groupId>shop</groupId><artifactId>shop</artifactId><version>1</version><dependencies><dependency>"
            f"<groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>"
            "</dependency></dependencies></project>"
        )
        run(["mvn", "-q", "dependency:copy-dependencies", f"-DoutputDirectory={folder / 'lib'}"], folder)
    libraries = sorted((folder / "lib").glob("*.jar"))
    run(
        ["javac", "-cp", ":".join(map(str, libraries)), "-d", "classes", str(SOURCES / "java" / "Shop.java")],
        folder,
    )
    manifest = folder / "manifest.txt"
    manifest.write_text(
        f"Main-Class: Shop\nClass-Path: {' '.join(f'lib/{path.name}' for path in libraries)}\n"
    )
    run(["jar", "cfm", str(jar), str(manifest), "-C", "classes", "."], folder)
    return ["java", f"-javaagent:{agent.name}", "-jar", jar.name]


def go(folder: Path) -> list[str]:
    """The command of the shop for Go, to which the protocol is added."""
    return [str(_go_program(folder, "shop", SOURCES / "go" / "main.go", GO_SDK))]


def collector(folder: Path) -> Path:
    """A Collector with OTLP's receivers and exporters, and the file exporter."""
    return _go_program(folder, "otelcol", SOURCES / "collector" / "main.go", COLLECTOR)


def telemetrygen(folder: Path) -> Path:
    """The load generator of the Collector's makers."""
    if not (folder / "telemetrygen").exists():
        run(["env", f"GOBIN={folder}", "go", "install", TELEMETRYGEN], folder)
    return folder / "telemetrygen"


def _go_program(folder: Path, name: str, source: Path, modules: Sequence[str]) -> Path:
    copied = folder / "main.go"
    if not (folder / name).exists() or copied.read_bytes() != source.read_bytes():
        shutil.copy(source, copied)
        if not (folder / "go.mod").exists():
            run(["go", "mod", "init", name], folder)
        run(["go", "get", *modules], folder)
        run(["go", "mod", "tidy"], folder)
        run(["go", "build", "-o", name, "."], folder)
    return folder / name


def run(command: Sequence[str], folder: Path) -> None:
    """Run to its end; its words only if it fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_BUILD_S, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
