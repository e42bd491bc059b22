CREATE TABLE public.taken (id bigint, line text, taker integer);
CREATE TABLE public.ticked (line text, at timestamp with time zone DEFAULT clock_timestamp());
CREATE TABLE public.users_seen (who text, at timestamp with time zone DEFAULT clock_timestamp());
CREATE TABLE public.launched (a integer, b text, c numeric, d uuid, e timestamp with time zone, f boolean, who text);
CREATE TABLE public.numbers (n integer);
CREATE TABLE public.spans (days daterange);
CREATE TABLE public.sampled (n integer);

CREATE FUNCTION public.linger(extra jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF extra ? 'sleep' THEN
        PERFORM pg_catalog.pg_sleep((extra->>'sleep')::double precision);
    END IF;
    RETURN '';
END
$$;
CREATE FUNCTION public.tick(greeting text, number integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM public.ticked WHERE line = 'fail') THEN
        RAISE EXCEPTION 'tick fails';
    END IF;
    IF EXISTS (SELECT FROM public.ticked WHERE line = 'sleep') THEN
        PERFORM pg_catalog.pg_sleep(600);
    END IF;
    INSERT INTO public.ticked VALUES (greeting || number);
END
$$;
CREATE FUNCTION public.note_user() RETURNS void LANGUAGE sql SECURITY DEFINER
AS 'INSERT INTO public.users_seen VALUES (session_user)';
CREATE FUNCTION public.note_numbers(numbers integer[]) RETURNS void LANGUAGE sql
AS 'INSERT INTO public.numbers SELECT pg_catalog.unnest(numbers)';
CREATE FUNCTION public.note_number(a integer) RETURNS void LANGUAGE sql AS 'INSERT INTO public.numbers VALUES (a)';
CREATE PROCEDURE public.steps(n integer, word text) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..n LOOP
        INSERT INTO public.numbers VALUES (pg_catalog.length(word) + i);
        COMMIT;
    END LOOP;
    IF word = 'fail' THEN
        RAISE EXCEPTION 'steps fails';
    END IF;
END
$$;
