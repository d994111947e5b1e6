"""The corporate network: segments, routers with their forwarding policies, hosts and the forward proxy."""
