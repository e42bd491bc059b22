CREATE TABLE public.noted (by text, at timestamptz DEFAULT clock_timestamp());
