"""Settings of the gateway."""

from pydantic import Field

from services.common.settings import Address, Names, Networks, ServiceSettings


class Settings(ServiceSettings):
    """Environment variables of the gateway."""

    bind_addr: Address = Field(
        "127.0.0.1:8000", description="Address that the gateway listens on, host:port."
    )
    upload_addr: Address = Field(description="Address of the upload service, host:port.")
    validation_addr: Address = Field(description="Address of the validation service, host:port.")
    druid_gateway_addr: Address = Field(description="Address of the Druid gateway, host:port.")
    status_addr: Address = Field(description="Address of the status service, host:port.")
    allowed_hosts: Names = Field(
        ("localhost", "127.0.0.1", "[::1]"),
        description="Allowed Host headers, on any port, separated by commas. "
        "The host of BIND_ADDR is always allowed.",
    )
    allowed_origins: Names = Field(
        (),
        description="Other origins whose pages may call the gateway from a browser, such as "
        "http://localhost:3000, separated by commas.",
    )
    trusted_proxies: Networks = Field(
        (),
        description="Networks (CIDR) of the proxies in front of the gateway, separated by commas. "
        "Only their X-Forwarded-For and Forwarded headers set the client's address, which the "
        "limits per client use. Unset: none.",
    )
    max_file_size_bytes: int = Field(
        500 * 1024 * 1024, gt=0, description="Maximum size of a file, in bytes."
    )
    max_form_field_bytes: int = Field(
        64 * 1024, gt=0, description="Maximum size of a form field other than the file, in bytes."
    )
    max_head_bytes: int = Field(
        64 * 1024,
        ge=8 * 1024,
        description="Maximum size of a request's head (request line and headers), in bytes, "
        "give or take one read.",
    )
    head_timeout_s: float = Field(
        30.0,
        gt=0,
        description="Maximum seconds to receive the head of a request.",
    )
    max_part_header_bytes: int = Field(
        8 * 1024,
        gt=0,
        description="Maximum length of a header line of a part of a multipart form, in bytes.",
    )
    max_json_body_bytes: int = Field(
        1024 * 1024, gt=0, description="Maximum size of a JSON body, in bytes."
    )
    json_body_timeout_s: float = Field(
        30.0, gt=0, description="Maximum seconds to receive a JSON body."
    )
    upload_idle_s: float = Field(
        60.0, gt=0, description="Maximum seconds between two bytes of an upload."
    )
    upload_deadline_s: float = Field(3600.0, gt=0, description="Maximum seconds of one upload.")
    query_deadline_s: float = Field(60.0, gt=0, description="Maximum seconds of one query.")
    query_stream_deadline_s: float = Field(
        330.0,
        gt=0,
        description="Maximum seconds of a query that streams all rows as CSV or NDJSON.",
    )

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every allowed host."""
        return (*self.allowed_hosts, self.bind_addr.rpartition(":")[0])
