"""The outcome of a job: the state that it leaves, and the reason."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass

from fanin import BackendError
from fanin.errors import EngineError, FaninError
from fanin_service.admission.errors import LimitsUnavailableError, QuotaExceededError
from fanin_service.artifacts.errors import DestinationUnavailableError
from fanin_service.artifacts.found import Name
from fanin_service.artifacts.job import JobEndedError, JobStoppedError
from fanin_service.artifacts.journal import Journal, StateName
from fanin_service.artifacts.reach import reason
from fanin_service.telemetry.redaction import redact

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a job."""

    state: Name
    problem: str | None = None
    """Last part of a problem's type."""
    detail: str | None = None
    is_recorded: bool = False
    """True if the destination shows the state already."""

    def record(self, journal: Journal, marks: Collection[str]) -> None:
        """Store the state, unless the destination shows it. `marks` are those of the job's clients."""
        if not self.is_recorded and self.state != "complete":
            ended: StateName = self.state
            journal.update(lambda state: state.ended(ended, marks, self.problem, self.detail))


COMPLETE = Outcome("complete", is_recorded=True)
SPOILED = Outcome("spoiled", "not-ready", "the backend failed its test while files were written, which may be wrong")


def outcome_of(error: Exception, id: str, alias: str) -> Outcome:
    """Return the outcome of a job that ended with this error, and log errors that the operator must know."""
    match error:
        case JobEndedError():
            return Outcome("cancelled", is_recorded=True)
        case JobStoppedError():
            return Outcome("stopped", None, "the service that wrote it has stopped")
        case QuotaExceededError():
            return Outcome("stopped", "quota-exceeded", str(error))
        case LimitsUnavailableError():
            return Outcome("stopped", "limits-unavailable", str(error))
        case BackendError():
            _log.error("artifact %s: %s", id, error)
            return Outcome("stopped", "not-ready", redact(str(error)))
        case EngineError():
            _log.error("artifact %s: %s", id, error)
            return Outcome("stopped", "engine-unavailable", "the cluster failed; the log of the service has the reason")
        case OSError():
            _log.error("artifact %s: the destination %s cannot be used: %s", id, alias, reason(error))
            return Outcome("stopped", "destination-unavailable", str(DestinationUnavailableError(alias)))
        case FaninError():
            _log.error("artifact %s: %s", id, error)
            return Outcome("failed", "artifact-conflict", redact(str(error)))
        case _:
            _log.error("artifact %s", id, exc_info=error)
            return Outcome("failed", "internal-error", "an error of the service; its log has the details")
