"""Builds the compiled core and puts the templates into the package; the metadata is in pyproject.toml.

The templates stand beside the package, where they are found by who looks for the emitted C, and are installed inside
it as ``pgbgw.c_templates``.
"""

from glob import glob

from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup

core = Extension(
    "pgbgw._core",
    ["pgbgw/_core.pyx"],
    include_dirs=["c_templates/static", "pgbgw/core"],
    # Cython sees by itself which .pxi files and headers it reads, but not what headers include.
    depends=sorted([*glob("c_templates/static/*.h"), *glob("pgbgw/core/*.h")]),
)

setup(
    packages=[*find_packages(include=["pgbgw", "pgbgw.*"]), "pgbgw.c_templates"],
    package_dir={"pgbgw": "pgbgw", "pgbgw.c_templates": "c_templates"},
    package_data={"pgbgw": ["py.typed", "_core.pyi"], "pgbgw.c_templates": ["**/*.in", "static/*.h"]},
    # The generated C goes under build/, so that it lands neither in the checkout nor in a wheel.
    ext_modules=cythonize([core], build_dir="build/cython"),
)
