"""The tasks, by kind. Every data set loads without running code of its repository.

Sizes and licences are those of the data sets' cards; a licence that the card does not state is ``unknown``.
"""

from llmctl.tasks import classification, extraction, writing
from llmctl.tasks.kinds import Task

TASKS: dict[str, Task] = {
    task.name: task for task in (*classification.TASKS, *extraction.TASKS, *writing.TASKS)
}
