"""How cluster software programs nodes: Calico, kube-proxy, Submariner, DNS, the proxy and the networks between the clusters."""

from lab.cluster.compiler import compile, compile_further

__all__ = ["compile", "compile_further"]
