"""Netfilter: hooks, nft rule sets, connection tracking and NAT, evaluated instead of run."""
