"""What the model does not know, said aloud: a packet that meets it gets the verdict unknown, never delivered."""

from __future__ import annotations


class Undecided(Exception):
    """Raised where the model cannot say what the kernel would do; the trace ends there with the verdict unknown.

    `why` is a clause for people ("a rate limit decides"), `subject` the object of the state that was met.
    """

    def __init__(self, why: str, subject: object | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.subject = subject
