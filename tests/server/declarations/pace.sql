CREATE TABLE public.noted (by text, at timestamptz DEFAULT clock_timestamp());
CREATE TABLE public.orders (fails integer DEFAULT 0, dense boolean DEFAULT false, busy boolean DEFAULT false,
    refused boolean DEFAULT false);
INSERT INTO public.orders DEFAULT VALUES;
-- counts whatever is undone
CREATE SEQUENCE public.tries;
CREATE FUNCTION public.flaky() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.noted (by) VALUES ('flaky');
    IF nextval('public.tries') <= (SELECT fails FROM public.orders) THEN
        RAISE EXCEPTION 'told to fail' USING ERRCODE = 'P0007';
    END IF;
END
$$;
CREATE PROCEDURE public.flaky_outside() LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.noted (by) VALUES ('outside');
    COMMIT;
    PERFORM public.flaky();
END
$$;
CREATE FUNCTION public.dense() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT dense FROM public.orders) THEN
        RAISE EXCEPTION 'told to fail';
    END IF;
END
$$;
CREATE FUNCTION public.busy() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WHILE (SELECT busy FROM public.orders) LOOP
        PERFORM pg_sleep(0.02);
    END LOOP;
    IF (SELECT refused FROM public.orders) THEN
        RAISE EXCEPTION 'told to fail';
    END IF;
END
$$;
