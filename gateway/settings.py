"""Settings of the gateway."""

from pydantic import Field

from services.common.settings import Address, Names, Networks, ServiceSettings


class Settings(ServiceSettings):
    """What the gateway reads from its environment."""

    bind_addr: Address = Field(
        "127.0.0.1:8000", description="Address that the gateway listens on, host:port."
    )
    upload_addr: Address = Field(description="Address of the upload service, host:port.")
    validation_addr: Address = Field(description="Address of the validation service, host:port.")
    druid_gateway_addr: Address = Field(description="Address of the Druid gateway, host:port.")
    status_addr: Address = Field(description="Address of the status service, host:port.")
    allowed_hosts: Names = Field(
        ("localhost", "127.0.0.1", "[::1]"),
        description="Host names that requests may be sent to, on any port, separated by commas. The host of BIND_ADDR always may.",
    )
    allowed_origins: Names = Field(
        (),
        description="Pages of other origins that may call us from a browser, such as http://localhost:3000, separated by commas.",
    )
    trusted_proxies: Networks = Field(
        (),
        description="Networks (CIDR) of the proxies in front of the gateway, separated by commas. "
        "Only from them is the client's address taken from X-Forwarded-For or Forwarded; limits are "
        "by client. Unset: from none.",
    )
    max_file_size_bytes: int = Field(
        500 * 1024 * 1024, gt=0, description="Largest file that is taken, in bytes."
    )
    max_form_field_bytes: int = Field(
        64 * 1024, gt=0, description="Largest form field other than the file, in bytes."
    )
    max_head_bytes: int = Field(
        64 * 1024,
        ge=8 * 1024,
        description="Longest head (request line and headers) of a request, in bytes, give or take one read.",
    )
    head_timeout_s: float = Field(
        30.0,
        gt=0,
        description="Seconds in which a new connection has to send the head of its request.",
    )
    max_part_header_bytes: int = Field(
        8 * 1024, gt=0, description="Longest header line of a part of a multipart form, in bytes."
    )
    max_json_body_bytes: int = Field(
        1024 * 1024, gt=0, description="Largest JSON body of a request, in bytes."
    )
    json_body_timeout_s: float = Field(
        30.0, gt=0, description="Seconds in which the whole JSON body of a request has to come."
    )
    upload_idle_s: float = Field(
        60.0, gt=0, description="Seconds without a byte after which an upload is given up."
    )
    upload_deadline_s: float = Field(
        3600.0, gt=0, description="Seconds that one upload may take in all."
    )
    query_deadline_s: float = Field(
        60.0, gt=0, description="Seconds that one query may take in all."
    )
    query_stream_deadline_s: float = Field(
        330.0,
        gt=0,
        description="Seconds that a CSV or NDJSON answer of all rows may take in all.",
    )

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every host name that is answered to."""
        return (*self.allowed_hosts, self.bind_addr.rpartition(":")[0])
