"""Calico 3.26: its tunnel device and routes, its pods, and Felix' chains."""
