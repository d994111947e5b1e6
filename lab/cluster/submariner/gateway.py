"""The gateway process on the active gateway node: the cluster's own Endpoint, and the cables to the others.

Source: submariner:main.go, pkg/endpoint/{local_endpoint,local_ip}.go, pkg/cableengine/cableengine.go,
pkg/controllers/datastoresyncer/datastoresyncer.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from lab.cluster.submariner.agent.interfaces import find_cni_interface
from lab.cluster.submariner.cable import Cable, LibreswanCable, Selectors, VxlanCable
from lab.cluster.submariner.host import Host
from lab.cluster.submariner.objects import Connection, Endpoint, Gateway, SubmarinerResource, Subnet
from lab.cluster.submariner.operator import Ranges
from lab.cluster.submariner.versions import Behaviour
from lab.cluster.sysctls import conf
from lab.state.control import LogLine
from lab.state.provenance import Provenance

COMPONENT = "submariner-gateway"


class GatewayProcess:
    """One run of the gateway process. It has no Endpoint where it ended right after its start."""

    def __init__(self, host: Host, resource: SubmarinerResource, ranges: Ranges, does: Behaviour, log: Callable[[LogLine], None]) -> None:
        self._host = host
        self._resource = resource
        self._ranges = ranges
        self._does = does
        self._log = log
        self._component = f"submariner gateway on {host.name}"
        self._cable: Cable | None = None
        self._remotes: dict[str, Endpoint] = {}
        self.endpoint: Endpoint | None = None

    @property
    def node(self) -> str:
        """The node it runs on."""
        return self._host.name

    def start(self) -> None:
        """Build the local Endpoint and prepare the cable driver. Health checks need a CNI interface: without one the process ends."""
        self._host.write(conf("all", "send_redirects"), "0")
        cidrs = (self._ranges.pods.network,)
        cni = find_cni_interface(self._host, cidrs, self._does)
        if self._resource.health_check and cni is None:
            quoted = " ".join(f'"{cidr}"' for cidr in cidrs)
            text = (
                "Error creating local endpoint object: error getting CNI Interface IP address: "
                f"unable to find CNI Interface on the host which has IP from [{quoted}]."
                "Please disable the health check if your CNI does not expose a pod IP on the nodes"
            )
            self._say("fatal", text, self._ranges.pods.provenance)
            return
        advertised = tuple(self._advertised(subnet) for subnet in self._ranges.advertised)
        self.endpoint = Endpoint(
            cluster_id=self._resource.cluster_id,
            hostname=self.node,
            private_ip=self._host.first_address(self._host.default_device),
            subnets=advertised,
            backend=self._resource.cable_driver,
            nat_enabled=self._resource.nat_enabled,
            health_check_ip=cni.address if cni is not None and self._resource.health_check else None,
            provenance=Provenance(self._component, "local Endpoint", because=tuple(s.provenance for s in advertised)),
        )
        self._cable = self._driver(self.endpoint)
        self._cable.start()

    def connect(self, remote: Endpoint) -> None:
        """Install the cable to a remote Endpoint."""
        if self._cable is not None:
            self._remotes[remote.cluster_id] = remote
            self._cable.connect(remote)

    def disconnect(self, remote: Endpoint) -> None:
        """Remove the cable to a remote Endpoint."""
        if self._cable is not None and self._remotes.pop(remote.cluster_id, None) is not None:
            self._cable.disconnect(remote)

    def update(self, remote: Endpoint) -> None:
        """An Endpoint was changed in place: the cable is made anew where its address or driver changed, not for its subnets."""
        installed = self._remotes.get(remote.cluster_id)
        if installed is not None and (installed.private_ip, installed.backend) != (remote.private_ip, remote.backend):
            self.disconnect(installed)
            self.connect(remote)

    def refuses(self, remote: Endpoint) -> bool:
        """Whether a remote Endpoint is kept out because a subnet of it overlaps an own one; a line in the log says so."""
        if self.endpoint is None:
            return False
        clash = next((s for s in remote.subnets for own in self.endpoint.subnets if s.network.overlaps(own.network)), None)
        if clash is not None:
            text = f"Skip processing the remote endpoint {remote.name} as subnets are overlapping: {clash}"
            self._say("error", text, clash.provenance)
        return clash is not None

    def selectors(self, cluster: str) -> Selectors:
        """Return the pairs of subnets configured towards a cluster, own first."""
        return self._cable.selectors(cluster) if self._cable else frozenset()

    def settle(self, peers: Mapping[str, Selectors]) -> None:
        """Let the cable agree with the other ends."""
        if self._cable is not None:
            self._cable.settle(peers)

    def report(self) -> Gateway | None:
        """Return the Gateway object it keeps up to date."""
        if self.endpoint is None or self._cable is None:
            return None
        connections = tuple(Connection(remote, *self._cable.status(cluster)) for cluster, remote in self._remotes.items())
        why = Provenance(self._component, "its connections", because=(self.endpoint.provenance,))
        return Gateway(self.node, self.endpoint, connections, self._resource.version, provenance=why)

    def uninstall(self) -> None:
        """Take the cable off the node; conf.all.send_redirects stays as it was written."""
        if self._cable is not None:
            self._cable.cleanup()

    def _driver(self, endpoint: Endpoint) -> Cable:
        if endpoint.backend == "libreswan":
            return LibreswanCable(self._host, endpoint, self._say)
        return VxlanCable(self._host, endpoint, self._ranges.pods, self._does, self._say)

    def _advertised(self, subnet: Subnet) -> Subnet:
        reason = f"Endpoint {self._resource.cluster_id}, subnet {subnet}"
        return replace(subnet, provenance=Provenance(self._component, reason, because=(subnet.provenance,)))

    def _say(self, level: str, text: str, why: Provenance) -> None:
        self._log(LogLine(self._resource.cluster_id, self.node, COMPONENT, level, text, why))
