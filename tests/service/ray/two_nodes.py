"""A program: a Ray cluster of two nodes on this machine, as long as its stdin is open.

    python -m tests.service.ray.two_nodes FOLDER PORT

The first node's HAProxy will listen on PORT, the second one's on PORT + 1. FOLDER is for their
files, and has a short name, since HAProxy makes sockets there. Prints the address of the cluster.
It is a program of its own, since Ray reads its variables when it is imported.
"""

import os
import sys
from pathlib import Path
from typing import Any

from service.ray.cluster import variables
from service.settings import Settings

ADDRESS = "127.0.0.2"  # for Ray, 127.0.0.1 is the address that other machines see
GRACE_SECONDS = 3.0
PROCESSORS = 2  # of each node, as far as Ray knows


def of_node(folder: Path, port: int) -> dict[str, str]:
    """The variables of a node whose HAProxy shares the machine with another one."""
    folder.mkdir(parents=True)
    return {
        **variables(Settings(shutdown_grace=GRACE_SECONDS), "haproxy", folder),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(port + 100),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(port + 200),
        "RAY_SERVE_WORKER_PROXY_HTTP_PORT": str(port),
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "30",  # 5 are too few on a busy machine
    }


def main() -> None:
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    os.environ.update(of_node(folder / "1", port))
    from ray.cluster_utils import Cluster

    node: dict[str, Any] = {"num_cpus": PROCESSORS, "node_ip_address": ADDRESS}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    cluster.add_node(**node, env_vars=of_node(folder / "2", port + 1))
    sys.stdout.write(f"{cluster.address}\n")
    sys.stdout.flush()
    sys.stdin.read()
    cluster.shutdown()


if __name__ == "__main__":
    main()
