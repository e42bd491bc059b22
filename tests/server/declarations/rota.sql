CREATE ROLE rota_ops LOGIN;
CREATE ROLE rota_stranger LOGIN;
CREATE TABLE public.noted (by text, at timestamptz DEFAULT clock_timestamp());
CREATE TABLE public.orders (number integer DEFAULT 1, held boolean DEFAULT false, failing boolean DEFAULT false);
INSERT INTO public.orders DEFAULT VALUES;
CREATE FUNCTION public.nightly() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.noted (by) VALUES ('nightly');
    WHILE (SELECT held FROM public.orders) LOOP
        PERFORM pg_sleep(0.01);
    END LOOP;
    IF (SELECT failing FROM public.orders) THEN
        RAISE EXCEPTION 'told to fail' USING ERRCODE = 'P0007';
    END IF;
END
$$;
