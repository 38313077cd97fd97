"""`docintake` where documents may be as bad as their external ids say.

`deadly`: soon after its start it takes its node along, which the file `deaths` in the data folder tells of.
`slow`: takes a second. `endless`: is read again and again. A node that is told to stop waits four seconds for these.
"""

import os
import signal
import time
from dataclasses import replace

from core.contract import CLASSIFY, ClassifyRequest
from core.documents import fetch
from db.queries import Job
from worker import app, job, tasks
from worker.cli.main import main
from worker.runtime import Runtime
from worker.tasks import JOBS, classify


def work(runtime: Runtime, started: Job, request: ClassifyRequest) -> job.Done:
    match request.external_id:
        case "deadly":
            time.sleep(0.3)
            with (runtime.settings.data_dir / "deaths").open("a") as deaths:
                deaths.write(f"{started.task_id}\n")
            os.kill(os.getpid(), signal.SIGKILL)
        case "slow":
            time.sleep(1)
        case "endless":
            document = fetch(request.document, runtime.settings.documents)
            while True:
                runtime.reader.read(document, "1")
    return classify(runtime, started, request)


if __name__ == "__main__":
    # Documents that come alone, and those of one message.
    tasks.CLASSIFY_JOB = JOBS[CLASSIFY] = replace(JOBS[CLASSIFY], work=work)  # type: ignore[misc] # final elsewhere
    app.GRACE = 4.0
    main()
