"""Tombstones: empty segments that hide replaced rows where a load has no rows of its own."""

from services.druid_gateway.loads.granularity import iso
from services.druid_gateway.loads.load import Interval
from services.druid_gateway.ports import Druid

_SQL = """
SELECT segment_id, is_available FROM sys.segments
WHERE datasource = ? AND is_active = 1 AND is_published = 1 AND "start" < ? AND "end" > ? AND "version" >= ?
    AND shard_spec LIKE '%"type":"tombstone"%'
"""


async def tombstones(
    druid: Druid, datasource: str, interval: Interval, since: str = ""
) -> dict[str, bool]:
    """Return the tombstones in the interval that were created at `since` (ISO 8601 in UTC) or
    later, and whether the broker knows them.

    Raises:
        SluiceError: DRUID_UNAVAILABLE.
    """
    rows = await druid.sql(
        _SQL, [datasource, iso(interval.end_millis), iso(interval.start_millis), since]
    )
    return {str(segment): bool(available) for segment, available in rows}
