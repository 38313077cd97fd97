"""The manifests of deploy/kubernetes: well formed, closed up, and the same docintake as docker-compose.yml has."""

import copy
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from composed import SECRETS, read, seconds
from figures import asked, told

from core.settings import PROJECT
from worker.app import GRACE

FOLDER = PROJECT / "deploy" / "kubernetes"
OVERLAYS = ("cpu", "gpu")
VERSION = "1.31"
Manifest = dict[str, Any]


def built(folder: Path) -> list[Manifest]:
    """What kustomize makes of a folder, as far as these use it: resources and JSON patches."""
    said = yaml.safe_load((folder / "kustomization.yaml").read_text())
    found: list[Manifest] = []
    for name in said["resources"]:
        path = folder / name
        found += built(path) if path.is_dir() else [*yaml.safe_load_all(path.read_text())]
    for made in said.get("configMapGenerator", ()):
        data = dict(literal.split("=", 1) for literal in made["literals"])
        found.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": made["name"]}, "data": data})
    for patch in said.get("patches", ()):
        steps = yaml.safe_load(patch["patch"] if "patch" in patch else (folder / patch["path"]).read_text())
        chosen = [m for m in found if m["kind"] == patch["target"]["kind"]]
        chosen = [m for m in chosen if re.fullmatch(patch["target"]["name"], m["metadata"]["name"])]
        assert chosen, patch["target"]
        for manifest in chosen:
            for step in steps:
                patched(manifest, step)
    return found


def patched(manifest: Manifest, step: dict[str, Any]) -> None:
    """RFC 6902, `add` and `replace`."""
    *way, last = (word.replace("~1", "/") for word in step["path"].strip("/").split("/"))
    place: Any = manifest
    for word in way:
        place = place[int(word)] if isinstance(place, list) else place[word]
    value = copy.deepcopy(step["value"])
    if last == "-":
        place.append(value)
    else:
        assert (last in place) == (step["op"] == "replace")
        place[last] = value


BUILT = {name: built(FOLDER / "overlays" / name) for name in OVERLAYS}
BASE = BUILT["cpu"]


def of_kind(*kinds: str, manifests: list[Manifest] = BASE) -> dict[str, Manifest]:
    return {m["metadata"]["name"]: m for m in manifests if m["kind"] in kinds}


def containers(manifest: Manifest) -> Iterator[Manifest]:
    spec = manifest["spec"]["template"]["spec"]
    yield from spec.get("initContainers", ())
    yield from spec["containers"]


def variables(container: Manifest) -> dict[str, str]:
    own = {each["name"]: each["value"] for each in container["env"]}
    (settings,) = (source["configMapRef"]["name"] for source in container["envFrom"])
    return {**of_kind("ConfigMap")[settings]["data"], **own}


PODS = of_kind("Deployment", "Job")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_everything_is_what_kubernetes_takes(overlay: str) -> None:
    for manifest in BUILT[overlay]:
        if manifest["kind"] != "ScaledObject":
            kubernetes_validate.validate(manifest, VERSION, strict=True)


