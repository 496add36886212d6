"""The doctor looks at the servers that tests/embedded starts: the fixtures are the same."""

from tests.embedded.conftest import (  # noqa: F401  pytest finds fixtures by their names here
    owned,
    pocketbase_config,
    questdb_config,
    questdb_jar,
    service,
    with_jar,
)
