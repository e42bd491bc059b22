"""The templates that emitted C, SQL and Makefiles are rendered from, and the headers that are copied as they are.

Installed as ``pgbgw.c_templates``. This file holds no code; without it an editable install cannot map the folder.
"""
