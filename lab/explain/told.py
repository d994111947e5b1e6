"""Why a node that speaks BGP has no route: nobody tells it of what another announces, or it does not take it."""

from __future__ import annotations

from lab.explain.explanation import Responsible, Turn
from lab.forwarding import Hop, Network, Step
from lab.forwarding.packet import Address
from lab.forwarding.why import describe_route
from lab.state import Route
from lab.state.bgp import BgpSpeaker


def explain_untold(network: Network, hop: Hop, step: Step, default: Route, destination: Address) -> Turn | None:
    """Return the speaker that should have learned of a destination; None where none speaks, or nobody announces it."""
    spoken = [
        (other.name, program, program.speaker) for other in network.state for program in other.programs if program.speaker is not None
    ]
    own = next((program for name, program, one in spoken if name == hop.namespace and one.version == destination.version), None)
    if own is None or own.speaker is None:
        return None
    found = next(((name, net) for name, _, speaker in spoken for net in speaker.announces if destination in net), None)
    if found is None or found[0] == hop.namespace:
        return None
    name, prefix = found
    refused = next((refusal for refusal in own.speaker.refuses if prefix in refusal), None)
    why = "its own does not take it" if refused is not None else "nobody tells it of that"
    text = f"no route covers {destination} but {describe_route(default)}: {name} announces {prefix} by BGP, and {why}"
    speaker = Responsible(hop.namespace, "BGP speaker", _in_words(own.speaker), own.provenance, own.speaker)
    return Turn(hop.namespace, step.stage, text, speaker, missed=True)


def _in_words(speaker: BgpSpeaker) -> str:
    """Say who a speaker is, whom it is to speak with, and what it does not take."""
    peers = ", ".join(str(session.peer) for session in speaker.sessions) or "nobody"
    refused = "".join(f", takes no {refusal.network} of /{refusal.lengths[0]} and longer" for refusal in speaker.refuses)
    return f"{speaker.identifier} AS {speaker.asn} with {peers}{refused}"
