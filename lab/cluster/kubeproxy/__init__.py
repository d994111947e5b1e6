"""kube-proxy in iptables mode: from a service's address to one of its endpoints."""
