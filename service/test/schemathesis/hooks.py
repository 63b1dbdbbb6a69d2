"""What keeps the run going: a fresh Idempotency-Key for each request, and no end to the run's own rights."""

import os
import uuid

import schemathesis
from schemathesis.core.parameters import ParameterLocation

own = {os.environ["OWN_TOKEN"], os.environ["OWN_MEMBERSHIP"]}


@schemathesis.hook
def before_call(context, case, kwargs):
    # Once the run had revoked its own token, it would test nothing but 401.
    if case.method in ("DELETE", "PATCH") and (case.path_parameters or {}).get("id") in own:
        case.path_parameters["id"] = "00000000-0000-7000-8000-000000000000"
    # Generated keys come again with another body, which the API must refuse with 422: the tool does not know what it
    # has sent under a key before, and would hold every such answer for one to the body. What a repeat gets is tested
    # in service/test/integration/rest/conventions.test.ts. Headers that break their schema must arrive as they are.
    if case.meta is None or case.meta.is_negative_at(ParameterLocation.HEADER):
        return
    if "Idempotency-Key" in (case.headers or {}):
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
