"""From an emitted tree to a compiled library: find the server, run its makefiles, keep the log."""

from pgbgw.build.errors import (
    BuildError,
    CompileError,
    CompilerMessage,
    ServerNotFound,
    StageError,
    ToolMissing,
    TreeRefused,
)
from pgbgw.build.pgconfig import Pg, find_server, read_pg_config
from pgbgw.build.pgxs import Artifact, Tree, build

__all__ = [
    "Artifact",
    "BuildError",
    "CompileError",
    "CompilerMessage",
    "Pg",
    "ServerNotFound",
    "StageError",
    "ToolMissing",
    "Tree",
    "TreeRefused",
    "build",
    "find_server",
    "read_pg_config",
]
