"""The Prometheus alerts: expressions parse, their metrics exist, and the runbook explains each."""

import re
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client import generate_latest

from gateway.metrics import Metrics as GatewayMetrics
from services.common.serving.metrics import Metrics
from tests.compose.stack import OURS, ROOT

PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES: list[dict[str, Any]] = yaml.safe_load(
    (PROMETHEUS / "alerts.yml").read_text(encoding="utf-8")
)["groups"][0]["rules"]
NAMES = [rule["alert"] for rule in RULES]


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_the_metrics_of_an_alert_exist(rule: dict[str, Any]) -> None:
    promql_parser.parse(rule["expr"])
    text = (
        generate_latest(Metrics().registry) + generate_latest(GatewayMetrics().registry)
    ).decode()
    known = {"up", *re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE)}
    used = set(re.findall(r"\b(?:up|sluice_\w+|process_\w+)(?=[{\[)\s]|$)", rule["expr"]))
    assert used
    assert used <= known
    assert set(re.findall(r'service="(\w+)"', rule["expr"])) <= set(OURS)


def test_the_runbook_explains_each_alert_and_no_other() -> None:
    explained = re.findall(
        r"^\| `(Sluice\w+)` \| .+ \| .+ \|$",
        (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert explained == NAMES


def test_prometheus_reads_each_replica_of_each_service() -> None:
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))
    assert all((PROMETHEUS / name).is_file() for name in config["rule_files"])
    found = [
        name
        for job in config["scrape_configs"]
        for each in job["dns_sd_configs"]
        for name in each["names"]
    ]
    assert sorted(found) == sorted(OURS)