@pytest.mark.parametrize("name", PODS)
def test_a_pod_may_do_no_more_than_it_needs(name: str) -> None:
    spec = PODS[name]["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not spec["automountServiceAccountToken"]
    # Or a Service called flower would tell Flower its port, and not as a number.
    assert not spec["enableServiceLinks"]
    for container in containers(PODS[name]):
        context = container["securityContext"]
        assert (context["allowPrivilegeEscalation"], context["readOnlyRootFilesystem"]) == (False, True)
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted <= {volume["name"] for volume in spec["volumes"]}


@pytest.mark.parametrize("name", PODS)
def test_a_pod_is_given_the_secrets_that_it_names(name: str) -> None:
    spec = PODS[name]["spec"]["template"]["spec"]
    (given,) = (
        {item["key"] for item in volume["secret"]["items"]} for volume in spec["volumes"] if "secret" in volume
    )
    words = [w for c in containers(PODS[name]) for w in (*c["args"], *variables(c).values())]
    assert {word.removeprefix(SECRETS) for word in words if word.startswith(SECRETS)} == given
    assert given <= set(read()["secrets"])


@pytest.mark.parametrize("name", of_kind("Deployment"))
def test_what_runs_on_is_watched_and_has_time_to_stop(name: str) -> None:
    spec = PODS[name]["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] >= 2 * GRACE
    assert spec["shareProcessNamespace"]
    (container,) = spec["containers"]
    port = {port["name"]: port["containerPort"] for port in container["ports"]}
    probes = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")}
    wanted = ("/healthcheck",) * 3 if name == "flower" else ("/ready", "/ready", "/live")
    assert tuple(probe["path"] for probe in probes.values()) == wanted
    listening = container["args"][-1] if name == "flower" else variables(container)["DOCINTAKE_NODE__METRICS_PORT"]
    assert all(port[probe["port"]] == int(listening) for probe in probes.values())


COMPOSED = {"migrate/roles": "roles", "migrate/tables": "migrate", "migrate/classes": "classes"} | {
    f"{name}/docintake": name for name in ("node", "trainer", "beat", "flower")
}


@pytest.mark.parametrize("name", COMPOSED)
def test_commands_and_settings_are_those_of_the_compose_file(name: str) -> None:
    said = read()["services"][COMPOSED[name]]
    pod, _, inside = name.partition("/")
    (container,) = (each for each in containers(PODS[pod]) if each["name"] == inside)
    assert container["args"] == said["command"]
    assert said["environment"].items() <= variables(container).items()
    if pod != "migrate":
        grace = PODS[pod]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        assert grace == seconds(said["stop_grace_period"])


def test_steps_of_a_release_come_one_after_the_other() -> None:
    spec = PODS["migrate"]["spec"]["template"]["spec"]
    assert [each["name"] for each in (*spec["initContainers"], *spec["containers"])] == ["roles", "tables", "classes"]


def test_one_beat_runs_and_its_old_pod_ends_first() -> None:
    spec = PODS["beat"]["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_nodes_are_scaled_by_what_waits() -> None:
    spec = of_kind("ScaledObject")["node"]["spec"]
    # KEDA's own resource, of which no schema is at hand.
    assert set(spec) <= {
        "scaleTargetRef",
        "minReplicaCount",
        "maxReplicaCount",
        "pollingInterval",
        "triggers",
        "fallback",
        "advanced",
    }
    assert "replicas" not in of_kind("Deployment")[spec["scaleTargetRef"]["name"]]["spec"]
    assert 1 <= spec["minReplicaCount"] < spec["maxReplicaCount"]
    (trigger,) = spec["triggers"]
    assert (trigger["type"], trigger["metricType"]) == ("prometheus", "AverageValue")
    assert set(trigger["metadata"]) == {"serverAddress", "query", "threshold"}
    assert asked(trigger["metadata"]["query"]) <= told()
    assert all(isinstance(value, str) for value in trigger["metadata"].values())


def test_budgets_and_policies_are_about_pods_that_there_are() -> None:
    pools = {name: m["spec"]["template"]["metadata"]["labels"]["pool"] for name, m in PODS.items()}
    assert all(name == pool for name, pool in pools.items())
    assert of_kind("PodDisruptionBudget")["node"]["spec"]["selector"]["matchLabels"]["pool"] in pools
    assert of_kind("Service")["flower"]["spec"]["selector"]["pool"] in pools
    policies = of_kind("NetworkPolicy")
    assert policies["all"]["spec"]["podSelector"] == {}
    assert set(policies["all"]["spec"]["policyTypes"]) == {"Ingress", "Egress"}
    (chosen,) = policies["fetching"]["spec"]["podSelector"]["matchExpressions"]
    assert set(chosen["values"]) <= set(pools)


def test_volumes_that_are_claimed_are_there() -> None:
    for overlay in OVERLAYS:
        claimed = set(re.findall(r'"claimName": "(\w+)"', json.dumps(BUILT[overlay])))
        assert claimed == set(of_kind("PersistentVolumeClaim", manifests=BUILT[overlay]))


@pytest.mark.parametrize("name", ["node", "trainer"])
def test_each_has_a_gpu_of_its_own_where_there_are_gpus(name: str) -> None:
    (container,) = containers(of_kind("Deployment", manifests=BUILT["gpu"])[name])
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    said = read()["services"]["gpu-0"]["environment"]
    assert said.items() <= variables(container).items()


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on this machine")
def test_kustomize_makes_the_same_of_it(overlay: str) -> None:
    command = ["kubectl", "kustomize", FOLDER / "overlays" / overlay]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    made = {(m["kind"], m["metadata"]["name"]): m for m in yaml.safe_load_all(done.stdout)}
    for manifest in BUILT[overlay]:
        name = manifest["metadata"]["name"]
        (twin,) = (m for (kind, other), m in made.items() if kind == manifest["kind"] and other.startswith(name))
        assert twin["metadata"]["namespace"] == "docintake"
        if manifest["kind"] == "Deployment":
            assert twin["spec"].get("strategy") == manifest["spec"].get("strategy")
            (one,), (other,) = containers(manifest), containers(twin)
            assert {k: v for k, v in one.items() if k not in ("image", "envFrom")}.items() <= other.items()
            assert other["image"] == f"registry.example.org/docintake:{'cuda' if overlay == 'gpu' else 'cpu'}"
    assert len(made) == len(BUILT[overlay])
