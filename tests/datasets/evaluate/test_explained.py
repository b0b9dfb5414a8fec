from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from datasets.evaluate.evaluation import evaluate
from datasets.evaluate.explained.scores import calibration
from datasets.evaluate.explained.scripted import SCRIPTS
from datasets.evaluate.incidents import IncidentFolder
from tests.datasets.evaluate.incident_folder import write_incidents


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The report of `spyhop eval --explain` on a folder of three cases."""
    writer = write_incidents(tmp_path_factory.mktemp("explained") / "incidents")
    with IncidentFolder.open(Path(writer.path)) as folder:
        found = evaluate(folder, explain=True).as_dict()["explanations"]
    explanations: dict[str, Any] = json.loads(json.dumps(found))  # it can be printed as JSON
    return explanations


def test_causes_are_named_and_grounded(told: dict[str, Any]) -> None:
    """Explanations of the cases name the root service, and all that they say is borne out."""
    code = told["deterministic"]
    assert code["n"] == 3
    assert code["service_hit@3"] == 1.0
    assert code["citation_validity"] == code["citation_support"] == 1.0
    assert code["path_grounded"] == code["path_reaches_symptom"] == 1.0
    assert code["latency_p50_ms"] > 0
    assert code["tokens_mean"] > 100


def test_no_lie_of_a_scripted_model_is_shown(told: dict[str, Any]) -> None:
    """Of no scripted model a lie or another cause reaches anybody, and the honest one is not refused."""
    scripted = told["scripted_models"]
    assert set(scripted) == set(SCRIPTS)
    assert {
        name: (s["cases"], s["lies_shown"], s["causes_changed"]) for name, s in scripted.items()
    } == dict.fromkeys(SCRIPTS, (3, 0, 0))
    assert scripted["honest"]["kept"] > scripted["honest"]["refused"]
    assert scripted["lying"]["kept"] == scripted["inventing"]["kept"] == scripted["obeying"]["kept"] == 0
    assert scripted["half_right"]["kept"] >= 3


def test_calibration() -> None:
    """A confidence that is right as often as it says has no error; an overconfident one has."""
    assert calibration([1.0, 1.0], [True, True])["confidence_ece"] == 0
    assert calibration([0.9] * 10, [False] * 10)["confidence_ece"] == pytest.approx(0.9)
