"""The OpenAPI document in version 3.0.3, for generators that do not know 3.1.

What 3.0 lacks is converted (OpenAPI 3.0.3, "Schema Object"): exclusive limits are true or false
beside the limit, no default is null, and nothing stands beside a reference ("Reference Object").
"""

import copy
from typing import Any

VERSION = "3.0.3"
_LIMITS = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}


def rendering(document: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of an OpenAPI document, converted to version 3.0.3."""
    found: dict[str, Any] = _converted(copy.deepcopy(document))
    found["openapi"] = VERSION
    return found


def _converted(told: Any) -> Any:
    if isinstance(told, list):
        return [_converted(each) for each in told]
    if not isinstance(told, dict):
        return told
    found = {
        name: value if name == "example" else _converted(value) for name, value in told.items()
    }
    for exclusive, limit in _LIMITS.items():
        if type(found.get(exclusive)) in (int, float):
            found[limit], found[exclusive] = found[exclusive], True
    if found.get("default", 0) is None:
        del found["default"]
    if "const" in found and "enum" not in found:
        found["enum"] = [found.pop("const")]
    if "$ref" in found and len(found) > 1:
        found["allOf"] = [{"$ref": found.pop("$ref")}]
    return found
