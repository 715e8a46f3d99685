"""Run a flow that uses the step without installing anything: `python run_here.py FLOW`."""

import sys

from word_count.step import WordCount

from aetherflow.core.api import RunFailedError, register_step
from aetherflow.core.runner import run_flow

register_step("word_count")(WordCount)

if __name__ == "__main__":
    try:
        summary = run_flow(sys.argv[1])
    except RunFailedError as error:
        sys.exit(str(error))
    for job in summary.jobs:
        for step in job.steps:
            for artifact in step.artifacts:
                sys.stdout.write(f"{artifact.path} {artifact.size}\n")
