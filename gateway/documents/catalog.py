"""JSON documents of datasources, for REST and GraphQL."""

import json

from gateway.documents import models
from gateway.documents.wire import millis
from sluice.druid.v1 import druid_pb2 as pb
from sluice.druid.v1.druid_pb2 import (
    DescribeDatasourceResponse,
    PreviewRowsResponse,
    ProposeQueriesResponse,
)


def datasource(found: pb.Datasource) -> models.Datasource:
    return models.Datasource(
        name=found.name,
        rows=found.rows,
        bytes=found.bytes,
        segments=found.segments,
        start=millis(found.interval.start_millis),
        end=millis(found.interval.end_millis),
    )


def description(found: DescribeDatasourceResponse) -> models.DatasourceDescription:
    loads = [
        models.LoadInDatasource(
            task_id=each.task_id,
            rows=each.rows,
            first=millis(each.times.start_millis),
            last=millis(each.times.end_millis),
        )
        for each in found.loads
    ]
    return models.DatasourceDescription(
        **datasource(found.datasource).model_dump(),
        columns=[models.QueryColumn(name=each.name, type=each.type) for each in found.columns],
        loads=loads,
    )


def preview(found: PreviewRowsResponse) -> models.Preview:
    columns = [models.QueryColumn(name=each.name, type=each.type) for each in found.columns]
    return models.Preview(columns=columns, rows=json.loads(found.json), row_count=found.count)


def proposals(found: ProposeQueriesResponse) -> list[models.ProposedQuery]:
    return [
        models.ProposedQuery(title=each.title, sql=each.sql, chart=each.chart)
        for each in found.queries
    ]
