"""nft rule sets: to and from libnftables' JSON, as nft(8) text, and in the one form in which they can be compared."""

from lab.state.nftables.canonical import canonical, canonical_chain, canonical_rule
from lab.state.nftables.loading import Script, scripts_of
from lab.state.nftables.ruleset import from_json, table_objects, to_json, with_devices, with_dynamic
from lab.state.nftables.text import expression_text, has_text, rule_text, statement_text, table_text

__all__ = [
    "Script",
    "canonical",
    "canonical_chain",
    "canonical_rule",
    "expression_text",
    "from_json",
    "has_text",
    "rule_text",
    "scripts_of",
    "statement_text",
    "table_objects",
    "table_text",
    "to_json",
    "with_devices",
    "with_dynamic",
]
