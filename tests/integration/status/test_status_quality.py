"""How the files of a datasource are judged, and what was found in them, on a real PostgreSQL."""

import grpc
import pytest

from services.common import errors
from sluice.common.v1.task_pb2 import TaskState
from sluice.status.v1 import status_pb2
from sluice.status.v1.status_pb2 import DatasourceSettings
from sluice.validation.v1.validation_pb2 import (
    Contract,
    ContractMode,
    LoadType,
    Policy,
    ReadOptions,
    Rule,
    Verdict,
)
from tests.integration.status.conftest import Service
from tests.unit.status.fakes import ROWS, rejected


async def set_settings(service: Service, settings: DatasourceSettings) -> DatasourceSettings:
    request = status_pb2.SetDatasourceSettingsRequest(datasource="sales", settings=settings)
    answer: status_pb2.SetDatasourceSettingsResponse = await service.stub.SetDatasourceSettings(
        request
    )
    return answer.settings


async def test_settings_are_kept_without_what_is_the_servers(service: Service) -> None:
    asked = status_pb2.GetDatasourceSettingsRequest(datasource="sales")
    assert (await service.stub.GetDatasourceSettings(asked)).settings == DatasourceSettings()
    frozen = Contract(mode=ContractMode.CONTRACT_MODE_FREEZE, task_id="made up")
    policy = Policy(rules=[Rule(name="min_columns", limit=2)], contract=frozen)
    kept = await set_settings(
        service, DatasourceSettings(policy=policy, options=ReadOptions(delimiter=";"))
    )
    assert kept.policy.contract == Contract(mode=ContractMode.CONTRACT_MODE_FREEZE)
    assert (await service.stub.GetDatasourceSettings(asked)).settings == kept
    await set_settings(service, DatasourceSettings())
    assert (await service.stub.GetDatasourceSettings(asked)).settings == DatasourceSettings()


async def test_a_file_is_judged_by_the_settings_and_what_its_sender_said_holds_over_them(
    service: Service,
) -> None:
    usual = ReadOptions(delimiter=";", null_tokens=["-", "?"])
    await set_settings(
        service,
        DatasourceSettings(policy=Policy(rules=[Rule(name="min_columns", limit=2)]), options=usual),
    )
    await service.ended(
        (await service.upload(options=ReadOptions(null_tokens=["x"]).SerializeToString())).task_id
    )
    await service.ended((await service.upload(datasource="others")).task_id)
    first, other = service.validation.requests
    assert first.policy.rules[0].limit == 2
    assert first.options == ReadOptions(delimiter=";", null_tokens=["x"])
    assert (other.policy, other.HasField("options")) == (Policy(), False)


async def test_a_load_is_compared_with_the_last_one_that_succeeded(service: Service) -> None:
    first = (await service.upload()).task_id
    await service.ended(first)
    service.validation.judge = rejected
    refused = (await service.upload()).task_id
    await service.ended(refused)
    await service.ended((await service.upload()).task_id)
    contracts = [request.policy.contract for request in service.validation.requests]
    assert [contract.task_id for contract in contracts] == ["", first, first]
    assert [(column.name, column.load_type) for column in contracts[1].columns] == [
        ("__time", LoadType.LOAD_TYPE_TIME),
        ("city", LoadType.LOAD_TYPE_STRING),
        ("sales", LoadType.LOAD_TYPE_DOUBLE),
    ]
    answer: status_pb2.ListQualityResponse = await service.stub.ListQuality(
        status_pb2.ListQualityRequest(datasource="sales", limit=2)
    )
    assert [task.state for task in answer.tasks] == [TaskState.TASK_STATE_REJECTED] * 2
    everything: status_pb2.ListQualityResponse = await service.stub.ListQuality(
        status_pb2.ListQualityRequest(datasource="sales")
    )
    tasks = everything.tasks
    assert [task.quality.verdict for task in tasks[:2]] == [Verdict.VERDICT_REJECTED] * 2
    assert (tasks[2].task_id, tasks[2].filename, tasks[2].quality.rows_loadable) == (
        first,
        "sales.csv",
        ROWS,
    )


async def test_bytes_that_are_no_options_are_refused(service: Service) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        await service.create(options=b"\xff\xff")
    assert errors.from_rpc(refused.value, "status").problem.column == "options"
