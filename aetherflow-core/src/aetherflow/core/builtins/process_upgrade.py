"""What `external.process` was in version 0.9."""

from collections.abc import Iterator, Mapping
from typing import Any

from aetherflow.core.api import Difference
from aetherflow.core.builtins.process_inputs import FLOW_FOLDER


def differences_of_process(inputs: Mapping[str, Any]) -> Iterator[Difference]:
    """Without `cwd`, what the program reads and writes by relative paths is elsewhere than in version 0.9."""
    if not inputs.get("cwd"):
        yield Difference(
            ("command",) if "command" in inputs else ("cmd",),
            "the program ran in the working directory of aetherflow",
            "it runs in the artifacts of its job, which cleanup removes after a run that went well",
            f'absolute paths: "{FLOW_FOLDER}/…" names the folder of the flow; a result elsewhere by `file_copy`',
        )
