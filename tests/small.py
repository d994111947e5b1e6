"""The small network of tests that use the lab as somebody else would: two hosts, a router between them, and a cluster of one node."""

from __future__ import annotations

from typing import Final

SMALL: Final = """\
topology: small
segments: {left: {cidr: 192.0.2.0/25}, right: {cidr: 192.0.2.128/25}}
routers: {r: {interfaces: {left: 192.0.2.1, right: 192.0.2.129}}}
hosts:
  a: {segment: left, address: 192.0.2.2, gateway: 192.0.2.1}
  b: {segment: right, address: 192.0.2.130, gateway: 192.0.2.129, serves: [{port: 80}]}
clusters: {one: {segment: left, pod_cidr: 10.1.0.0/16, service_cidr: 10.2.0.0/16, nodes: {n: {address: 192.0.2.3}}}}
"""
