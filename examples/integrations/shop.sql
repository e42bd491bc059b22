-- what the web application has
CREATE TABLE public.orders (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    customer text NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0)
);
