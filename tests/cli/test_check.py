"""`bedplate check` as a command: reports, exit codes, baselines and notices."""

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

SETTINGS = '[tool.bedplate.check]\nwithout = ["mypy"]\n'
BAD = """\
import time


async def wait() -> None:
    time.sleep(1)
"""
GOOD = """\
import asyncio


async def wait() -> None:
    await asyncio.sleep(1)
"""
TEXT = {
    "type": "object",
    "properties": {"text": {"type": "string", "minLength": 1}},
    "required": ["text"],
    "additionalProperties": False,
}
URI = {"type": "string", "pattern": r"^[^ \\]+$"}
# The part of SARIF 2.1.0 that the report uses. Other properties are not allowed.
SARIF: dict[str, Any] = {
    "$defs": {
        "rule": {
            "properties": {
                "id": {"type": "string"},
                "shortDescription": TEXT,
                "fullDescription": TEXT,
                "help": TEXT,
                "helpUri": {"type": "string", "pattern": "^https://"},
                "properties": {
                    "properties": {
                        "tags": {"items": {"type": "string"}, "uniqueItems": True}
                    }
                },
            },
            "required": ["id"],
            "additionalProperties": False,
        },
        "location": {
            "properties": {
                "physicalLocation": {
                    "properties": {
                        "artifactLocation": {
                            "properties": {"uri": URI, "uriBaseId": {"type": "string"}},
                            "required": ["uri"],
                            "additionalProperties": False,
                        },
                        "region": {
                            "properties": {
                                "startLine": {"type": "integer", "minimum": 1}
                            },
                            "additionalProperties": False,
                        },
                    },
                    "required": ["artifactLocation"],
                    "additionalProperties": False,
                }
            },
            "additionalProperties": False,
        },
        "result": {
            "properties": {
                "ruleId": {"type": "string"},
                "ruleIndex": {"type": "integer", "minimum": 0},
                "level": {"enum": ["none", "note", "warning", "error"]},
                "message": TEXT,
                "locations": {"items": {"$ref": "#/$defs/location"}},
                "partialFingerprints": {"additionalProperties": {"type": "string"}},
            },
            "required": ["message"],
            "additionalProperties": False,
        },
        "invocation": {
            "properties": {
                "executionSuccessful": {"type": "boolean"},
                "toolExecutionNotifications": {
                    "items": {
                        "properties": {
                            "level": {"enum": ["note"]},
                            "message": TEXT,
                        },
                        "required": ["message"],
                        "additionalProperties": False,
                    }
                },
            },
            "required": ["executionSuccessful"],
            "additionalProperties": False,
        },
        "run": {
            "properties": {
                "tool": {
                    "properties": {
                        "driver": {
                            "properties": {
                                "name": {"type": "string"},
                                "version": {"type": "string"},
                                "rules": {
                                    "items": {"$ref": "#/$defs/rule"},
                                    "uniqueItems": True,
                                },
                            },
                            "required": ["name"],
                            "additionalProperties": False,
                        }
                    },
                    "required": ["driver"],
                    "additionalProperties": False,
                },
                "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                "invocations": {"items": {"$ref": "#/$defs/invocation"}},
                "originalUriBaseIds": {"type": "object"},
                "results": {"items": {"$ref": "#/$defs/result"}},
            },
            "required": ["tool"],
            "additionalProperties": False,
        },
    },
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "version": {"const": "2.1.0"},
        "runs": {"type": "array", "items": {"$ref": "#/$defs/run"}},
    },
    "required": ["version", "runs"],
    "additionalProperties": False,
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(SETTINGS)
    (tmp_path / "waiting.py").write_text(BAD)
    return tmp_path


def test_a_finding_shows_its_place_why_it_matters_and_how_to_fix_it(
    bedplate: Any, project: Path
) -> None:
    done = bedplate("check")

    output = " ".join(done.out.split())
    assert done.code == 1
    assert "Sync in async" in output
    assert "waiting.py:5 Async functions should not call `time.sleep`" in output
    assert "why The event loop does nothing else until the call returns" in output
    assert "fix Use an async library" in output
    assert "1 finding in 1 file" in output


def test_a_clean_project_exits_with_0(bedplate: Any, project: Path) -> None:
    (project / "waiting.py").write_text(GOOD)

    done = bedplate("check", str(project))

    assert (done.code, done.err) == (0, "")
    assert "Nothing found" in done.out


def test_json_holds_the_same(bedplate: Any, project: Path) -> None:
    done = bedplate("check", "--format", "json")

    report = json.loads(done.out)
    [finding] = report["findings"]
    assert done.code == 1
    assert (finding["path"], finding["line"]) == ("waiting.py", 5)
    assert finding["rule"] == "ASYNC251"
    assert finding["url"].endswith("/blocking-sleep-in-async-function")
    assert report["tools"] == ["ruff", "import-linter", "detect-secrets"]


