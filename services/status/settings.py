"""Settings of the status service."""

from pydantic import Field, IPvAnyNetwork, PostgresDsn, field_validator

from services.common.settings import Address, GrpcSettings


class Settings(GrpcSettings):
    """Units are in the names: `_s` are seconds."""

    database_url: str = Field(
        description="The PostgreSQL database, postgresql://user:password@host:port/name.",
        repr=False,
    )
    validation_addr: Address = Field(description="Address of the validation service, host:port.")
    druid_gateway_addr: Address = Field(
        description="Address of the Druid gateway service, host:port."
    )

    upload_addr: Address = Field(description="Address of the upload service, host:port.")

    database_connections: int = Field(
        10,
        ge=2,
        le=200,
        description="Maximum number of connections to PostgreSQL, without the two for LISTEN and the heartbeat.",
    )

    pipeline_workers: int = Field(
        4,
        ge=0,
        le=100,
        description="Maximum number of concurrent loads of this process, from submit to verification. 0: it only responds to calls.",
    )
    validation_workers: int = Field(
        4,
        ge=1,
        le=100,
        description="Maximum number of files that this process has validated concurrently, independent of the loads.",
    )
    lease_s: float = Field(
        10.0,
        ge=1,
        description="Seconds after the last heartbeat until another worker takes over a task. A heartbeat is sent every third of it.",
    )
    stage_attempts: int = Field(
        5,
        ge=1,
        description="Failures of a stage after which the task ends FAILED. Waiting for unavailable services does not count.",
    )
    stage_takeovers: int = Field(
        20,
        ge=1,
        description="Maximum number of takeovers in a stage; after another one the task ends FAILED.",
    )
    retry_first_s: float = Field(
        1.0,
        gt=0,
        description="Maximum seconds before the first retry of a stage; a quarter if a service is unavailable. Doubles with each retry.",
    )
    retry_max_s: float = Field(8.0, gt=0, description="Maximum seconds before any retry.")

    validate_deadline_s: float = Field(
        1800,
        gt=0,
        description="Deadline of VALIDATING in seconds, including the time that services are unavailable.",
    )
    ingest_deadline_s: float = Field(
        1800,
        gt=0,
        description="Deadline of INGESTING in seconds, without the addition for the file's size.",
    )
    ingest_deadline_s_per_mib: float = Field(
        6.0,
        ge=0,
        description="Addition to the deadline of INGESTING in seconds for each MiB of the file.",
    )
    verify_deadline_s: float = Field(
        1800, gt=0, description="Deadline of VERIFYING in seconds, after which the load is removed."
    )
    verify_settle_s: float = Field(
        120,
        gt=0,
        description="Seconds for which counts may be wrong with all segments loaded, after which the load is removed.",
    )
    clean_deadline_s: float = Field(
        1800,
        gt=0,
        description="Seconds after which a running CLEANING asks for an administrator.",
    )

    files_kept_s: float = Field(
        30 * 86_400,
        ge=0,
        description="Seconds for which the stored files of an ended task are kept. 0: no limit.",
    )
    plan_kept_s: float = Field(
        7 * 86_400, gt=0, description="Seconds after which a plan that was not applied expires."
    )
    housekeeping_interval_s: float = Field(
        60,
        gt=0,
        description="Seconds between the rounds that expire plans and files, with a jitter of 20 %.",
    )

    webhook_allowed_networks: list[IPvAnyNetwork] = Field(
        [],
        description='Private networks that webhooks may use, as a JSON array: ["10.1.0.0/16"].',
    )

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, value: str) -> str:
        PostgresDsn(value)
        return value
