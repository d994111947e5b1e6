"""Cables between gateways: vxlan, and an imitation of libreswan."""

from lab.cluster.submariner.cable.base import Cable, Selectors
from lab.cluster.submariner.cable.libreswan import LibreswanCable
from lab.cluster.submariner.cable.vxlan import VxlanCable

__all__ = ["Cable", "LibreswanCable", "Selectors", "VxlanCable"]
