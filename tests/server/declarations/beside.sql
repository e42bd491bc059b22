CREATE TABLE public.orders (held boolean DEFAULT false, refused boolean DEFAULT false);
INSERT INTO public.orders DEFAULT VALUES;
CREATE FUNCTION public.export() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WHILE (SELECT held FROM public.orders) LOOP
        PERFORM pg_sleep(0.02);
    END LOOP;
    IF (SELECT refused FROM public.orders) THEN
        RAISE EXCEPTION 'told to fail';
    END IF;
END
$$;
CREATE PROCEDURE public.tidy() LANGUAGE plpgsql AS $$
BEGIN
    COMMIT;
    PERFORM public.export();
END
$$;
