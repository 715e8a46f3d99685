"""A second name of a setting: `timeout` for the time to connect."""

import pytest
from pydantic import ValidationError

from aetherflow_builtins_db.connectors.common.settings import ServerOptions
from aetherflow_builtins_db.connectors.exasol.connector import Options as ExasolOptions
from aetherflow_builtins_db.connectors.oracledb.connector import Options as OracleOptions
from aetherflow_builtins_db.connectors.postgres.connector import Options as PostgresOptions


@pytest.mark.parametrize("model", [ExasolOptions, PostgresOptions, OracleOptions])
def test_timeout_is_the_time_to_connect(model: type[ServerOptions]) -> None:
    assert model.model_validate({"timeout": 4}).connect_timeout == 4
    assert model.model_validate({"timeout": 4, "connect_timeout": 4}).connect_timeout == 4
    assert model.model_validate({"timeout": 4}).statement_timeout == 0, "it never ended a long statement"
    with pytest.raises(ValidationError, match="connect_timeout and timeout are both given and differ"):
        model.model_validate({"timeout": 4, "connect_timeout": 5})
