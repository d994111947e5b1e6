"""Plug-ins that attach pods to a bridge on their node, with addresses of its podCIDR: flannel, and the bridge plug-in alone."""
