"""JSON web tokens for tests: their claims are real, their signature is not."""

import base64
import json


def web_token(claims: object) -> str:
    """Return a token with these claims, or with bytes in the place of them."""
    raw = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    return "x." + base64.urlsafe_b64encode(raw).decode().rstrip("=") + ".signature"
