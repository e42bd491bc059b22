"""A fault within a statement of several lines."""

from pgbgw import Extension, seconds, sql

shop = Extension("shop", database="shopdb")
shop.dynamic_worker(
    "task",
    args={"task_id": "integer"},
    run=sql(
        """
        SELECT public.run_task(
            $1
        )
        """
    ),
)
