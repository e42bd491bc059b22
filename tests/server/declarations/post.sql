CREATE ROLE clerk LOGIN;
CREATE ROLE carrier LOGIN;
CREATE TYPE public.mood AS ENUM ('good', 'bäd');
CREATE DOMAIN public.positive AS bigint CHECK (value > 0);
