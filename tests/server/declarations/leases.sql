CREATE TABLE public.noted (job bigint, by text);
CREATE ROLE clerk LOGIN;
CREATE ROLE carrier LOGIN;
CREATE ROLE boss LOGIN;
CREATE ROLE stranger LOGIN;
