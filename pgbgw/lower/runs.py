"""What a worker runs, with the source of every parameter decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pgbgw.declare.launch import FIXED_BYTES, argument_room
from pgbgw.declare.sql import Call, Run, Sql
from pgbgw.declare.workers import Argument
from pgbgw.ir.model import ArgumentIR, CallIR, ParameterIR, RunIR, SettingIR, StatementIR
from pgbgw.lower.names import Names

__all__ = ["lower_arguments", "lower_run"]

# Types that travel as themselves: C type, from Datum, to Datum.
_VALUES = {
    "int2": ("int16", "DatumGetInt16", "Int16GetDatum"),
    "int4": ("int32", "DatumGetInt32", "Int32GetDatum"),
    "int8": ("int64", "DatumGetInt64", "Int64GetDatum"),
    "bool": ("bool", "DatumGetBool", "BoolGetDatum"),
    "float4": ("float4", "DatumGetFloat4", "Float4GetDatum"),
    "float8": ("float8", "DatumGetFloat8", "Float8GetDatum"),
    "date": ("DateADT", "DatumGetDateADT", "DateADTGetDatum"),
    "timestamp": ("Timestamp", "DatumGetTimestamp", "TimestampGetDatum"),
    "timestamptz": ("TimestampTz", "DatumGetTimestampTz", "TimestampTzGetDatum"),
}
_OID = ("Oid", "DatumGetObjectId", "ObjectIdGetDatum")  # oid and all types that are one inside


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
            return CallIR(run.function, tuple(map(parameter, run.arguments)), run.origin, run.batch)
        case Sql(parsed=parsed) if parsed is not None:
            names = tuple(parameter(used.name) for used in parsed.parameters)
            return StatementIR(parsed.sql, names, parsed.read_only, top_level, run.origin)
    raise AssertionError(run)


def lower_arguments(args: Sequence[Argument], names: Names) -> tuple[ArgumentIR, ...]:
    """Lay the arguments of a dynamic worker out in bgw_extra."""
    room = argument_room(args)
    assert room is not None  # BGW704
    lowered = []
    for arg, size in zip(args, room, strict=True):
        member = names.argument(arg.name)
        if not arg.type.array and arg.type.internal in FIXED_BYTES:
            c_type, from_datum, to_datum = _VALUES.get(arg.type.internal, _OID)
            oid = f"{arg.type.internal.upper()}OID"
            lowered.append(ArgumentIR(arg.name, arg.type.sql, member, "value", c_type, from_datum, to_datum, size, oid))
        else:
            oid = "TEXTOID" if arg.type.sql == "text" else ""
            lowered.append(ArgumentIR(arg.name, arg.type.sql, member, "text", "char", "", "", size, oid))
    return tuple(lowered)
