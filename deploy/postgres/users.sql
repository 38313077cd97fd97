-- Run once, when the database is made: who logs in, and with which role of `docintake db roles` (docs/access.md).
\set release `cat /run/secrets/postgres-release`
\set node `cat /run/secrets/postgres-node`
\set report `cat /run/secrets/postgres-report`
CREATE ROLE docintake_migrate NOLOGIN;
CREATE ROLE docintake_worker NOLOGIN;
CREATE ROLE docintake_read NOLOGIN;
CREATE ROLE docintake_release LOGIN PASSWORD :'release' IN ROLE docintake_migrate;
CREATE ROLE docintake_node LOGIN PASSWORD :'node' IN ROLE docintake_worker;
CREATE ROLE docintake_report LOGIN PASSWORD :'report' IN ROLE docintake_read;
