"""Explaining: the journey of a packet and its cause, from three witnesses."""
