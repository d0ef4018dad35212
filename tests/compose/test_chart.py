"""The Helm chart: linted, rendered, and every object checked against Kubernetes' schemas. Needs
helm (HELM, or on the path).
"""

import os
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from tests.compose.stack import ROOT

CHART = ROOT / "deploy" / "helm" / "sluice"
KUBERNETES = "1.33"
SMALLEST = ["--set", "s3.bucket=sluice"]
LARGEST = [
    *SMALLEST,
    *(
        "--set",
        "ingress.enabled=true,ingress.host=sluice.example.org,ingress.className=nginx,ingress.tlsSecret=tls",
    ),
    *("--set", "s3.endpoint=http://minio:9000,gateway.env.LOG_FORMAT=text"),
    *("--set-json", 'ingress.trustedProxies=["10.244.0.0/16","fd00::/8"]'),
    *("--set-json", 'imagePullSecrets=[{"name":"registry"}]'),
    *("--set-json", 'networkPolicy.gatewayFrom=[{"namespaceSelector":{}}]'),
    *(
        "--set-json",
        'networkPolicy.metricsFrom=[{"podSelector":{"matchLabels":{"app":"prometheus"}}}]',
    ),
]
GRPC = {"upload", "validation", "druid-gateway", "status"}


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = os.environ.get("HELM") or shutil.which("helm")
    if program is None:
        pytest.skip("helm is not installed (HELM=... names it)")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def rendered(values: list[str]) -> list[dict[str, Any]]:
    done = helm("template", "r", str(CHART), "--kube-version", f"{KUBERNETES}.0", *values)
    assert done.returncode == 0, done.stderr
    return [item for item in yaml.safe_load_all(done.stdout) if item]


def pods(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return component name -> pod specification."""
    found = [item for item in objects if item["kind"] in {"Deployment", "Job"}]
    return {
        item["metadata"]["labels"]["app.kubernetes.io/component"]: item["spec"]["template"]["spec"]
        for item in found
    }


def test_lint() -> None:
    done = helm("lint", str(CHART), "--strict", *SMALLEST)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("values", [SMALLEST, LARGEST], ids=["smallest", "largest"])
def test_every_object_fits_its_schema(values: list[str]) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    objects = rendered(values)
    for item in objects:
        kubernetes_validate.validate(item, KUBERNETES, strict=True)
    assert ("Ingress" in {item["kind"] for item in objects}) == (values is LARGEST)


def test_pods_are_confined() -> None:
    for name, pod in pods(rendered(SMALLEST)).items():
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["automountServiceAccountToken"] is False
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]


def test_each_pod_has_the_secrets_that_it_needs_and_no_other() -> None:
    for name, pod in pods(rendered(SMALLEST)).items():
        variables = pod["containers"][0]["env"]
        referred = {item["name"] for item in variables if "valueFrom" in item}
        keys = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
        assert referred == {
            "upload": keys,
            "validation": keys,
            "status": {"DATABASE_URL"},
            "migrations": {"DATABASE_URL"},
        }.get(name, set())


def test_grpc_services_are_headless_and_probed_by_grpc() -> None:
    objects = rendered(SMALLEST)
    services = {
        item["metadata"]["labels"]["app.kubernetes.io/component"]: item["spec"]
        for item in objects
        if item["kind"] == "Service"
    }
    headless = {name for name, spec in services.items() if spec.get("clusterIP") == "None"}
    assert headless == {*GRPC, "gateway-pods"}
    for name in GRPC:
        container = pods(objects)[name]["containers"][0]
        assert (
            container["readinessProbe"]["grpc"]["port"]
            == container["ports"][0]["containerPort"]
            == services[name]["ports"][0]["port"]
        )


def variables(objects: list[dict[str, Any]], name: str) -> dict[str, str]:
    container = pods(objects)[name]["containers"][0]
    return {item["name"]: item.get("value", "") for item in container["env"]}


def test_upload_believes_the_pods_of_the_gateway_and_the_gateway_its_proxies() -> None:
    objects = rendered(LARGEST)
    name = variables(objects, "upload")["TRUSTED_GATEWAYS"]
    (named,) = [
        item["spec"]
        for item in objects
        if item["kind"] == "Service" and item["metadata"]["name"] == name
    ]
    selector = named["selector"]["app.kubernetes.io/component"]
    assert (selector, named["clusterIP"]) == ("gateway", "None")
    # Pods call before they are ready.
    assert named["publishNotReadyAddresses"]
    assert variables(objects, "gateway")["TRUSTED_PROXIES"] == "10.244.0.0/16,fd00::/8"
    assert "TRUSTED_PROXIES" not in variables(rendered(SMALLEST), "gateway")


def test_network_policies_let_in_the_callers_only() -> None:
    policies = {
        item["metadata"]["labels"]["app.kubernetes.io/component"]: item["spec"]["ingress"][0]
        for item in rendered(SMALLEST)
        if item["kind"] == "NetworkPolicy"
    }
    callers = {
        name: {
            peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
            for peer in rule.get("from", [])
        }
        for name, rule in policies.items()
    }
    assert callers == {
        "upload": {"gateway", "status"},
        "validation": {"gateway", "status"},
        "druid-gateway": {"gateway", "status"},
        "status": {"gateway", "upload"},
        "gateway": set(),
    }


@pytest.mark.parametrize(
    ("values", "open_"), [(SMALLEST, 0), (LARGEST, len(GRPC))], ids=["smallest", "largest"]
)
def test_metrics_are_readable_only_by_named_peers(values: list[str], open_: int) -> None:
    rules = [
        rule
        for item in rendered(values)
        if item["kind"] == "NetworkPolicy"
        for rule in item["spec"]["ingress"]
    ]
    metrics = [rule for rule in rules if rule["ports"][0]["port"] == 9464]
    assert len(metrics) == open_
    assert all(rule["from"] for rule in metrics)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ("s3.bucket=", "/s3/bucket"),
        ("s3.bucket=sluice,druid.url=router:8888", "/druid/url"),
        ("s3.bucket=sluice,upload.replicas=0", "/upload/replicas"),
        ("s3.bucket=sluice,ingress.enabled=true", "/ingress/host"),
        ("s3.bucket=sluice,postgresql.password=x", "password"),
    ],
)
def test_wrong_values_are_named(wrong: str, named: str) -> None:
    done = helm("template", "r", str(CHART), "--kube-version", f"{KUBERNETES}.0", "--set", wrong)
    assert done.returncode != 0
    assert named in done.stderr
