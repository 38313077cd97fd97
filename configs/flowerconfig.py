# What Flower shows: options of https://flower.readthedocs.io/en/latest/config.html, read by `docintake flower`.
# Its address, its port and who may look are told on the command line.

# Looking only: no node is stopped and no task revoked from a browser.
read_only = True

# It remembers what it has heard since it was started, and no more: what must last stands in `docintake jobs`.
persistent = False
max_tasks = 20_000
max_workers = 200

# Nodes that are gone leave the list after so many seconds.
purge_offline_workers = 3600

# Without arguments and results: events do not hold them.
tasks_columns = "name,uuid,state,received,runtime,retries,worker"


def format_task(task):
    """As pages show it: what is left of arguments and results says nothing, and a refusal may name a file."""
    task.args = task.kwargs = "not shown"
    if task.state != "PROGRESS":
        task.result = "not shown"
    if task.exception:
        kind, _, code = task.exception.partition("(")
        task.exception = f"{kind}: {code.split(',')[0].strip(chr(39))}"
        task.traceback = None
    return task


# Milliseconds that a node may take to say what it does; a busy one is not fast.
inspect_timeout = 3000.0
