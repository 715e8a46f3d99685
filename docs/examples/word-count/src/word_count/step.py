"""The step `word_count`."""

from collections import Counter

from pydantic import Field

from aetherflow.core.api import (
    STEP_SKIPPED,
    ReadPath,
    Step,
    StepError,
    StepInputs,
    StepOutputs,
    StepResult,
    WritePath,
)


class Inputs(StepInputs):
    """Inputs of `word_count`."""

    path: ReadPath = Field(description="Text file to read; a relative path is under the job's artifacts.")
    output: WritePath = Field("words.tsv", description="File to write: one word and its count per line.")
    min_words: int = Field(1, ge=0, description="Fewer words than this make the step SKIPPED.")


class Outputs(StepOutputs):
    """Outputs of `word_count`."""

    words: int = Field(description="Number of words.")
    path: str | None = Field(description="Absolute path of the file that was written.")


class WordCount(Step[Inputs]):
    """Counts the words of a text file.

    - id: words
      type: word_count
      inputs: {path: text.txt}
    """

    Outputs = Outputs

    def run(self) -> StepResult:
        """Read, count, write."""
        source = self.ctx.read_path(self.args.path)
        try:
            counts = Counter(source.read_text(encoding="utf-8").split())
        except (OSError, UnicodeDecodeError) as error:
            raise StepError(f"{source} cannot be read: {error}", fix="check the input path") from error
        total = counts.total()
        if total < self.args.min_words:
            return StepResult(STEP_SKIPPED, {"words": total, "path": None}, f"{total} words")
        with self.ctx.write_file(self.args.output) as file:
            for done, (word, count) in enumerate(sorted(counts.items())):
                self.ctx.check_cancelled()
                self.ctx.progress(done, len(counts), "words")
                file.write(f"{word}\t{count}\n".encode())
        return StepResult(output={"words": total, "path": str(self.ctx.write_path(self.args.output))})
