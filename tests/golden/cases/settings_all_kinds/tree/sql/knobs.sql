-- wants a server with knobs in shared_preload_libraries
\pset format unaligned
\pset tuples_only on
SET client_min_messages = error;
CREATE EXTENSION knobs;
RESET client_min_messages;
SELECT name, context FROM pg_settings WHERE name LIKE 'knobs.%' ORDER BY name COLLATE "C";
SELECT DISTINCT worker COLLATE "C" FROM knobs.workers() ORDER BY 1;
SELECT knobs.request_shutdown();
SELECT knobs.resume();
DROP EXTENSION knobs;
