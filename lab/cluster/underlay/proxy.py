"""The forward HTTP proxy, and the environment that sends programs to it."""

from __future__ import annotations

from typing import Final

from lab.cluster.world import ClusterFacts
from lab.spec.site import HttpProxyServer
from lab.state.network import Program
from lab.state.provenance import Provenance

ACCESS_LOG: Final = "access.log"


def http_proxy(server: HttpProxyServer, why: Provenance) -> Program:
    """Return tinyproxy, which notes every client and every request in its access log."""
    lines = [
        f"Port {server.port}",
        "Timeout 60",
        "MaxClients 100",
        f'LogFile "{{scratch}}/{ACCESS_LOG}"',
        "LogLevel Connect",
        *(f"ConnectPort {port}" for port in server.connect_ports),
    ]
    return Program(
        name="tinyproxy",
        argv=("tinyproxy", "-d", "-c", "{scratch}/tinyproxy.conf"),
        files={"tinyproxy.conf": "\n".join(lines) + "\n"},
        listens=(("tcp", server.port),),
        provenance=why,
    )


def proxy_environment(cluster: ClusterFacts) -> dict[str, str]:
    """Return the proxy variables of a cluster's nodes and pods, in both spellings, since programs differ in which they read.

    RKE2 and k3s add the cluster's own names and ranges to NO_PROXY by themselves (k3s pkg/cli/server, setNoProxyEnv); the nodes'
    network, other clusters' ranges and clusterset.local are left to whoever writes it.
    """
    proxy = cluster.spec.proxy
    if proxy is None:
        return {}
    automatic = (".svc", f".{cluster.domain}", str(cluster.pod_cidr), str(cluster.service_cidr))
    added = automatic if cluster.spec.distribution in ("rke2", "k3s") else ()
    variables = {
        "HTTP_PROXY": proxy.http,
        "HTTPS_PROXY": proxy.https or proxy.http,
        "NO_PROXY": ",".join(dict.fromkeys((*proxy.no_proxy, *added))),
    }
    return variables | {name.lower(): value for name, value in variables.items()}
