"""Removes secrets from Druid's texts before they are logged or shown. Druid quotes presigned URLs in
full.
"""

import re

_URL_QUERY = re.compile(r"""(\b[a-z][a-z0-9+.-]*://[^\s"'<>?]*)\?[^\s"'<>]*""", re.IGNORECASE)
_USER = re.compile(r"""(\b[a-z][a-z0-9+.-]*://)[^\s"'<>/@]*@""", re.IGNORECASE)
_PARAMETER = re.compile(
    r"""\b(x-amz-[a-z-]+|awsaccesskeyid|signature|(?:aws_?)?secret_?(?:access_?)?key|access_?key(?:_?id)?|password)(["']?\s*[=:]\s*["']?)[^\s"'&,<>]+""",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """Remove the query strings and user names of URLs, and the values of secret parameters."""
    text = _URL_QUERY.sub(r"\1?[redacted]", text)
    text = _USER.sub(r"\1", text)
    return _PARAMETER.sub(r"\1\2[redacted]", text)
