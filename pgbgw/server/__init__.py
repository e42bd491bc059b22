"""From a compiled library to a running server: install, preload, and clusters of our own."""

from pgbgw.server.cluster import Cluster, LogLines, Status
from pgbgw.server.embedded import create_project, open_project, project_folder, throwaway_cluster
from pgbgw.server.errors import InstallError, ServerError, StartError
from pgbgw.server.install import Installation, install, install_into, remaining_steps
from pgbgw.server.private import private_server
from pgbgw.server.users import ServerUser, server_user

__all__ = [
    "Cluster",
    "InstallError",
    "Installation",
    "LogLines",
    "ServerError",
    "ServerUser",
    "StartError",
    "Status",
    "create_project",
    "install",
    "install_into",
    "open_project",
    "private_server",
    "project_folder",
    "remaining_steps",
    "server_user",
    "throwaway_cluster",
]
