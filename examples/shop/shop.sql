-- what the workers call, and what it works on
CREATE TABLE public.bookings (id bigint PRIMARY KEY, customer text NOT NULL, amount bigint NOT NULL CHECK (amount > 0));

CREATE FUNCTION public.book_order(id bigint, customer text, amount bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.bookings VALUES (id, customer, amount);
    PERFORM shop.mails_enqueue(customer, pg_catalog.format('Thank you for %s.', amount), unique_key => 'order ' || id);
END
$$;
