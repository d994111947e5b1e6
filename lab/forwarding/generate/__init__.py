"""Random networks: complete states with a bit of everything the model claims to know, for comparing it with a kernel."""

from lab.forwarding.generate.network import random_state
from lab.forwarding.generate.nexthops import with_nexthops
from lab.forwarding.generate.policy import policy_state
from lab.forwarding.generate.probes import all_pairs, random_flows
from lab.forwarding.generate.six import asked_in_ipv6, in_ipv6

__all__ = ["all_pairs", "asked_in_ipv6", "in_ipv6", "policy_state", "random_flows", "random_state", "with_nexthops"]
