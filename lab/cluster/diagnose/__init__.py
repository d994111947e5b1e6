"""`lab diagnose`: the checks of `subctl diagnose all`, in its order, and the one that is missing there."""

from lab.cluster.diagnose.checks import CHECKS, DETECTED_RANGES, STOCK, diagnose
from lab.cluster.diagnose.result import CheckResult, Status

__all__ = ["CHECKS", "DETECTED_RANGES", "STOCK", "CheckResult", "Status", "diagnose"]
