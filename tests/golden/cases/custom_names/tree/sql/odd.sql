-- wants a server with odd in shared_preload_libraries
\pset format unaligned
\pset tuples_only on
SET client_min_messages = error;
CREATE EXTENSION odd;
RESET client_min_messages;
SELECT name, context FROM pg_settings WHERE name LIKE 'odd.%' ORDER BY name COLLATE "C";
SELECT DISTINCT worker COLLATE "C" FROM "The ""Schema""".odd_workers() ORDER BY 1;
SELECT status, count(*) FROM "The ""Schema"""."The @extschema@ jobs?" GROUP BY status;
SELECT count(*) FROM "The ""Schema"""."100% ""view""";
SELECT "The ""Schema"""."Stop!"();
SELECT "The ""Schema"""."Go on, \please"();
DROP EXTENSION odd;
