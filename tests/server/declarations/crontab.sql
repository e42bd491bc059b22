CREATE ROLE alice LOGIN;
CREATE ROLE bob LOGIN;
CREATE ROLE carol NOLOGIN;
CREATE TABLE noted (id bigint GENERATED ALWAYS AS IDENTITY, what text, by name DEFAULT CURRENT_USER, at timestamptz DEFAULT clock_timestamp());
GRANT SELECT, INSERT ON noted TO alice, bob, carol;
CREATE TABLE held (name text PRIMARY KEY);
GRANT SELECT ON held TO alice, bob, carol;
CREATE FUNCTION hold(what text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    LOOP
        EXIT WHEN NOT EXISTS (SELECT FROM held WHERE name = what);
        PERFORM pg_sleep(0.02);
    END LOOP;
    INSERT INTO noted (what) VALUES (what);
END
$$;
CREATE PROCEDURE by_halves(what text) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO noted (what) VALUES (what || ' one');
    COMMIT;
    PERFORM hold(what);
    COMMIT;
END
$$;
GRANT CREATE ON SCHEMA public TO alice;
