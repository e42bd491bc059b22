CREATE ROLE claims_app LOGIN;
CREATE ROLE claims_ops LOGIN;
CREATE TABLE public.noted (
    entry bigint GENERATED ALWAYS AS IDENTITY, job bigint, note text, pid integer DEFAULT pg_backend_pid(),
    xid xid8 DEFAULT pg_current_xact_id(), asynchronous text DEFAULT current_setting('synchronous_commit'),
    size integer
);
CREATE FUNCTION public.note(id bigint, note text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF note.note LIKE 'sleep %' THEN
        PERFORM pg_catalog.pg_sleep(pg_catalog.substr(note.note, 7)::float8);
    ELSIF note.note = 'fail' THEN
        RAISE EXCEPTION 'told to fail' USING ERRCODE = '22012';
    END IF;
    INSERT INTO public.noted (job, note) VALUES (note.id, note.note);
END
$$;
CREATE FUNCTION public.note_all(ids bigint[], notes text[], attempts integer[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF 'fail' = ANY (notes) THEN
        RAISE EXCEPTION 'told to fail';
    END IF;
    INSERT INTO public.noted (job, note, size)
        SELECT u.id, u.note, cardinality(ids) FROM unnest(ids, notes, attempts) AS u(id, note, attempt);
END
$$;
