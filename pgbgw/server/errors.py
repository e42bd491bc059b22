"""What can go wrong with a server that is installed into, set up or started."""

from __future__ import annotations

from pgbgw.build.errors import StageError

__all__ = ["InstallError", "ServerError", "StartError"]


class ServerError(StageError):
    """A server, or a cluster of ours, is not in the state that was asked for."""


class InstallError(ServerError):
    """Nothing was installed: whatever had been put into place was taken back."""


class StartError(ServerError):
    """A cluster did not start or stop; ``log`` holds what it logged meanwhile, oldest line first."""

    def __init__(self, message: str, *, detail: str | None, hint: str | None, log: tuple[str, ...] = ()) -> None:
        super().__init__(message, detail=detail, hint=hint)
        self.log = log
