"""What a provider's errors mean: which pass, how long to wait, what was paid, and words a person can act on.

Errors are told apart by HTTP status and by name, so that no provider's package has to be imported here.
"""

import math
import re
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from pada_graph.errors import StoppedError
from pada_graph.teacher.secrets import redact

LONGEST_WAIT = 120.0  # seconds; a provider that asks for more is not coming back soon

_TRANSIENT_STATUS = frozenset((408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529))
_TRANSIENT_CODES = frozenset(
    (
        "ThrottlingException",
        "TooManyRequestsException",
        "ServiceUnavailableException",
        "InternalServerException",
        "InternalFailure",
        "ModelTimeoutException",
        "ModelNotReadyException",
        "ModelErrorException",
        "ModelStreamErrorException",
        "RequestTimeout",
        "RequestTimeoutException",
    )
)
_PERMANENT_CODES = frozenset(("ServiceQuotaExceededException", "insufficient_quota", "billing_hard_limit_reached"))
_CONTENT_CODES = frozenset(("content_filter", "content_policy_violation", "invalid_prompt", "moderation_blocked"))
_CONTENT_WORDS = re.compile(
    r"content filter|content management policy|content policy|violating our usage policy|ResponsibleAIPolicyViolation",
    re.IGNORECASE,
)
# Classes of openai, anthropic, httpx, requests and botocore; the built-in ones are matched by type.
_TRANSIENT_CLASSES = frozenset(
    (
        "APIError",  # without a status: an error inside a stream
        "APIConnectionError",
        "APITimeoutError",
        "TransportError",
        "JSONDecodeError",
        "APIResponseValidationError",
        "ReadTimeoutError",
        "ConnectTimeoutError",
        "EndpointConnectionError",
        "ConnectionClosedError",
        "HTTPClientError",
        "IncompleteReadError",
        "ResponseParserError",
        "ConnectionError",
    )
)
# What langchain-aws makes of a reply whose connection was lost in mid-body: botocore does not check its length.
_CUT_REPLY = "No 'output' key found in the response"
# Overload in the provider's words, too.
_THROTTLING_STATUS = frozenset((429, 503, 529))
_THROTTLING_CODES = frozenset(("ThrottlingException", "TooManyRequestsException", "ServiceUnavailableException"))
_LATE_CLASSES = frozenset(("APITimeoutError", "ReadTimeoutError", "ReadTimeout", "TimeoutError"))
# A gateway (or Bedrock) gave the model up: nobody stopped the model, whose work may be billed.
_LATE_STATUS = frozenset((408, 504, 524))
_LATE_CODES = frozenset(("ModelTimeoutException",))
_UNREACHED_CLASSES = frozenset(
    (
        "ConnectError",
        "ConnectTimeout",
        "ConnectTimeoutError",
        "ConnectionRefusedError",
        "EndpointConnectionError",
        "ProxyConnectionError",
        "gaierror",
    )
)

