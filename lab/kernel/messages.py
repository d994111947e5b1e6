"""What a forked process tells the one that forked it: reports on its way, and then its result or its exception."""

from __future__ import annotations

import pickle
import traceback
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Said:
    """Something the worker reports on its way."""

    message: object


@dataclass(frozen=True, slots=True)
class Returned:
    """The worker is done, with this result."""

    value: object


@dataclass(frozen=True, slots=True)
class Raised:
    """The worker failed. The parts of an exception, because exceptions with constructors of their own do not survive pickling whole."""

    kind: type[BaseException]
    arguments: tuple[object, ...]
    attributes: dict[str, object]
    trace: str

    @classmethod
    def of(cls, error: BaseException) -> Raised:
        """Take an exception apart; what of it cannot be pickled stays behind, and then its text stands for it."""
        arguments = error.args
        if isinstance(error, OSError) and error.filename is not None:
            arguments = (*arguments[:2], error.filename)  # which OSError takes, but does not keep among its arguments
        parts = cls(type(error), arguments, dict(vars(error)), "".join(traceback.format_exception(error)))
        try:
            pickle.loads(pickle.dumps(parts)).exception()
        except (pickle.PicklingError, TypeError, AttributeError):
            return cls(RuntimeError, (f"{type(error).__name__}: {error}",), {}, parts.trace)
        return parts

    def exception(self) -> BaseException:
        """Put the exception together again, with the worker's traceback as a note."""
        error = self.kind.__new__(self.kind, *self.arguments)
        vars(error).update(self.attributes)
        error.add_note(f"In the sandbox:\n{self.trace}")
        return error
