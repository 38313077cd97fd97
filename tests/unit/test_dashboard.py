"""What the dashboard and the alerts ask Prometheus for, against what docintake tells it."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from figures import asked, told

from core.settings import PROJECT

RULES = yaml.safe_load((PROJECT / "deploy" / "prometheus" / "rules.yml").read_text())["groups"]
DASHBOARD = json.loads((PROJECT / "deploy" / "grafana" / "dashboards" / "docintake.json").read_text())
ALERTS = {rule["alert"]: rule for group in RULES for rule in group["rules"] if "alert" in rule}
RECORDED = {rule["record"]: rule for group in RULES for rule in group["rules"] if "record" in rule}
TARGETS = {
    f"{panel['title']}, {target['refId']}": target["expr"]
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
}
QUERIES = TARGETS | {name: rule["expr"] for name, rule in (ALERTS | RECORDED).items()}
OUTSIDE = {"up"}
"""What Prometheus says of its own accord."""


@pytest.mark.parametrize("name", QUERIES)
def test_what_is_asked_for_is_told(name: str) -> None:
    names = asked(QUERIES[name])
    assert names
    assert names <= told() | set(RECORDED) | OUTSIDE


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_bad_it_is_and_what_to_do(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"]
    runbook = rule["annotations"]["runbook"]
    assert "\n" not in runbook.strip()
    for page, chapter in re.findall(r"\(([\w/]+\.md)(?:, ([^)]+))?\)", runbook):
        text = (PROJECT / page).read_text()
        assert not chapter or re.search(rf"^(#+ |\*\*){chapter}", text, re.MULTILINE), (page, chapter)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool, which comes with Prometheus, is not here")
def test_alerts_speak_when_they_should_and_no_others() -> None:
    command = ["promtool", "test", "rules", Path(__file__).with_name("alerts.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_queues_that_every_node_tells_of_are_counted_once() -> None:
    for name, expression in QUERIES.items():
        for found in re.finditer(r"docintake_queue_\w+", expression):
            before = expression[: found.start()]
            assert re.search(r"max( by \([a-z, ]+\))? \($|max\($", before), name


def test_panels_stand_side_by_side_and_have_names_of_their_own() -> None:
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    assert max(x for x, _ in taken) == 23
    assert len({panel["title"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_grafana_and_prometheus_find_what_they_are_given() -> None:
    given = [
        yaml.safe_load(path.read_text()) for path in (PROJECT / "deploy" / "grafana" / "provisioning").rglob("*.yml")
    ]
    (source,) = next(file["datasources"] for file in given if "datasources" in file)
    used = {target["datasource"]["uid"] for panel in DASHBOARD["panels"] for target in panel["targets"]}
    assert used == {source["uid"]}
    collected = yaml.safe_load((PROJECT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    (names,) = [found["names"] for found in collected["scrape_configs"][0]["dns_sd_configs"]]
    services = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())["services"]
    telling = {
        name
        for name, said in services.items()
        if "DOCINTAKE_NODE__METRICS_PORT" in said.get("environment", {}) and said["restart"] != "no"
    }
    assert set(names) == telling
    assert Path(collected["rule_files"][0]).name == "rules.yml"
