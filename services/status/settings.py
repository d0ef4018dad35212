"""What the status service reads from its environment."""

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
        description="Most connections to PostgreSQL, without the two of watch and heartbeat.",
    )

    pipeline_workers: int = Field(
        4,
        ge=0,
        le=100,
        description="Loads that this process moves on at once, from a validated file to counted rows. 0: it only answers calls.",
    )
    validation_workers: int = Field(
        4,
        ge=1,
        le=100,
        description="Files that this process has validated at once, beside the loads: no load takes the place of one.",
    )
    lease_s: float = Field(
        10.0,
        ge=1,
        description="Seconds after the last heartbeat (every third of it) until others take a task over.",
    )
    stage_attempts: int = Field(
        5,
        ge=1,
        description="Real failures that a stage of a task may have before the task ends FAILED.",
    )
    stage_takeovers: int = Field(
        20,
        ge=1,
        description="Workers that may die in one stage of a task before the task ends FAILED.",
    )
    retry_first_s: float = Field(
        1.0,
        gt=0,
        description="Longest wait before the first retry of a stage that failed, a quarter where a service is away; later ones double it.",
    )
    retry_max_s: float = Field(8.0, gt=0, description="Longest wait before any retry, in seconds.")

    validate_deadline_s: float = Field(
        1800, gt=0, description="Seconds that VALIDATING may take, waiting for services included."
    )
    ingest_deadline_s: float = Field(
        1800,
        gt=0,
        description="Seconds that INGESTING may take, before what is added for the file's size.",
    )
    ingest_deadline_s_per_mib: float = Field(
        6.0, ge=0, description="Seconds that INGESTING may take longer for each MiB of the file."
    )
    verify_deadline_s: float = Field(
        1800, gt=0, description="Seconds that VERIFYING may take before the load is removed again."
    )
    verify_settle_s: float = Field(
        120,
        gt=0,
        description="Seconds that the count may be wrong, with all segments loaded, before the load is removed again.",
    )
    clean_deadline_s: float = Field(
        1800,
        gt=0,
        description="Seconds after which a CLEANING that goes on asks for an administrator.",
    )

    files_kept_s: float = Field(
        30 * 86_400,
        ge=0,
        description="Seconds for which the stored files of a task that has ended are kept. 0: until somebody deletes them.",
    )
    plan_kept_s: float = Field(
        7 * 86_400, gt=0, description="Seconds for which a plan waits to be applied."
    )
    housekeeping_interval_s: float = Field(
        60, gt=0, description="Seconds between two searches for what expired, give or take a fifth."
    )

    webhook_allowed_networks: list[IPvAnyNetwork] = Field(
        [],
        description='Networks beside the public internet that webhooks may go to, as JSON: ["10.1.0.0/16"].',
    )

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, value: str) -> str:
        PostgresDsn(value)
        return value