_FIXES = {
    400: "Check the keys beside this setting, which the provider's words may name; if the prompt is longer than the "
    "model's context, lower patterns.analysis_batch or generation.batch_size.",
    401: "Check the credentials: api_key beside this setting, or the provider's environment variable.",
    402: "Check the account's balance with the provider.",
    403: "Check that these credentials may use this model (Bedrock: model access and IAM permission in the region).",
    404: "Check the model's id and, with base_url, its address; a provider may also have retired the model.",
    429: "The account's quota is used up: raise it with the provider.",
}
_STATUS_OF_CODE = {
    "AccessDeniedException": 403,
    "UnrecognizedClientException": 401,
    "InvalidSignatureException": 401,
    "ExpiredTokenException": 401,
    "ResourceNotFoundException": 404,
    "ValidationException": 400,
    "ServiceQuotaExceededException": 429,
}
_NO_CREDENTIALS = frozenset(
    ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError")
)


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed later: throttling, server errors, time-outs, lost connections."""
    code, status = _code(error), _status(error)
    if code in _PERMANENT_CODES:
        return False
    if code in _TRANSIENT_CODES or status in _TRANSIENT_STATUS:
        return True
    if status is not None:
        return False
    lost = isinstance(error, ConnectionError | TimeoutError) or _CUT_REPLY in str(error)
    return lost or bool(_class_names(error) & _TRANSIENT_CLASSES)


def concerns_one_prompt(error: BaseException) -> bool:
    """Whether other prompts may fare better with the same model and settings."""
    return _STATUS_OF_CODE.get(_code(error), _status(error)) in (400, 413, 422)


def is_content_refusal(error: BaseException) -> bool:
    """Whether a provider refused one prompt, or its own answer to it, for its content: a verdict on that item alone.

    OpenAI and Azure say so in the error's code, Anthropic and Bedrock in the words of a status 400. Whatever is about
    the account, the credentials or the model has another code or status.
    """
    return _code(error) in _CONTENT_CODES or (_status(error) == 400 and bool(_CONTENT_WORDS.search(str(error))))


def is_throttle(error: BaseException) -> bool:
    """Whether the provider asks for fewer calls."""
    return is_transient(error) and (_status(error) in _THROTTLING_STATUS or _code(error) in _THROTTLING_CODES)


def is_late(error: BaseException) -> bool:
    """Whether a request was sent and no whole reply came in time: the provider may be at work on it still."""
    return may_be_paid(error) and (bool(_class_names(error) & _LATE_CLASSES) or _given_up(error))


def may_be_paid(error: BaseException) -> bool:
    """Whether the provider may have done the work all the same: the reply was lost, and no status says otherwise."""
    reached = not any(_class_names(link) & _UNREACHED_CLASSES for link in _chain(error))
    told = _status(error) is not None and not _given_up(error)
    return is_transient(error) and reached and not told and not is_throttle(error)


def _given_up(error: BaseException) -> bool:
    return _status(error) in _LATE_STATUS or _code(error) in _LATE_CODES


def retry_after(error: BaseException | None) -> float:
    """Seconds that the provider asks to wait; 0 if it does not say.

    `retry-after-ms` (OpenAI, Azure) comes first; `Retry-After` is seconds or an HTTP date (RFC 9110, 10.2.3), which is
    held against the reply's own Date where it has one, since clocks differ.
    """
    headers = getattr(getattr(error, "response", None), "headers", None)
    if headers is None:
        response = getattr(error, "response", None)
        metadata = response.get("ResponseMetadata", {}) if isinstance(response, dict) else {}
        headers = metadata.get("HTTPHeaders", {})
    if milliseconds := _seconds(headers.get("retry-after-ms", "")):
        return milliseconds / 1000
    asked = headers.get("retry-after", "")
    if seconds := _seconds(asked):
        return seconds
    until, now = _timestamp(asked), _timestamp(headers.get("date", ""))
    return max(0.0, until - (now or time.time())) if until else 0.0


def stopped(error: Exception, *, role: str, model: str, settings: Mapping[str, Any]) -> StoppedError:
    """Put a provider's error into words: role, model, setting and fix, and no secret."""
    said = redact(f"{type(error).__name__}: {error}", settings)[:600]
    if is_transient(error):
        asked = retry_after(error)
        when = f"in {asked:.0f} s, as it asks" if asked > LONGEST_WAIT else "later"
        return StoppedError(
            f"The {role}'s model {model} (models.{role}.model) did not answer, however often it was asked: {said} "
            f"Nothing finished is lost: run the same command again {when}, perhaps with a lower limits.concurrency."
        )
    status = _STATUS_OF_CODE.get(_code(error), _status(error) or 0)  # Bedrock's own words say more than its status
    fix = _FIXES.get(status, "Mend what it names.")
    if _class_names(error) & _NO_CREDENTIALS:
        fix = "Configure AWS credentials, e.g. with AWS_PROFILE, or credentials_profile_name beside this setting."
    return StoppedError(
        f"The {role}'s model {model} (models.{role}.model) refused the call: {said} {fix} "
        "Then run the same command again; nothing finished is lost."
    )


def _status(error: BaseException) -> int | None:
    """HTTP status of openai's, anthropic's, google's or botocore's error; None if it is no HTTP error."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        status = (
            getattr(error, "status_code", None)
            or getattr(response, "status_code", None)
            or getattr(error, "code", None)
        )
    return status if isinstance(status, int) and status >= 400 else None


def _code(error: BaseException) -> str:
    """The provider's word for an error: botocore's Error.Code, openai's code."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        code = str(response.get("Error", {}).get("Code", ""))
        return code[:1].upper() + code[1:]  # inside an event stream Bedrock writes throttlingException
    return str(getattr(error, "code", "") or "")


def _class_names(error: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        return 0.0
    return seconds if math.isfinite(seconds) and seconds > 0 else 0.0


def _timestamp(text: str) -> float:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return 0.0
