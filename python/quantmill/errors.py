"""The error tree. An error carries what was found, what was needed and what to do; its class the exit code.

Exit codes: 2 usage or configuration, 3 data contract, 4 health gate, 5 network, 6 warehouse.
"""

from __future__ import annotations


class QuantmillError(Exception):
    """Root of all errors that quantmill raises on purpose.

    `facts` are the values behind the message, for tests and for logs; `remedy` is what the reader can do.
    """

    exit_code = 1

    def __init__(self, message: str, *, remedy: str = "", **facts: object) -> None:
        self.message = message
        self.remedy = remedy
        self.facts = facts
        super().__init__(f"{message}; {remedy}" if remedy else message)


class UsageError(QuantmillError):
    """A command or a setting that cannot be carried out as written."""

    exit_code = 2


class UnknownKey(UsageError):
    """A key that no setting has."""


class BadValue(UsageError):
    """A setting with a value of the wrong type or outside its range."""


class LockedKey(UsageError):
    """A setting that a production profile locks, and that environment or command line would change."""


class UnknownProfile(UsageError):
    """A profile, universe or window set that the manifest does not hold."""


class WrongDirectory(UsageError):
    """A command started outside the project."""


class DataContractError(QuantmillError):
    """Rows that break the contract at a border."""

    exit_code = 3


class MetricDisagreement(DataContractError):
    """Two computations of one published number that differ."""


class DirectionError(DataContractError):
    """A stream or a weight whose sign contradicts its direction."""


class WeightLeak(DataContractError):
    """Weights and cash that do not add up to one."""


class HealthGateError(QuantmillError):
    """Data that the health gate does not let through."""

    exit_code = 4


class NetworkError(QuantmillError):
    """A source that could not be reached or did not answer."""

    exit_code = 5


class NetworkIngestionForbidden(NetworkError):
    """Something asked the network in a build, which reads what was landed and nothing else."""


class WarehouseError(QuantmillError):
    """A warehouse file that is missing, locked or damaged."""

    exit_code = 6


class MissingLanding(WarehouseError):
    """A build without landed bars."""


class WarehouseLocked(WarehouseError):
    """A second writer."""


class LedgerError(WarehouseError):
    """A ledger that cannot be continued or does not verify."""
