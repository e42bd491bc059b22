"""What a worker runs, with the source of every parameter decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pgbgw.declare.sql import Call, Run, Sql
from pgbgw.declare.workers import Argument
from pgbgw.ir.model import ArgumentIR, CallIR, ParameterIR, RunIR, SettingIR, StatementIR
from pgbgw.lower.names import Names

__all__ = ["EXTRA_BYTES", "lower_arguments", "lower_run"]

EXTRA_BYTES = 128  # BGW_EXTRALEN in bgworker.h
_BASE_BYTES = 16  # slot, generation, database and role, four bytes each

# Types that travel as themselves: C type, bytes, from Datum, to Datum, macro of the OID.
_VALUES = {
    "int2": ("int16", 2, "DatumGetInt16", "Int16GetDatum", "INT2OID"),
    "int4": ("int32", 4, "DatumGetInt32", "Int32GetDatum", "INT4OID"),
    "int8": ("int64", 8, "DatumGetInt64", "Int64GetDatum", "INT8OID"),
    "bool": ("bool", 1, "DatumGetBool", "BoolGetDatum", "BOOLOID"),
    "float4": ("float4", 4, "DatumGetFloat4", "Float4GetDatum", "FLOAT4OID"),
    "float8": ("float8", 8, "DatumGetFloat8", "Float8GetDatum", "FLOAT8OID"),
    "oid": ("Oid", 4, "DatumGetObjectId", "ObjectIdGetDatum", "OIDOID"),
    "regclass": ("Oid", 4, "DatumGetObjectId", "ObjectIdGetDatum", "REGCLASSOID"),
    "regproc": ("Oid", 4, "DatumGetObjectId", "ObjectIdGetDatum", "REGPROCOID"),
    "regprocedure": ("Oid", 4, "DatumGetObjectId", "ObjectIdGetDatum", "REGPROCEDUREOID"),
    "regtype": ("Oid", 4, "DatumGetObjectId", "ObjectIdGetDatum", "REGTYPEOID"),
    "regrole": ("Oid", 4, "DatumGetObjectId", "ObjectIdGetDatum", "REGROLEOID"),
    "regnamespace": ("Oid", 4, "DatumGetObjectId", "ObjectIdGetDatum", "REGNAMESPACEOID"),
    "date": ("DateADT", 4, "DatumGetDateADT", "DateADTGetDatum", "DATEOID"),
    "timestamp": ("Timestamp", 8, "DatumGetTimestamp", "TimestampGetDatum", "TIMESTAMPOID"),
    "timestamptz": ("TimestampTz", 8, "DatumGetTimestampTz", "TimestampTzGetDatum", "TIMESTAMPTZOID"),
}


def lower_run(
    run: Run,
    settings: Mapping[str, SettingIR],
    *,
    columns: Sequence[str] = (),
    arguments: Sequence[str] = (),
    top_level: bool = False,
) -> RunIR:
    """Decide where each parameter comes from: a column or argument, then a setting, then the main argument."""

    def parameter(name: str) -> ParameterIR:
        if name in columns:
            return ParameterIR(name, "column", columns.index(name))
        if name in arguments:
            return ParameterIR(name, "argument", arguments.index(name))
        if name in settings and settings[name].kind != "enum":
            setting = settings[name]
            kinds = {"bool": "bool", "int": "int", "real": "real", "string": "string"}
            return ParameterIR(name, kinds[setting.kind], variable=setting.variable)  # type: ignore[arg-type]
        return ParameterIR(name, "main_argument")

    match run:
        case Call():
            return CallIR(run.function, tuple(map(parameter, run.arguments)), run.origin)
        case Sql(parsed=parsed) if parsed is not None:
            names = tuple(parameter(used.name) for used in parsed.parameters)
            return StatementIR(parsed.sql, names, parsed.read_only, top_level, run.origin)
    raise AssertionError(run)


def lower_arguments(args: Sequence[Argument], names: Names) -> tuple[ArgumentIR, ...]:
    """Lay the arguments of a dynamic worker out in bgw_extra; what texts there are share the room that is left."""
    fixed = {arg.name: _VALUES[arg.type.internal] for arg in args if not arg.type.array and arg.type.internal in _VALUES}
    used = _BASE_BYTES + sum(value[1] + 8 for value in fixed.values())  # 8: the NULL flag, and padding at its worst
    texts = len(args) - len(fixed)
    room = (EXTRA_BYTES - used - texts) // texts if texts else 0
    lowered = []
    for arg in args:
        member = names.argument(arg.name)
        if arg.name in fixed:
            c_type, size, from_datum, to_datum, oid = fixed[arg.name]
            lowered.append(
                ArgumentIR(arg.name, arg.type.sql, member, "value", c_type, from_datum, to_datum, size, oid)
            )
        else:
            oid = "TEXTOID" if arg.type.sql == "text" else ""
            lowered.append(ArgumentIR(arg.name, arg.type.sql, member, "text", "char", "", "", room, oid))
    return tuple(lowered)
