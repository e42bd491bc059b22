-- wants a server with crontab in shared_preload_libraries
\pset format unaligned
\pset tuples_only on
SET client_min_messages = error;
CREATE EXTENSION crontab;
RESET client_min_messages;
SELECT name, context FROM pg_settings WHERE name LIKE 'crontab.%' ORDER BY name COLLATE "C";
SELECT DISTINCT worker COLLATE "C" FROM cron.crontab_workers() ORDER BY 1;
SELECT cron.crontab_request_shutdown();
SELECT cron.crontab_resume();
DROP EXTENSION crontab;
