-- wants a server with my_worker in shared_preload_libraries
\pset format unaligned
\pset tuples_only on
SET client_min_messages = error;
CREATE EXTENSION my_worker;
RESET client_min_messages;
SELECT name, context FROM pg_settings WHERE name LIKE 'my_worker.%' ORDER BY name COLLATE "C";
SELECT DISTINCT worker COLLATE "C" FROM public.my_worker_workers() ORDER BY 1;
SELECT status, count(*) FROM public.my_queue_jobs GROUP BY status;
SELECT count(*) FROM public.my_worker_status;
SELECT public.my_worker_request_shutdown();
SELECT public.my_worker_resume();
DROP EXTENSION my_worker;
