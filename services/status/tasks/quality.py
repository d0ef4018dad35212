"""Read options and quality summaries of a datasource's files."""

from sluice.validation.v1.validation_pb2 import (
    Column,
    KnownColumn,
    LoadType,
    Quality,
    ReadOptions,
    Report,
)

_DECILES = [tenth / 10 for tenth in range(1, 10)]


def merged(defaults: ReadOptions, specified: ReadOptions) -> ReadOptions | None:
    """Returns the options that the sender specified for a file, over the defaults of its
    datasource; None if there are none.
    """
    options = ReadOptions()
    options.CopyFrom(defaults)
    for field, _ in specified.ListFields():
        options.ClearField(field.name)  # type: ignore[arg-type]
    options.MergeFrom(specified)
    return options if options.ByteSize() else None


def quality_of(report: Report) -> Quality:
    """Returns the part of a report that is stored with its task."""
    loaded = [
        column for column in report.columns if column.load_type != LoadType.LOAD_TYPE_UNSPECIFIED
    ]
    return Quality(
        rows_read=report.rows_read,
        rows_loadable=report.rows_loadable,
        rows_rejected=report.rows_rejected,
        rows_skipped=report.rows_skipped,
        duplicate_rows=report.duplicate_rows,
        columns=[_known(column) for column in loaded],
        drift=report.drift,
        verdict=report.verdict,
    )


def _known(column: Column) -> KnownColumn:
    values = column.nulls + column.fitting + column.misfits
    quantiles = {quantile.share: quantile.value for quantile in column.quantiles}
    is_number = column.load_type in (LoadType.LOAD_TYPE_LONG, LoadType.LOAD_TYPE_DOUBLE)
    return KnownColumn(
        name=column.name,
        source_name=column.source_name,
        type=column.type,
        time_format=column.time_format,
        load_type=column.load_type,
        null_share=column.nulls / values if values else 0,
        deciles=[quantiles[share] for share in _DECILES if share in quantiles] if is_number else [],
        top_values=column.top_values,
        sample_values=column.sample_values,
        distinct=column.distinct,
        mean=column.mean if column.HasField("mean") else None,
    )
