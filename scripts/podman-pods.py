"""podman-pods.py RENDERED SECRETS REDIS: the deployments and configuration of rendered manifests, as `podman play kube` runs them on one
machine: one replica of each, the images of `make containers`, Redis at host REDIS, a database in memory, and secrets from a folder.
What Kubernetes alone does is left out: probes (podman would ask by a shell in the container) and published ports. On standard
error: name, port and path of each readiness probe."""
import pathlib
import sys

import yaml

rendered, secrets, redis = sys.argv[1:]
with open(rendered, encoding="utf-8") as file:
    objects = [one for one in yaml.safe_load_all(file) if one]
made = []


for one in objects:
    name = one["metadata"]["name"]
    if one["kind"] == "ConfigMap" and name.startswith("redis-urls"):
        one["data"] = {user: f"redis://{user}@{redis}:6379" for user in one["data"]}
        made.append(one)
    elif one["kind"] == "ConfigMap" and name.startswith("connections"):
        made.append(one)
    elif one["kind"] == "Deployment":
        spec = one["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        one["spec"]["replicas"] = 1
        one["metadata"].pop("namespace", None)
        container["image"] = "docker.io/freshet/" + container["image"].rsplit("/", 1)[1].split(":")[0] + ":dev"
        probe = container["readinessProbe"]["httpGet"]
        port = next(p["containerPort"] for p in container["ports"] if p["name"] == probe["port"])
        print(name, port, probe["path"], file=sys.stderr)
        for key in ("ports", "livenessProbe", "readinessProbe", "startupProbe"):
            container.pop(key, None)
        for volume in spec["volumes"]:
            # podman 4.3 mounts a secret without decoding it.
            if volume.pop("secret", None):
                volume["configMap"] = {"name": f"secret-{name}", "optional": False}
        made.append(one)
        password = (pathlib.Path(secrets) / f"{name}.password").read_text(encoding="utf-8")
        made.append({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"secret-{name}"},
            "data": {"redis-password": password, "database-url": "sqlite:/tmp/records.db", "provider-ledger": "sqlite:/tmp/provider.db"},
        })
made.sort(key=lambda one: one["kind"] == "Deployment")
yaml.safe_dump_all(made, sys.stdout)
