-- What the declaration beside this file expects: the handlers, and the tables that they write.

CREATE TABLE IF NOT EXISTS public.processed (
    id bigint,
    payload jsonb,
    processed_at timestamp with time zone NOT NULL DEFAULT now()
);

CREATE OR REPLACE FUNCTION public.process_item(id bigint, payload jsonb) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.processed (id, payload) VALUES (process_item.id, process_item.payload);
END
$$;

CREATE TABLE IF NOT EXISTS public.tasks_run (
    task_id integer,
    run_by integer NOT NULL DEFAULT pg_backend_pid()
);

CREATE OR REPLACE FUNCTION public.run_task(task_id integer) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.tasks_run (task_id) VALUES (run_task.task_id);
END
$$;