def test_sarif_follows_the_standard(bedplate: Any, project: Path) -> None:
    (project / "with space.py").write_text(BAD)

    done = bedplate("check", "--format", "sarif")

    log = json.loads(done.out)
    jsonschema_rs.validate(SARIF, log)
    [run] = log["runs"]
    uris = [
        result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        for result in run["results"]
    ]
    assert uris == ["waiting.py", "with%20space.py"]
    rules = run["tool"]["driver"]["rules"]
    assert [rules[r["ruleIndex"]]["id"] for r in run["results"]] == ["ASYNC251"] * 2
    assert "no application" in str(run["invocations"])


def test_a_baseline_hides_its_findings_wherever_they_move(
    bedplate: Any, project: Path
) -> None:
    written = bedplate("check", "--write-baseline", "known.json")
    (project / "waiting.py").write_text(f"# Moved.\n{BAD}")
    moved = bedplate("check", "--baseline", "known.json")
    (project / "waiting.py").write_text(f"{BAD}    time.sleep(1)\n")
    doubled = bedplate("check", "--baseline", "known.json")
    (project / "waiting.py").write_text(GOOD)
    fixed = bedplate("check", "--baseline", "known.json")

    assert [d.code for d in (written, moved, doubled, fixed)] == [0, 0, 1, 0]
    assert "1 more are in the baseline" in " ".join(moved.out.split())
    assert "waiting.py:6" in doubled.out
    assert "1 of the baseline no longer occur" in " ".join(fixed.out.split())


def test_a_rule_can_be_ignored_by_a_line_and_by_the_settings(
    bedplate: Any, project: Path
) -> None:
    ignoring = "# bedplate: ignore[ASYNC251] it is a test of waiting"
    (project / "waiting.py").write_text(BAD.replace("(1)", f"(1)  {ignoring}"))
    by_line = bedplate("check")
    above = BAD.replace("    time.sleep", f"    {ignoring}\n    time.sleep")
    (project / "waiting.py").write_text(above)
    by_comment = bedplate("check")
    (project / "waiting.py").write_text(BAD)
    (project / "pyproject.toml").write_text(f'{SETTINGS}ignore = ["ASYNC251"]\n')
    by_rule = bedplate("check")
    (project / "pyproject.toml").write_text(f'{SETTINGS}exclude = ["waiting.py"]\n')
    by_file = bedplate("check")

    assert [done.code for done in (by_line, by_comment, by_rule, by_file)] == [0] * 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere is not a folder"),
        (["--baseline", "waiting.py"], "waiting.py is not a baseline"),
        (["--write-baseline", "nowhere/known.json"], "the baseline can't be written"),
    ],
)
def test_a_check_that_cannot_run_is_one_line_and_exit_code_2(
    bedplate: Any, project: Path, arguments: list[str], message: str
) -> None:
    done = bedplate("check", *arguments)

    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert done.err.count("\n") == 1


def test_a_misspelt_setting_is_refused(bedplate: Any, project: Path) -> None:
    (project / "pyproject.toml").write_text("[tool.bedplate.check]\nexclud = []\n")

    done = bedplate("check")

    assert done.code == 2
    assert "[tool.bedplate.check] in pyproject.toml: exclud" in done.err


def test_failed_parts_are_reported_and_the_rest_is_checked(
    bedplate: Any, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "main.py").write_text("import nothing_there\n\napp = FastAPI()\n")
    (project / "broken.py").write_text("def (\n")
    monkeypatch.setattr(
        "bedplate.check.run.is_installed", lambda tool: tool.name == "ruff"
    )

    done = bedplate("check", "--format", "json")

    report = json.loads(done.out)
    notices = "\n".join(report["notices"])
    assert done.code == 1
    assert {finding["rule"] for finding in report["findings"]} == {"ASYNC251", "F821"}
    assert "main:app: ModuleNotFoundError: No module named 'nothing_there'" in notices
    assert "not read: broken.py" in notices
    assert "detect-secrets isn't installed, so its rules were left out" in notices
    assert report["tools"] == ["ruff"]


def test_the_application_can_be_named_and_can_be_a_factory(
    bedplate: Any, project: Path
) -> None:
    (project / "waiting.py").write_text(GOOD)
    (project / "shop").mkdir()
    (project / "shop" / "making.py").write_text(
        "from fastapi import FastAPI\n\n\n"
        "def make() -> FastAPI:\n    app = FastAPI()\n\n"
        '    @app.get("/names")\n'
        "    def names() -> list[str]:\n        return []\n\n    return app\n"
    )

    without_app = bedplate("check")
    named = bedplate("check", "--app", "shop.making:make")
    app = '[tool.bedplate]\napp = "shop.making:make"\n'
    (project / "pyproject.toml").write_text(app + SETTINGS)
    configured = bedplate("check")

    assert "no application was found" in " ".join(without_app.out.split())
    assert "`GET /names` returns a bare list" in " ".join(named.out.split())
    assert configured.out == named.out
