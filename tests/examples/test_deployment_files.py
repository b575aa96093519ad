"""examples/kubernetes and examples/docker: they cannot be run here, so their parts are checked against each other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from evalkit.cli.app import app

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "kubernetes"
DOCKERFILE = (ROOT / "examples" / "docker" / "Dockerfile").read_text(encoding="utf-8")
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text(encoding="utf-8"))
MANIFESTS = [
    document for name in KUSTOMIZATION["resources"] for document in yaml.safe_load_all((FOLDER / name).read_text())
]
VERSIONS = {
    "Namespace": "v1",
    "Service": "v1",
    "Deployment": "apps/v1",
    "Job": "batch/v1",
    "PodDisruptionBudget": "policy/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
}
QUANTITY = re.compile(r"^\d+(\.\d+)?(m|Ki|Mi|Gi|Ti)?$")
NAME = re.compile(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")


def of(*kinds: str) -> list[Any]:
    return [manifest for manifest in MANIFESTS if manifest["kind"] in kinds]


WORKLOADS = of("Deployment", "Job")
NAMES = [manifest["metadata"]["name"] for manifest in WORKLOADS]
PODS = {name: manifest["spec"]["template"] for name, manifest in zip(NAMES, WORKLOADS, strict=True)}


def containers() -> Iterator[tuple[str, Any]]:
    for name, template in PODS.items():
        for container in template["spec"]["containers"]:
            yield name, container


def labels(template: Any) -> set[tuple[str, str]]:
    return set(template["metadata"]["labels"].items())


def matched(selector: dict[str, Any]) -> list[str]:
    assert set(selector) <= {"matchLabels"}
    return [name for name, pod in PODS.items() if set(selector.get("matchLabels", {}).items()) <= labels(pod)]


def test_every_file_is_listed():
    files = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert files == set(KUSTOMIZATION["resources"])


def test_kinds_and_names():
    seen = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in MANIFESTS]
    assert len(seen) == len(set(seen))
    for manifest in MANIFESTS:
        assert manifest["apiVersion"] == VERSIONS[manifest["kind"]]
        assert NAME.match(manifest["metadata"]["name"])
        if manifest["kind"] != "Namespace":
            assert manifest["metadata"]["namespace"] == "evalkit"
    assert {kind for kind, _ in seen} == set(VERSIONS)
    assert of("Namespace")[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_selectors_match():
    for deployment in of("Deployment"):
        assert matched(deployment["spec"]["selector"]) == [deployment["metadata"]["name"]]
    for budget in of("PodDisruptionBudget"):
        assert matched(budget["spec"]["selector"]) == [budget["metadata"]["name"]]
        assert len({"minAvailable", "maxUnavailable"} & set(budget["spec"])) == 1
    service = of("Service")[0]["spec"]
    assert matched({"matchLabels": service["selector"]}) == ["evalkit-server"]


def test_the_server_is_one():
    server = next(item for item in of("Deployment") if item["metadata"]["name"] == "evalkit-server")
    assert server["spec"]["replicas"] == 1
    assert server["spec"]["strategy"] == {"type": "Recreate"}


def test_ports_are_named_alike():
    server = PODS["evalkit-server"]["spec"]["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in server["ports"]}
    assert f"--port={ports['http']}" in server["args"]
    for port in of("Service")[0]["spec"]["ports"]:
        assert port["targetPort"] in ports
    for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        assert server[probe]["httpGet"] == {"path": path, "port": "http"}
    assert f"EXPOSE {ports['http']}" in DOCKERFILE
    url = next(e["value"] for e in PODS["evalkit-worker"]["spec"]["containers"][0]["env"] if "value" in e)
    assert url == f"http://{of('Service')[0]['metadata']['name']}"
    assert of("Service")[0]["spec"]["ports"][0]["port"] == 80


def test_pods_are_confined():
    for name, template in PODS.items():
        spec = template["spec"]
        context = spec["securityContext"]
        assert context["runAsNonRoot"] is True, name
        assert context["runAsUser"] == 10001
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert all(
            set(volume) == {"name", "emptyDir"} and volume["emptyDir"]["sizeLimit"] for volume in spec["volumes"]
        )
    assert "useradd --uid 10001" in DOCKERFILE
    assert "USER 10001:10001" in DOCKERFILE
    for name, container in containers():
        context = container["securityContext"]
        assert context == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        volumes = {volume["name"] for volume in PODS[name]["spec"]["volumes"]}
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert set(mounts) == volumes
        assert set(mounts.values()) == {"/tmp", "/work"}  # what is written to; the rest is read-only
        resources = container["resources"]
        assert set(resources["requests"]) == {"cpu", "memory"}
        assert "memory" in resources["limits"]
        assert all(QUANTITY.match(str(value)) for part in resources.values() for value in part.values())


def test_images_are_pinned():
    listed = {image["name"]: image["newTag"] for image in KUSTOMIZATION["images"]}
    for _, container in containers():
        image, _, tag = container["image"].rpartition(":")
        assert listed[image] == tag
        assert re.match(r"^\d+\.\d+\.\d+$", tag)
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(bases) == 2
    assert len(set(bases)) == 1
    assert re.match(r"^python:3\.1[1-3]\.\d+-slim-\w+$", bases[0])
    assert "--constraint constraints.txt" in DOCKERFILE


def test_secrets_by_name_only():
    assert of("Secret") == []
    for _, container in containers():
        for variable in container["env"]:
            plain = variable == {"name": "MLFLOW_TRACKING_URI", "value": "http://evalkit"}
            assert plain or set(variable["valueFrom"]["secretKeyRef"]) == {"name", "key"}, variable
    text = "".join(path.read_text() for path in FOLDER.glob("*.yaml"))
    assert "://evalkit_" not in text
    assert "@" not in text


def test_each_pod_has_its_own_database_role():
    urls = {
        name: variable["valueFrom"]["secretKeyRef"]["name"]
        for name, container in containers()
        for variable in container["env"]
        if variable.get("valueFrom", {}).get("secretKeyRef", {}).get("key") == "database-url"
    }
    assert len(urls) == len(PODS) == len(set(urls.values()))


def test_network_is_closed_and_opened_on_purpose():
    policies = {policy["metadata"]["name"]: policy["spec"] for policy in of("NetworkPolicy")}
    nothing = policies.pop("evalkit-nothing")
    assert nothing == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert set(policies) == set(PODS)
    for name, spec in policies.items():
        assert matched(spec["podSelector"]) == [name]
        assert all("to" in rule and "ports" in rule for rule in spec["egress"])
        assert ("ingress" in spec) == (name == "evalkit-server")
    peers = [peer for rule in policies["evalkit-worker"]["egress"] for peer in rule["to"] if "podSelector" in peer]
    assert [matched(peer["podSelector"]) for peer in peers] == [["evalkit-server"]]
    peers = [peer for rule in policies["evalkit-server"]["ingress"] for peer in rule["from"] if "podSelector" in peer]
    assert [matched(peer["podSelector"]) for peer in peers] == [["evalkit-worker"]]


@pytest.mark.parametrize(("name", "arguments"), [(name, container["args"]) for name, container in containers()])
def test_commands_exist(name: str, arguments: list[str]):
    context, command = click.Context(app), app.get_command(click.Context(app), arguments[0])
    assert command is not None, name
    rest = list(arguments[1:])
    while rest and isinstance(command, click.Group) and not rest[0].startswith("-"):
        command = command.get_command(context, rest.pop(0))
        assert command is not None
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {argument.partition("=")[0] for argument in rest if argument.startswith("-")} <= known


PAGE = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")


def test_the_page_names_what_is_there():
    for link in re.findall(r"\]\((?!#|http)([^)#]+)", PAGE):
        assert (ROOT / "docs" / link).exists(), link
    for file in re.findall(r"`([a-z-]+\.yaml)`", PAGE):
        assert (FOLDER / file).exists(), file
    secrets = {
        (reference["name"], reference["key"])
        for _, container in containers()
        for variable in container["env"]
        if (reference := variable.get("valueFrom", {}).get("secretKeyRef"))
    }
    made = {
        (name, key)
        for name, rest in re.findall(r"secret generic (\S+)([\s\S]*?)(?=kubectl|```)", PAGE)
        for key in re.findall(r"--from-file=([a-z-]+)=", rest)
    }
    assert made == secrets


def test_the_page_names_the_roles():
    script = (ROOT / "examples" / "postgres" / "roles.sql").read_text(encoding="utf-8")
    roles = set(re.findall(r"'(evalkit_(?:owner|server|worker|reader))'", script))
    assert set(re.findall(r"^\| `(evalkit_\w+)`", PAGE, re.MULTILINE)) == roles
