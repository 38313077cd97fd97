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

# Without `args`, `kwargs` and `result`: events do not hold them.
tasks_columns = "name,uuid,state,received,started,runtime,retries,worker"

# Milliseconds that a node may take to say what it does; a busy one is not fast.
inspect_timeout = 3000.0
