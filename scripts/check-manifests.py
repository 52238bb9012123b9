"""check-manifests.py FILE: what every rendered workload must have, that a schema does not ask for. Prints what is wrong, exits 1."""
import sys

import yaml

with open(sys.argv[1], encoding="utf-8") as file:
    objects = [one for one in yaml.safe_load_all(file) if one]
wrong = []
by_kind = {}
for one in objects:
    by_kind.setdefault(one["kind"], {})[one["metadata"]["name"]] = one


def need(condition, name, text):
    if not condition:
        wrong.append(f"{name}: {text}")


config = {key: value for one in by_kind.get("ConfigMap", {}).values() for key, value in one.get("data", {}).items()}
for name, deployment in by_kind["Deployment"].items():
    spec = deployment["spec"]["template"]["spec"]
    pod, (container,) = spec["securityContext"], spec["containers"]
    own = container["securityContext"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    is_worker = labels["app.kubernetes.io/component"] == "worker"
    need(pod["runAsNonRoot"] and pod["runAsUser"] == 65532, name, "runs as somebody else than 65532")
    need(pod["seccompProfile"]["type"] == "RuntimeDefault", name, "no seccomp profile")
    need(own["readOnlyRootFilesystem"] and not own["allowPrivilegeEscalation"], name, "can write or gain rights")
    need(own["capabilities"]["drop"] == ["ALL"] and "add" not in own["capabilities"], name, "has capabilities")
    need(spec["automountServiceAccountToken"] is False, name, "has a token")
    need({"livenessProbe", "readinessProbe", "startupProbe"} <= container.keys() or not is_worker, name, "a probe is missing")
    need(container["livenessProbe"]["httpGet"]["path"] == "/livez", name, "its life depends on others")
    need("limits" in container["resources"] and "requests" in container["resources"], name, "no resources")
    need(not is_worker or spec["terminationGracePeriodSeconds"] >= int(config["FRESHET_DRAIN_TIMEOUT"]) + 5, name, "is killed while it drains")
    for variable in container["env"]:
        text = variable["name"]
        need(not text.endswith(("PASSWORD", "DATABASE_URL")), name, f"{text} is in the environment")
        need(not text.endswith("_FILE") or variable["value"].startswith("/secrets/"), name, f"{text} is no mounted secret")
    need(":" in container["image"] and not container["image"].endswith(":latest"), name, "its image has no version")
    if is_worker:
        need(name in by_kind["PodDisruptionBudget"], name, "no disruption budget")
        need(deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0, name, "a roll-out takes pods away first")
for name, budget in by_kind["PodDisruptionBudget"].items():
    need(budget["spec"].get("maxUnavailable") == 1, name, "its disruption budget is not one pod")
    need(budget["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"] in by_kind["Deployment"], name, "its budget is of no workload")
need(any(one["spec"]["podSelector"] == {} and set(one["spec"]["policyTypes"]) == {"Ingress", "Egress"} and "ingress" not in one["spec"]
         and "egress" not in one["spec"] for one in by_kind["NetworkPolicy"].values()), "network", "not everything is refused by default")
for name, scaled in by_kind.get("ScaledObject", {}).items():
    spec = scaled["spec"]
    target = by_kind["Deployment"].get(spec["scaleTargetRef"]["name"])
    need(target and "replicas" not in target["spec"], name, "KEDA and the deployment both say how many there are")
    need(1 <= spec["minReplicaCount"] <= spec["maxReplicaCount"], name, "no sensible bounds")
    need(all("freshet_group_backlog" in str(one["metadata"]) for one in spec["triggers"]), name, "scales on something else")
    need(all(one["type"] in ("prometheus", "metrics-api") for one in spec["triggers"]), name, "an unknown trigger")
    need(all({"prometheus": {"serverAddress", "query", "threshold"}, "metrics-api": {"url", "valueLocation", "targetValue", "format"}}[one["type"]]
             <= one["metadata"].keys() for one in spec["triggers"]), name, "a trigger lacks what it needs")
    need(all(isinstance(value, str) for one in spec["triggers"] for value in one["metadata"].values()), name, "a trigger's metadata are texts")
if wrong:
    sys.exit("\n".join(wrong))
